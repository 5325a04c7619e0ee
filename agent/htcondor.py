"""HTCondor's own tools: what is configured, what the collector lists, how to take a slot off it.

The tools run with a scrubbed environment (a stray ``_CONDOR_NAME`` variable would override every
file) and with a timeout (a macro that refers to itself is never done expanding).
"""

import json
import re
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .errors import AnnexError, CommandError, CommandFailed, CommandTimedOut, ConfigError
from .model import StagedFile
from .processes import Completed, MemoryFile, memory_file
from .system import System

CONFIG_DIR = "/etc/condor/config.d"
CONFIG_FILE = f"{CONFIG_DIR}/60-annex-agent.config"
_TIMEOUT_S = 10.0
# A tool that meets a collector by SSL would note it down in /etc/condor; looking must not write.
_NO_TRACE = {"_CONDOR_SEC_SYSTEM_KNOWN_HOSTS": "/dev/null"}
_SLOT_ATTRIBUTES = ("Name", "Machine", "State", "Activity", "MyAddress", "CloudInstanceID")
_REFUSED = re.compile(r"AUTHENTICATE:\d+|DENIED|post-auth")
# What HTCondor's tools may wait for: those that talk to nobody, and those that ask the collector.
_NAMELESS = (
    "HTCondor waits for minutes when this machine's own name cannot be looked up; "
    "does getent hosts $(hostname) answer? If not, mend the name service, or add the name to /etc/hosts"
)
_SILENT = (
    "the collector does not answer, unless this machine's own name cannot be looked up, for which "
    "HTCondor waits for minutes; does getent hosts $(hostname) answer? Then it is the collector"
)
_SOURCE_LINE = re.compile(r" # at: (?P<source>.*?)(?:, line (?P<line>\d+))?\Z")


class Setting(NamedTuple):
    """A knob as HTCondor sees it: its expanded value, and the file and line that it comes from."""

    value: str
    source: str


class Slot(NamedTuple):
    """A slot's ad in the collector."""

    name: str
    machine: str
    state: str
    activity: str
    my_address: str


class HTCondor:
    """The HTCondor that is installed on this machine."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._listed_sources: Optional[List[str]] = None

    @property
    def is_installed(self) -> bool:
        """Whether its tools can be found here (never so in a tree that is only being prepared)."""
        return self._system.is_live and self._system.which("condor_config_val") is not None

    def settings(self, names: Sequence[str]) -> Mapping[str, Setting]:
        """The named knobs as the files on disk give them; what is defined nowhere is left out."""
        return _parsed(_checked(self._dump(names)))

    def startd_address_file(self) -> str:
        """Where the startd writes down its address."""
        found = self.settings(["STARTD_ADDRESS_FILE"]).get("STARTD_ADDRESS_FILE")
        return found.value if found else ""

    def read_back(
        self, text: str, names: Sequence[str], pattern: str = "", beside: Sequence[StagedFile] = ()
    ) -> Mapping[str, Setting]:
        """The named knobs as HTCondor would see them if ``CONFIG_FILE`` held ``text``; nothing is written.

        With them come those whose names match ``pattern``, a regular expression.  ``beside``: what else would be, or
        would be missing, in ``CONFIG_DIR``.
        Raises ``ConfigError`` if HTCondor cannot read the result, in its own words.
        """
        with ExitStack() as stack:
            texts = {file.path: file.text for file in (*beside, StagedFile(CONFIG_FILE, text))}
            coming = {path: content for path, content in texts.items() if content is not None}
            staged = {path: stack.enter_context(memory_file(content)) for path, content in coming.items()}
            kept = [source for source in self._sources() if texts.get(source, "") is not None]
            root_text = _root_file(kept, {path: file.path for path, file in staged.items()})
            root = stack.enter_context(memory_file(root_text))
            try:
                done = self._dump(names, {"CONDOR_CONFIG": root.path}, (*staged.values(), root), pattern)
            except CommandTimedOut as err:
                raise ConfigError(
                    [f"HTCondor cannot expand the configuration ({err}): does one of the knobs refer to itself?"]
                ) from err
        if done.code:
            reason = _with_real_paths(done.stderr, staged).replace(root.path, "the staged configuration")
            raise ConfigError([f"HTCondor refuses the configuration: {' '.join(reason.split())}"])
        return {
            name: Setting(setting.value, _with_real_paths(setting.source, staged))
            for name, setting in _parsed(done).items()
        }

    def slots(self, constraint: str, patience_s: float = _TIMEOUT_S) -> Tuple[Slot, ...]:
        """The slots that the pool's collector lists; ``CommandFailed`` with its words if it cannot be asked."""
        argv = ("condor_status", "-constraint", constraint, "-json", "-attributes", ",".join(_SLOT_ATTRIBUTES))
        done = self._ask(*argv, patience_s=patience_s)
        if done.code:
            raise CommandFailed(f"the collector gave no answer: {_first_sentence(done.stderr)}")
        try:
            return tuple(_slot(ad) for ad in json.loads(done.stdout.strip() or "[]"))
        except (ValueError, AttributeError) as err:
            raise CommandFailed(f"condor_status gave no list of slots ({done.stdout[:60]!r})") from err

    def withdraw(self, constraint: str) -> None:
        """Ask the collector to forget the machine's startd and master ads at once."""
        for command, kind in (("INVALIDATE_STARTD_ADS", "Machine"), ("INVALIDATE_MASTER_ADS", "DaemonMaster")):
            query = f'MyType = "Query"\nTargetType = "{kind}"\nRequirements = {constraint}\n'
            done = self._ask("condor_advertise", command, "-", text_input=query)
            if done.code:
                raise CommandFailed(f"condor_advertise {command}: {_first_sentence(done.stderr)}")

    def scrambled(self, password: str) -> bytes:
        """A pool password as HTCondor's file of it holds it; the tool writes to memory, and nothing is stored."""
        with memory_file("") as file:
            argv = ("condor_store_cred", "add", "-f", file.path, "-i", "-")
            done = self._system.run(argv, _TIMEOUT_S, text_input=password, inherit=(file,))
            content = file.content()
        if done.code or not content:
            raise CommandFailed(f"condor_store_cred does not take the pool password: {_first_sentence(done.stderr)}")
        return content

    def refusal(self) -> str:
        """Why the collector does not let this machine advertise its slots, in HTCondor's words.

        Empty where it does, and where it cannot be reached or gives no answer: that is no refusal.
        """
        try:
            done = self._ask("condor_ping", "-type", "collector", "-verbose", "ADVERTISE_STARTD")
        except CommandError:
            return ""
        lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines()]
        words = [line for line in lines if _REFUSED.search(line)]
        return "; ".join(words[:3]) if done.code else ""

    def _sources(self) -> List[str]:
        """The files that HTCondor reads, in order; only annex-agent's own comes and goes, and that is put in later."""
        if self._listed_sources is None:
            listing = _checked(self._run(("condor_config_val", "-config"), _NAMELESS)).stdout
            self._listed_sources = [line.strip() for line in listing.splitlines() if line.startswith("\t")]
        return self._listed_sources

    def _dump(
        self,
        names: Sequence[str],
        environ: Optional[Mapping[str, str]] = None,
        inherit: Sequence[Any] = (),
        pattern: str = "",
    ) -> Completed:
        wanted = "|".join([*(re.escape(name) for name in names), *filter(None, [pattern])])
        argv = ("condor_config_val", "-dump", "-expand", "-verbose", f"^({wanted})$")
        return self._system.run(argv, _TIMEOUT_S, environ, inherit=inherit)

    def _ask(self, *argv: str, text_input: str = "", patience_s: float = _TIMEOUT_S) -> Completed:
        """Run a tool that talks to the collector."""
        return self._run(argv, _SILENT, text_input, patience_s)

    def _run(self, argv: Sequence[str], cause: str, text_input: str = "", patience_s: float = _TIMEOUT_S) -> Completed:
        """Run a tool; ``cause`` is what it waits for if it does not end in time, and what to do about it."""
        try:
            return self._system.run(argv, patience_s, _NO_TRACE, text_input)
        except CommandTimedOut as err:
            raise CommandTimedOut(f"{err}: {cause}") from err


