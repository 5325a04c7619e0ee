"""What the watch does, as a pure function of the time, what EC2 has said, and how this machine is.

One turn: what is remembered is brought up to date (``continuity``, ``announced``, ``seen``); what holds now is found
(``interruption``, ``lifetime``); the weightiest reason makes the machine leave, or lets it go on leaving
(``departure``, at the ``tempo`` that there is time for); who waits for word is told (``outward``).
"""

from typing import List, NamedTuple, Optional, Tuple

from ..model import Settings
from ..terms import Terms
from . import announced, continuity, departure, interruption, lifetime, outward, remarks
from .departure import Course
from .model import (
    DRAINING,
    GRACE,
    POWERING_OFF,
    SPOT,
    STOPPED,
    STOPPING,
    Act,
    Condition,
    Decision,
    Heard,
    Leaving,
    Memory,
    NoNewJobs,
    Say,
    TakeJobs,
)
from .reason import LIFETIME, Reason, ranked
from .seen import seen
from .tempo import Tempo


class _Turn(NamedTuple):
    """What was found out in this turn."""

    now: float
    settings: Settings
    condition: Condition
    reasons: Tuple[Reason, ...]  # that hold now, the weightiest first


class _Way(NamedTuple):
    """What a turn has come to so far; without ``tempo`` nothing goes on in it."""

    memory: Memory
    acts: Tuple[Act, ...] = ()
    tempo: Optional[Tempo] = None


def decide(now: float, terms: Terms, heard: Heard, condition: Condition, memory: Memory) -> Decision:
    """``now`` is by EC2's clock: the caller adds ``heard.ahead_s`` to the machine's own.

    The acts are for the caller to begin in their order, and then to remember ``memory``: in this order nothing is lost
    if it is ended in between, and each act may be begun again.
    """
    settings = terms.settings
    memory = continuity.resumed(terms, heard, condition, memory)
    now, memory = continuity.steadied(now, heard, condition, memory)
    memory, news = announced.listened(now, settings, heard, memory)
    memory = seen(now, settings, condition, memory)
    found = (*interruption.reasons(now, settings, memory), *lifetime.reasons(now, terms, condition, memory))
    turn = _Turn(now, settings, condition, tuple(sorted(found, key=ranked)))
    way = _gone_on(turn, _directed(turn, _Way(memory, news)))
    memory, remarked = remarks.remarked(condition, turn.reasons, way.memory)
    return Decision(memory, (*way.acts, *remarked))


def _directed(turn: _Turn, way: _Way) -> _Way:
    """Why this machine is leaving, from now on: as before, for a weightier reason, or not any more."""
    leaving = way.memory.leaving
    best = _best(turn)
    if leaving is None:
        return _begun(turn, way, best) if best else way
    tempo = _tempo(turn, leaving)
    if leaving.phase == POWERING_OFF:
        return way._replace(tempo=tempo or Tempo(is_off=True))
    if best and (tempo is None or ranked(best) < _rank(leaving)):
        return _begun(turn, way, best)
    if tempo is None:
        return _released(turn, way, leaving)
    if _is_put_back(turn, leaving, tempo):
        return _put_back(turn, way, leaving)
    return way._replace(tempo=tempo)


def _best(turn: _Turn) -> Optional[Reason]:
    """The weightiest reason from which something may follow now."""
    able = (it for it in turn.reasons if it.tempo and not (it.tempo.is_ours and turn.condition.is_held))
    return next(able, None)


def _rank(leaving: Leaving) -> int:
    return ranked(Reason(leaving.why, leaving.words, None))


def _tempo(turn: _Turn, leaving: Leaving) -> Optional[Tempo]:
    """How to go on; None: the reason does not hold any more.

    What was stopped because of what it did cannot go on doing it: from then on only somebody's start is a change.
    """
    same = (it.tempo for it in turn.reasons if (it.why, it.key) == (leaving.why, leaving.key))
    tempo = next(same, None)
    if tempo is None and leaving.why in LIFETIME and leaving.phase in (STOPPING, STOPPED, POWERING_OFF):
        return lifetime.way(leaving.why, turn.settings)
    return tempo


def _begun(turn: _Turn, way: _Way, reason: Reason) -> _Way:
    """A departure begins, or one for another reason becomes one for this."""
    tempo = reason.tempo or Tempo()
    before = way.memory.leaving
    leaving = Leaving(
        *(reason.why, reason.words, turn.now, reason.at),
        phase=GRACE if tempo.grace_s else DRAINING,
        key=reason.key,
        stopping=before.stopping if before else None,
    )
    acts: List[Act] = [remarks.begin(turn.now, reason, tempo)]
    if leaving.phase == DRAINING:
        acts.append(NoNewJobs(leaving))
    return _Way(way.memory._replace(leaving=leaving), (*way.acts, *acts), tempo)


def _released(turn: _Turn, way: _Way, leaving: Leaving) -> _Way:
    """What made it leave holds no longer; what was begun is waited for."""
    if "stop" in turn.condition.working:
        return way
    has_stopped = leaving.stopping is not None
    acts = () if leaving.phase == GRACE else (TakeJobs(start=has_stopped),)
    memory = way.memory._replace(leaving=None)
    return _Way(memory, (*way.acts, remarks.release(leaving), *acts))


def _is_put_back(turn: _Turn, leaving: Leaving, tempo: Tempo) -> bool:
    """Whether somebody has started HTCondor on a machine that was to stay on without it."""
    stays = not tempo.is_off or turn.condition.is_held
    return leaving.phase == STOPPED and leaving.why != SPOT and stays and turn.condition.runs


def _put_back(turn: _Turn, way: _Way, leaving: Leaving) -> _Way:
    """That is their decision: it is not undone for what has been so before."""
    holds_on = any((it.why, it.key) == (leaving.why, leaving.key) for it in turn.reasons)
    over = (*way.memory.over, leaving.key or leaving.why) if holds_on else way.memory.over
    memory = way.memory._replace(leaving=None, over=over)
    words = f"somebody has started HTCondor again: this machine stays in its pool, although {leaving.words}"
    return _Way(memory, (*way.acts, Say(words), TakeJobs()))


def _gone_on(turn: _Turn, way: _Way) -> _Way:
    """The next steps of a departure, between which others are told how things are."""
    course = way.tempo and Course(turn.now, turn.condition, way.tempo, turn.settings.poll_s)
    if way.memory.leaving and course:
        leaving, acts = departure.advanced(way.memory.leaving, course)
        way = way._replace(memory=way.memory._replace(leaving=leaving), acts=(*way.acts, *acts))
    memory, tells = outward.told(turn.now, turn.settings, turn.condition, way.memory, turn.reasons)
    way = way._replace(memory=memory, acts=(*way.acts, *tells))
    if memory.leaving and course:
        leaving, acts = departure.off(memory.leaving, course, outward.is_telling(turn.condition, tells))
        way = way._replace(memory=memory._replace(leaving=leaving), acts=(*way.acts, *acts))
    return way
