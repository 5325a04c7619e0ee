"""What outlives a boot, an instance, and a clock that is set."""

from typing import Optional, Tuple

import pytest

from annex_agent.terms import Terms
from annex_agent.watch.continuity import resumed, steadied
from annex_agent.watch.model import Announcement, Condition, Heard, Leaving, Memory

NOW = 1_800_000_000.0
HERE = Condition("f6d2", NOW - 100)
LEAVING = Leaving("lease", "the lease has ended", NOW - 50, NOW - 50, "stopping", stopping=NOW - 40)
PAST, AHEAD, TIMELESS = (
    Announcement("maintenance", "system-reboot", f"maintenance {at}", at) for at in (NOW - 200, NOW + 200, None)
)
OUT = Announcement("autoscaling", "Warmed:Stopped", "autoscaling Warmed:Stopped")
MEMORY = Memory(
    *("i-10a64379", "f6d2", NOW - 130, (PAST, AHEAD, TIMELESS), ("lease", "rebalance x"), LEAVING),
    idle_since=NOW - 90,
    unlisted_since=NOW - 80,
    has_registered=True,
    signalled=("cloudformation", "autoscaling launch", "autoscaling complete"),
    heartbeat=NOW - 70,
    said=("keep lease",),
    booted=NOW - 100,
    bootstrap="done",
    awaited_since=NOW - 60,
)


def of(instance_id: Optional[str], condition: Condition = HERE, memory: Memory = MEMORY) -> Memory:
    return resumed(Terms(), Heard(instance_id=instance_id), condition, memory)


@pytest.mark.parametrize("instance_id", ["i-10a64379", None])
def test_on_the_same_boot_all_is_remembered(instance_id: Optional[str]) -> None:
    assert of(instance_id) == MEMORY


def test_of_another_instance_nothing_is_remembered() -> None:
    assert of("i-2222") == Memory("i-2222", "f6d2")
    assert resumed(Terms(instance_id="i-2222"), Heard(), HERE, MEMORY) == Memory("i-2222", "f6d2")


@pytest.mark.parametrize("instance_id", ["i-10a64379", None])
def test_of_another_boot_only_what_is_still_true_is_remembered(instance_id: Optional[str]) -> None:
    assert of(instance_id, HERE._replace(boot_id="a7c1")) == Memory(
        *("i-10a64379", "a7c1", None, (AHEAD,), ("rebalance x",)), signalled=MEMORY.signalled
    )


def test_an_instance_that_comes_out_of_a_warm_pool_has_its_hooks_before_it() -> None:
    memory = MEMORY._replace(announced=(OUT,))
    assert of(None, HERE._replace(boot_id="a7c1"), memory).signalled == ("cloudformation",)


def test_the_launch_is_what_ec2_says_last() -> None:
    heard = Heard(instance_id="i-10a64379", launched=NOW - 140)
    assert resumed(Terms(), heard, HERE, MEMORY) == MEMORY._replace(launched=NOW - 140)


def at_clock(step_s: float, answered: bool) -> Tuple[float, Memory]:
    condition = HERE._replace(booted=HERE.booted + step_s)
    return steadied(NOW + step_s, Heard(answered=frozenset(["spot"] if answered else [])), condition, MEMORY)


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("step_s", [0.0, 1.9, -1.9])
def test_a_small_difference_is_ec2s_date(answered: bool, step_s: float) -> None:
    assert at_clock(step_s, answered) == (NOW + step_s, MEMORY)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_without_a_date_of_ec2s_the_uptime_counts(step_s: float) -> None:
    assert at_clock(step_s, answered=False) == (NOW, MEMORY)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_with_ec2s_date_all_that_was_timed_moves_and_what_ec2_has_said_does_not(step_s: float) -> None:
    now, memory = at_clock(step_s, answered=True)
    assert now == NOW + step_s
    assert memory == MEMORY._replace(
        leaving=LEAVING._replace(since=NOW - 50 + step_s, stopping=NOW - 40 + step_s),
        idle_since=NOW - 90 + step_s,
        unlisted_since=NOW - 80 + step_s,
        heartbeat=NOW - 70 + step_s,
        booted=NOW - 100 + step_s,
        awaited_since=NOW - 60 + step_s,
    )


def test_what_was_not_timed_is_not_moved() -> None:
    memory = Memory(booted=NOW - 100)
    found = steadied(NOW + 60, Heard(answered=frozenset(["spot"])), HERE._replace(booted=NOW - 40), memory)
    assert found == (NOW + 60, Memory(booted=NOW - 40))


def test_the_first_look_is_believed() -> None:
    assert steadied(NOW, Heard(), HERE, Memory()) == (NOW, Memory(booted=NOW - 100))
