"""systemd's watchdog: who tells it that all is well, and how often."""

import contextlib
import os
import socket
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from annex_agent.watchdog import Watchdog

from .conftest import Clock


class Manager:
    """systemd's end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = address.replace("@", "\0", 1) if address.startswith("@") else address
        self.socket.bind(self.address)
        self.socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}

    def heard(self) -> List[str]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def manager(request: "pytest.FixtureRequest", tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@annex-agent-test-{os.getpid()}"
    it = Manager(address)
    with it.socket:
        yield it


def test_it_is_told_at_once_and_then_four_times_in_its_patience(manager: Manager) -> None:
    clock = Clock()
    watchdog = Watchdog(manager.environ, clock)
    assert watchdog.is_on
    for _ in range(60):  # turns of a second
        watchdog.sleep(1.0, clock.sleep)
    assert manager.heard() == ["WATCHDOG=1"] * 5  # at 0, 15, 30, 45 and 60 s
    assert clock.slept == [1.0] * 60


def test_a_long_rest_is_no_reason_for_alarm(manager: Manager) -> None:
    clock = Clock()
    Watchdog(manager.environ, clock).sleep(50.0, clock.sleep)
    assert clock.slept == [15.0, 15.0, 15.0, 5.0]
    assert manager.heard() == ["WATCHDOG=1"] * 4


@pytest.mark.parametrize(
    "change", [{"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "soon"}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_PID": "1"}]
)
def test_nobody_is_told_who_does_not_wait_for_us(manager: Manager, change: Dict[str, str]) -> None:
    clock = Clock()
    watchdog = Watchdog({**manager.environ, **change}, clock)
    assert not watchdog.is_on
    watchdog.sleep(60.0, clock.sleep)
    assert manager.heard() == []
    assert clock.slept == [60.0]


def test_a_manager_that_takes_nothing_is_told_again(manager: Manager) -> None:
    clock = Clock()
    watchdog = Watchdog(manager.environ, clock)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
        other.setblocking(False)
        while True:  # until its queue is full
            other.sendto(b"", manager.address)
    watchdog.tell()
    assert "WATCHDOG=1" not in manager.heard()
    watchdog.tell()
    assert manager.heard() == ["WATCHDOG=1"]


def test_a_manager_that_is_away_is_no_error(manager: Manager) -> None:
    Watchdog({**manager.environ, "NOTIFY_SOCKET": "/nowhere/notify"}).tell()
