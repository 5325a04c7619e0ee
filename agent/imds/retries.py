"""Asking again: until the service answers, or the total deadline is near.  Loaded once a first attempt has failed."""

import random
from typing import Callable, List, NamedTuple, TypeVar

import tenacity

from .reply import TransientError

_T = TypeVar("_T")
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0


class Retries(NamedTuple):
    """``deadline`` is in the terms of ``clock``."""

    deadline: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def persist(self, attempt: Callable[[], _T], first: TransientError) -> _T:
        """What ``attempt`` returns at last; its last ``TransientError`` when time is up. ``first`` has come already."""
        come: List[TransientError] = [first]

        def again() -> _T:
            if come:
                raise come.pop()
            return attempt()

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=self._pause_s,
            stop=self._is_out_of_time,
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(again)

    # tenacity before 7 knows its callbacks by this very parameter name.
    def _pause_s(self, retry_state: tenacity.RetryCallState) -> float:
        asked_s, spread = _asked_to_wait_s(retry_state), random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        backoff_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(retry_state.attempt_number, 10)) / 1.5
        # A fleet that was told the same time must not come back in the same instant.
        return float(min((asked_s or backoff_s) * spread, max(0.0, self.deadline - self.clock())))

    def _is_out_of_time(self, retry_state: tenacity.RetryCallState) -> bool:
        return self.clock() + _asked_to_wait_s(retry_state) >= self.deadline


def _asked_to_wait_s(retry_state: tenacity.RetryCallState) -> float:
    """The Retry-After of the last failure."""
    failure = retry_state.outcome.exception() if retry_state.outcome else None
    return failure.retry_after_s if isinstance(failure, TransientError) else 0.0
