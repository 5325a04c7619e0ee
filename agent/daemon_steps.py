"""The steps that bring HTCondor up: read the configuration back, start the daemons, wait for the slot."""

import time
from typing import NamedTuple, Optional, Tuple

from . import peaceful, pool, supervisor
from .errors import AnnexError, CommandError, CommandFailed, DaemonError
from .htcondor import Setting, Slot
from .ladder import Rung
from .machine import Machine
from .model import FINGERPRINT, Knob, StagedFile
from .steps import Change, Tell
from .systemd import CONDOR_UNIT

_TUNING_TIMEOUT_S = 30.0
_NOTICED_WITHIN_S = 10.0
_FIRST_PAUSE_S = 0.15
_NO_CONTACT = (
    "the collector lists this machine without a CCB contact, so daemons outside cannot reach it and no job of theirs "
    "runs here; it is tried again every minute, and CCBListener's lines in HTCondor's log say why not "
    "(condor_config_val SHARED_PORT_LOG names it, or STARTD_LOG where network.ports is a range)"
)
_LONGEST_PAUSE_S = 1.0


class ReadBack(NamedTuple):
    """Has HTCondor itself read the rendered text, beside the image's other files, before it is put in place."""

    text: str
    knobs: Tuple[Knob, ...]
    beside: Tuple[StagedFile, ...] = ()  # what else comes, or goes, with it
    name: str = "read-back"

    @property
    def description(self) -> str:
        return f"read the configuration back through condor_config_val ({len(self.knobs)} knobs)"

    def pending(self, machine: Machine) -> Optional[Change]:
        overruled = self._overruled(machine)
        return Change("\n".join(overruled)) if overruled else None

    def perform(self, machine: Machine, tell: Tell) -> str:
        for sentence in self._overruled(machine):
            tell(sentence)
        return "read back"

    def _overruled(self, machine: Machine) -> Tuple[str, ...]:
        expected = {knob.name.upper(): knob for knob in self.knobs}
        seen = machine.htcondor.read_back(self.text, [knob.name for knob in expected.values()], beside=self.beside)
        return tuple(
            f"{knob.name} shall be {knob.value}, but HTCondor will see {setting.value} ({setting.source}): "
            "a file that sorts after ours has the last word; remove the line there if that is not meant"
            for knob, setting in ((knob, seen.get(name, Setting("", "nowhere"))) for name, knob in expected.items())
            if "$" not in knob.value and setting.value != knob.value
        )


class MakeDirectories(NamedTuple):
    """The directories that HTCondor's daemons expect and that nothing else makes without systemd."""

    paths: Tuple[str, ...]
    name: str = "directories"

    @property
    def description(self) -> str:
        return f"make HTCondor's directories: {', '.join(self.paths)}"

    def pending(self, machine: Machine) -> Optional[Change]:
        missing = self._missing(machine)
        return Change(f"missing: {', '.join(missing)}") if missing else None

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        missing = self._missing(machine)
        for path in missing:
            machine.system.make_directory(path, 0o755, owner="condor")
        return f"made {', '.join(missing)}"

    def _missing(self, machine: Machine) -> Tuple[str, ...]:
        return tuple(path for path in self.paths if not machine.system.is_directory(path))


class StartDaemons(NamedTuple):
    """condor_master, running with the configuration that has this fingerprint."""

    fingerprint: str
    rungs: Tuple[Rung, ...]  # how to end a master that runs with another configuration
    tuning_script: Optional[str] = None  # HTCondor's kernel tuning, run beside the master's own start-up
    startd_address_file: str = ""
    by_systemd: bool = False  # as HTCondor's own unit, which hands the master what stands in the mark
    name: str = "daemons"

    @property
    def description(self) -> str:
        tuning = f", and meanwhile run {self.tuning_script}" if self.tuning_script else ""
        how = f"start {CONDOR_UNIT}" if self.by_systemd else "start condor_master, which starts condor_startd"
        return f"{how}{tuning}"

    def pending(self, machine: Machine) -> Optional[Change]:
        master = machine.daemons.master()
        if master is None:
            return Change("it does not run")
        if master.fingerprint is None:
            return Change(f"it runs (pid {master.pid}); only root can see with which configuration")
        if master.fingerprint == self.fingerprint:
            is_stopping = peaceful.is_under_way(machine.system)
            return Change("it runs, and takes no job: a peaceful stop was interrupted") if is_stopping else None
        return Change(f"it runs (pid {master.pid}) with another configuration: stop it, then start it again")

    def perform(self, machine: Machine, tell: Tell) -> str:
        master = machine.daemons.master()
        if master and master.fingerprint == self.fingerprint:
            peaceful.take_back(machine, self.startd_address_file)
            return "condor_master takes jobs again"
        ended_by = machine.daemons.stop(self.rungs, lambda: peaceful.take_no_more_jobs(machine), tell)
        peaceful.over(machine.system)
        if ended_by:
            tell(f"the daemons with the earlier configuration ended by {ended_by} shutdown")
        if self.startd_address_file:  # an earlier life's must not be taken for the new startd's
            machine.system.remove_file(self.startd_address_file)
        if self.by_systemd:
            _start_unit(machine)
        else:
            _launch(machine, self.fingerprint)
        if self.tuning_script:
            _tune_kernel(machine, self.tuning_script, tell)
        return "condor_master started"


