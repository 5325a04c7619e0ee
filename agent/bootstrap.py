"""The bootstrap: gather, plan, apply, and on what terms one that fails leaves the machine."""

import contextlib
from typing import Iterator, Mapping

from . import terms
from .entrusted import ATTENDED
from .errors import AnnexError, SecretError
from .execution import carry_out, on_record, preview
from .gather import IMDS_DEADLINE_DRY_S, IMDS_DEADLINE_S, Gathered, Wanted, gather, read_config
from .logs import LOG, know
from .machine import Machine
from .options import Options
from .plan import Goal, Plan, build_plan
from .preview import show_facts
from .state import boot_id
from .status import Record


def show(options: Options, machine: Machine, goal: Goal, environ: Mapping[str, str]) -> int:
    """Print what a bootstrap would do; it checks that each secret can be had."""
    gathered = gather(machine, Wanted(options.config, options.user_data, IMDS_DEADLINE_DRY_S, ATTENDED), environ)
    plan = _plan(gathered, goal)
    preview(goal.value, show_facts(gathered), plan, machine)
    _require_secrets(gathered)
    return 0


def run(options: Options, machine: Machine, goal: Goal, environ: Mapping[str, str]) -> int:
    """Do it; the caller holds the lock."""
    record = Record(machine.system, goal.value)
    with on_record(record):
        _foresee(options, machine)
        _require_htcondor(machine)
        gathered = gather(machine, Wanted(options.config, options.user_data, IMDS_DEADLINE_S), environ)
        with _kept_to(gathered, machine):
            _require_secrets(gathered)
            plan = _plan(gathered, goal)
        know(instance_id=gathered.facts.instance.instance_id)
        record.learned(gathered.facts.instance.instance_id, plan.notes)
        for note in plan.notes:
            LOG.warning("%s", note)
        carry_out(options, plan, machine, record)
    return 0


def _require_htcondor(machine: Machine) -> None:
    if machine.system.is_live and not machine.htcondor.is_installed:
        raise AnnexError("HTCondor is not installed (condor_config_val is on no standard path): install condor first")


def _foresee(options: Options, machine: Machine) -> None:
    """Leave the terms of a bootstrap that fails before the instance's own are known: those of the image."""
    if not machine.system.is_live:
        return
    try:
        fields = read_config(machine, options.config).fields
    except AnnexError:  # gather tells it
        fields = {}
    terms.foresee(machine.system, fields, boot_id(machine.system))


@contextlib.contextmanager
def _kept_to(gathered: Gathered, machine: Machine) -> Iterator[None]:
    """The terms are known: they count, also where there will be no plan."""
    try:
        yield
    except AnnexError:
        terms.leave(machine.system, terms.of(gathered.facts))
        raise


def _plan(gathered: Gathered, goal: Goal) -> Plan:
    plan = build_plan(gathered.facts, goal)
    return Plan(plan.steps, (*gathered.notices, *plan.notes))


def _require_secrets(gathered: Gathered) -> None:
    if gathered.failures:
        raise SecretError("; ".join(str(failure) for failure in gathered.failures))
