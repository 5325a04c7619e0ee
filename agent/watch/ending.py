"""When and why this machine will go, as ``status`` tells it."""

from typing import Any, Dict, List, Mapping, Optional

from ..model import Settings
from ..terms import Terms
from . import interruption, lifetime
from .model import GRACE, Announcement, Leaving, Memory
from .moment import clock_time
from .reason import LIFETIME
from .tempo import off_deadline


def ending(terms: Terms, memory: Memory, held: bool, now: float) -> Dict[str, Any]:
    """Ready for JSON; times are seconds since the epoch, and None is what is not known or not to be.

    ``announced`` is a list of ``kind``, ``what``, ``at`` and ``words``; ``leaving`` has ``why``, ``words``, ``phase``,
    ``since`` and ``at``; ``goes_at`` is when the machine will be off at the latest.
    """
    lease = lifetime.lease_end(terms, memory)
    idle_due = None
    if memory.idle_since is not None and terms.settings.idle_s is not None:
        idle_due = memory.idle_since + terms.settings.idle_s
    return {
        "now": now,
        "announced": [_announced(found, now) for found in memory.announced],
        "leaving": _leaving(memory.leaving),
        "goes_at": None if held else _goes_at(terms.settings, memory, lease, idle_due),
        "lease_ends": lease,
        "idle_since": memory.idle_since,
        "idle_due": idle_due,
        "held": held,
    }


def left_s(memory: Memory, now: float) -> float:
    """How long until EC2 takes the machine, as far as it has said so; for ever, where it has not."""
    ends = [found.at for found in memory.announced if found.what in interruption.ENDING and found.at is not None]
    return min((at - now for at in ends if at > now), default=float("inf"))


def as_lines(mapping: Mapping[str, Any]) -> List[str]:
    """The same for a person; one line at least."""
    now = mapping["now"]
    lines = [found["words"] for found in mapping["announced"]]
    leaving = mapping["leaving"]
    if leaving:
        lines.append(f"{leaving['phase']} since {clock_time(leaving['since'], now)}: {leaving['words']}")
    if mapping["goes_at"] is not None:
        lines.append(f"the machine goes off at {clock_time(mapping['goes_at'], now)} at the latest")
    if mapping["lease_ends"] is not None:
        lines.append(f"the lease ends at {clock_time(mapping['lease_ends'], now)}")
    if mapping["idle_due"] is not None:
        lines.append(
            f"without a job since {clock_time(mapping['idle_since'], now)}: "
            f"it leaves the pool at {clock_time(mapping['idle_due'], now)}"
        )
    if mapping["held"]:
        lines.append("held: it does not power itself off (annex-agent hold --release lets it)")
    return lines or ["nothing is announced, and no end is set"]


def _announced(found: Announcement, now: float) -> Dict[str, Any]:
    words = interruption.words(found, now)
    return {"kind": found.kind, "what": found.what, "at": found.at, "words": words}


def _leaving(leaving: Optional[Leaving]) -> Optional[Dict[str, Any]]:
    if leaving is None:
        return None
    kept = ("why", "words", "phase", "since", "at")
    return {name: getattr(leaving, name) for name in kept}


def _goes_at(settings: Settings, memory: Memory, lease: Optional[float], idle_due: Optional[float]) -> Optional[float]:
    """The first of the times that are known; there may be none although the machine is about to go."""
    ends = [_leaves_at(settings, memory.leaving)]
    ends += [found.at for found in memory.announced if found.what in interruption.ENDING]
    ends += [lease] if lifetime.action_for("lease", settings) == "poweroff" else []
    ends += [idle_due] if lifetime.action_for("idle", settings) == "poweroff" else []
    return min((end for end in ends if end is not None), default=None)


def _leaves_at(settings: Settings, leaving: Optional[Leaving]) -> Optional[float]:
    if leaving is None or leaving.why not in LIFETIME:
        return None
    if leaving.phase == GRACE:
        return leaving.since + settings.grace_s
    way = lifetime.way(leaving.why, settings)
    return off_deadline(way, leaving, settings.poll_s) if way and way.is_off else None
