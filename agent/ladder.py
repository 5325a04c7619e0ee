"""The ladder of a stop: ways to end HTCondor's daemons, each harsher than the one before and bounded in time.

Signals (HTCondor manual, "Shutdown"): SIGTERM is graceful (jobs are told to leave and have their
vacate time), SIGQUIT is fast (jobs are killed), SIGKILL leaves nobody to tell the collector.
"""

import signal
from typing import NamedTuple, Optional, Tuple

_KILL_WAIT_S = 10.0
_FAST_WAIT_S = 30.0


class Rung(NamedTuple):
    """One way to end the daemons, and how long it may take."""

    name: str
    number: Optional[signal.Signals]  # None: HTCondor's own tool, through the callable that stop() is given
    wait_s: float


def ladder(mode: str, timeout_s: float) -> Tuple[Rung, ...]:
    """The rungs from ``mode`` (peaceful, graceful, fast) down; ``timeout_s`` is the first one's time."""
    rungs = (
        Rung("peaceful", None, timeout_s),
        Rung("graceful", signal.SIGTERM, timeout_s),
        Rung("fast", signal.SIGQUIT, _FAST_WAIT_S),
        Rung("kill", signal.SIGKILL, _KILL_WAIT_S),
    )
    names = [rung.name for rung in rungs]
    first, *others = rungs[names.index(mode) :]
    if mode == "peaceful":  # its time was for the jobs; what follows is not given as long again
        others = [
            rung if rung.name != "graceful" else Rung("graceful", signal.SIGTERM, _FAST_WAIT_S) for rung in others
        ]
    return (Rung(first.name, first.number, timeout_s), *others)
