"""Waiting for something to become true, instead of sleeping for some time."""

import time
from typing import Callable, TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    what: str,
    timeout: float,
    *,
    evidence: Callable[[], str] = str,
    interval: float = 0.1,
) -> T:
    """The first true value of ``condition``; an AssertionError that says ``what`` did not happen, with ``evidence``."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s: {what} did not happen\n{evidence()}")
        time.sleep(interval)
