"""What status says of the end."""

from typing import Any, Optional

import pytest

from annex_agent.model import Settings
from annex_agent.terms import Terms
from annex_agent.watch.ending import as_lines, ending, left_s
from annex_agent.watch.model import Announcement, Leaving, Memory
from annex_agent.watch.moment import clock_time, duration

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def told(memory: Memory, held: bool = False, **settings: Any) -> Any:
    return ending(Terms(Settings(**settings)), memory, held, NOW)


def test_where_nothing_is_known_nothing_is_told() -> None:
    found = told(Memory())
    assert found == {
        **{"now": NOW, "announced": [], "leaving": None, "goes_at": None, "lease_ends": None},
        **{"idle_since": None, "idle_due": None, "held": False},
    }
    assert as_lines(found) == ["nothing is announced, and no end is set"]


def test_a_notice_and_what_is_done_about_it() -> None:
    notice = Announcement("spot", "terminate", "spot terminate x", NOW + 90)
    leaving = Leaving("spot", "EC2 terminates this spot instance at 08:01:30 UTC", NOW - 30, NOW + 90)
    found = told(Memory(announced=(notice,), leaving=leaving))
    words = "EC2 terminates this spot instance at 08:01:30 UTC"
    assert found["announced"] == [{"kind": "spot", "what": "terminate", "at": NOW + 90, "words": words}]
    assert found["leaving"] == {
        **{"why": "spot", "words": words, "phase": "draining", "since": NOW - 30, "at": NOW + 90},
    }
    assert found["goes_at"] == NOW + 90
    assert as_lines(found) == [
        words,
        f"draining since 07:59:30 UTC: {words}",
        "the machine goes off at 08:01:30 UTC at the latest",
    ]


def test_a_lease_and_idleness() -> None:
    memory = Memory(launched=NOW - 3600, booted=NOW - 3500, idle_since=NOW - 60)
    found = told(memory, lease_s=7200, idle_s=600)
    assert (found["lease_ends"], found["idle_since"], found["idle_due"]) == (NOW + 3600, NOW - 60, NOW + 540)
    assert found["goes_at"] == NOW + 540
    assert as_lines(found) == [
        "the machine goes off at 08:09:00 UTC at the latest",
        "the lease ends at 09:00:00 UTC",
        "without a job since 07:59:00 UTC: it leaves the pool at 08:09:00 UTC",
    ]


@pytest.mark.parametrize(("on_lease", "goes"), [("keep", None), ("stop", None), (None, NOW + 3600)])
def test_a_machine_that_stays_on_does_not_go(on_lease: Optional[str], goes: Optional[float]) -> None:
    found = told(Memory(launched=NOW - 3600, booted=NOW), lease_s=7200, on_lease=on_lease)
    assert found["goes_at"] == goes
    assert found["lease_ends"] == NOW + 3600


def test_a_reboot_is_no_end() -> None:
    event = Announcement("maintenance", "system-reboot", "maintenance x", NOW + 90)
    assert told(Memory(announced=(event,)))["goes_at"] is None


@pytest.mark.parametrize(
    ("left", "notices"),
    [
        (float("inf"), ()),
        (90.0, (Announcement("spot", "terminate", "k", NOW + 90),)),
        (60.0, tuple(Announcement("spot", "stop", f"{left}", NOW + left) for left in (90, 60))),
        (60.0, (Announcement("maintenance", "instance-stop", "k", NOW + 60),)),
        (float("inf"), (Announcement("spot", "terminate", "k", NOW - 1),)),
        (float("inf"), (Announcement("maintenance", "system-reboot", "k", NOW + 60),)),
        (float("inf"), (Announcement("autoscaling", "Terminated", "k"),)),
    ],
    ids=["none", "spot", "the first of two", "a planned stop", "one that has not come", "a reboot", "without a time"],
)
def test_how_long_is_left(left: float, notices: "tuple[Announcement, ...]") -> None:
    assert left_s(Memory(announced=notices), NOW) == left


def test_a_grace_ends() -> None:
    leaving = Leaving("bootstrap", "the bootstrap has failed", NOW - 10, phase="grace")
    found = told(Memory(leaving=leaving), grace_s=60)
    assert found["goes_at"] == NOW + 50


def test_a_stop_has_its_deadline() -> None:
    leaving = Leaving("lease", "the lease has ended", NOW - 10, phase="stopping", stopping=NOW - 10)
    assert told(Memory(leaving=leaving), stop_timeout_s=300)["goes_at"] == NOW - 10 + 300 + 150
    assert told(Memory(leaving=leaving), on_lease="stop")["goes_at"] is None


def test_a_held_machine_does_not_go() -> None:
    found = told(Memory(launched=NOW - 3600, booted=NOW - 3600), held=True, lease_s=7200)
    assert found["goes_at"] is None
    assert as_lines(found)[-1] == "held: it does not power itself off (annex-agent hold --release lets it)"


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (NOW, "08:00:00 UTC"),
        (NOW - 3600, "07:00:00 UTC"),
        (NOW + 86400, "2027-01-16 08:00:00 UTC"),
        (NOW - 86400, "2027-01-14 08:00:00 UTC"),
    ],
)
def test_a_time_has_its_date_where_it_is_not_near(moment: float, words: str) -> None:
    assert clock_time(moment, NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (90, "90 s"), (119, "119 s"), (120, "2 min"), (600, "10 min"), (7200, "2 h"), (8100, "2 h 15 min")],
)
def test_a_duration_has_the_units_that_matter(seconds: float, words: str) -> None:
    assert duration(seconds) == words
