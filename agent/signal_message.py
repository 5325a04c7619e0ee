"""What AWS is told of this instance: the events, and one message about one of them."""

from typing import Callable, Mapping, NamedTuple, Tuple

from .aws_refusals import Trouble, Wish
from .errors import SignalError
from .iam_policy import Need

# Each event, and what it means, as the end of "was told that this instance ...".
EVENTS: Mapping[str, str] = {
    "success": "is ready",
    "failure": "has failed",
    "complete": "has finished its work and may go",
    "abandon": "may go at once",
    "heartbeat": "needs more time",
}


class Message(NamedTuple):
    """One request that tells it: an operation of botocore's client, and its parameters."""

    wish: Wish
    operation: str
    parameters: Mapping[str, str]
    words: str  # "SUCCESS for Workers in the stack my-annex"
    is_moot: Callable[[Trouble], bool]  # whether a refusal means that nobody waits for it; may raise ``SignalError``
    moot: str  # what is said then


class Due(NamedTuple):
    """What one service is to be told; or, in words, why there is nothing to tell it."""

    messages: Tuple[Message, ...] = ()
    why_not: str = ""


def wish(words: str, need: Need, undone: str = "cannot be fetched") -> Wish:
    """Something that AWS is asked on the way, or told."""
    return Wish(words, need.action, need.resource, need.region, undone, SignalError)
