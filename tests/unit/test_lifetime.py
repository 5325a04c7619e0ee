"""Whole stories of a lease, idleness, a failure, and a pool that cannot be reached, turn by turn."""

from typing import Any, List, Optional

import pytest
from hypothesis import strategies as st

from annex_agent.watch.model import Stop, TakeJobs

from .simulated_worker import BOOT, NEVER, Worker

TURNS = st.frozensets(st.integers(0, 60))


def the(worker: Worker, kind: Any) -> Any:
    """The only act of its kind."""
    (found,) = [event.act for event in worker.events if isinstance(event.act, kind)]
    return found


# Lease


def leased(**settings: Any) -> Worker:
    """Its lease, counted from the launch, ends in 100 s."""
    return Worker(lease_s=3730, **settings)


def test_a_lease_ends_whatever_runs() -> None:
    worker = leased(stop_timeout_s=300)
    worker.runs_a_job(NEVER)
    worker.lives(200)
    assert worker.times("no-new-jobs") == worker.times("stop") == [BOOT + 3700]
    assert the(worker, Stop) == Stop("graceful", 300)
    assert worker.off_at is not None
    assert "the lease of 62 min has ended at 09:01:40 UTC" in worker.lines[0]


def test_a_stop_that_is_tried_again_gets_what_is_left_of_its_time() -> None:
    worker = leased(stop_timeout_s=300, stop_takes=NEVER, job_takes=None)
    worker.runs_a_job(NEVER)
    worker.lives(200)
    worker.loses_its_children()
    worker.lives(4)
    assert [event.act for event in worker.events if isinstance(event.act, Stop)] == [
        *(Stop("graceful", 300), Stop("graceful", 200)),
    ]


def test_a_lease_counts_from_the_boot_until_ec2_says_when_the_launch_was() -> None:
    worker = leased()
    worker.launched, worker.answers = None, False
    worker.lives(120)
    assert worker.names == []
    worker.launched, worker.answers = BOOT - 30, True
    worker.turn()
    assert worker.names == ["no-new-jobs", "stop"]


def test_a_launch_after_the_boot_is_none() -> None:
    worker = leased()
    worker.launched = BOOT + 86400
    worker.lives(150)
    assert worker.times("stop") == [BOOT + 3732]  # the first turn after the lease, counted from the boot


def test_an_image_of_a_worker_has_no_part_in_its_lease() -> None:
    worker = leased()
    worker.lives(200)
    image = Worker(
        lease_s=3730,
    )
    image.memory = worker.memory._replace(instance_id="i-0ther")
    image.boot_id = "another"
    image.answers = False
    image.lives(20)
    image.answers = True
    image.lives(20)
    assert image.names == []
    assert image.memory.instance_id == "i-10a64379"


def test_a_stopped_and_started_instance_has_its_lease_anew() -> None:
    worker = leased()
    worker.lives(4)
    worker.reboots(7200)
    worker.answers = False
    worker.lives(40)
    worker.launched, worker.answers = worker.now - 100, True
    worker.lives(40)
    assert worker.names == []


def test_a_reboot_does_not_prolong_a_lease() -> None:
    worker = leased()
    worker.lives(50)
    worker.reboots()
    worker.turn()
    assert worker.names == ["no-new-jobs"]
    worker.lives(60)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]


def test_a_held_machine_outlives_its_lease_until_it_is_released() -> None:
    worker = leased()
    worker.is_held = True
    worker.lives(1000)
    assert worker.names == []
    assert len(worker.lines) == 1
    assert "held" in worker.lines[0]
    worker.is_held = False
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]


def test_a_hold_in_the_middle_keeps_the_machine_on() -> None:
    worker = leased(job_takes=40.0)
    worker.runs_a_job(NEVER)
    worker.lives(120)
    assert worker.names == ["no-new-jobs", "stop"]
    worker.is_held = True
    worker.lives(1000)
    assert worker.names == ["no-new-jobs", "stop"]
    worker.is_held = False
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]


def test_a_machine_goes_only_once_its_slot_is_withdrawn() -> None:
    worker = leased(stop_takes=NEVER)
    worker.lives(120)
    worker.runs = worker.is_wanted = False  # its stop is not over
    worker.lives(60)
    assert worker.off_at is None
    worker.loses_its_children()
    worker.turn()
    assert worker.off_at is not None


@pytest.mark.parametrize("turns", [1, 2])
def test_a_hold_keeps_htcondor_as_it_is(turns: int) -> None:
    worker = Worker(idle_s=600, stop_takes=NEVER)
    worker.lives(597 + 4 * turns)
    names = ["no-new-jobs", "stop"][:turns]
    assert worker.names == names
    worker.is_held = True
    worker.loses_its_children()
    worker.lives(1000)
    assert worker.names == names


@pytest.mark.parametrize(("action", "names"), [("keep", []), ("stop", ["no-new-jobs", "stop"])])
def test_what_follows_a_lease_is_the_owners_to_say(action: str, names: List[str]) -> None:
    worker = leased(on_lease=action)
    worker.lives(1000)
    assert worker.names == names
    assert len(worker.lines) == 1


