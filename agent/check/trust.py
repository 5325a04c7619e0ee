"""The look at what the pool trusts this worker by: what the settings say, and the tokens or the password on disk.

HTCondor takes a token or a password only from a file that is root's alone.  Nothing of a token is ever shown.
"""

import re
from typing import Iterator, List, NamedTuple, Optional

from .. import security
from ..errors import AnnexError
from ..model import Settings
from ..state import read_state
from ..system import FileState, System
from ..trust_secrets import FILE_NAME, Token, tokens_in
from .finding import Judgement, ok, problem, warning
from .scene import Scene

_SOON_S = 3600
_MAKE = (
    "on the central manager: condor_token_create -identity condor@POOL -authz ADVERTISE_STARTD -authz ADVERTISE_MASTER"
    "; put what it prints into a file of that directory (0600, root)"
)


class Held(NamedTuple):
    """The lines of one file that HTCondor takes; None is one that is no token."""

    path: str
    tokens: "tuple[Optional[Token], ...]"


def trust(scene: Scene) -> Iterator[Judgement]:
    """Tokens that HTCondor takes and that are fresh, or a pool password; and that it is the one that is meant."""
    system, settings = scene.machine.system, _settings(scene)
    directory = scene.knob("SEC_TOKEN_DIRECTORY").value or scene.knob("SEC_TOKEN_SYSTEM_DIRECTORY").value
    password, domain = scene.knob("SEC_PASSWORD_FILE").value, scene.knob("TRUST_DOMAIN")
    files = _files(system, directory, scene.knob("LOCAL_CONFIG_DIR_EXCLUDE_REGEXP").value)
    yield from closed(directory, system.mode(directory))
    refused = [trouble for path, file in files for trouble in private(path, file)]
    yield from refused
    held = [Held(path, tokens_in(file.content)) for path, file in files if not list(private(path, file))]
    domain_set = domain.value if domain.source.startswith("/") else ""
    yield from tokens(held, scene.outside.now(), domain_set)
    yield from outrun(held)
    yield from _as_the_settings_say(scene, settings, directory)
    secret = system.read_file(password) if password else None
    if secret:
        # As a method of its own it needs no domain; as the key that signs tokens it does.
        by_itself = security.method(settings) == "password"
        yield from private(password, secret) if by_itself else pool_password(password, secret, domain_set)
    elif not files and security.method(settings) == "image":
        yield warning(
            f"no token in {directory} and no pool password in {password}: "
            "only a pool that trusts by address lets such a worker in",
            _MAKE,
        )


def _settings(scene: Scene) -> Settings:
    try:
        return scene.settings()
    except AnnexError:  # another look's business
        return Settings()


def _as_the_settings_say(scene: Scene, settings: Settings, directory: str) -> Iterator[Judgement]:
    """Whether what they name is stored, and nothing else of ours; and a warning of trust without a secret."""
    passwords = scene.knob("SEC_PASSWORD_DIRECTORY").value
    places = ((settings.token, directory), (settings.pool_password, passwords))
    named = {f"{place}/{FILE_NAME}": str(secret) for secret, place in places if secret}
    stored = read_state(scene.machine.system)
    system = scene.machine.system
    for path, secret in named.items():
        if system.read_file(path):
            yield ok(f"{secret} is stored at {path} (security.method {security.method(settings)})")
        elif scene.may_run:
            yield problem(f"{secret} is not stored at {path}, though HTCondor may run", "annex-agent start")
        else:
            yield ok(f"the start stores {secret} at {path} (security.method {security.method(settings)})")
    for path in stored.secrets if stored else ():
        if path not in named and system.read_file(path):
            yield warning(f"{path} holds a secret that the settings do not name", "annex-agent start removes it")
    if security.method(settings) == "host":
        yield warning(
            "security.method is host: who has this machine's address can pass for it",
            "have a token made, and name it in security.token",
        )


