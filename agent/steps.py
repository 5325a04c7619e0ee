"""The kinds of step that a plan is made of.

A step is data with two abilities.  ``pending`` only reads: it says what would change, or None when
nothing would.  ``perform`` brings the change about.  Apply calls both, a dry run only the first, so no
step knows whether it is a dry run.
"""

import difflib
from typing import Callable, List, NamedTuple, Optional, Protocol, Sequence

from .grammar import printable
from .machine import Machine
from .system import FileState

Tell = Callable[[str], None]


class Change(NamedTuple):
    """What a step would do: in a phrase, and where there is more to see, in detail."""

    summary: str
    detail: str = ""


class Step(Protocol):
    """One effect on the machine."""

    @property
    def name(self) -> str:
        """A short identifier, unique in its plan."""

    @property
    def description(self) -> str:
        """One line: what this step is for, in the imperative."""

    def pending(self, machine: Machine) -> Optional[Change]:
        """What would change; reads only."""

    def perform(self, machine: Machine, tell: Tell) -> str:
        """Do it; returns what was done in a phrase. ``tell`` takes a sentence for the log on the way."""


class WriteFile(NamedTuple):
    """A file with exactly this content, mode and owner."""

    name: str
    path: str
    content: str
    mode: int
    purpose: str

    @property
    def description(self) -> str:
        return f"write {self.path} ({self.purpose})"

    def pending(self, machine: Machine) -> Optional[Change]:
        found = machine.system.read_file(self.path)
        wanted = FileState(self.content.encode("utf-8"), self.mode, machine.system.owner)
        differences = changes(found, wanted)
        if not differences and not machine.system.has_remains(self.path):
            return None
        summary = ", ".join(differences) or "remains of an interrupted write"
        return Change(f"{summary} ({self.mode:04o})", self._diff(found))

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        machine.system.write_file(self.path, self.content.encode("utf-8"), self.mode)
        return f"wrote {self.path}"

    def _diff(self, found: Optional[FileState]) -> str:
        before = _lines(found.content.decode("utf-8", "replace")) if found else []
        old_name = self.path if found else "/dev/null"
        return "\n".join(difflib.unified_diff(before, _lines(self.content), old_name, self.path, lineterm=""))


class RemoveFile(NamedTuple):
    """A file of ours that is no longer wanted."""

    name: str
    path: str
    purpose: str
    only: Optional[str] = None  # remove it only while it has this content; None: whatever it has

    @property
    def description(self) -> str:
        return f"remove {self.path} ({self.purpose})"

    def pending(self, machine: Machine) -> Optional[Change]:
        found = machine.system.read_file(self.path)
        if found:
            ours = self.only is None or found.content == self.only.encode("utf-8")
            return Change("it is there") if ours else None
        return Change("remains of an interrupted write") if machine.system.has_remains(self.path) else None

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        machine.system.remove_file(self.path)
        return f"removed {self.path}"


class RemoveDirectory(NamedTuple):
    """A directory of ours, with all that is in it."""

    name: str
    path: str
    purpose: str

    @property
    def description(self) -> str:
        return f"remove {self.path} ({self.purpose})"

    def pending(self, machine: Machine) -> Optional[Change]:
        present = machine.system.is_directory(self.path)
        return Change(_listed(machine.system.entries(self.path))) if present else None

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        machine.system.remove_directory(self.path)
        return f"removed {self.path}"


class EmptyDirectory(NamedTuple):
    """A directory of another program's, which stays while its content goes."""

    name: str
    path: str
    owner: str  # whose directory it must be: nobody else's is emptied, wherever a configuration points
    purpose: str

    @property
    def description(self) -> str:
        return f"empty {self.path} ({self.purpose})"

    def pending(self, machine: Machine) -> Optional[Change]:
        entries = machine.system.entries(self.path)
        if not entries:
            return None
        stranger = self._stranger(machine)
        return Change(stranger or _listed(entries))

    def perform(self, machine: Machine, tell: Tell) -> str:
        stranger = self._stranger(machine)
        if stranger:
            tell(stranger)
            return f"left {self.path} alone"
        machine.system.empty_directory(self.path)
        return f"emptied {self.path}"

    def _stranger(self, machine: Machine) -> str:
        found = machine.system.owner_name(self.path)
        if found == self.owner:
            return ""
        return f"{self.path} belongs to {found}, not to {self.owner}, so its content is left alone: look at it yourself"


class SetHostName(NamedTuple):
    """The running kernel's host name; a file keeps it for the next boot."""

    host_name: str
    name: str = "host-name"

    @property
    def description(self) -> str:
        return f"set the host name to {self.host_name}"

    def pending(self, machine: Machine) -> Optional[Change]:
        present = machine.system.host_name()
        return None if present == self.host_name else Change(f"it is {present}")

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        machine.system.set_host_name(self.host_name)
        return f"the host name is {self.host_name}"


def changes(found: Optional[FileState], wanted: FileState) -> List[str]:
    """What has to change for a file to be as it is wanted; nothing of what it holds is told."""
    if found is None:
        return ["new file"]
    pairs = (
        ("content", found.content == wanted.content),
        (f"mode {found.mode:04o}", found.mode == wanted.mode),
        (f"owner {found.owner[0]}:{found.owner[1]}", found.owner == wanted.owner),
    )
    return [f"changed {what}" for what, same in pairs if not same]


def _listed(entries: Sequence[str]) -> str:
    more = f" and {len(entries) - 5} more" if len(entries) > 5 else ""
    return ", ".join(entries[:5]) + more or "it is empty"


def _lines(text: str) -> List[str]:
    """Lines for a diff: what cannot be seen is escaped, and a missing last line feed is said."""
    lines = [printable(line) for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else [*lines[:-1], f"{lines[-1]} (no line feed)"]
