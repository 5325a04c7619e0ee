"""The looks at what an image brings and must not bring: units, cloud-init, another instance's remains."""

from typing import Iterator, Optional, Tuple

from ..ending_keys import ENDING_KEYS
from ..errors import AnnexError
from ..host import CLOUD_INIT_DIR, read_host
from ..model import Settings, State
from ..plan import build_clean_plan
from ..state import read_state
from ..systemd import AGENT_UNIT, CONDOR_UNIT, WATCH_UNIT, Systemd
from ..watch import presence
from .finding import Judgement, Unseen, ok, problem, warning
from .scene import Scene

_CLEAN = "annex-agent clean before an image is made of this disk"
_OF_THE_WATCH = ("lifetime.", "interruption.", "signal.")


def units(scene: Scene) -> Iterator[Judgement]:
    """What starts the worker at boot, what watches over it, and what keeps HTCondor from starting before it."""
    systemd = scene.machine.systemd
    if not systemd.runs:
        yield warning(
            "systemd does not run here: what starts at boot is not checked",
            "check again on a booted instance; for another init system there is init/sysv/annex-agent",
        )
        if scene.may_run and presence.running(scene.machine.system) is None:
            yield warning(
                f"no watch runs: {_unseen(scene)}", "service annex-agent start keeps one; or annex-agent watch &"
            )
        return
    yield _agent_unit(systemd)
    yield _watch_unit(systemd, scene)
    yield _condor_unit(systemd)


def _agent_unit(systemd: Systemd) -> Judgement:
    state = systemd.file_state(AGENT_UNIT)
    obstacle = _not_at_boot(AGENT_UNIT, state)
    if obstacle:
        what, remedy = obstacle
        return warning(f"{what}: nothing makes this machine a worker at boot", remedy)
    if systemd.active_state(AGENT_UNIT) == "failed":
        return problem(f"{AGENT_UNIT} has failed", f"annex-agent status and journalctl -u {AGENT_UNIT} say why")
    return ok(f"{AGENT_UNIT} is {state}")


def _watch_unit(systemd: Systemd, scene: Scene) -> Judgement:
    state = systemd.file_state(WATCH_UNIT)
    obstacle = _not_at_boot(WATCH_UNIT, state)
    is_needed = obstacle is None and systemd.active_state(AGENT_UNIT) == "active"
    if is_needed and systemd.active_state(WATCH_UNIT) != "active":
        obstacle = (f"{WATCH_UNIT} does not run", f"systemctl start {WATCH_UNIT}")
    if obstacle:
        what, remedy = obstacle
        return warning(f"{what}: {_unseen(scene)}", remedy)
    return ok(f"{WATCH_UNIT} is {state}")


def _not_at_boot(unit: str, state: str) -> Optional[Tuple[str, str]]:
    """Why systemd does not start a unit at boot, and what to do about it; None if it does."""
    if not state:
        return f"{unit} is not installed", "install annex-agent's package, or init/systemd/ of its source"
    if not state.startswith("enabled"):
        unmask = f"systemctl unmask {unit}, and " if state == "masked" else ""
        return f"{unit} is {state}", f"{unmask}systemctl enable {unit}"
    return None


def _unseen(scene: Scene) -> str:
    """What a machine without a watch goes without."""
    try:
        settings = scene.readable_settings()
    except Unseen:
        settings = Settings()
    idle = [
        key.path
        for key in ENDING_KEYS
        if key.path.startswith(_OF_THE_WATCH) and getattr(settings, key.field) != getattr(Settings(), key.field)
    ]
    without = f", and without effect: {', '.join(idle)}" if idle else ""
    return f"no interruption and no failed bootstrap is seen to{without}"


def _condor_unit(systemd: Systemd) -> Judgement:
    state = systemd.file_state(CONDOR_UNIT)
    if state == "masked":
        return problem(f"{CONDOR_UNIT} is masked: a start cannot start it", f"systemctl unmask {CONDOR_UNIT}")
    if not state:
        return warning(
            f"there is no {CONDOR_UNIT}: a start starts condor_master itself, and looks after it",
            "install HTCondor's own unit, from its package",
        )
    if not systemd.keeps_condor:
        return warning(
            f"{CONDOR_UNIT} ({state}) does not wait for annex-agent: it may start HTCondor unconfigured",
            f"install annex-agent's drop-in for it ({CONDOR_UNIT}.d/60-annex-agent.conf), then systemctl daemon-reload",
        )
    return ok(f"{CONDOR_UNIT} waits for annex-agent")


def cloud_init(scene: Scene) -> Iterator[Judgement]:
    """Nothing is wrong either way: a start tells cloud-init to leave the host name alone."""
    present = scene.machine.system.is_directory(CLOUD_INIT_DIR)
    yield ok("installed; a start has it leave the host name alone" if present else "not installed, and not needed")


def leftovers(scene: Scene) -> Iterator[Judgement]:
    """What an earlier life has left, unless it is this instance's own."""
    record, here = read_state(scene.machine.system), _instance_id(scene)
    if record and here:
        yield whose(record, here)
        return
    scene.require_processes()
    try:
        host = read_host(scene.machine)
    except AnnexError as err:
        raise Unseen(
            "what HTCondor has left is not known: its configuration cannot be read", "see configuration"
        ) from err
    steps = build_clean_plan(host, keep_condor=False).steps
    lasting = [step for step in steps if not getattr(step, "path", "").startswith("/run/")]  # no image has a /run
    left = [step.description.partition(" (")[0] for step in lasting if step.pending(scene.machine)]
    if left:
        yield warning(f"an image of this disk would carry on what one machine left: {', '.join(left)}", _CLEAN)
    else:
        yield ok("none")


def whose(record: State, instance_id: str) -> Judgement:
    """The disk's record against who the machine is."""
    if record.instance_id == instance_id:
        return ok(f"only this instance's own; {_CLEAN}")
    return warning(
        f"this disk was set up for {record.instance_id}, and this is {instance_id}",
        f"a start removes what that one left; {_CLEAN}",
    )


def _instance_id(scene: Scene) -> str:
    try:
        return scene.metadata().reading.instance.instance_id
    except AnnexError:
        return ""
