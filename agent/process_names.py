"""Which processes there are, by their names: asked of the kernel in /proc, without a library."""

import os
from typing import Dict, Optional, Tuple

PROC = "/proc"


def named(begins: str, proc: str = PROC) -> Optional[Dict[int, str]]:
    """The names that begin so, by process id; None where the kernel does not tell them in /proc.

    Containers on this machine are left out, and so is what has ended and only waits for its parent to notice.
    """
    try:
        pids = [int(name) for name in os.listdir(proc) if name.isdigit()]  # noqa: PTH208 - names are all that is needed
    except OSError:
        return None
    if not pids:
        return None
    found = {pid: name(pid, proc) for pid in pids}
    return {pid: word for pid, word in found.items() if word.startswith(begins) and _counts(pid, proc)}


def name(pid: int, proc: str = PROC) -> str:
    """The first 15 bytes of a process's name; empty where there is no such process."""
    return _read(f"{proc}/{pid}/comm").rstrip("\n")


def arguments(pid: int, proc: str = PROC) -> Tuple[str, ...]:
    """The beginning of a process's command line; none where there is no such process."""
    return tuple(_read(f"{proc}/{pid}/cmdline").split("\0")[:-1])


def children(pid: int, proc: str = PROC) -> Tuple[int, ...]:
    """The processes that this one has started and that still run; none where the kernel does not tell."""
    return tuple(int(word) for word in _read(f"{proc}/{pid}/task/{pid}/children").split())


def parent(pid: int, proc: str = PROC) -> Optional[int]:
    """The process above it; None where there is no such process."""
    fields = _fields(pid, proc)
    return int(fields[1]) if len(fields) > 1 else None


def began_s(pid: int, proc: str = PROC) -> Optional[float]:
    """When it was started, in ``time.CLOCK_BOOTTIME``'s seconds; None where there is no such process."""
    fields = _fields(pid, proc)
    return float(fields[19]) / os.sysconf("SC_CLK_TCK") if len(fields) > 19 else None


def _counts(pid: int, proc: str) -> bool:
    fields = _fields(pid, proc)
    return bool(fields) and fields[0] != "Z" and _is_ours(pid, proc)


def _is_ours(pid: int, proc: str) -> bool:
    """Containers on this machine may run an HTCondor of their own."""
    try:
        return os.path.samefile(f"{proc}/{pid}/ns/pid", f"{proc}/self/ns/pid")  # noqa: PTH121 - a hundred of them
    except OSError:
        return os.geteuid() != 0  # only root may look; another user only reads anyway


def _fields(pid: int, proc: str) -> Tuple[str, ...]:
    """What stands behind the name in proc_pid_stat(5): the state first; the name may hold anything."""
    return tuple(_read(f"{proc}/{pid}/stat").rpartition(")")[2].split())


def _read(path: str) -> str:
    # Not by way of a file object: what is asked of every process must cost next to nothing.
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # it has ended meanwhile
        return ""
    try:
        return os.read(handle, 4096).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(handle)
