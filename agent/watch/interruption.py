"""What follows from EC2's announcements.  Sources: EC2 user guide, "Spot Instance interruption notices", "EC2 instance
rebalance recommendations", "Scheduled events for your instances"; EC2 Auto Scaling user guide, "lifecycle hooks".
"""

from typing import Callable, Dict, Iterator, Optional

from ..model import Settings
from . import tempo
from .model import AUTOSCALING, MAINTENANCE, REBALANCE, SPOT, Announcement, Memory
from .moment import clock_time
from .reason import Reason
from .tempo import Tempo

_MAINTENANCE_SPARE_S = 60.0  # between the end of a stop's time and a scheduled event
OVERDUE_S = 600.0  # after a scheduled event's time: it has not come, where EC2 does not say until when it may
INTO_POOL = ("Warmed:Hibernated", "Warmed:Running", "Warmed:Stopped")  # target states from which it comes back
_ENDING = ("instance-stop", "instance-retirement")  # the scheduled events after which the machine is off
ENDING = ("terminate", "stop", "hibernate", *_ENDING)  # after which of EC2's words it is


def reasons(now: float, settings: Settings, memory: Memory) -> Iterator[Reason]:
    """Those of EC2's announcements that call for leaving now."""
    for found in sorted(memory.announced, key=lambda one: one.at or 0.0):
        manner = _manner(settings, found.kind)
        if manner != "ignore" and now >= begins(settings, found):
            way = _WAYS[found.kind](now, manner, settings, found)
            yield Reason(found.kind, words(found, now), way, found.at, found.key)


def begins(settings: Settings, found: Announcement) -> float:
    """From when on no new job is taken."""
    if found.kind != MAINTENANCE or found.at is None:
        return 0.0
    return found.at - max(settings.lead_s, settings.stop_timeout_s + _MAINTENANCE_SPARE_S)


def words(found: Announcement, now: float) -> str:
    """What EC2 does, and when."""
    at = "" if found.at is None else f" at {clock_time(found.at, now)}"
    if found.kind == SPOT:
        return f"EC2 {_third_person(found.what)} this spot instance{at}"
    if found.kind == REBALANCE:
        return "EC2 recommends to leave this spot instance, which is at an elevated risk of interruption"
    if found.kind == AUTOSCALING:
        return f"Auto Scaling takes this instance out of its group (its target state is {found.what})"
    return f"EC2 has scheduled {found.what}{at}"


def consequence(now: float, settings: Settings, found: Announcement) -> Optional[str]:
    """What is said of an announcement from which nothing follows yet; None: something does, and is said then."""
    if _manner(settings, found.kind) == "ignore":
        return f"{words(found, now)}: ignored, as interruption.{found.kind} says"
    begin = begins(settings, found)
    if now < begin:
        return f"{words(found, now)}: no new job is taken from {clock_time(begin, now)} on"
    return None


def _third_person(what: str) -> str:
    return f"{what}s" if what in ("terminate", "stop", "hibernate") else f"announces {what} for"


def _manner(settings: Settings, kind: str) -> str:
    return str(getattr(settings, f"on_{kind}"))


def _spot(now: float, manner: str, settings: Settings, found: Announcement) -> Tempo:
    """What EC2 stops or hibernates is to come back: only it can see to that."""
    at = now if found.at is None else found.at
    is_off = found.what == "terminate"
    return tempo.against(at, settings, is_off) if manner == "drain" else tempo.until_the_last(at, is_off)


def _in_peace(_: float, manner: str, settings: Settings, found: Announcement) -> Tempo:
    """Into a warm pool a machine goes as it is: one that powers itself off may be terminated for it."""
    is_off = settings.on_exit == "poweroff" and not found.what.startswith(INTO_POOL)
    return tempo.drain(settings, is_off) if manner == "drain" else tempo.no_new_jobs(settings, is_off)


def _maintenance(now: float, manner: str, settings: Settings, found: Announcement) -> Tempo:
    """A machine that EC2 reboots stays in the pool until then; one that it stops is only paid for until then."""
    at = now if found.at is None else found.at
    ends = found.what in _ENDING
    way = Tempo(
        stops_at=at - settings.stop_timeout_s - _MAINTENANCE_SPARE_S if manner == "drain" else None,
        waits_for_jobs=ends,
        timeout_s=settings.stop_timeout_s,
        is_off=ends and settings.on_exit == "poweroff",
    )
    return way._replace(at=at) if now < at and manner == "drain" else way


_WAYS: Dict[str, Callable[[float, str, Settings, Announcement], Tempo]] = {
    SPOT: _spot,
    REBALANCE: _in_peace,
    MAINTENANCE: _maintenance,
    AUTOSCALING: _in_peace,
}
