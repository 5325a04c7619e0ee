"""Eyes on a worker from outside: when what could be seen.

All machines of the region share the host's clock, so that times of the observer, of jobs and of notices compare.
"""

import subprocess
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Callable, Optional

from .booted import BootedMachine
from .command import CommandFailed
from .pool import Pool
from .wait import wait_until

_SEEN_OF_A_SLOT = ("Name", "Start", "Requirements", "AnnexLeaving", "AnnexLeavingTime")
_DAEMONS = {f"condor_{name}" for name in ("master", "shared_port", "procd", "startd", "starter")}
Slots = list[dict[str, Any]]


class Eye(threading.Thread):
    """Looks again and again, and keeps each change of what it sees with the time at which it was seen."""

    def __init__(self, look: Callable[[], Any], pause_s: float) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, Any]] = []
        self._look, self._pause_s = look, pause_s
        self._closing = threading.Event()

    def run(self) -> None:
        while not self._closing.wait(self._pause_s):
            try:
                found = self._look()
            except (CommandFailed, subprocess.TimeoutExpired):
                found = None  # nobody answers
            if not self.seen or self.seen[-1][1] != found:
                self.seen.append((time.time(), found))

    def close(self) -> None:
        self._closing.set()
        self.join()


class Observer:
    """``with Observer(pool, machine) as observer:`` watches until the end of the block."""

    def __init__(self, pool: Pool, machine: BootedMachine) -> None:
        self._pool, self._machine = pool, machine
        self._eyes = {
            "slots": Eye(lambda: pool.slots(*_SEEN_OF_A_SLOT), 0.2),
            "daemons": Eye(self._daemons, 0.1),
        }

    def __enter__(self) -> "Observer":
        for eye in self._eyes.values():
            eye.start()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        for eye in self._eyes.values():
            eye.close()

    def wait_for_leaving(self, why: str, timeout: float) -> float:
        """Until the collector lists slots, all with START false, and with this reason; returns when."""
        return self._wait("slots", lambda slots: _are_leaving(slots, why), f"every slot is leaving for {why}", timeout)

    def wait_until_off_before(self, action: float) -> float:
        """The machine is to power itself off before EC2 acts; returns when it was off."""
        assert not self._machine.wait_until_off(timeout=max(action - time.time(), 0.1)), "it asked for a reboot"
        return time.time()

    def no_slot_since(self) -> float:
        """Since when the collector has listed no slot any more."""
        return self._since("slots", lambda slots: slots == [])

    def no_daemon_since(self) -> float:
        """Since when no process of HTCondor's has run."""
        return self._since("daemons", lambda names: not names)

    def _daemons(self) -> list[str]:
        names = {command.partition(" ")[0].rpartition("/")[2] for command in self._machine.processes().values()}
        return sorted(names & _DAEMONS)

    def _wait(self, eye: str, condition: Callable[[Any], bool], what: str, timeout: float) -> float:
        seen, begin = self._eyes[eye].seen, time.time()

        def first() -> Optional[float]:
            since = max((at for at, _ in seen if at <= begin), default=begin)
            return next((at for at, value in list(seen) if at >= since and condition(value)), None)

        return wait_until(first, what, timeout, evidence=lambda: f"{seen[-3:]}\n{self._evidence()}") or 0.0

    def _since(self, eye: str, condition: Callable[[Any], bool]) -> float:
        seen = self._eyes[eye].seen
        assert condition(seen[-1][1]), f"{eye}: {seen[-3:]}"
        first = len(seen) - 1
        while first and condition(seen[first - 1][1]):
            first -= 1
        return seen[first][0]

    def _evidence(self) -> str:
        watch = self._machine.journal("annex-agent-watch.service")[-6000:] if self._machine.is_on else ""
        return watch + self._pool.evidence()


def report(figures: Mapping[str, float]) -> None:
    """For who reads the tests' output (pytest -s, or what a failed test has printed)."""
    for words, seconds in figures.items():
        print(f"{words}: {seconds:.1f} s")


def _are_leaving(slots: Optional[Slots], why: str) -> bool:
    return bool(slots) and all(_is_closed(slot) and slot.get("AnnexLeaving") == why for slot in slots or [])


def _is_closed(slot: Mapping[str, Any]) -> bool:
    """No job is matched: by START, or by the startd itself, whose ads are without one once it is being stopped."""
    return slot.get("Start", slot.get("Requirements")) is False
