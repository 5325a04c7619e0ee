"""The looks at a worker at work: its daemons, and its slot in the pool."""

from typing import Iterator

from .. import status
from ..model import MASTER, STARTD
from .finding import Judgement, ok, only_root, problem, warning
from .scene import Scene

_AGAIN = "annex-agent status says how far the start came; annex-agent start tries again"


def daemons(scene: Scene) -> Iterator[Judgement]:
    """Where a start was made, they run; and nowhere else."""
    scene.require_processes()
    if scene.machine.system.is_busy():
        yield warning("annex-agent is at work on this machine just now", "see annex-agent status, and check again")
        return
    runs = status.read_runs(scene.machine.system)
    failure = runs[-1].get("error") if runs and runs[-1].get("command") == "start" else None
    if failure:
        yield problem(f"the last start failed: {failure}", _AGAIN)
    yield _running(scene)


def _running(scene: Scene) -> Judgement:
    running = scene.machine.daemons.running()
    listed = ", ".join(f"{daemon.name} (pid {daemon.pid})" for daemon in running)
    missing = {MASTER, STARTD} - {daemon.name for daemon in running}
    if running and not scene.may_run:
        return warning(
            f"HTCondor runs, but annex-agent has not configured it: {listed}",
            "systemctl disable --now condor before an image is made; on a worker, annex-agent start",
        )
    if missing and _is_worker(scene):
        return problem(f"not running: {' and '.join(sorted(missing))}", _AGAIN)
    return ok(listed or "none runs, and none has to")


def slot(scene: Scene) -> Iterator[Judgement]:
    """Where a start was made, the collector lists this machine; where none was, nothing is said."""
    if scene.machine.system.is_busy() or not _is_worker(scene):
        return
    answer = status.current(scene.machine)
    slots = ", ".join(f"{slot['name']} {slot['state']}/{slot['activity']}" for slot in answer["slots"])
    unknown = answer.get("slots_unknown", "")
    if slots:
        yield ok(slots)
    elif unknown and not scene.outside.is_root:
        raise only_root("what the collector lists")
    else:
        yield problem(
            unknown or "the collector lists no slot of this machine", f"see central-manager and trust; {_AGAIN}"
        )


def _is_worker(scene: Scene) -> bool:
    """Whether this machine is to be a slot in its pool: started, and not stopped since."""
    if not scene.may_run:
        return False
    started = any(run.get("command") == "start" for run in status.read_runs(scene.machine.system))
    return started or bool(scene.machine.daemons.running())
