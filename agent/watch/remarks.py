"""What the watch says of what it does, and of what it does not do: once, in words for people."""

from typing import Dict, Optional, Tuple

from .model import STOPPED, Condition, Leaving, Memory, Say
from .moment import clock_time
from .reason import Reason
from .tempo import Tempo

_WARNING = 30


def begin(now: float, reason: Reason, tempo: Tempo) -> Say:
    """Why a departure begins, and what will be."""
    if tempo.grace_s:
        off = clock_time(now + tempo.grace_s, now)
        return Say(f"{reason.words}: the machine goes off at {off}, unless annex-agent hold keeps it", _WARNING)
    return Say(f"{reason.words}: {_plan(now, tempo)}", _WARNING)


def release(leaving: Leaving) -> Say:
    """A departure has ended before the machine was gone."""
    return Say(f"this is over: {leaving.words}; the machine stays in its pool")


def remarked(condition: Condition, reasons: Tuple[Reason, ...], memory: Memory) -> Tuple[Memory, Tuple[Say, ...]]:
    """What holds on is said when it begins, and never again while it does."""
    current = {name: say for reason in reasons for name, say in _of_reason(condition, reason).items()}
    current.update(_of_hold(condition, memory.leaving))
    said = tuple(say for name, say in current.items() if name not in memory.said)
    return memory._replace(said=tuple(current)), said


def _of_reason(condition: Condition, reason: Reason) -> Dict[str, Say]:
    if reason.tempo is None:
        return {f"keep {reason.name}": Say(f"{reason.words}: nothing follows, as the settings say (keep)", _WARNING)}
    if condition.is_held and reason.tempo.is_ours:
        words = f"{reason.words}: nothing follows while the machine is held (annex-agent hold --release)"
        return {f"held {reason.name}": Say(words, _WARNING)}
    return {}


def _of_hold(condition: Condition, leaving: Optional[Leaving]) -> Dict[str, Say]:
    """A hold keeps EC2 from nothing."""
    if not condition.is_held or leaving is None or leaving.phase != STOPPED:
        return {}
    words = f"{leaving.words}: HTCondor is down, and the machine stays on while it is held, as far as EC2 lets it"
    return {f"held {leaving.why} {leaving.key}": Say(words, _WARNING)}


def _plan(now: float, tempo: Tempo) -> str:
    if tempo.stops_at is None:
        jobs = "no new job, and those that run go on until they end"
    elif tempo.stops_at <= now:
        jobs = f"no new job, and HTCondor is stopped ({tempo.mode})"
    else:
        end = clock_time(tempo.stops_at, now)
        jobs = f"no new job, and those that run are told to leave at {end} ({tempo.mode})"
    return f"{jobs}; then the machine goes off" if tempo.is_off else jobs
