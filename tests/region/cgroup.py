"""A control group per machine: every process that starts in it is found again."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# nspawn puts itself into "supervisor" and the machine into "payload", which the machine sees as its root.
PAYLOAD = "payload"
# Once systemd runs in there, processes may only be in the leaves of its tree: this one is its own.
INIT_SCOPE = f"{PAYLOAD}/init.scope"
_ENTER = 'echo 0 > "$1" && shift && exec "$@"'


@dataclass(frozen=True)
class Process:
    """A process in a machine."""

    pid: int  # on the host
    inner_pid: int  # inside the machine
    command: tuple[str, ...]


def hierarchy() -> Path:
    """Where the unified hierarchy (cgroup v2) is mounted, alone or beside version 1."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines())
    for _, mountpoint, kind, *_ in mounts:
        if kind == "cgroup2":
            return Path(mountpoint)
    raise OSError("no cgroup v2 hierarchy is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup")


class Cgroup:
    """The group named ``name`` at the top of the hierarchy."""

    def __init__(self, name: str) -> None:
        self.path = hierarchy() / name

    def create(self) -> None:
        """An empty group."""
        self.path.mkdir()

    def entering(self, argv: Sequence[str], below: str = "") -> list[str]:
        """``argv``, run in the group ``below`` this one, or at its top to start a machine."""
        return ["sh", "-c", _ENTER, "sh", str(self.path / below / "cgroup.procs"), *argv]

    def pids(self) -> list[int]:
        """All processes in the group and below, with nspawn and what has just entered."""
        found: list[int] = []
        for directory, _, _ in os.walk(self.path):  # passes over groups that are removed meanwhile
            with suppress(OSError):
                found += map(int, Path(directory, "cgroup.procs").read_text(encoding="ascii").split())
        return found

    def inside(self) -> list[Process]:
        """The processes that the machine itself sees."""
        found = (_process(pid) for pid in self.pids())
        return [process for process in found if process.inner_pid and process.command]

    def remove(self, timeout: float = 10) -> None:
        """End every process, also those that start meanwhile, and remove the group; no group is fine."""
        deadline = time.monotonic() + timeout
        while self.path.exists():
            self._kill()
            with suppress(OSError):  # busy while the last process is still on its way out
                self._remove_directories()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} cannot be removed; processes {self.pids()} do not end")
            time.sleep(0.01)

    def _kill(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _remove_directories(self) -> None:
        for directory, _, _ in os.walk(self.path, topdown=False):
            Path(directory).rmdir()


def _process(pid: int) -> Process:
    """All zero and empty for one that has ended; a zombie has no command."""
    directory = Path("/proc", str(pid))
    with suppress(OSError):
        status = (directory / "status").read_text(encoding="utf-8", errors="replace")
        command = (directory / "cmdline").read_text(encoding="utf-8", errors="replace")
        ids = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
        return Process(pid, int(ids[-1]) if len(ids) > 1 else 0, tuple(command.split("\0")[:-1]))
    return Process(pid, 0, ())
