"""Listens to the metadata service: what EC2 has announced, each kind as often as it matters.

A key is asked once a turn: what could not be had comes in a later turn, and everything in a turn within ``TURN_S``.
"""

import time
from email.utils import parsedate_to_datetime
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ..errors import MetadataError
from ..imds.access import Access
from ..imds.client import Imds
from ..imds.plain import PlainTransport
from ..logs import LOG
from ..model import Settings
from . import signals
from .model import AUTOSCALING, MAINTENANCE, REBALANCE, SPOT, Announcement, Heard

TURN_S = 2.0
_ANSWER_S = 1.0  # for one answer: one key that is swallowed does not keep the others from being asked
_SELDOM_S = 60.0
_WELL_S = 30.0  # how long all must have been well before that is worth a line
_ACCURACY_S = 1.5  # of what an HTTP date, which has whole seconds, says of the time of day
_META = "latest/meta-data/"
_LIFE_CYCLE = f"{_META}instance-life-cycle"
_IDENTITY = "latest/dynamic/instance-identity/document"
_Parse = Callable[[bytes], Tuple[Announcement, ...]]


class _Key(NamedTuple):
    """Where a kind of announcement is told, and how often that is asked."""

    path: str
    parse: _Parse
    pause_turns: int = 1
    pause_s: float = 0.0


_KEYS: Mapping[str, _Key] = {
    SPOT: _Key(f"{_META}spot/instance-action", signals.spot),
    REBALANCE: _Key(f"{_META}events/recommendations/rebalance", signals.rebalance, pause_turns=2),
    AUTOSCALING: _Key(f"{_META}autoscaling/target-lifecycle-state", signals.autoscaling, pause_turns=2),
    MAINTENANCE: _Key(f"{_META}events/maintenance/scheduled", signals.maintenance, pause_s=_SELDOM_S),
}


