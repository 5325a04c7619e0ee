"""The plan: every step of a boot, or of a stop, decided before anything is touched.

The file to read first: it shows what annex-agent does to a machine, in order.
"""

import enum
import hashlib
from typing import List, NamedTuple, Optional, Tuple

from .daemon_steps import MakeDirectories, ReadBack, StartDaemons, StopDaemons, WaitForSlot, WithdrawSlot
from .host import CLOUD_INIT_DIR
from .htcondor import CONFIG_FILE
from .ladder import ladder
from .model import Condor, Facts, Knob
from .pool import instance_constraint
from .render import render
from .steps import RemoveFile, SetHostName, Step, WriteFile
from .system import STATE_DIR
from .worker_config import notes, worker_blocks, worker_host_name

CONFIGURED = f"{STATE_DIR}/configured"
CLOUD_INIT_FILE = f"{CLOUD_INIT_DIR}/99-annex-agent.cfg"
SLOT_DEADLINE_S = 120.0


class Goal(enum.Enum):
    """How far a plan goes: a configured machine, or a slot in the pool."""

    CONFIGURE = "configure"
    START = "start"


class Plan(NamedTuple):
    """Steps in their order, and what a reader should know about the decisions behind them."""

    steps: Tuple[Step, ...]
    notes: Tuple[str, ...] = ()


def build_plan(facts: Facts, goal: Goal) -> Plan:
    """What makes this instance an execute node; raises ``ConfigError`` where facts and settings exclude each other."""
    blocks = worker_blocks(facts)
    text = render("condor/60-annex-agent.config.j2", instance_id=facts.instance.instance_id, blocks=blocks)
    fingerprint = hashlib.sha256(text.encode("utf-8")).hexdigest()
    steps: List[Step] = [
        *_host_name_steps(facts),
        *_read_back(facts, text, tuple(knob for block in blocks for knob in block.knobs)),
        WriteFile("condor-config", CONFIG_FILE, text, 0o644, "HTCondor's configuration"),
        WriteFile("configured", CONFIGURED, f"{fingerprint}\n", 0o644, "the mark that HTCondor may start"),
    ]
    if goal is Goal.START:
        steps += _daemon_steps(facts, fingerprint)
    return Plan(tuple(steps), (*notes(facts), *_limits(facts)))


def build_stop_plan(instance_id: Optional[str], mode: str, timeout_s: float) -> Plan:
    """What takes this machine out of its pool; ``instance_id`` is None where none was ever configured."""
    steps: List[Step] = [StopDaemons(ladder(mode, timeout_s))]
    if instance_id:
        steps.append(WithdrawSlot(instance_constraint(instance_id)))
    return Plan(tuple(steps))


def _read_back(facts: Facts, text: str, knobs: Tuple[Knob, ...]) -> List[Step]:
    return [ReadBack(text, knobs)] if facts.host.condor else []


def _limits(facts: Facts) -> List[str]:
    if facts.host.condor or not facts.host.is_live:
        return []
    return ["HTCondor is not installed here: it cannot read the configuration back, and its directories are unknown"]


def _host_name_steps(facts: Facts) -> List[Step]:
    host_name = worker_host_name(facts)
    steps: List[Step] = []
    if host_name:
        text, purpose = f"{host_name}\n", "the host name at the next boot"
        steps.append(WriteFile("hostname-file", "/etc/hostname", text, 0o644, purpose))
        if facts.host.is_live:
            steps.append(SetHostName(host_name))
    if not facts.host.has_cloud_init:
        return steps
    if host_name:
        text = render("cloud-init/99-annex-agent.cfg.j2")
        steps.append(WriteFile("cloud-init", CLOUD_INIT_FILE, text, 0o644, "or cloud-init undoes the host name"))
    else:
        steps.append(RemoveFile("cloud-init", CLOUD_INIT_FILE, "the host name is cloud-init's again"))
    return steps


def _daemon_steps(facts: Facts, fingerprint: str) -> List[Step]:
    condor = facts.host.condor or Condor("not installed")
    rungs = ladder(facts.settings.stop_mode, facts.settings.stop_timeout_s)
    return [
        *([MakeDirectories(condor.directories)] if condor.directories else []),
        StartDaemons(fingerprint, rungs, _tuning_script(facts), condor.startd_address_file),
        WaitForSlot(facts.instance.instance_id, condor.startd_address_file, SLOT_DEADLINE_S),
    ]


def _tuning_script(facts: Facts) -> Optional[str]:
    """The image's, unless the owner has a say of their own about it."""
    decided = any(knob.name.upper() == "ENABLE_KERNEL_TUNING" for knob in facts.settings.condor)
    return facts.host.condor.tuning_script if facts.host.condor and not decided else None