def test_what_somebody_starts_after_its_lease_runs_until_the_next_boot() -> None:
    worker = leased(on_lease="stop")
    worker.lives(120)
    worker.somebody_starts()
    worker.lives(100)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]
    assert worker.runs
    worker.reboots()
    worker.lives(60)
    assert worker.names[3:] == ["no-new-jobs", "stop"]


# Idleness


def test_an_idle_machine_goes() -> None:
    worker = Worker(idle_s=600)
    worker.runs_a_job(300)
    worker.lives(1000)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]
    assert worker.times("no-new-jobs") == [BOOT + 3600 + 300 + 600]
    assert worker.times("stop") == [BOOT + 3600 + 300 + 604]


def test_a_job_at_the_last_moment_makes_it_stay() -> None:
    worker = Worker(idle_s=600)
    worker.lives(601)
    assert worker.names == ["no-new-jobs"]
    worker.runs_a_job(100)
    worker.lives(600)
    assert worker.names == ["no-new-jobs", "take-jobs"]
    assert not the(worker, TakeJobs).start


def test_a_restart_of_htcondor_begins_anew() -> None:
    worker = Worker(idle_s=600)
    worker.lives(500)
    worker.runs = False
    worker.lives(8)
    worker.runs = True
    worker.lives(590)
    assert worker.names == []


def test_what_holds_again_is_said_again() -> None:
    worker = Worker(idle_s=60, on_idle="keep")
    worker.lives(200)
    assert len(worker.lines) == 1
    worker.runs_a_job(10)
    worker.lives(200)
    assert len(worker.lines) == 2


def test_what_somebody_starts_again_may_become_idle_again() -> None:
    worker = Worker(idle_s=600, on_idle="stop")
    worker.lives(700)
    worker.somebody_starts()
    worker.lives(400)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]
    worker.lives(400)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs", "no-new-jobs", "stop"]


def test_a_machine_that_was_taken_out_of_its_pool_is_not_idle() -> None:
    worker = Worker(idle_s=600)
    worker.is_wanted = False
    worker.lives(1000)
    assert worker.names == []


def test_what_nobody_has_set_does_not_end_a_machine() -> None:
    worker = Worker()
    worker.lives(30 * 3600, every=60)
    assert worker.events == []
    assert worker.memory.idle_since is None


@pytest.mark.parametrize(
    ("why", "action", "other"), [("idle", "on_idle", "on_exit"), ("shutdown", "on_exit", "on_idle")]
)
def test_htcondor_may_end_by_itself(why: str, action: str, other: str) -> None:
    worker = Worker(**{action: "poweroff", other: "keep"})
    worker.lives(8)
    worker.runs, worker.ended = False, why
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]
    assert len(worker.lines) == 1


def test_nobody_loses_a_machine_by_stopping_htcondor() -> None:
    worker = Worker(
        idle_s=600, unreachable_s=600, on_failure="poweroff", on_unreachable="poweroff", on_unregistered="poweroff"
    )
    worker.lives(60)
    worker.runs = False  # systemctl stop condor; condor_off
    worker.lives(7200)
    worker.is_wanted, worker.bootstrap = False, "stopped"  # annex-agent stop
    worker.lives(7200)
    assert worker.events == []


# A bootstrap that fails


def failing(**settings: Any) -> Worker:
    worker = Worker(**{"on_failure": "poweroff", "cloudformation_stack": "my-annex", **settings})
    worker.uptime = 60.0
    worker.runs, worker.is_wanted, worker.bootstrap = False, False, "failed"
    return worker


def test_a_failure_is_told_at_once_and_the_machine_goes_after_a_grace() -> None:
    worker = failing()
    begin = worker.now
    worker.lives(200)
    assert worker.names == ["signal failure", "no-new-jobs", "power-off"]
    assert worker.times("signal failure") == [begin]
    assert worker.off_at == begin + 60
    assert worker.lines == [
        "the bootstrap has failed (annex-agent status says why): the machine goes off at 09:01:00 UTC, unless "
        "annex-agent hold keeps it"
    ]


def test_a_failure_without_a_grace_is_told_before_the_machine_is_gone() -> None:
    worker = failing(grace_s=0)
    begin = worker.now
    worker.lives(200)
    assert worker.off_at == begin + 4


def test_a_machine_that_is_held_in_its_grace_stays() -> None:
    worker = failing()
    worker.lives(30)
    worker.is_held = True
    worker.lives(3600)
    assert worker.names == ["signal failure"]
    assert len(worker.lines) == 2
    worker.is_held = False
    worker.turn()
    assert worker.off_at is not None


def test_a_machine_that_is_held_before_is_not_given_away_by_a_signal() -> None:
    worker = failing(signals_autoscaling=True)
    worker.is_held = True
    worker.lives(600)
    assert worker.names == []
    worker.is_held = False
    worker.lives(600)
    assert worker.names == ["signal failure", "no-new-jobs", "power-off"]
    assert worker.times("power-off")[0] - worker.times("signal failure")[0] == 60


