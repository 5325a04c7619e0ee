"""The ladder: which rungs, and where each is placed when all must be ended by a certain time."""

import signal
from typing import Dict, List, Sequence, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.ladder import NEVER, Rung, fitted, ladder

MODES = ("peaceful", "graceful", "fast")
# How long before the end a rung begins at the latest, and with how much left the daemons are all gone.
BEGINS = {"graceful": 45, "fast": 15, "kill": 8}
GONE = 6
LEAST_S = 2

modes = st.sampled_from(MODES)
durations = st.integers(min_value=1, max_value=2 * 86400)
timeouts = st.one_of(durations, st.just(NEVER))


def pairs(rungs: Sequence[Rung]) -> List[Tuple[str, float]]:
    return [(rung.name, rung.wait_s) for rung in rungs]


def begins(rungs: Sequence[Rung]) -> Dict[str, float]:
    """When each rung begins, if every one before it needs its whole time."""
    found, spent = {}, 0.0
    for rung in rungs:
        found[rung.name] = spent
        spent += rung.wait_s
    return found


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("peaceful", ["peaceful", "graceful", "fast", "kill"]),
        ("graceful", ["graceful", "fast", "kill"]),
        ("fast", ["fast", "kill"]),
    ],
)
def test_it_goes_down_from_its_mode(mode: str, names: List[str]) -> None:
    assert [rung.name for rung in ladder(mode, 600)] == names
    assert [rung.name for rung in ladder(mode, 600, 600)] == names


@pytest.mark.parametrize("mode", MODES)
def test_the_time_that_is_given_is_the_first_ones(mode: str) -> None:
    first, *others = ladder(mode, 7200)
    assert first.wait_s == 7200
    assert all(rung.wait_s <= 30 for rung in others)


def test_only_the_peaceful_rung_needs_no_signal() -> None:
    assert {rung.name: rung.number for rung in ladder("peaceful", 1)} == {
        "peaceful": None,
        "graceful": signal.SIGTERM,
        "fast": signal.SIGQUIT,
        "kill": signal.SIGKILL,
    }


@pytest.mark.parametrize(
    ("mode", "within_s", "expected"),
    [
        ("peaceful", 120, [("peaceful", 75), ("graceful", 30), ("fast", 7), ("kill", 2)]),
        ("peaceful", 45, [("graceful", 30), ("fast", 7), ("kill", 2)]),
        ("graceful", 115, [("graceful", 100), ("fast", 7), ("kill", 2)]),
        ("graceful", 20, [("graceful", 5), ("fast", 7), ("kill", 2)]),
        ("graceful", 15, [("fast", 7), ("kill", 2)]),
        ("graceful", 10, [("fast", 2), ("kill", 2)]),
        ("graceful", 8, [("kill", 2)]),
        ("graceful", 1, [("kill", 2)]),
        ("graceful", 0, [("kill", 2)]),
        ("graceful", -60, [("kill", 2)]),
        ("fast", 600, [("fast", 592), ("kill", 2)]),
    ],
)
def test_the_lower_rungs_are_placed_backwards_from_the_end(
    mode: str, within_s: float, expected: List[Tuple[str, float]]
) -> None:
    assert pairs(ladder(mode, NEVER, within_s)) == expected


def test_of_timeout_and_end_the_first_rung_has_the_smaller() -> None:
    assert pairs(ladder("graceful", 10, 600)) == [("graceful", 10), ("fast", 30), ("kill", 10)]
    assert pairs(ladder("graceful", 600, 60)) == [("graceful", 45), ("fast", 7), ("kill", 2)]
    assert pairs(ladder("peaceful", 10, 600)) == [("peaceful", 10), ("graceful", 30), ("fast", 30), ("kill", 10)]


def test_a_rung_that_has_time_left_before_the_end_waits_no_longer_than_it_would_without_one() -> None:
    assert ladder("peaceful", 60, 3600) == ladder("peaceful", 60)


@given(mode=modes, timeout_s=timeouts, within_s=st.floats(min_value=-1e6, max_value=1e6))
def test_the_waits_together_are_within_the_time(mode: str, timeout_s: float, within_s: float) -> None:
    rungs = ladder(mode, timeout_s, within_s)
    total = sum(rung.wait_s for rung in rungs)
    assert total <= max(within_s, LEAST_S) + 1e-6
    if within_s >= GONE + LEAST_S:
        assert total <= within_s - GONE + 1e-6
    assert all(rung.wait_s > 0 for rung in rungs)


@given(mode=modes, timeout_s=timeouts, within_s=st.floats(min_value=-1e6, max_value=1e6))
def test_no_rung_begins_too_late_and_the_last_is_always_there(mode: str, timeout_s: float, within_s: float) -> None:
    rungs = ladder(mode, timeout_s, within_s)
    assert rungs[-1].name == "kill"
    assert [rung.name for rung in rungs] == [rung.name for rung in ladder(mode, 1)][-len(rungs) :]
    for name, at in begins(rungs).items():
        if name in BEGINS and at > 0:
            assert within_s - at >= BEGINS[name] - 1e-6


@given(mode=modes, timeout_s=timeouts, within_s=durations, later_s=st.floats(min_value=0, max_value=3600))
def test_fitted_again_later_it_is_the_ladder_of_what_is_left(
    mode: str, timeout_s: float, within_s: float, later_s: float
) -> None:
    again = fitted(ladder(mode, timeout_s, within_s), within_s - later_s)
    assert [rung.name for rung in again] == [rung.name for rung in ladder(mode, timeout_s, within_s - later_s)]
    assert sum(rung.wait_s for rung in again) <= max(within_s - later_s, LEAST_S) + 1e-6


@given(mode=modes, timeout_s=durations)
def test_without_an_end_nothing_is_fitted(mode: str, timeout_s: float) -> None:
    assert fitted(ladder(mode, timeout_s), NEVER) == ladder(mode, timeout_s)


def test_a_wait_is_told_to_a_tenth() -> None:
    assert [Rung("fast", signal.SIGQUIT, wait_s).duration for wait_s in (7.96, 8, 0.34)] == ["8 s", "8 s", "0.3 s"]
