"""What is timed from one look at the machine to the next: since when it is idle, not listed, awaited."""

from typing import Optional

from ..model import Settings
from .model import Condition, Memory


def seen(now: float, settings: Settings, condition: Condition, memory: Memory) -> Memory:
    """The memory after this look; what nothing follows from is not timed, so that it is not written down either."""
    is_free = condition.is_wanted and condition.runs and not condition.has_jobs
    is_unlisted = is_free and condition.listed is not True
    is_fresh = condition.bootstrap == "running" and memory.bootstrap not in ("", "running")
    is_there = condition.bootstrap == "done" or bool(condition.listed) or condition.has_jobs
    return memory._replace(
        idle_since=_since(now, is_free and settings.idle_s is not None, memory.idle_since),
        unlisted_since=_since(now, is_unlisted and settings.unreachable_s is not None, memory.unlisted_since),
        bootstrap=condition.bootstrap,
        awaited_since=now if is_fresh else memory.awaited_since,
        has_registered=is_there or (memory.has_registered and not is_fresh),
    )


def _since(now: float, holds: bool, before: Optional[float]) -> Optional[float]:
    if not holds:
        return None
    return now if before is None else before
