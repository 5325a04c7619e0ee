"""The tree of HTCondor's processes, as psutil sees it: what belongs to it, and how the ladder ends it."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

import psutil

from .errors import DaemonError
from .ladder import Rung
from .model import FINGERPRINT, MASTER, STARTD, STARTER, Daemon, Master

# What may be found without a master above it; every other process of HTCondor's descends from one of these.
_NAMES = frozenset({MASTER, STARTD, STARTER, "condor_procd", "condor_shared_port", "condor_schedd"})
# HTCondor puts this into the environment of all that it starts, to find jobs that left their process tree.
_ANCESTOR = "_CONDOR_ANCESTOR_"
_POLL_S = 0.05
_SELDOM_S = 0.25
_QUIET_S = 1.0  # HTCondor has read its configuration again by then
# Once no job is left, daemons have only the collector to tell: one that is silent costs 20 s for each slot.
_ONLY_TELLING_S = 20.0
_TELLING = frozenset({MASTER, STARTD, "condor_procd", "condor_shared_port"})
# A master first tells the collector that it goes, and waits 20 s for one that is silent before it passes a signal on:
# after this time those that it is meant for are told by us.  One that hears it twice ignores the second.
_PASSED_ON_S = 1.0
_MEANT_FOR: Mapping[int, FrozenSet[str]] = {
    signal.SIGTERM: frozenset({STARTD}),  # which alone knows when a job's time to leave begins
    signal.SIGQUIT: frozenset({STARTD, STARTER}),
}


def _same_pid_namespace(process: psutil.Process) -> bool:
    """Containers on this machine may run an HTCondor of their own, which is not ours to end."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process.pid}/ns/pid").samefile("/proc/self/ns/pid")
    return os.geteuid() != 0  # only root may look; another user only reads anyway


class ProcessTree:
    """Looks at and ends HTCondor's processes; ``ours`` says which processes may be meant at all."""

    def __init__(self, ours: Optional[Callable[[psutil.Process], bool]] = None) -> None:
        self._ours = ours or _same_pid_namespace

    def running(self) -> Tuple[Daemon, ...]:
        """Every HTCondor daemon, jobs not counted."""
        return tuple(Daemon(process.pid, name) for process, name in self._daemons())

    def master(self) -> Optional[Master]:
        """The condor_master, if one runs."""
        for process, name in self._daemons():
            if name == MASTER and not self._has_master_above(process):
                return Master(process.pid, _fingerprint(process))
        return None

    def stop(self, rungs: Sequence[Rung], no_more: Callable[[], None], tell: Callable[[str], None]) -> Optional[str]:
        """As ``Daemons.stop``."""
        everything = self._everything()
        if not everything:
            return None
        for rung in rungs:
            began = time.monotonic()
            deadline = began + rung.wait_s
            if rung.number is None:
                if not _succeeds(no_more, rung, tell):
                    continue
                self._wait_for_jobs(deadline)
            number = rung.number or signal.SIGTERM
            self._signal(number, everything)
            everything = self._wait(everything, number, deadline)
            if not everything:
                return rung.name
            waited = rung._replace(wait_s=min(time.monotonic() - began, rung.wait_s))
            tell(f"{rung.name} shutdown: {_listed(everything)} still there after {waited.duration}")
        raise DaemonError(
            f"{_listed(everything)} could not be ended, not even by SIGKILL: a process in uninterruptible sleep "
            "(a hung file system?) goes only with a reboot"
        )

    def _signal(self, number: signal.Signals, everything: Sequence[psutil.Process]) -> None:
        # A kill takes every process of the tree; the other signals go to the top, and HTCondor passes them on.
        kill = number == signal.SIGKILL
        _send(number, [*everything, *self._runaways()] if kill else self._tops(everything))

    def _wait_for_jobs(self, deadline: float) -> None:
        """Until no job has run for a moment: one may just have been handed over by the access point."""
        quiet_since = None
        while time.monotonic() < deadline:
            if any(name == STARTER for _, name in self._daemons()):
                quiet_since = None
            elif quiet_since is None:
                quiet_since = time.monotonic()
            elif time.monotonic() >= quiet_since + _QUIET_S:
                return
            time.sleep(_SELDOM_S)

    def _wait(self, known: Iterable[psutil.Process], number: signal.Signals, deadline: float) -> List[psutil.Process]:
        """What is still there when nothing is, or when the time is up: known processes and any new daemon's."""
        left, pause_s, passes_on_at = self._still_there(known), _POLL_S, time.monotonic() + _PASSED_ON_S
        busy_at = time.monotonic()
        while left and time.monotonic() < min(deadline, busy_at + _ONLY_TELLING_S):
            if number == signal.SIGKILL:
                _send(number, left)  # what was just being started when the others were killed
            elif time.monotonic() >= passes_on_at:
                _send(number, [process for process, name in self._daemons() if name in _MEANT_FOR[number]])
                passes_on_at = deadline
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.05, _SELDOM_S)  # what needs long is not to be looked at all the time
            left = self._still_there(left)
            if not all(_is_only_telling(process) for process in left):
                busy_at = time.monotonic()
        return left

    def _still_there(self, known: Iterable[psutil.Process]) -> List[psutil.Process]:
        # Twice: a daemon that ends while the processes are being listed may leave a child that the list has missed.
        return _alive({*known, *self._everything()}) or _alive(self._everything())

    def _everything(self) -> List[psutil.Process]:
        """All daemons and all that descends from them: starters' jobs, too."""
        found: Dict[int, psutil.Process] = {}
        for process, _ in self._daemons():
            found[process.pid] = process
            with contextlib.suppress(psutil.NoSuchProcess):
                found.update({child.pid: child for child in process.children(recursive=True)})
        return list(found.values())

    def _runaways(self) -> List[psutil.Process]:
        """What a job started and moved out of its process tree."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if self._ours(process) and any(name.startswith(_ANCESTOR) for name in process.environ()):
                    found.append(process)
        return [process for process in found if process.pid != os.getpid()]

    def _tops(self, everything: Sequence[psutil.Process]) -> List[psutil.Process]:
        """The daemons that no other daemon runs: the master, or orphans of a master that died."""
        pids = {process.pid for process in everything}
        return [process for process, _ in self._daemons() if _parent_pid(process) not in pids]

    def _daemons(self) -> List[Tuple[psutil.Process, str]]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                name = process.name()
                if name in _NAMES and process.status() != psutil.STATUS_ZOMBIE and self._ours(process):
                    found.append((process, name))
        return found

    def _has_master_above(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            return parent is not None and parent.name() == MASTER
        return False


def _succeeds(no_more: Callable[[], None], rung: Rung, tell: Callable[[str], None]) -> bool:
    try:
        no_more()
    except Exception as err:  # whatever the trouble, the next rung needs no configuration
        tell(f"{rung.name} shutdown is not possible ({err})")
        return False
    return True


def _is_only_telling(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name() in _TELLING
    return True


def _send(number: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _alive(processes: Iterable[psutil.Process]) -> List[psutil.Process]:
    return [process for process in processes if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _parent_pid(process: psutil.Process) -> Optional[int]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(process.ppid())
    return None


def _fingerprint(process: psutil.Process) -> Optional[str]:
    with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess):
        return str(process.environ().get(FINGERPRINT, ""))
    return None


def _listed(processes: Sequence[psutil.Process]) -> str:
    words = []
    for process in processes[:5]:
        with contextlib.suppress(psutil.NoSuchProcess):
            words.append(f"{process.name()} (pid {process.pid})")
    return ", ".join(words) + (f" and {len(processes) - 5} more" if len(processes) > 5 else "")