def test_a_new_start_in_the_grace_saves_the_machine() -> None:
    worker = failing(cloudformation_stack=None)
    worker.lives(30)
    worker.bootstrap = "running"
    worker.lives(10)
    worker.somebody_starts()
    worker.lives(1000)
    assert worker.names == []
    assert worker.memory.leaving is None


@pytest.mark.parametrize("action", ["keep", "stop"])
def test_a_failed_machine_may_stay(action: str) -> None:
    worker = failing(on_failure=action)
    worker.lives(2000)
    assert "power-off" not in worker.names
    assert "signal failure" in worker.names
    assert len(worker.lines) == 1


def test_a_machine_that_registers_late_is_none_that_failed() -> None:
    worker = failing()
    worker.runs = worker.is_wanted = True
    worker.listed = False
    worker.lives(700)
    assert worker.names == []
    worker.listed = True
    worker.lives(1000)
    assert worker.names == ["signal success"]


@pytest.mark.parametrize("bootstrap", ["", "running", "failed"])
def test_a_machine_that_never_registers_has_failed(bootstrap: str) -> None:
    worker = failing(unregistered_s=900, on_unregistered="poweroff", on_failure="keep")
    worker.runs = worker.is_wanted = True
    worker.bootstrap, worker.listed = bootstrap, False
    begin = worker.now
    worker.lives(2000)
    assert worker.times("signal failure") == [begin + 840]
    assert worker.names[0] == "signal failure"
    assert worker.off_at is not None
    assert worker.off_at >= begin + 840 + 60


def test_what_somebody_stops_before_it_has_registered_has_not_failed() -> None:
    worker = failing(on_unregistered="poweroff", on_unreachable="poweroff")
    worker.runs = worker.is_wanted = True  # exit status 7
    worker.lives(300)
    worker.runs, worker.is_wanted, worker.bootstrap = False, False, "stopped"
    worker.lives(3600)
    assert worker.events == []


def test_a_fresh_start_has_its_time_from_its_begin() -> None:
    worker = failing(on_failure="keep", on_unregistered="poweroff", unregistered_s=900)
    worker.lives(3600)
    worker.bootstrap = "running"
    worker.lives(60)
    worker.bootstrap, worker.runs, worker.is_wanted = "failed", True, True  # exit status 7
    worker.lives(800)
    assert worker.off_at is None
    worker.lives(400)
    assert worker.off_at is not None


def test_a_machine_that_had_registered_has_to_do_it_again_after_a_fresh_start() -> None:
    worker = Worker(on_unregistered="poweroff")
    worker.lives(20)
    worker.bootstrap = "running"
    worker.lives(60)
    worker.bootstrap = "failed"  # exit status 7
    worker.lives(1000)
    assert worker.off_at is not None


def test_a_job_shows_that_the_pool_knows_the_machine() -> None:
    worker = failing(on_unregistered="poweroff")
    worker.runs = worker.is_wanted = True
    worker.runs_a_job(100)
    worker.lives(2000)
    assert worker.names == ["signal success"]


def test_success_is_told_once_for_all_boots() -> None:
    worker = Worker(cloudformation_stack="my-annex", signals_autoscaling=True)
    worker.lives(60)
    worker.reboots()
    worker.lives(60)
    assert worker.names == ["signal success"]


def test_nobody_is_told_who_does_not_want_to_be() -> None:
    worker = failing(cloudformation_stack=None)
    worker.lives(20)
    assert worker.names == []


# An unreachable pool


def unreachable(**settings: Any) -> Worker:
    worker = Worker(**{"unreachable_s": 600, "on_unreachable": "poweroff", **settings})
    worker.listed = False
    return worker


@pytest.mark.parametrize("listed", [False, None])
def test_a_machine_that_the_pool_does_not_list_goes_after_a_grace(listed: Optional[bool]) -> None:
    worker = unreachable()
    worker.listed = listed
    begin = worker.now
    worker.lives(2000)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]
    assert worker.times("stop") == [begin + 660]


def test_what_is_not_powered_off_needs_no_grace() -> None:
    worker = unreachable(on_unreachable="stop")
    begin = worker.now
    worker.lives(2000)
    assert worker.names == ["no-new-jobs", "stop"]
    assert worker.times("stop") == [begin + 600]


def test_a_machine_with_a_job_is_not_unreachable() -> None:
    worker = unreachable()
    worker.runs_a_job(2000)
    worker.lives(2500)
    assert worker.names == []
    worker.lives(200)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]


def test_a_pool_that_is_back_in_the_grace_keeps_the_machine() -> None:
    worker = unreachable()
    worker.lives(620)
    assert worker.memory.leaving is not None
    worker.listed = True
    worker.lives(8)
    worker.listed = False
    worker.lives(590)
    assert worker.names == []