def outrun(held: "List[Held]") -> Iterator[Judgement]:
    """HTCondor shows the first token that suits the collector, by the names of the files: it may not be ours."""
    ours = {token.issuer for file in held if file.path.endswith(f"/{FILE_NAME}") for token in file.tokens if token}
    for file in held:
        others = {token.issuer for token in file.tokens if token}
        if file.path.rpartition("/")[2] < FILE_NAME and others & ours:
            yield warning(
                f"the token in {file.path} is shown in place of annex-agent's: its name comes first, and it is of the "
                "same trust domain",
                f"remove {file.path}, or give it a name that comes later",
            )


def private(path: str, file: FileState) -> Iterator[Judgement]:
    """A problem where HTCondor would not use the file."""
    if file.mode & 0o077 or file.owner[0] != 0:
        yield problem(
            f"{path} is uid {file.owner[0]}'s, mode {file.mode:04o}: HTCondor takes nothing from a file that is not "
            "root's alone",
            f"chown root {path} and chmod 600 {path}; if others could read it, have it made anew",
        )


def closed(directory: str, mode: Optional[int]) -> Iterator[Judgement]:
    """HTCondor does not mind who may look into the directory; its owner should."""
    if mode is not None and mode & 0o022:
        yield problem(f"others may put files into {directory} (mode {mode:04o})", f"chmod 700 {directory}")
    elif mode is not None and mode & 0o077:
        yield warning(f"others may look into {directory} (mode {mode:04o})", f"chmod 700 {directory}")


def tokens(held: "List[Held]", now: float, trust_domain: str) -> Iterator[Judgement]:
    """What is wrong with each token; ``trust_domain`` is empty where the image sets none."""
    good, expired = 0, []
    for file in held:
        found = [token for token in file.tokens if token]
        if len(found) < len(file.tokens) or not found:
            yield problem(f"{file.path} holds what is no token", f"take it out of the directory, or: {_MAKE}")
        fresh = [token for token in found if token.expires is None or token.expires > now]
        expired += [file.path] * (len(fresh) < len(found))
        good += len(fresh)
        yield from _doubts(file.path, fresh, now, trust_domain)
    if expired:
        judge = warning if good else problem
        yield judge(f"expired: what {' and '.join(expired)} holds", _MAKE)
    if good:
        yield ok(f"{good} token{'s' if good > 1 else ''} that HTCondor takes")


def _doubts(path: str, fresh: "List[Token]", now: float, trust_domain: str) -> Iterator[Judgement]:
    if any(token.expires is not None and token.expires < now + _SOON_S for token in fresh):
        yield warning(f"the token in {path} expires within the hour", _MAKE)
    if trust_domain and any(token.issuer != trust_domain for token in fresh):
        yield warning(
            f"the token in {path} was issued by another trust domain than TRUST_DOMAIN, {trust_domain}",
            "see which pool it is for; TRUST_DOMAIN is to be that pool's",
        )


def pool_password(path: str, file: FileState, trust_domain: str) -> Iterator[Judgement]:
    """A pool password that HTCondor takes, for a pool that is named."""
    refused = list(private(path, file))
    yield from refused
    if not refused and trust_domain:
        yield ok(f"a pool password in {path}, for {trust_domain}")
    elif not refused:
        yield warning(
            f"there is a pool password in {path}, but TRUST_DOMAIN is this host's own name",
            "set TRUST_DOMAIN to the pool's, in a file of /etc/condor/config.d",
        )


def _files(system: System, directory: str, excluded: str) -> "list[tuple[str, FileState]]":
    try:
        pattern = re.compile(excluded or r"\Z.")
    except re.error:  # HTCondor's expressions are not quite Python's
        pattern = re.compile(r"\.|.*~\Z")
    paths = [f"{directory}/{name}" for name in system.entries(directory) if not pattern.match(name)]
    return [(path, file) for path in paths for file in [system.read_file(path)] if file]
