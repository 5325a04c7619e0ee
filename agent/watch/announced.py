"""What EC2 has announced so far: heard once, it is remembered until it is over or taken back."""

from typing import Iterator, Tuple

from ..model import Settings
from . import interruption
from .continuity import without_hooks
from .model import AUTOSCALING, MAINTENANCE, SPOT, Announcement, Heard, Memory, Say

_WOKEN_S = 300.0  # after a spot instance was to be stopped or hibernated: it runs, so EC2 has it back


def listened(now: float, settings: Settings, heard: Heard, memory: Memory) -> Tuple[Memory, Tuple[Say, ...]]:
    """What is known after this turn; what is new and leads to nothing yet is said.

    A kind that was not answered changes nothing, whatever the reason.
    """
    said = tuple({found.key: found for found in heard.announcements}.values())
    known = (*said, *(found for found in memory.announced if _stays(now, found, heard, said)))
    current = tuple(found for found in known if found.key not in memory.over and not _is_past(now, found, memory))
    over = tuple(key for key in memory.over if _may_come_again(key, heard, said))
    past = tuple(found.key for found in known if found.key not in over and _is_past(now, found, memory))
    after = memory._replace(announced=current, over=(*over, *dict.fromkeys(past)))
    if any(found.kind == AUTOSCALING and found not in current for found in memory.announced):
        after = after._replace(signalled=without_hooks(memory.signalled), heartbeat=None)
    return after, tuple(_news(now, settings, memory.announced, current))


def _stays(now: float, found: Announcement, heard: Heard, said: Tuple[Announcement, ...]) -> bool:
    """Whether what was known before, and is not among what is said now, holds on."""
    if found.kind not in heard.answered:
        return True
    if found.kind != SPOT or any(other.kind == SPOT for other in said):
        return False  # taken back, or said again, maybe with another time
    return not _is_woken(now, found)


def _is_woken(now: float, found: Announcement) -> bool:
    return found.what != "terminate" and found.at is not None and now > found.at + _WOKEN_S


def _is_past(now: float, found: Announcement, memory: Memory) -> bool:
    """What was to happen before this boot has happened; a scheduled event may also simply not come."""
    if found.at is None:
        return False
    if memory.booted is not None and found.at < memory.booted:
        return True
    end = found.at + interruption.OVERDUE_S if found.until is None else found.until
    return found.kind == MAINTENANCE and now > end


def _may_come_again(key: str, heard: Heard, said: Tuple[Announcement, ...]) -> bool:
    """What EC2 says no more need not be remembered; keys begin with their kind."""
    return key.split(" ", 1)[0] not in heard.answered or any(found.key == key for found in said)


def _news(
    now: float, settings: Settings, before: Tuple[Announcement, ...], after: Tuple[Announcement, ...]
) -> Iterator[Say]:
    """What is new and leads to nothing yet, and what was to lead to something and does not any more."""
    known, current = ({found.key for found in some} for some in (before, after))
    for found in after:
        words = interruption.consequence(now, settings, found)
        if words and found.key not in known:
            yield Say(words)
    for found in before:
        if now < interruption.begins(settings, found) and found.key not in current:
            yield Say(f"taken back: {interruption.words(found, now)}")
