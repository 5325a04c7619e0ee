"""The steps that keep systemd's view of us true, whoever ran annex-agent, and that end our own watch."""

from typing import NamedTuple, Optional

from . import claimant
from .errors import DaemonError
from .machine import Machine
from .steps import Change, Tell
from .systemd import AGENT_UNIT, WATCH_UNIT
from .watch import presence


class FollowUnit(NamedTuple):
    """annex-agent.service is active if and only if this machine is to be a slot in the pool.

    A person's ``annex-agent start`` would otherwise leave a unit behind that power-off has no reason to stop, and
    their ``annex-agent stop`` one that ``systemctl start`` takes for started.
    """

    active: bool
    name: str = "unit"

    @property
    def description(self) -> str:
        return f"have systemd take {AGENT_UNIT} for {'started' if self.active else 'stopped'}"

    def pending(self, machine: Machine) -> Optional[Change]:
        # While systemd itself has us run, the unit is activating or deactivating, and needs no word from us.
        state = machine.systemd.active_state(AGENT_UNIT)
        differs = state in (("inactive", "failed") if self.active else ("active",))
        return Change(f"it is {state}") if differs else None

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        # The unit runs annex-agent once more, which finds that nothing is left to do.
        machine.systemd.request("start" if self.active else "stop", AGENT_UNIT)
        return f"{AGENT_UNIT} follows"


class EndWatch(NamedTuple):
    """Nobody writes down again what is about to be removed; the next start brings the watch back."""

    name: str = "watch"
    description: str = "end the watch, which would write down again what is removed"

    def pending(self, machine: Machine) -> Optional[Change]:
        pid = presence.running(machine.system)
        if pid is not None:
            return Change(f"it runs (pid {pid})")
        state = machine.systemd.active_state(WATCH_UNIT)
        return Change(f"{WATCH_UNIT} is {state}") if state in ("active", "activating") else None

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        if machine.systemd.active_state(WATCH_UNIT):
            machine.systemd.stop(WATCH_UNIT)  # or systemd would start it again
        pid = claimant.end(machine.system, presence.LOCK)  # one that was started by hand, or by another init system
        if pid is not None:
            raise DaemonError(
                f"the watch (pid {pid}) could not be ended, not even by SIGKILL: look at what it waits for"
            )
        return "ended"
