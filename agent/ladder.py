"""The ladder of a stop: ways to end HTCondor's daemons, each harsher than the one before and bounded in time.

Signals (HTCondor manual, "Shutdown"): SIGTERM is graceful (jobs are told to leave and have their
vacate time), SIGQUIT is fast (jobs are killed), SIGKILL leaves nobody to tell the collector.
"""

import signal
from typing import List, NamedTuple, Optional, Sequence, Tuple

NEVER = float("inf")
_KILL_WAIT_S = 10.0
_FAST_WAIT_S = 30.0
# Where all must be ended by a certain time: how long before it each rung is over, and what comes next begins.
_OVER_S = {"peaceful": 45.0, "graceful": 15.0, "fast": 8.0, "kill": 6.0}
SLOT_OVER_S = 5.0  # and how long before it the collector has been told: a machine needs the rest to go off
_LEAST_KILL_S = 2.0  # what SIGKILL is given, however late it is: the kernel needs a moment


class Rung(NamedTuple):
    """One way to end the daemons, and how long it may take."""

    name: str
    number: Optional[signal.Signals]  # None: none at first, see ProcessTree.stop
    wait_s: float

    @property
    def duration(self) -> str:
        """``wait_s`` for people."""
        return f"{round(self.wait_s, 1):g} s"


def ladder(mode: str, timeout_s: float, within_s: Optional[float] = None) -> Tuple[Rung, ...]:
    """The rungs from ``mode`` (peaceful, graceful, fast) down; ``timeout_s`` is the first one's time.

    ``within_s``: all must be ended by then, so the lower rungs are placed backwards from it, see ``fitted``.
    """
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
    found = (Rung(first.name, first.number, timeout_s), *others)
    return found if within_s is None else fitted(found, within_s)


def fitted(rungs: Sequence[Rung], within_s: float) -> Tuple[Rung, ...]:
    """The rungs as far as there is time for them in ``within_s``, of which the last seconds are the slot's.

    None waits longer than before.  What is late is left out: the next rung follows at once.  SIGKILL always has its
    moment, so the sum of all waits is above ``within_s`` only where that is less than the moment.
    """
    found: List[Rung] = []
    left_s = within_s
    for rung in rungs:
        wait_s = min(rung.wait_s, left_s - _OVER_S[rung.name])
        if rung.number == signal.SIGKILL:
            wait_s = max(wait_s, _LEAST_KILL_S)
        if wait_s > 0:
            found.append(rung._replace(wait_s=wait_s))
            left_s -= wait_s
    return tuple(found)
