"""What a request to the metadata service comes to: a reply, or a reason to ask again."""

from typing import Mapping, NamedTuple, Protocol


class Reply(NamedTuple):
    """A whole answer that may be final: any status but 429 and 5xx."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransientError(Exception):
    """Worth another try.

    ``unconnected``: nothing answered at all.  ``silent``: a connection was made, and then nothing came.
    ``retry_after_s``: how long the service asked to be left alone.
    """

    def __init__(
        self, reason: str, retry_after_s: float = 0.0, unconnected: bool = False, silent: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.unconnected = unconnected
        self.silent = silent


class Transport(Protocol):
    """Sends requests, none of them after ``deadline``, and counts them."""

    deadline: float
    requests_made: int

    def close(self) -> None:
        """Give the connections back."""

    def request(self, method: str, url: str, headers: Mapping[str, str], limit: int) -> Reply:
        """One answer of at most ``limit`` bytes; ``TransientError`` where there was none, or none to rely on."""


def too_large(url: str, limit: int) -> str:
    """Why an answer is not read to its end."""
    return (
        f"{url} is larger than {limit // 1024} KiB: EC2 serves nothing of that size, "
        "so something else answers at this address"
    )
