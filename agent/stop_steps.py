"""The steps that take HTCondor down: end the daemons, make sure that the collector forgets the slot."""

import time
from typing import NamedTuple, Optional, Tuple

from . import peaceful, pool, supervisor
from .errors import AnnexError, CommandError, DaemonError
from .ladder import NEVER, Rung, fitted
from .machine import Machine
from .steps import Change, Tell
from .systemd import CONDOR_UNIT

_GONE_BY_ITSELF_S = 3.0
_GONE_BY_REQUEST_S = 10.0
_ANSWER_S = 4.0  # a collector that answers at all does so within tenths of a second
_EXPIRES = "a slot that is still listed goes with its ad's lifetime (15 minutes by default)"


class StopDaemons(NamedTuple):
    """No process of HTCondor's is left, no job's, and nobody who would start one again."""

    rungs: Tuple[Rung, ...]
    ends_at: float = NEVER  # when, by ``time.monotonic()``, all must be ended, the slot withdrawn
    name: str = "daemons"

    @property
    def description(self) -> str:
        return "end HTCondor's daemons: " + ", then ".join(f"{rung.name} ({rung.duration})" for rung in self._rungs())

    def pending(self, machine: Machine) -> Optional[Change]:
        running = [f"{daemon.name} (pid {daemon.pid})" for daemon in machine.daemons.running()]
        watching = supervisor.running(machine.system)
        if watching is not None:
            running.append(f"their supervisor (pid {watching})")
        if running:
            return Change(", ".join(running))
        return Change(f"systemd is about to start {CONDOR_UNIT} again") if self._comes_back(machine) else None

    def perform(self, machine: Machine, tell: Tell) -> str:
        ended_by = self._end(machine, tell)
        supervisor.end(machine.system)  # it has nobody left to look after, and the mark that it looks at is gone
        if self._comes_back(machine):
            machine.systemd.settle(CONDOR_UNIT)
        late = self._end(machine, tell)  # what either of them was just about to start
        peaceful.over(machine.system)
        return f"ended by {late or ended_by} shutdown" if late or ended_by else "they had ended already"

    def _end(self, machine: Machine, tell: Tell) -> Optional[str]:
        return machine.daemons.stop(self._rungs(), lambda: peaceful.take_no_more_jobs(machine), tell)

    def _rungs(self) -> Tuple[Rung, ...]:
        """Those for which there is time now: until here the command may have had to wait."""
        return fitted(self.rungs, self.ends_at - time.monotonic())

    @staticmethod
    def _comes_back(machine: Machine) -> bool:
        """Whether systemd takes HTCondor for running, or waits for the time to start it again after a crash."""
        return machine.systemd.active_state(CONDOR_UNIT) in ("active", "activating")


class WithdrawSlot(NamedTuple):
    """The collector lists no slot of this machine: daemons that end well see to it, others cannot."""

    constraint: str
    name: str = "slot"
    description: str = "make sure that the collector lists no slot of this machine"

    def pending(self, machine: Machine) -> Optional[Change]:
        try:
            slots = machine.htcondor.slots(self.constraint, _ANSWER_S)
        except AnnexError as err:
            return Change(str(err))
        return Change(f"it lists {pool.names(slots)}") if slots else None

    def perform(self, machine: Machine, tell: Tell) -> str:
        try:
            if self._gone_within(machine, _GONE_BY_ITSELF_S):
                return "gone from the collector"
            tell("the collector still lists this machine's slot: asking it to forget it")
            machine.htcondor.withdraw(self.constraint)
            if self._gone_within(machine, _GONE_BY_REQUEST_S):
                return "withdrawn from the collector"
        except CommandError as err:
            tell(f"{err}: {_EXPIRES}")
            return "the collector could not be asked"
        if not machine.system.left_s:
            tell(f"the collector has not forgotten this machine's slot in the time that was left: {_EXPIRES}")
            return "asked the collector to forget it"
        raise DaemonError(
            "the collector still lists this machine's slot although no daemon is left: "
            "does it allow this worker ADVERTISE_STARTD? The ad goes with its lifetime (15 minutes by default)"
        )

    def _gone_within(self, machine: Machine, seconds: float) -> bool:
        deadline = time.monotonic() + min(seconds, machine.system.left_s)
        while machine.htcondor.slots(self.constraint, _ANSWER_S):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True
