"""A reason for this machine to leave its pool, and what follows from it."""

from typing import NamedTuple, Optional

from .model import AUTOSCALING, MAINTENANCE, REBALANCE, SPOT
from .tempo import Tempo

LEASE, EXIT, IDLE = "lease", "exit", "idle"
BOOTSTRAP, UNREGISTERED, UNREACHABLE = "bootstrap", "unregistered", "unreachable"
# Who takes over from whom.  A scheduled event, hours ahead, keeps no idle machine, and no ended lease, waiting.
RANKS = (
    *(SPOT, AUTOSCALING, LEASE, EXIT, REBALANCE),
    *(BOOTSTRAP, UNREGISTERED, UNREACHABLE, IDLE, MAINTENANCE),
)
INTERRUPTIONS = frozenset((SPOT, REBALANCE, MAINTENANCE, AUTOSCALING))
LIFETIME = frozenset((LEASE, EXIT, BOOTSTRAP, UNREGISTERED, UNREACHABLE, IDLE))
FAILURES = frozenset((BOOTSTRAP, UNREGISTERED))


class Reason(NamedTuple):
    """What holds at this moment, whatever held before.

    ``words`` is a sentence's beginning, for people, with the why and the when: "the lease has ended at 12:00:00 UTC".
    """

    why: str
    words: str
    tempo: Optional[Tempo]  # None: the settings say that nothing follows (keep)
    at: Optional[float] = None
    key: str = ""

    @property
    def name(self) -> str:
        """By which it is known whether it was told of before."""
        return self.key or self.why


def ranked(reason: Reason) -> int:
    """The lower, the more it matters."""
    return RANKS.index(reason.why)