class Listener:
    """Remembers what does not change, and when it has asked what; no announcement."""

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._environ, self._clock, self._now = environ, clock, now
        self._v1 = ""
        self._imds: Optional[Imds] = None
        self._turn = 0
        self._due: Dict[str, float] = {}  # when a key that is asked seldom is asked next
        self._is_spot: Optional[bool] = None
        self._identity = signals.Identity()
        self._ahead_s = 0.0
        self._troubles = _Troubles(clock)

    def listen(self, settings: Settings) -> Heard:
        """One turn; never an exception because of what the service does."""
        self._turn += 1
        deadline = self._clock() + TURN_S
        announced: List[Announcement] = []
        answered = set()
        for kind, key in self._kinds(settings, deadline):
            found = self._ask(kind, key.path, key.parse, settings, deadline)
            if found is not None:
                answered.add(kind)
                announced += found
        self._learn(settings, deadline)
        return Heard(
            tuple(announced),
            frozenset(answered),
            self._troubles.told(),
            self._ahead_s,
            self._identity.instance_id,
            self._identity.launched,
        )

    def close(self) -> None:
        """Give the connection back."""
        if self._imds:
            self._imds.close()
            self._imds = None

    def _kinds(self, settings: Settings, deadline: float) -> Iterator[Tuple[str, _Key]]:
        """What is asked in this turn, the most urgent first."""
        for number, (kind, key) in enumerate(_KEYS.items()):
            if self._clock() >= deadline:
                return
            if kind in self._unasked(settings):
                self._troubles.over(kind)
            elif self._turn % key.pause_turns == number % key.pause_turns and self._is_due(kind, key.pause_s):
                yield kind, key

    def _unasked(self, settings: Settings) -> Tuple[str, ...]:
        """EC2 takes back only spot instances, and advises to leave only them; not every instance has a group."""
        spot = (SPOT, REBALANCE) if self._is_spot is False else ()
        is_of_interest = settings.on_autoscaling != "ignore" or settings.signals_autoscaling
        return spot if is_of_interest else (*spot, AUTOSCALING)

    def _is_due(self, kind: str, pause_s: float) -> bool:
        if self._clock() < self._due.get(kind, 0.0):
            return False
        self._due[kind] = self._clock() + pause_s
        return True

    def _learn(self, settings: Settings, deadline: float) -> None:
        """What is asked until it is known: whether this is a spot instance, who it is, and since when."""
        if self._is_spot is None:
            self._look_up(_LIFE_CYCLE, self._hear_life_cycle, settings, deadline)
        if self._identity.launched is None:
            self._look_up(_IDENTITY, self._hear_identity, settings, deadline)

    def _look_up(self, path: str, parse: _Parse, settings: Settings, deadline: float) -> None:
        if self._due.get(path, 0.0) <= self._clock() < deadline:
            answer = self._ask(path, path, parse, settings, deadline)
            self._due[path] = self._clock() + (0.0 if answer is None else _SELDOM_S)  # that says nothing, if at all

    def _hear_life_cycle(self, body: bytes) -> Tuple[Announcement, ...]:
        self._is_spot = body.strip() == b"spot"
        return ()

    def _hear_identity(self, body: bytes) -> Tuple[Announcement, ...]:
        self._identity = signals.identity(body)
        return ()

    def _ask(
        self, kind: str, path: str, parse: _Parse, settings: Settings, deadline: float
    ) -> Optional[Tuple[Announcement, ...]]:
        """What is announced under ``path``; None where there was no usable answer."""
        try:
            imds = self._client(settings)
            imds.go_on(max(0.1, round(deadline - self._clock(), 1)))
            body = imds.get(path)
            self._read_clock(imds.date)
            found = parse(body) if body is not None else ()
        except MetadataError as err:
            self.close()  # whatever it has learnt of the service, a token, its address, may be out of date
            self._troubles.begins(kind, str(err))
        except (ValueError, RecursionError) as err:
            self._troubles.begins(kind, f"{path} says what cannot be understood: {err}")
        else:
            self._troubles.over(kind)
            return found
        return None

    def _client(self, settings: Settings) -> Imds:
        if self._imds is None or settings.metadata_v1 != self._v1:
            self.close()
            self._v1 = settings.metadata_v1
            access = Access.from_environment(self._environ, TURN_S, self._v1)
            access = access._replace(connect_timeout_s=_ANSWER_S, read_timeout_s=_ANSWER_S)
            self._imds = Imds(access, clock=self._clock, transport=PlainTransport(access, self._clock))
        return self._imds

    def _read_clock(self, date: str) -> None:
        """EC2's notices count by its clock, not by one that this machine may have wrong."""
        try:
            ahead_s = parsedate_to_datetime(date).timestamp() + 0.5 - self._now()
        except (TypeError, ValueError, IndexError, OverflowError):
            return
        self._ahead_s = ahead_s if abs(ahead_s) > _ACCURACY_S else 0.0


class _Troubles:
    """What stands in the way of listening: logged when it begins, and when it is over for good."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of: Dict[str, str] = {}  # by the kind that it keeps from being heard
        self._began: Optional[float] = None
        self._well_since: Optional[float] = None

    def begins(self, kind: str, sentence: str) -> None:
        self._of[kind] = sentence
        self._well_since = None
        if self._began is None:
            self._began = self._clock()
            LOG.warning("what EC2 announces cannot be heard, and is asked again and again: %s", sentence)

    def over(self, kind: str) -> None:
        self._of.pop(kind, None)

    def told(self) -> Optional[str]:
        """One of the sentences, if anything is wrong now."""
        if self._began is not None and not self._of:
            self._well_since = self._clock() if self._well_since is None else self._well_since
            if self._clock() - self._well_since >= _WELL_S:
                LOG.info("the metadata service can be heard again (since %d s)", self._clock() - self._well_since)
                self._began = None
        return next(iter(self._of.values()), None)
