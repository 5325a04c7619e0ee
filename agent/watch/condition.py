"""How this machine is, looked at so cheaply that it may be done every few seconds for months."""

import time
from typing import Callable, Dict, FrozenSet, Optional, Tuple

from .. import hold, process_names
from ..errors import AnnexError
from ..htcondor import HTCondor
from ..model import MASTER, STARTD
from ..state import boot_id
from ..status import PATH as RECORD
from ..status import read_runs
from ..system import CONFIGURED, System
from ..terms import Terms
from .ended import Ended
from .listing import Listing
from .model import Condition, Heard, Memory

STARTER = "condor_starter"
_PROBE = "-classad"  # a starter that only says what it can do, as each startd asks it when it reads its configuration
_SCAN_S = 15.0  # between two looks at all processes, while nothing is near
_ASK_BEFORE_S = 120.0  # an answer, and another one, before anything follows from it
_Find = Callable[[str], Optional[Dict[int, str]]]


class Lookout:
    """Looks, and remembers what need not be looked at again."""

    def __init__(
        self,
        system: System,
        htcondor: HTCondor,
        find: _Find = process_names.named,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system = system
        self._daemons = _Daemons(find, clock)
        self._ended = Ended(system, htcondor)
        self._listing = Listing(system, clock)
        self._stamp: Optional[Tuple[int, ...]] = None
        self._bootstrap = ""
        self._boot_id = boot_id(system)

    def look(self, now: float, terms: Terms, heard: Heard, memory: Memory, working: FrozenSet[str]) -> Condition:
        """``now`` is by EC2's clock, as all times in the answer are."""
        near = bool(memory.leaving or memory.announced or heard.announcements or working)
        runs, has_jobs = self._daemons.look(near)
        bootstrap = self._bootstrapped()
        is_wanted = self._system.stamp(CONFIGURED) is not None
        has_ended = is_wanted and not runs and bootstrap == "done"
        condition = Condition(
            boot_id=self._boot_id,
            booted=now - _up_s(),
            bootstrap=bootstrap,
            is_wanted=is_wanted,
            runs=runs,
            has_jobs=has_jobs,
            ended=self._ended.why() if has_ended else self._ended.forget(),
            is_held=hold.is_held(self._system, now - heard.ahead_s),
            working=working,
        )
        return condition._replace(listed=self._listed(now, condition, terms, heard, memory))

    def _bootstrapped(self) -> str:
        stamp = self._system.stamp(RECORD)
        if stamp is None or stamp != self._stamp or self._bootstrap == "running":
            self._stamp = stamp
            self._bootstrap = _last_start(self._system) if stamp else ""
        return self._bootstrap

    def _listed(self, now: float, condition: Condition, terms: Terms, heard: Heard, memory: Memory) -> Optional[bool]:
        """Asking takes a process and the pool's time: only where something follows from the answer."""
        settings, instance_id = terms.settings, terms.instance_id or heard.instance_id
        has_come = condition.bootstrap == "done" or memory.has_registered
        is_late = not has_come and now > condition.booted + settings.unregistered_s - _ASK_BEFORE_S
        matters = condition.runs and (is_late or settings.unreachable_s is not None)
        return self._listing.look(instance_id) if matters and instance_id else self._listing.forget()


class _Daemons:
    """Whether HTCondor runs, and a job."""

    def __init__(self, find: _Find, clock: Callable[[], float]) -> None:
        self._find, self._clock = find, clock
        self._names: Dict[int, str] = {}
        self._due = 0.0

    def look(self, near: bool) -> Tuple[bool, bool]:
        """``near``: something is about to happen, or happens."""
        if near or self._clock() >= self._due or not self._are_as_before():
            self._names = self._find("condor_") or {}
            self._due = self._clock() + _SCAN_S
        return MASTER in self._names.values(), self._has_starter()

    def _are_as_before(self) -> bool:
        return all(process_names.name(pid) == word for pid, word in self._names.items())

    def _has_starter(self) -> bool:
        """Whether one runs a job, were it started since all processes were looked at, where the kernel tells that."""
        startds = [pid for pid, word in self._names.items() if word == STARTD]
        recent = [child for pid in startds for child in process_names.children(pid)]
        starters = [pid for pid, word in self._names.items() if word == STARTER]
        starters += [pid for pid in recent if process_names.name(pid) == STARTER]
        given = [process_names.arguments(pid) for pid in starters]  # nothing: it has just ended
        return any(found and _PROBE not in found for found in given)


def _last_start(system: System) -> str:
    """How the last ``start`` ended; stopped: a ``stop`` came after it; empty: there was none since the boot."""
    try:
        runs = read_runs(system)
    except AnnexError:
        return ""
    commands = [run.get("command") for run in runs]
    if "start" not in commands:
        return ""
    start = len(runs) - 1 - commands[::-1].index("start")
    state = runs[start].get("state")
    if any(run.get("command") == "stop" and run.get("state") == "done" for run in runs[start:]):
        state = "stopped"
    elif state == "running" and not system.is_busy():
        state = "failed"  # it was killed, and could not say so
    return str(state)


def _up_s() -> float:
    """How long this machine, or this container, has been up: as long as its first process."""
    began_s = process_names.began_s(1)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - (began_s or 0.0)
