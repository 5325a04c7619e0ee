"""A stop's turn, where another annex-agent is at work: one at a time changes a machine, and some take long.

A stop that must be over by a certain time does not wait behind a start that waits for its slot, or a peaceful stop that
waits for jobs.  Whoever is at work is asked to end (SIGTERM: steps end where they are, and the next run goes on from
there), unless it is a stop itself that ends everything no later than we must.

A stop that has time waits until the other one is done.  At a power-off systemd would otherwise take our refusal for
the end, and end what the other one is still taking down.
"""

import contextlib
import os
import signal
import time
from typing import Dict, Iterator

from .errors import Busy
from .logs import LOG
from .system import LOCK, System

_PAUSE_S = 0.05
_GRACE_S = 2.0  # what an annex-agent needs to end where it is
_LEAST_S = 5.0  # however late it is: for one that hangs, and for one that was waiting for its turn, too
_TOO_LATE_S = 1.0


@contextlib.contextmanager
def after_others(system: System, patience_s: float) -> Iterator[None]:
    """As ``system.exclusive``, for a stop that may take so long itself."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(system.exclusive())
        except Busy:
            LOG.info("another annex-agent is at work: this stop waits until that one is done")
            stack.enter_context(system.exclusive(patience_s))
        yield


@contextlib.contextmanager
def ahead_of_others(system: System, ends_at: float) -> Iterator[None]:
    """As ``system.exclusive``, for a stop that must be over at ``ends_at``, by ``time.monotonic()``."""
    gives_up_at = max(ends_at, time.monotonic() + _LEAST_S)
    asked: Dict[int, float] = {}
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(system.exclusive(0.0, ends_at))
                break
            except Busy:
                if time.monotonic() >= gives_up_at:
                    raise
            _ask_to_end(system, ends_at, asked)
            time.sleep(_PAUSE_S)
        yield


def _ask_to_end(system: System, ends_at: float, asked: Dict[int, float]) -> None:
    """Send the one at work the signal that is due, if any; ``asked``: when each was sent its first one."""
    pid, now = system.holder(LOCK), time.monotonic()
    if pid is None:  # it has just ended, or is not to be seen from here
        return
    if pid not in asked:
        theirs = _end_of(system)
        if theirs <= ends_at and now < theirs - _TOO_LATE_S:
            return
        LOG.warning("another annex-agent (pid %d) is at work: it is asked to end, so that this stop is in time", pid)
        asked[pid] = now
        _send(pid, signal.SIGTERM)
    elif now > asked[pid] + _GRACE_S:
        _send(pid, signal.SIGKILL)


def _end_of(system: System) -> float:
    """By when the one at work has ended everything, if it is a stop that must."""
    file = system.read_file(LOCK)
    try:
        return float(file.content) if file else float("inf")
    except ValueError:
        return float("inf")


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
