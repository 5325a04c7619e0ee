"""What CloudFormation and Auto Scaling are told, and when."""

from typing import Tuple

from ..model import Settings
from .continuity import END_MARK, LAUNCH_MARK
from .model import AUTOSCALING, DRAINING, STOPPED, STOPPING, Condition, Memory, Tell
from .reason import FAILURES, Reason

STACK_MARK = "cloudformation"
_HEARTBEAT_S = 60.0


def told(
    now: float, settings: Settings, condition: Condition, memory: Memory, reasons: Tuple[Reason, ...]
) -> Tuple[Memory, Tuple[Tell, ...]]:
    """How the bootstrap went, once; of a machine that leaves its group, that it is still at it, and that it is done."""
    memory, outcome = _outcome(settings, condition, memory, reasons)
    memory, progress = _progress(now, settings, condition, memory)
    return memory, (*outcome, *progress)


def is_telling(condition: Condition, tells: Tuple[Tell, ...]) -> bool:
    """Whether somebody is being told something, for which the machine must still be there."""
    return bool(tells) or any(name.startswith("signal ") for name in condition.working)


def _outcome(
    settings: Settings, condition: Condition, memory: Memory, reasons: Tuple[Reason, ...]
) -> Tuple[Memory, Tuple[Tell, ...]]:
    """A failure is not told while the machine is held: whoever hears of it would take the machine away."""
    wanted = [STACK_MARK] if settings.cloudformation_stack else []
    wanted += [LAUNCH_MARK] if settings.signals_autoscaling else []
    marks = [mark for mark in wanted if mark not in memory.signalled]
    has_failed = any(reason.why in FAILURES for reason in reasons)
    if not marks or (has_failed and condition.is_held) or not (has_failed or memory.has_registered):
        return memory, ()
    memory = memory._replace(signalled=(*memory.signalled, *marks))
    return memory, (Tell("failure" if has_failed else "success"),)


def _progress(now: float, settings: Settings, condition: Condition, memory: Memory) -> Tuple[Memory, Tuple[Tell, ...]]:
    """Auto Scaling takes a machine of which it hears nothing, and one that is through: a held one goes on asking for
    time.
    """
    leaving = memory.leaving
    if not settings.signals_autoscaling or leaving is None or leaving.why != AUTOSCALING:
        return memory, ()
    if leaving.phase in (DRAINING, STOPPING) or (leaving.phase == STOPPED and condition.is_held):
        return _heartbeat(now, memory)
    is_quiet = "signal heartbeat" not in condition.working
    if leaving.phase == STOPPED and is_quiet and END_MARK not in memory.signalled:
        return memory._replace(signalled=(*memory.signalled, END_MARK), heartbeat=None), (Tell("complete"),)
    return memory, ()


def _heartbeat(now: float, memory: Memory) -> Tuple[Memory, Tuple[Tell, ...]]:
    if memory.heartbeat is not None and now < memory.heartbeat + _HEARTBEAT_S:
        return memory, ()
    return memory._replace(heartbeat=now), (Tell("heartbeat"),)