def _checked(done: Completed) -> Completed:
    if done.code:
        raise AnnexError(
            f"HTCondor's configuration on this machine cannot be read ({' '.join(done.stderr.split())}): "
            "mend the file that it names"
        )
    return done


def _with_real_paths(text: str, staged: Mapping[str, MemoryFile]) -> str:
    """HTCondor's words about files in memory, as if they were where they belong."""
    # The longer first: /proc/self/fd/1 begins /proc/self/fd/12, too.
    for path, file in sorted(staged.items(), key=lambda item: -len(item[1].path)):
        text = text.replace(file.path, path)
    return text


def _root_file(sources: Sequence[str], staged: Mapping[str, str]) -> str:
    """A root configuration that reads the same sources in the same order, and each of ``staged`` in its place.

    ``staged``: where each file of ``CONFIG_DIR`` belongs, and where its text is.
    """
    ordered = [source for source in sources if source not in staged]
    for path in sorted(staged):
        ordered.insert(_place(ordered, path), path)
    lines = [_include(staged.get(source, source)) for source in ordered]
    # Everything is included above: HTCondor must not go through the directories a second time.
    return "\n".join([*lines, "LOCAL_CONFIG_DIR =", "LOCAL_CONFIG_FILE =", "REQUIRE_LOCAL_CONFIG_FILE = False", ""])


def _include(source: str) -> str:
    # HTCondor also lists a local configuration file that is not there, and commands whose output it reads.
    return f"include : {source}" if source.endswith("|") else f"include ifexist : {source}"


def _place(sources: Sequence[str], path: str = CONFIG_FILE) -> int:
    """Where a file of ``CONFIG_DIR`` stands among ``sources``: HTCondor reads a directory in lexical order."""
    before = [
        index
        for index, source in enumerate(sources)
        if index == 0 or (PurePosixPath(source).parent.name == "config.d" and not _sorts_after(source, path))
    ]
    return before[-1] + 1 if before else 0


def _sorts_after(source: str, path: str) -> bool:
    other = PurePosixPath(source)
    return str(other.parent) == CONFIG_DIR and other.name > PurePosixPath(path).name


def _parsed(done: Completed) -> Dict[str, Setting]:
    """``-dump -expand -verbose``: a line NAME = value, then comment lines about it; names in upper case."""
    found: Dict[str, Setting] = {}
    name, value = "", ""
    for line in done.stdout.split("\n"):
        at = _SOURCE_LINE.match(line)
        if at and name:
            line_number = f", line {at.group('line')}" if at.group("line") else ""
            found[name.upper()] = Setting(value, at.group("source") + line_number)
        elif not line.startswith(("#", " #")) and " = " in f"{line} ":
            name, _, value = line.partition(" = ")
            name, value = name.strip().rstrip(" ="), value.strip()
    return found


def _slot(ad: Mapping[str, Any]) -> Slot:
    return Slot(*(str(ad.get(name, "")) for name in _SLOT_ATTRIBUTES[:5]))


def _first_sentence(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:3]) or "no reason given"
