"""What is remembered from before: of another instance nothing, of another boot only what outlives one.  And time, which
goes on evenly even where the machine's clock is set.
"""

from typing import Optional, Tuple

from ..terms import Terms
from .model import AUTOSCALING, Condition, Heard, Memory
from .reason import LIFETIME

_STEP_S = 2.0  # less is no clock that was set, but the accuracy of EC2's date
LAUNCH_MARK, END_MARK = "autoscaling launch", "autoscaling complete"


def resumed(terms: Terms, heard: Heard, condition: Condition, memory: Memory) -> Memory:
    """The memory as far as it is about this instance and this boot."""
    instance_id = heard.instance_id or terms.instance_id
    if instance_id and memory.instance_id and instance_id != memory.instance_id:
        memory = Memory()  # an image was made of another one's disk
    if memory.boot_id != condition.boot_id:
        memory = _of_another_boot(condition, memory)
    launched = memory.launched if heard.launched is None else heard.launched
    return memory._replace(instance_id=instance_id or memory.instance_id, launched=launched)


def _of_another_boot(condition: Condition, memory: Memory) -> Memory:
    """An instance that was stopped and started again was launched anew: EC2 is to say when, or the boot counts."""
    ahead = tuple(found for found in memory.announced if found.at is not None and found.at >= condition.booted)
    was_in_a_group = any(found.kind == AUTOSCALING for found in memory.announced)
    return Memory(
        memory.instance_id,
        condition.boot_id,
        announced=ahead,
        over=tuple(key for key in memory.over if key not in LIFETIME),
        signalled=without_hooks(memory.signalled) if was_in_a_group else memory.signalled,
    )


def without_hooks(signalled: Tuple[str, ...]) -> Tuple[str, ...]:
    """An instance that goes into a warm pool and comes out of it waits for an answer each time."""
    return tuple(mark for mark in signalled if mark not in (LAUNCH_MARK, END_MARK))


def steadied(now: float, heard: Heard, condition: Condition, memory: Memory) -> Tuple[float, Memory]:
    """The time, and a memory whose times are by the same clock.

    The uptime is never set.  Where EC2 answers, its date is right, and what was timed before is moved to it; where it
    does not, the last answer and the uptime are better than a clock that has jumped since.
    """
    if memory.booted is None:
        return now, memory._replace(booted=condition.booted)
    step_s = condition.booted - memory.booted
    if abs(step_s) < _STEP_S:
        return now, memory
    return (now, _moved(memory, step_s)) if heard.answered else (now - step_s, memory)


def _moved(memory: Memory, step_s: float) -> Memory:
    """What we have timed ourselves; what EC2 has said is by its clock already."""

    def moved(moment: Optional[float]) -> Optional[float]:
        return None if moment is None else moment + step_s

    leaving = memory.leaving
    if leaving:
        leaving = leaving._replace(since=leaving.since + step_s, stopping=moved(leaving.stopping))
    return memory._replace(
        booted=moved(memory.booted),
        leaving=leaving,
        idle_since=moved(memory.idle_since),
        unlisted_since=moved(memory.unlisted_since),
        heartbeat=moved(memory.heartbeat),
        awaited_since=moved(memory.awaited_since),
    )
