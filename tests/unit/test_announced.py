"""What the emulated metadata service announces: the times that a profile leaves out."""

import json
import urllib.request
from dataclasses import replace
from typing import Any, Iterator

import pytest

from annex_agent.emulator import Emulator, profile
from annex_agent.emulator.announced import Appearances, completed
from annex_agent.emulator.tree import find, with_value

SPOT = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"
SCHEDULED = "events/maintenance/scheduled"
DOCUMENT = "dynamic/instance-identity/document"
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def appearances(clock: Clock) -> Appearances:
    return Appearances(clock)


def served(path: str, text: Any, appearances: Appearances) -> Any:
    return find(completed(with_value({}, path.split("/"), text), appearances), path.split("/"))


@pytest.mark.parametrize(
    ("path", "text", "added"),
    [
        (SPOT, '{"action": "stop"}', {"action": "stop", "time": "2027-01-15T08:02:00Z"}),
        (REBALANCE, "{}", {"noticeTime": "2027-01-15T08:00:00Z"}),
        (
            SCHEDULED,
            '[{"Code": "system-reboot"}]',
            [
                {
                    "Code": "system-reboot",
                    "NotBefore": "15 Jan 2027 08:15:00 GMT",
                    "NotAfter": "15 Jan 2027 10:15:00 GMT",
                }
            ],
        ),
        (
            SCHEDULED,
            '[{"NotBefore": "x"}, {"NotBefore": "x", "NotAfter": "y"}]',
            [{"NotBefore": "x", "NotAfter": "15 Jan 2027 10:15:00 GMT"}, {"NotBefore": "x", "NotAfter": "y"}],
        ),
    ],
)
def test_a_time_that_is_left_out_is_made_up(path: str, text: str, added: Any, appearances: Appearances) -> None:
    assert json.loads(served(path, text, appearances)) == added


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (SPOT, '{"action":  "terminate", "time": "2017-09-18T08:22:00Z"}'),
        (REBALANCE, '{"noticeTime":  "2026-01-01T12:00:00Z"}'),
        (SCHEDULED, "[ ]"),
        *((path, text) for path in (SPOT, REBALANCE) for text in ("", "no JSON", "[ ]", "7", '"x"', "[{}]")),
        *((SCHEDULED, text) for text in ("", "no JSON", "{ }", "[7 , []]")),
        (SPOT, b"{}"),
        ("autoscaling/target-lifecycle-state", "Terminated"),
    ],
)
def test_what_lacks_none_or_is_no_document_stays_as_it_was_typed(
    path: str, text: Any, appearances: Appearances
) -> None:
    assert served(path, text, appearances) == text


def test_a_notice_stays_the_same_however_often_it_is_read(clock: Clock, appearances: Appearances) -> None:
    first = served(SPOT, '{"action": "terminate"}', appearances)
    clock.now += 30
    assert served(SPOT, '{"action": "terminate"}', appearances) == first
    assert served(SPOT, '{"action": "stop"}', appearances) != first, "this is another one"
    assert json.loads(served(SPOT, '{"action": "stop"}', appearances))["time"] == "2027-01-15T08:02:30Z"


@pytest.mark.parametrize(
    ("name", "path", "part"),
    [
        ("spot-notice", SPOT, '"action": "terminate", "time": "2027-01-15T08:02:00Z"'),
        ("spot-notice", "instance-life-cycle", "spot"),
        ("rebalance", REBALANCE, '{"noticeTime": "2027-01-15T08:00:00Z"}'),
        ("maintenance", SCHEDULED, '"Code": "system-reboot"'),
        ("maintenance", SCHEDULED, '"State": "active"'),
        ("maintenance", SCHEDULED, '"NotBefore": "15 Jan 2027 08:15:00 GMT"'),
        ("scale-in", "autoscaling/target-lifecycle-state", "Terminated"),
    ],
)
def test_the_profiles_that_come_with_it_announce_what_they_are_named_for(
    name: str, path: str, part: str, appearances: Appearances
) -> None:
    text = find(completed(profile.bundled(name).meta_data, appearances), path.split("/"))
    assert isinstance(text, str)
    assert part in text


class TestAService:
    """Over a socket."""

    @pytest.fixture
    def emulator(self, clock: Clock) -> Iterator[Emulator]:
        quick = replace(profile.bundled("spot-notice"), service=profile.Service())
        with Emulator(quick, wall_clock=clock) as running:
            yield running

    @staticmethod
    def said(emulator: Emulator, path: str) -> Any:
        with urllib.request.urlopen(f"{emulator.url}/latest/{path}", timeout=30) as answer:
            return json.load(answer)

    def test_says_the_same_notice_until_there_is_another(self, emulator: Emulator, clock: Clock) -> None:
        clock.now += 10
        notice = {"action": "terminate", "time": "2027-01-15T08:02:10Z"}
        assert self.said(emulator, f"meta-data/{SPOT}") == notice, "two minutes from when it is first read"
        clock.now += 30
        emulator.set("user-data", "other.example.org")
        assert self.said(emulator, f"meta-data/{SPOT}") == notice
        emulator.profile = replace(emulator.profile, user_data=b"another.example.org")
        assert self.said(emulator, f"meta-data/{SPOT}") == notice
        emulator.set(SPOT, '{"action": "stop"}')
        assert self.said(emulator, f"meta-data/{SPOT}")["time"] == "2027-01-15T08:02:40Z"

    def test_says_that_the_instance_was_launched_when_it_was_started(self, emulator: Emulator, clock: Clock) -> None:
        clock.now += 30
        assert self.said(emulator, DOCUMENT)["pendingTime"] == "2027-01-15T08:00:00Z"
        emulator.set("instance-type", "m5.large")
        assert self.said(emulator, DOCUMENT)["pendingTime"] == "2027-01-15T08:00:00Z"

    def test_or_when_the_profile_says(self, emulator: Emulator) -> None:
        emulator.profile = replace(emulator.profile, launched="2026-01-01T12:00:00Z")
        assert self.said(emulator, DOCUMENT)["pendingTime"] == "2026-01-01T12:00:00Z"
