"""The plan: every step of a boot, of a stop, or of making an image, decided before anything is touched.

The file to read first: it shows what annex-agent does to a machine, in order.
"""

import enum
import hashlib
from typing import List, NamedTuple, Optional, Tuple

from . import ending_rules, hold, security, terms
from .daemon_steps import MakeDirectories, ReadBack, StartDaemons, Trust, WaitForSlot
from .fence_steps import LowerFence, RaiseFence
from .htcondor import CONFIG_FILE
from .ladder import NEVER, ladder
from .leftovers import CLOUD_INIT_FILE, HOST_NAME_FILE, condor_files, own_files, records
from .model import FINGERPRINT, Condor, Facts, Host, StagedFile
from .network import is_relayed
from .pool import instance_constraint
from .render import render
from .steps import RemoveFile, SetHostName, Step, WriteFile
from .stop_steps import StopDaemons, WithdrawSlot
from .stores import Stores, forget, gone, record, stores, stranger
from .system import CONFIGURED, LEAVING_FILE, STOPPING_FILE
from .unit_steps import EndWatch, FollowUnit
from .worker_config import notes, worker_blocks, worker_host_name

SLOT_DEADLINE_S = 120.0
_NO_CONDOR = "HTCondor is not installed here: it cannot read the configuration back, and its directories are unknown"


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
    text = render(
        "condor/60-annex-agent.config.j2",
        instance_id=facts.instance.instance_id,
        blocks=blocks,
        leaving=(STOPPING_FILE, LEAVING_FILE),
    )
    given = facts.bundle.config if facts.bundle else ()
    fingerprint = hashlib.sha256("".join([text, *(file.text for file in given)]).encode("utf-8")).hexdigest()
    files = stores(facts)
    steps: List[Step] = [
        # Whatever of the rest fails, they say what is then to be done.
        WriteFile("terms", terms.PATH, terms.text(terms.of(facts)), terms.MODE, "when and how this worker ends"),
        *_fence_steps(facts),
        *_purge(facts),
        record(facts, files),
        *_host_name_steps(facts),
        *_read_back(facts, ReadBack(text, tuple(knob for block in blocks for knob in block.knobs)), files),
        *files,
        WriteFile("condor-config", CONFIG_FILE, text, 0o644, "HTCondor's configuration"),
        *forget(facts, files),
        WriteFile("configured", CONFIGURED, _mark(facts, fingerprint), 0o644, "the mark that HTCondor may start"),
    ]
    if goal is Goal.START:
        steps += [*_daemon_steps(facts, fingerprint), FollowUnit(active=True)]
    return Plan(tuple(steps), (*notes(facts), *ending_rules.notes(facts), *_limits(facts)))


def build_stop_plan(instance_id: Optional[str], mode: str, timeout_s: float, ends_at: float = NEVER) -> Plan:
    """What takes this machine out of its pool; ``instance_id`` is None where none was ever configured.

    ``ends_at``: when, by ``time.monotonic()``, all of that must be done.
    """
    steps: List[Step] = [
        # Or what starts HTCondor again after a failure would do so while it is being ended.
        RemoveFile("configured", CONFIGURED, "HTCondor may not start any more"),
        StopDaemons(ladder(mode, timeout_s), ends_at),
    ]
    if instance_id:
        steps.append(WithdrawSlot(instance_constraint(instance_id)))
    return Plan((*steps, FollowUnit(active=False)))


def build_clean_plan(host: Host, keep_condor: bool) -> Plan:
    """What makes an image of this disk nobody's; ``keep_condor`` leaves HTCondor's own files where they are."""
    watch = [EndWatch()] if host.is_live else []
    fence = [LowerFence()] if host.is_live else []
    return Plan((*watch, *own_files(host), *([] if keep_condor else condor_files(host)), *fence, *records()))


def build_hold_plan(wanted: hold.Hold) -> Plan:
    """What keeps this machine on."""
    text = hold.content(wanted)
    return Plan((WriteFile("hold", hold.PATH, text, 0o644, "this machine stays on"),))


def build_release_plan() -> Plan:
    """What lets this machine end again."""
    return Plan(
        (
            RemoveFile("hold", hold.PATH, "this machine is held no more"),
            RemoveFile("image-hold", hold.IMAGE_PATH, "nor as its image wanted it"),
        )
    )


def _purge(facts: Facts) -> List[Step]:
    """What another instance's life left on this disk; its slot is its own, and may be alive."""
    if stranger(facts) is None:
        return []
    stop = StopDaemons(ladder("fast", facts.settings.stop_timeout_s), name="strange-daemons")
    return [stop, *own_files(facts.host), *condor_files(facts.host)]


def _mark(facts: Facts, fingerprint: str) -> str:
    """Lines for systemd's ``EnvironmentFile=``: the first is how a master shows what it was started with."""
    lines = {
        FINGERPRINT: fingerprint,
        "ANNEX_AGENT_INSTANCE_ID": facts.instance.instance_id,
        "ANNEX_AGENT_BOOT_ID": facts.host.boot_id,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _read_back(facts: Facts, step: ReadBack, files: Stores) -> List[Step]:
    """Beside what condor_annex has packed, and without what goes."""
    comes = [StagedFile(file.path, file.text) for file in (facts.bundle.config if facts.bundle else ())]
    goes = [StagedFile(path, None) for path in gone(facts, files)]
    return [step._replace(beside=(*comes, *goes))] if facts.host.condor else []


def _limits(facts: Facts) -> List[str]:
    limits, other = [], stranger(facts)
    if other:
        limits.append(
            f"this disk was instance {other}'s (its image was made without annex-agent clean): "
            "what that one left is removed first"
        )
    if facts.settings.bundle and not facts.bundle:
        limits.append(f"what {facts.settings.bundle} holds is not known here: its files are left out")
    if facts.settings.pool_password and not facts.host.is_live:
        limits.append("the pool password is stored by the instance's first start: here is no HTCondor to write it")
    if not facts.host.condor and facts.host.is_live:
        limits.append(_NO_CONDOR)
    return limits


def _fence_steps(facts: Facts) -> List[Step]:
    """Before anything runs: no job may have run before the fence is up."""
    if not facts.host.is_live:
        return []
    return [RaiseFence(facts.instance.iam_role) if facts.settings.restrict_to_root else LowerFence()]


def _host_name_steps(facts: Facts) -> List[Step]:
    host_name = worker_host_name(facts)
    steps: List[Step] = []
    if host_name:
        text, purpose = f"{host_name}\n", "the host name at the next boot"
        steps.append(WriteFile("hostname-file", HOST_NAME_FILE, text, 0o644, purpose))
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
        StartDaemons(fingerprint, rungs, _tuning_script(facts), condor.startd_address_file, facts.host.keeps_condor),
        WaitForSlot(
            facts.instance.instance_id,
            condor.startd_address_file,
            SLOT_DEADLINE_S,
            relayed=is_relayed(facts),
            trust=_trust(facts),
        ),
    ]


def _trust(facts: Facts) -> Trust:
    settings = facts.settings
    collector = " and ".join(settings.central_manager) or Trust().collector
    return Trust(collector, security.method(settings), security.doubt(settings))


def _tuning_script(facts: Facts) -> Optional[str]:
    """The image's, unless the owner has a say of their own about it."""
    decided = any(knob.name.upper() == "ENABLE_KERNEL_TUNING" for knob in facts.settings.condor)
    return facts.host.condor.tuning_script if facts.host.condor and not decided else None
