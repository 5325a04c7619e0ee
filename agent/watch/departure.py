"""How a machine that leaves its pool goes on leaving it: grace, draining, stopping, stopped, powering-off."""

from typing import NamedTuple, Tuple

from . import tempo as pace
from .model import (
    DRAINING,
    GRACE,
    POWERING_OFF,
    STOPPED,
    STOPPING,
    Act,
    Condition,
    Leaving,
    NoNewJobs,
    PowerOff,
)
from .tempo import Tempo

Step = Tuple[Leaving, Tuple[Act, ...]]


class Course(NamedTuple):
    """What a departure depends on in one turn."""

    now: float
    condition: Condition
    tempo: Tempo
    poll_s: float

    @property
    def is_down(self) -> bool:
        """HTCondor is stopped, and nothing is under way that changes it."""
        it = self.condition
        is_starting = self.tempo.heeds_start and it.bootstrap == "running"
        return not (it.runs or it.is_wanted or is_starting or "stop" in it.working)

    @property
    def is_frozen(self) -> bool:
        """Somebody keeps the machine as it is."""
        return self.condition.is_held and self.tempo.is_ours


def advanced(leaving: Leaving, course: Course) -> Step:
    """The next step towards a machine without HTCondor, if it is time for one."""
    if leaving.phase == GRACE:
        return _grace(leaving, course)
    if leaving.phase in (DRAINING, STOPPING) and course.is_down:
        return leaving._replace(phase=STOPPED), ()
    if course.is_frozen:
        return leaving, ()
    if leaving.phase == DRAINING:
        return _draining(leaving, course)
    is_up = leaving.phase == STOPPING or (leaving.phase == STOPPED and course.condition.runs)
    if is_up and "stop" not in course.condition.working:
        return _stop(leaving, course)  # once more: it has failed, or was ended; or somebody has started HTCondor
    return leaving, ()


def off(leaving: Leaving, course: Course, is_telling: bool) -> Step:
    """The power-off, once HTCondor is down and all is told, or at its deadline."""
    if not course.tempo.is_off or course.condition.is_held or "power-off" in course.condition.working:
        return leaving, ()
    deadline = pace.off_deadline(course.tempo, leaving, course.poll_s)
    is_late = deadline is not None and course.now >= deadline
    if is_late or leaving.phase == POWERING_OFF or (leaving.phase == STOPPED and not is_telling):
        return leaving._replace(phase=POWERING_OFF), (PowerOff(leaving.words),)
    return leaving, ()


def _grace(leaving: Leaving, course: Course) -> Step:
    if course.is_frozen or course.now < leaving.since + course.tempo.grace_s:
        return leaving, ()
    drained = leaving._replace(phase=DRAINING)
    following, acts = advanced(drained, course)
    return following, (NoNewJobs(drained), *acts)


def _draining(leaving: Leaving, course: Course) -> Step:
    if pace.stop_is_due(course.now, course.tempo, leaving, course.condition):
        # Also where one is under way for another reason: this one may have to be through earlier.
        return _stop(leaving._replace(stopping=None), course)
    return leaving, ()


def _stop(leaving: Leaving, course: Course) -> Step:
    act = pace.stop(course.now, course.tempo, leaving)
    since = course.now if leaving.stopping is None else leaving.stopping
    return leaving._replace(phase=STOPPING, stopping=since), (act,)