def _start_unit(machine: Machine) -> None:
    # Of a master that has just ended systemd may not have heard yet, and to start what is active means nothing to it.
    deadline = time.monotonic() + _NOTICED_WITHIN_S
    while machine.systemd.active_state(CONDOR_UNIT) == "active" and time.monotonic() < deadline:
        time.sleep(_FIRST_PAUSE_S)
    machine.systemd.start(CONDOR_UNIT)
    if machine.daemons.master() is None:
        raise DaemonError(
            f"{CONDOR_UNIT} was started, but no condor_master runs{pool.complaints(machine)}: "
            f"systemctl status {CONDOR_UNIT} and journalctl -u {CONDOR_UNIT} say why"
        )


def _launch(machine: Machine, fingerprint: str) -> None:
    done = supervisor.start(machine.system, {FINGERPRINT: fingerprint})
    if done.code:
        raise DaemonError(
            f"condor_master ended at once with {done.code}: "
            f"{' '.join(done.stderr.split())[-500:] or 'it said nothing'}{pool.complaints(machine)}"
        )


def _tune_kernel(machine: Machine, script: str, tell: Tell) -> None:
    """Run HTCondor's script; jobs run without it too, so its failure is worth a sentence and no more."""
    try:
        done = machine.system.run((script,), _TUNING_TIMEOUT_S)
    except CommandError as err:
        tell(f"the kernel is not tuned for HTCondor: {err}")
        return
    if done.code:
        tell(f"{script} ended with {done.code}: {' '.join(done.stderr.split())[:300]}")


class Trust(NamedTuple):
    """By what the collector is to let this worker in, and what to look at where it does not."""

    collector: str = "of this pool"
    method: str = "image"
    doubt: str = "does it know this worker?"


class WaitForSlot(NamedTuple):
    """Until the collector itself lists a slot of the startd that runs here, and no longer than the deadline."""

    instance_id: str
    startd_address_file: str
    deadline_s: float
    relayed: bool = False  # daemons outside have no other way in than through the collector (CCB)
    trust: Trust = Trust()
    patience_s: float = 5.0  # with daemons that report by themselves; doubled each time that they are asked to
    name: str = "slot"
    description: str = "wait until the collector lists this machine's slot"

    def pending(self, machine: Machine) -> Optional[Change]:
        try:
            listed = pool.listed_slots(machine, self.instance_id, self.startd_address_file)
            stale = pool.stale_slots(machine, self.instance_id, listed)
        except AnnexError as err:
            return Change(f"at most {self.deadline_s:g} s; now {err}")
        if stale:
            return Change(f"it still lists {pool.names(stale)}, of an earlier life of this instance: have it forgotten")
        return None if listed else Change(f"at most {self.deadline_s:g} s; it lists none now")

    def perform(self, machine: Machine, tell: Tell) -> str:
        slots = self._wait(machine)
        try:
            self._forget_stale(machine, slots, tell)
        except CommandFailed as err:  # one of several collectors may be silent; the slot is there all the same
            tell(f"whether a slot of an earlier life of this instance is still listed could not be found out: {err}")
        if self.relayed and not pool.has_contact(slots):
            tell(_NO_CONTACT)
        return f"in the pool as {pool.names(slots)}"

    def _forget_stale(self, machine: Machine, slots: Tuple[Slot, ...], tell: Tell) -> None:
        """An earlier life ended without a word to the collector, or lost its address and with it the connection."""
        stale = pool.stale_slots(machine, self.instance_id, slots)
        if not stale:
            return
        try:
            machine.htcondor.withdraw(pool.stale_constraint(self.instance_id, slots))
            tell(f"had the collector forget {pool.names(stale)}, of an earlier life of this instance")
        except CommandFailed as err:
            tell(f"the collector still lists {pool.names(stale)}, of an earlier life of this instance: {err}")

    def _wait(self, machine: Machine) -> Tuple[Slot, ...]:
        began, deadline = time.monotonic(), time.monotonic() + self.deadline_s
        pause_s, trouble, patience_s = _FIRST_PAUSE_S, "it lists no slot of this instance", self.patience_s
        while time.monotonic() < deadline:
            try:
                slots = pool.listed_slots(machine, self.instance_id, self.startd_address_file)
                if slots:
                    return slots
            except CommandFailed as err:
                trouble = str(err)
            if machine.daemons.master() is None:
                raise DaemonError(f"condor_master ended before it had joined the pool{pool.complaints(machine)}")
            if time.monotonic() - began > patience_s:
                # Daemons that were refused before, or whose session a restarted collector has forgotten, would try
                # again only after minutes; and it takes them one report to notice the latter.
                pool.report_again(machine, self.startd_address_file)
                patience_s *= 2
            time.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.05)
        raise DaemonError(self._failure(machine, trouble))

    def _failure(self, machine: Machine, trouble: str) -> str:
        refusal = machine.htcondor.refusal()
        if refusal:
            return (
                f"the collector {self.trust.collector} refuses this worker (security.method {self.trust.method}: "
                f"{refusal}): {self.trust.doubt}"
            )
        return (
            f"the collector {self.trust.collector} does not list this machine after {self.deadline_s:g} s: {trouble}"
            f"{pool.complaints(machine)}; check that its port is reachable from here, and that it trusts this worker"
        )
