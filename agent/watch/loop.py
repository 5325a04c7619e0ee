"""The loop: listen, look, decide, act; again and again until somebody ends the process."""

import faulthandler
import gc
import signal
import time
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Mapping, NamedTuple, NoReturn, Optional, Tuple, TypeVar

from .. import terms
from ..errors import AnnexError, UsageError
from ..htcondor import HTCondor
from ..logs import LOG, know
from ..system import System
from ..systemd import AGENT_UNIT, Systemd
from ..terms import Terms
from ..watchdog import Watchdog
from . import memory
from .actions import Errands
from .condition import Lookout
from .decision import decide
from .fencing import Fencing
from .leaving import Notice
from .listener import Listener
from .model import GRACE, Act, Heard, Memory, PowerOff, Say, Stop, TakeJobs, Tell
from .power import Power
from .presence import LOCK, running

NOBODY: FrozenSet[str] = frozenset()
POWER_OFF = PowerOff("").name
_EARLY_S = 0.1  # by which a turn may come before its time, and still be one that listens
_AGAIN_S = 3600.0
_HURRY_S = 1.0  # between two turns, but not between two questions to the metadata service, while this machine leaves
_T = TypeVar("_T")


def watch(root: Path, environ: Mapping[str, str]) -> int:
    """Until SIGTERM or SIGINT; only one in a machine."""
    system = System(root)
    if not system.is_live:
        raise UsageError("watch concerns the running machine: leave --root out")
    if system.uid != 0:
        raise UsageError("watch ends daemons and switches the machine off, and needs root: use sudo")
    if not system.claim(LOCK):
        raise AnnexError(f"annex-agent watch runs already (pid {running(system)}), and one is enough")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    systemd = Systemd(system)
    senses = Senses(Listener(environ), Lookout(system, HTCondor(system)))
    hands = Hands(Notice(system), Errands(system, environ), Power(system, systemd), systemd, Fencing(system))
    watchdog = Watchdog(environ)
    if watchdog.is_on:
        faulthandler.enable()  # the journal then has the line at which we were when systemd lost its patience
    LOG.info("watching for the end of this machine")
    gc.freeze()  # what was loaded stays: to look for what refers to itself takes no time then
    try:
        Loop(system, senses, hands).run(lambda seconds: rest(seconds, watchdog))
    except KeyboardInterrupt:
        LOG.info("told to end")
    return 0


def rest(seconds: float, watchdog: Watchdog) -> None:
    """Between two turns. An exception that was dealt with refers to itself: many would tear the memory to pieces."""
    gc.collect()
    watchdog.sleep(seconds)


class Senses(NamedTuple):
    """Who listens and looks."""

    listener: Listener
    lookout: Lookout


class Hands(NamedTuple):
    """Who acts."""

    notice: Notice
    errands: Errands
    power: Power
    systemd: Systemd
    fencing: Fencing


class Loop:
    """What is remembered from turn to turn."""

    def __init__(
        self, system: System, senses: Senses, hands: Hands, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._system, self._senses, self._hands, self._clock = system, senses, hands, clock
        self._terms = Terms()
        self._stamp: Optional[Tuple[int, ...]] = None
        self._memory: Optional[Memory] = None
        self._kept: Optional[Memory] = None
        self._heard = Heard()
        self._listens_at = 0.0
        self._complained: Dict[Tuple[str, str], float] = {}

    def run(self, wait: Callable[[float], None]) -> NoReturn:
        """For ever; ``wait`` gets the seconds until the next turn."""
        while True:
            began = self._clock()
            self._safely("a turn", self.turn)
            wait(max(0.0, began + self._pause_s() - self._clock()))

    def turn(self) -> None:
        """Once: whatever one part of it runs into, the others are not kept from their work."""
        self._safely("reading the terms", self._read_terms)
        self._heard = self._safely("listening", self._listen) or self._heard._replace(announcements=(), answered=NOBODY)
        now = time.time() + self._heard.ahead_s
        before = self._recalled()
        condition = self._senses.lookout.look(now, self._terms, self._heard, before, self._working())
        decision = decide(now, self._terms, self._heard, condition, before)
        self._memory = decision.memory
        self._safely("telling HTCondor", self._tell_htcondor)
        for act in decision.acts:
            self._safely(act.name, lambda: self._do(act))  # noqa: B023 - it is done before there is another one
        self._safely("remembering", self._remember)  # after them: what is ended in between is begun again
        leaving = decision.memory.leaving
        if leaving is None or leaving.at is None:  # else the seconds count
            self._safely("looking at the fence", lambda: self._hands.fencing.look(self._terms.settings))

    def _read_terms(self) -> None:
        """What the settings are: ``start`` writes them anew each time."""
        stamp = self._system.stamp(terms.PATH)
        if stamp != self._stamp:
            self._stamp = stamp
            self._terms = terms.read(self._system) or Terms()
            know(instance_id=self._terms.instance_id or "")

    def _listen(self) -> Heard:
        if self._clock() < self._listens_at:
            return self._heard._replace(announcements=(), answered=NOBODY)
        self._listens_at = self._clock() + self._terms.settings.poll_s - _EARLY_S
        return self._senses.listener.listen(self._terms.settings)

    def _recalled(self) -> Memory:
        if self._memory is None:
            self._memory = self._kept = memory.read(self._system)
        return self._memory

    def _remember(self) -> None:
        if self._memory is not None and self._memory != self._kept:
            memory.write(self._system, self._memory)
            self._kept = self._memory

    def _tell_htcondor(self) -> None:
        leaving = self._memory.leaving if self._memory else None
        if leaving and leaving.phase == GRACE:
            leaving = None
        self._hands.notice.settle(leaving, self._terms.startd_address_file)

    def _working(self) -> FrozenSet[str]:
        names = self._safely("looking at what runs", self._hands.errands.working) or NOBODY
        return names | {POWER_OFF} if self._hands.power.is_going else names

    def _do(self, act: Act) -> None:
        if isinstance(act, Say):
            LOG.log(act.level, "%s", act.words)
        elif isinstance(act, PowerOff):
            self._hands.power.off(act.words)
        elif isinstance(act, TakeJobs) and act.start and self._hands.systemd.runs:
            # Its unit has more rights than ours, and HTCondor must not live and die with us. The unit is still active
            # (RemainAfterExit) although a stop of ours has ended what it began: to start it would do nothing.
            self._hands.systemd.request("restart", AGENT_UNIT)
        elif isinstance(act, (Stop, Tell)) or (isinstance(act, TakeJobs) and act.start):
            self._hands.errands.run(act, self._terms.settings.stop_timeout_s)
        # The rest is what HTCondor is told in each turn.

    def _pause_s(self) -> float:
        poll_s = float(self._terms.settings.poll_s)
        is_near = self._hands.errands.are_under_way or (self._memory and self._memory.leaving)
        return min(poll_s, _HURRY_S) if is_near else poll_s

    def _safely(self, what: str, do: Callable[[], _T]) -> Optional[_T]:
        """What it returns; None if it fails, which is said once an hour."""
        try:
            return do()
        except Exception as err:  # the watch outlives whatever it is
            kind = (what, type(err).__name__)
            if self._clock() - self._complained.get(kind, float("-inf")) >= _AGAIN_S:
                self._complained[kind] = self._clock()
                trace = None if isinstance(err, AnnexError) else err
                LOG.error("%s failed, and is tried again: %s", what, err or kind[1], exc_info=trace)
            return None
