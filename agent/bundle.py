"""condor_annex's archive of a pool, ``config-NAME.tar.gz``: taken apart in memory, and only if nothing in it is amiss.

condor_annex of HTCondor 24.11 and later packs ``config.d/``, ``tokens.d/`` and ``passwords.d/POOL``, for
``/etc/condor``; earlier ones packed files of ``config.d`` alone, the password among them as ``password_file.pl``.  Its
option ``-config-dir`` adds files of the user's own to either.
"""

import posixpath
import re
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from . import archive, bundle_config, grammar
from .errors import SecretError
from .model import Bundle, ConfigFile, SecretFile
from .secret import Secret
from .trust_secrets import FILE_NAME
from .unpacking import GZIP, gunzip

_ROOT = "/etc/condor"
_CONFIG, _TOKENS, _PASSWORDS = "config.d", "tokens.d", "passwords.d"
_DIRECTORIES = (_CONFIG, _TOKENS, _PASSWORDS)
_OURS = ("60-annex-agent.config", FILE_NAME)
_OLD_PASSWORD = "password_file.pl"  # noqa: S105 - HTCondor skips *.pl in config.d
# HTCondor's own list of what it skips in config.d is longer, and the administrator's to change.
_CONFIG_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:[A-Za-z0-9_.-]*\.conf(?:ig)?)?\Z")
_TOKEN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*\Z")
_TOKEN = re.compile(rb"[\x20-\x7e\s]+\Z")

_LARGEST = 4 * 1024 * 1024  # packed or not
_MEMBERS = 256
_LONGEST_CONFIG = 1024 * 1024
_LONGEST_SECRET = 16 * 1024
_ENOUGH = 10  # problems of one archive
_REMEDY = (
    f"have condor_annex make it anew, or make it with tar --format=ustar -czf of nothing but {_CONFIG}, {_TOKENS} and "
    f"{_PASSWORDS}"
)


class _File(NamedTuple):
    """A member where it belongs: its directory below ``/etc/condor``, and its name there."""

    directory: str
    name: str
    content: bytes

    @property
    def path(self) -> str:
        return f"{_ROOT}/{self.directory}/{self.name}"

    @property
    def is_secret(self) -> bool:
        return self.directory != _CONFIG or self.name == _OLD_PASSWORD


def unpack(packed: Secret) -> Bundle:
    """What the archive holds, each with its place; ``SecretError`` tells all that is wrong, and shows no content."""
    try:
        found, problems = _members(_unpacked(packed.reveal()))
    except archive.Damaged as err:
        found, problems = [], [str(err)]
    files, misplaced = _placed(found)
    problems += [*misplaced, *(problem for file in files for problem in _flaws(file))]
    if not problems and not any(not file.is_secret for file in files):
        problems = ["it holds no configuration"]
    if problems:
        raise SecretError(f"the secret {packed.origin} is no archive of condor_annex's: {_listed(problems)}; {_REMEDY}")
    return _bundle(files, packed.origin)


def _unpacked(packed: bytes) -> bytes:
    if not packed.startswith(GZIP):
        raise archive.Damaged("it is not packed with gzip")
    unpacked = gunzip(packed if len(packed) <= _LARGEST else b"", _LARGEST)
    if max(len(packed), len(unpacked.content)) > _LARGEST:
        raise archive.Damaged(f"it holds more than {_LARGEST >> 20} MiB")
    if unpacked.damage:
        raise archive.Damaged(f"it is damaged ({unpacked.damage})")
    return unpacked.content


def _members(content: bytes) -> "Tuple[List[archive.Member], List[str]]":
    """The members that may be looked at further, and what is wrong with the others."""
    found: List[archive.Member] = []
    problems: List[str] = []
    try:
        for number, member in enumerate(archive.members(content)):
            if number == _MEMBERS:
                problems.append(f"it has more than {_MEMBERS} members")
                break
            if member.flaw:
                problems.append(f"{grammar.quoted(member.name)} {member.flaw}")
            else:
                found.append(member)
    except archive.Damaged as err:
        problems.append(str(err))
    return found, problems


def _placed(found: Sequence[archive.Member]) -> "Tuple[List[_File], List[str]]":
    """Each file in its directory; the layout is that of condor_annex's later versions where any member shows it."""
    names = [member.name[2:] if member.name.startswith("./") else member.name for member in found]
    is_new = any(name.partition("/")[0] in _DIRECTORIES for name in names)
    files: Dict[str, _File] = {}
    problems: List[str] = []
    for member, name in zip(found, names):
        try:
            file = _place(member, name, is_new)
        except ValueError as err:
            problems.append(f"{grammar.quoted(member.name)} {err}")
            continue
        if file and file.path in files:
            problems.append(f"{grammar.quoted(member.name)} is there twice")
        elif file:
            files[file.path] = file
    return list(files.values()), problems


def _place(member: archive.Member, name: str, is_new: bool) -> Optional[_File]:
    """Where a member belongs; None for a directory that may be there."""
    if name.startswith("/"):
        raise ValueError("is an absolute path")
    if ".." in name.split("/"):
        raise ValueError("leads out of the archive")
    if member.is_directory:
        if name.rstrip("/") in ("", ".", *_DIRECTORIES):
            return None
        raise ValueError("is a directory that condor_annex does not make")
    directory, _, base = name.rpartition("/") if is_new else (_CONFIG, "", name)
    if not _may_be_there(directory, base, is_new):
        raise ValueError("is no file that condor_annex makes")
    return _File(directory, base, member.content)


def _may_be_there(directory: str, base: str, is_new: bool) -> bool:
    if len(base) > 200 or base in _OURS:
        return False
    if directory == _CONFIG:
        is_password = base == _OLD_PASSWORD and not is_new
        return is_password or _CONFIG_NAME.match(base) is not None
    return (directory == _PASSWORDS and base == "POOL") or (
        directory == _TOKENS and _TOKEN_NAME.match(base) is not None
    )


def _flaws(file: _File) -> List[str]:
    name = grammar.quoted(posixpath.join(file.directory, file.name))
    limit = _LONGEST_SECRET if file.is_secret else _LONGEST_CONFIG
    if len(file.content) > limit:
        return [f"{name} is larger than {limit >> 10} KiB"]
    if not file.is_secret:
        return [f"{name} {problem}" for problem in bundle_config.read(file.content).problems]
    if not file.content.strip():
        return [f"{name} is empty"]
    is_token = file.directory == _TOKENS
    return [f"{name} is no token"] if is_token and not _TOKEN.match(file.content) else []


def _listed(problems: Sequence[str]) -> str:
    more = f", and {len(problems) - _ENOUGH} more" if len(problems) > _ENOUGH else ""
    return ", ".join(problems[:_ENOUGH]) + more


def _bundle(files: Sequence[_File], origin: str) -> Bundle:
    ordered = sorted(files, key=lambda file: file.path)
    config = [file for file in ordered if not file.is_secret]
    knobs: FrozenSet[str] = frozenset().union(*(bundle_config.read(file.content).knobs for file in config))
    return Bundle(
        tuple(ConfigFile(file.path, file.content.decode("utf-8"), origin) for file in config),
        tuple(SecretFile(file.path, Secret(file.content, origin)) for file in ordered if file.is_secret),
        knobs,
    )
