"""How fast a machine leaves its pool: when it stops HTCondor, how, and whether and when it goes off.

Two minutes are few: who ends the jobs as soon as the notice comes wastes nearly all of them.
"""

from typing import NamedTuple, Optional

from ..model import Settings
from .model import STOPPED, STOPPING, Condition, Leaving, Stop

SETTLE_S = 3.0  # after "no new jobs", until a match that was under way is a job that can be seen
FAST_S = 15.0  # before EC2 acts: jobs that still run are killed; as in the ladder of a stop
_OFF_S = 5.0  # before EC2 acts: the machine goes off, whatever has not succeeded
_STOP_SPARE_S = 150.0  # what the harder rungs of a stop may take beside the first, and then some
_AT_ONCE = 0.0
_START_S = 600.0  # so long what is not urgent waits for a start that is under way
_LEAST_S = 1.0


class Tempo(NamedTuple):
    """How to leave, once it has been decided why."""

    mode: str = "graceful"
    stops_at: Optional[float] = None  # the stop begins now, whatever runs; None: it waits for the jobs
    waits_for_jobs: bool = True  # the stop begins before that as soon as no job runs
    timeout_s: Optional[float] = None  # for the stop's first rung
    at: Optional[float] = None  # when EC2 acts: all has ended by then
    is_off: bool = False  # the machine goes off afterwards
    grace_s: float = 0.0  # between the announcement of all this and its beginning
    heeds_start: bool = True  # a start that is under way is waited for; one that was given its time is not
    is_ours: bool = False  # nobody but us wants it: a hold keeps HTCondor as it is, too, not only the machine


def drain(settings: Settings, is_off: bool) -> Tempo:
    """Nobody presses: jobs get what ``stop`` says."""
    return Tempo(settings.stop_mode, _AT_ONCE, timeout_s=settings.stop_timeout_s, is_off=is_off)


def no_new_jobs(settings: Settings, is_off: bool) -> Tempo:
    """Nobody presses: jobs get all the time that they want."""
    return Tempo(settings.stop_mode, timeout_s=settings.stop_timeout_s, is_off=is_off)


def against(at: float, settings: Settings, is_off: bool) -> Tempo:
    """EC2 acts at ``at``: jobs run on for as long as they can, and are told to leave so that they still can write."""
    return Tempo("graceful", at - settings.vacate_s, at=at, is_off=is_off)


def until_the_last(at: float, is_off: bool) -> Tempo:
    """EC2 acts at ``at``: jobs run on until there is no more than the time to end them."""
    return Tempo("fast", at - FAST_S, at=at, is_off=is_off)


def stop_is_due(now: float, tempo: Tempo, leaving: Leaving, condition: Condition) -> bool:
    """Whether HTCondor is to be stopped now."""
    is_starting = tempo.heeds_start and condition.bootstrap == "running"  # which would have a stop refused
    if tempo.at is None and is_starting and now < leaving.since + _START_S:
        return False
    if tempo.stops_at is not None and now >= tempo.stops_at:
        return True
    is_empty = not (condition.has_jobs or is_starting)
    return tempo.waits_for_jobs and is_empty and now >= leaving.since + SETTLE_S


def stop(now: float, tempo: Tempo, leaving: Leaving) -> Stop:
    """The stop; one that is tried again gets what is left of the time."""
    if tempo.at is not None:
        return Stop(tempo.mode, within_s=max(_LEAST_S, tempo.at - now))
    if tempo.timeout_s is None or leaving.stopping is None:
        return Stop(tempo.mode, tempo.timeout_s)
    return Stop(tempo.mode, max(_LEAST_S, leaving.stopping + tempo.timeout_s - now))


def off_deadline(tempo: Tempo, leaving: Leaving, poll_s: float) -> Optional[float]:
    """When the machine goes off even if the stop has not succeeded; None: there is no such time (yet)."""
    if tempo.at is not None:
        return tempo.at - max(_OFF_S, poll_s + 1.0)
    if leaving.stopping is None or leaving.phase not in (STOPPING, STOPPED):
        return None
    return leaving.stopping + (tempo.timeout_s or 0.0) + _STOP_SPARE_S
