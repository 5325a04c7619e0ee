"""The stop: how it begins, by when it must be over, and whose slot it takes away."""

import time
from typing import Any, Mapping, NamedTuple, Optional

from . import grammar, terms
from .errors import AnnexError, UsageError
from .execution import carry_out, on_record
from .gather import read_config
from .ladder import NEVER, ladder
from .logs import LOG, know
from .machine import Machine
from .model import Settings
from .options import Options
from .plan import Plan, build_stop_plan
from .precedence import after_others, ahead_of_others
from .state import boot_id
from .status import Record
from .system import System
from .watch import ending, memory


class Stop(NamedTuple):
    """What is to be done, and for how long another annex-agent that is at work may be waited for."""

    plan: Plan
    instance_id: Optional[str]
    ends_at: float
    patience_s: float


def ends_at(options: Options, system: System) -> float:
    """When all must be ended, by ``time.monotonic()``: what came before the first step has taken its time, too.

    Nobody has longer than until EC2 takes the machine: not the stop that a power-off brings with it, either.
    """
    within_s = _duration("--within", options.within)
    left_s = ending.left_s(memory.read(system), time.time())
    return min(options.began + within_s if within_s else NEVER, time.monotonic() + left_s)


def wanted(options: Options, machine: Machine, ends: float) -> Stop:
    """The stop that the command line, or else the settings, ask for; over at ``ends``."""
    given_s = _duration("--timeout", options.timeout)
    settings = _settings(options, machine)
    mode = options.mode or settings.stop_mode
    # The first rung's time is all that --within leaves it, where nothing else is said.
    timeout_s: float = given_s or (NEVER if options.within else settings.stop_timeout_s)
    instance_id = _configured_instance(machine)
    patience_s = sum(rung.wait_s for rung in ladder(mode, timeout_s))
    return Stop(build_stop_plan(instance_id, mode, timeout_s, ends), instance_id, ends, patience_s)


def run(options: Options, machine: Machine, stop: Stop) -> int:
    """Do it, before others or when they are done."""
    system = machine.system
    with ahead_of_others(system, stop.ends_at) if options.within else after_others(system, stop.patience_s):
        record = Record(system, "stop")
        with on_record(record):
            know(instance_id=stop.instance_id or "")
            record.learned(stop.instance_id, stop.plan.notes)
            carry_out(options, stop.plan, machine, record)
    return 0


def _settings(options: Options, machine: Machine) -> Settings:
    """Those that this worker was started with; before that the image's: a broken file must keep nobody in a pool."""
    known = terms.read(machine.system) if options.config is None else None
    if known and known.instance_id and known.boot_id == boot_id(machine.system):
        return known.settings
    return Settings()._replace(**_config_fields(options, machine))


def _duration(option: str, text: Optional[str]) -> Optional[int]:
    try:
        return grammar.duration_s(text) if text else None
    except ValueError as err:
        raise UsageError(f"{option}: {err}") from None


def _config_fields(options: Options, machine: Machine) -> Mapping[str, Any]:
    try:
        source = read_config(machine, options.config)
    except UsageError:
        raise
    except AnnexError as err:
        LOG.warning("%s (the defaults are used)", err)
        return {}
    for problem in source.problems:
        LOG.warning("%s: %s (its default is used)", source.name, problem)
    return source.fields


def _configured_instance(machine: Machine) -> Optional[str]:
    """Which instance the daemons on this machine were configured for, as HTCondor knows it."""
    if not machine.htcondor.is_installed:
        return None
    try:
        setting = machine.htcondor.settings(["CloudInstanceID"]).get("CLOUDINSTANCEID")
        return grammar.token(setting.value.strip('"')) if setting and setting.value else None
    except (AnnexError, ValueError) as err:
        LOG.warning("which slot is this machine's cannot be told: %s", err)
        return None
