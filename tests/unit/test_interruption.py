"""Whole stories of a rebalance recommendation, a scheduled event, and the way out of a group, turn by turn."""

from typing import Any, Optional

import pytest
from hypothesis import strategies as st

from annex_agent.watch.model import Stop, TakeJobs, Tell

from .simulated_worker import BOOT, NEVER, Worker

TURNS = st.frozensets(st.integers(0, 60))


def the(worker: Worker, kind: Any) -> Any:
    """The only act of its kind."""
    (found,) = [event.act for event in worker.events if isinstance(event.act, kind)]
    return found


# Rebalance


def test_a_recommendation_is_ignored_by_default_and_told_once() -> None:
    worker = Worker()
    worker.announces("rebalance", "rebalance")
    worker.lives(60)
    assert worker.names == []
    assert len(worker.lines) == 1


def test_a_recommendation_drains_with_all_the_time_of_a_stop() -> None:
    worker = Worker(on_rebalance="drain", stop_mode="peaceful", stop_timeout_s=300, job_takes=100.0)
    worker.runs_a_job(NEVER)
    worker.announces("rebalance", "rebalance")
    worker.lives(200)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]
    assert the(worker, Stop) == Stop("peaceful", 300)


def test_a_recommendation_without_new_jobs_waits_for_those_that_run() -> None:
    worker = Worker(on_rebalance="no-new-jobs", on_exit="stop")
    worker.runs_a_job(1000)
    worker.announces("rebalance", "rebalance")
    worker.lives(1100)
    assert worker.job_ends[0][1] == "finished"
    assert worker.names == ["no-new-jobs", "stop"]
    assert worker.memory.leaving is not None
    assert worker.memory.leaving.phase == "stopped"


def test_a_recommendation_that_is_taken_back_lets_the_machine_take_jobs() -> None:
    worker = Worker(on_rebalance="no-new-jobs")
    worker.runs_a_job(1000)
    worker.announces("rebalance", "rebalance")
    worker.lives(60)
    worker.announcements.clear()
    worker.lives(60)
    assert worker.names == ["no-new-jobs", "take-jobs"]
    assert the(worker, TakeJobs) == TakeJobs(start=False)
    assert worker.memory.leaving is None


def test_what_was_stopped_is_started_when_it_is_taken_back_and_not_before_the_stop_is_over() -> None:
    worker = Worker(on_rebalance="drain", on_exit="stop", job_takes=40.0)
    worker.runs_a_job(NEVER)
    worker.announces("rebalance", "rebalance")
    worker.lives(20)
    worker.announcements.clear()
    worker.lives(60)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]
    assert worker.times("take-jobs")[0] - worker.times("stop")[0] == 40
    assert the(worker, TakeJobs).start
    assert worker.runs


def test_a_stop_that_never_succeeds_does_not_keep_the_machine_paid_for() -> None:
    worker = Worker(on_rebalance="drain", stop_takes=NEVER, stop_timeout_s=300)
    worker.announces("rebalance", "rebalance")
    begin = worker.now
    worker.lives(1000)
    assert worker.off_at == begin + 300 + 152  # the first turn after that


def test_a_stop_that_has_begun_for_one_reason_sets_another_no_deadline() -> None:
    worker = Worker(on_rebalance="drain", on_autoscaling="no-new-jobs", stop_takes=NEVER, job_takes=None)
    worker.runs_a_job(NEVER)
    worker.announces("rebalance", "rebalance")
    worker.lives(100)
    worker.loses_its_children()
    worker.announces("autoscaling", "Terminated")
    worker.lives(2000)
    assert worker.names == ["no-new-jobs", "stop", "no-new-jobs"]


def test_a_stop_for_another_reason_has_all_of_its_time() -> None:
    worker = Worker(on_rebalance="drain", on_exit="stop", on_lease="poweroff", lease_s=3830, stop_timeout_s=300)
    worker.stop_takes = NEVER
    worker.announces("rebalance", "rebalance")
    worker.lives(100)
    worker.loses_its_children()
    worker.lives(2000)
    assert [event.act for event in worker.events if isinstance(event.act, Stop)] == [
        *(Stop("graceful", 300), Stop("graceful", 200), Stop("graceful", 300)),
    ]
    assert worker.off_at == pytest.approx(BOOT + 3800 + 450, abs=4)


def test_a_stop_that_is_tried_again_and_again_has_its_deadline() -> None:
    worker = Worker(on_rebalance="drain", stop_takes=NEVER, stop_timeout_s=300)
    worker.announces("rebalance", "rebalance")
    begin = worker.now
    while worker.off_at is None and worker.now < begin + 1000:
        worker.loses_its_children()
        worker.lives(4)
    assert worker.off_at == begin + 300 + 152


def test_what_somebody_starts_again_is_left_to_them() -> None:
    worker = Worker(on_rebalance="drain", on_exit="stop")
    worker.announces("rebalance", "rebalance")
    worker.lives(20)
    worker.somebody_starts()
    worker.lives(100)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]
    assert not the(worker, TakeJobs).start
    assert worker.runs
    assert worker.takes_jobs


# Scheduled events


def test_a_scheduled_event_far_ahead_is_told_and_nothing_else() -> None:
    worker = Worker()
    worker.announces("maintenance", "system-reboot", 86400.0)
    worker.lives(600)
    assert worker.names == []
    assert worker.lines == [
        "EC2 has scheduled system-reboot at 2027-01-16 09:00:00 UTC: no new job is taken from "
        "2027-01-16 08:00:00 UTC on"
    ]
    worker.announcements.clear()
    worker.lives(8)
    assert worker.lines[1:] == ["taken back: EC2 has scheduled system-reboot at 2027-01-16 09:00:00 UTC"]


def test_a_machine_that_ec2_reboots_keeps_its_jobs_until_there_is_just_time_to_end_them() -> None:
    worker = Worker(lead_s=3600)
    at = worker.announces("maintenance", "system-reboot", 5000.0)
    worker.runs_a_job(NEVER)
    worker.lives(4900)
    assert worker.times("no-new-jobs") == [at - 3600]
    assert worker.times("stop") == [at - 660]
    assert worker.names == ["no-new-jobs", "stop"]


def test_a_machine_that_ec2_reboots_is_not_stopped_before_although_no_job_runs() -> None:
    worker = Worker()
    at = worker.announces("maintenance", "instance-reboot", 2000.0)
    worker.lives(1900)
    assert worker.times("stop") == [at - 660]


def test_a_machine_that_ec2_stops_goes_as_soon_as_no_job_runs() -> None:
    worker = Worker()
    at = worker.announces("maintenance", "instance-retirement", 3000.0)
    worker.runs_a_job(1000)
    worker.lives(3000)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]
    assert at - 2000 <= worker.times("stop")[0] <= at - 1990


def test_an_event_hours_ahead_keeps_no_idle_machine() -> None:
    worker = Worker(idle_s=600)
    worker.announces("maintenance", "system-reboot", 3500.0)
    worker.lives(700)
    assert worker.names == ["no-new-jobs", "no-new-jobs", "stop", "power-off"]


def test_a_machine_that_stays_on_by_its_settings_is_left_to_ec2() -> None:
    worker = Worker(on_exit="stop")
    worker.announces("maintenance", "instance-retirement", 700.0)
    worker.lives(690)
    assert worker.names == ["no-new-jobs", "stop"]


def test_a_lead_that_is_too_short_for_a_stop_is_made_longer() -> None:
    worker = Worker(lead_s=60, stop_timeout_s=300)
    at = worker.announces("maintenance", "system-reboot", 1000.0)
    worker.lives(990)
    assert worker.times("no-new-jobs") == worker.times("stop") == [at - 360]


def test_an_event_that_comes_at_short_notice_leaves_a_stop_what_there_is() -> None:
    worker = Worker(job_takes=None)
    at = worker.announces("maintenance", "system-reboot", 90.0)
    worker.runs_a_job(NEVER)
    worker.lives(100)
    assert the(worker, Stop) == Stop("graceful", None, within_s=90.0)
    assert worker.job_ends[0][0] < at


def test_an_event_whose_time_has_begun_leaves_a_stop_its_own() -> None:
    worker = Worker()
    worker.announces("maintenance", "system-reboot", -60.0, 3600.0)
    worker.lives(40)
    assert the(worker, Stop) == Stop("graceful", 600)


def test_jobs_may_go_on_until_the_event() -> None:
    worker = Worker(on_maintenance="no-new-jobs")
    worker.announces("maintenance", "system-reboot", 700.0)
    worker.runs_a_job(NEVER)
    worker.lives(750)
    assert worker.names == ["no-new-jobs"]


def test_jobs_may_go_on_until_ec2_ends_them() -> None:
    worker = Worker(on_maintenance="no-new-jobs")
    worker.announces("maintenance", "instance-retirement", 700.0)
    worker.runs_a_job(NEVER)
    worker.lives(750)
    assert worker.names == ["no-new-jobs"]


def test_an_event_that_is_taken_back_lets_the_machine_take_jobs() -> None:
    worker = Worker()
    worker.announces("maintenance", "system-reboot", 700.0)
    worker.lives(100)
    assert worker.names[-1] == "stop"
    worker.announcements.clear()
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]
    assert worker.runs
    assert worker.takes_jobs


def test_an_event_that_is_moved_far_ahead_lets_the_machine_take_jobs() -> None:
    worker = Worker()
    worker.announces("maintenance", "system-reboot", 3000.0)
    worker.lives(40)
    worker.announcements.clear()
    worker.announces("maintenance", "system-reboot", 90000.0)
    worker.lives(40)
    assert worker.names == ["no-new-jobs", "take-jobs"]


@pytest.mark.parametrize(("until_s", "over_s"), [(None, 600), (400.0, 100), (1500.0, 1200)])
def test_an_event_that_does_not_come_is_over(until_s: Optional[float], over_s: float) -> None:
    worker = Worker()
    at = worker.announces("maintenance", "system-reboot", 300.0, until_s)
    worker.lives(2000)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]
    assert at + over_s < worker.times("take-jobs")[0] <= at + over_s + 8
    assert worker.runs


def test_an_event_is_over_after_its_reboot_although_it_stays_active() -> None:
    worker = Worker()
    worker.announces("maintenance", "system-reboot", 100.0, 7200.0)
    worker.lives(110)
    assert worker.names[-1] == "stop"
    worker.reboots()
    before = len(worker.names)
    worker.lives(300)
    assert worker.names[before:] == []
    assert worker.runs


def test_a_boot_of_its_own_does_not_end_an_event_that_is_ahead() -> None:
    worker = Worker()
    at = worker.announces("maintenance", "system-reboot", 2000.0)
    worker.lives(100)
    worker.reboots()
    before = len(worker.names)
    worker.lives(1500)
    assert worker.names[before:] == ["no-new-jobs", "stop"]
    assert worker.times("stop") == [pytest.approx(at - 660, abs=4)]


# Auto Scaling


def test_a_machine_that_leaves_its_group_tells_that_it_is_at_it_and_then_that_it_is_through() -> None:
    worker = Worker(signals_autoscaling=True, job_takes=150.0)
    worker.lives(8)
    assert [act for _, act in worker.events] == [Tell("success")]
    worker.runs_a_job(NEVER)
    worker.announces("autoscaling", "Terminated")
    worker.lives(300)
    beats = worker.times("signal heartbeat")
    assert [later - earlier for earlier, later in zip(beats, beats[1:])] == [60, 60]
    assert worker.names == [
        *("signal success", "no-new-jobs", "stop", "signal heartbeat", "signal heartbeat", "signal heartbeat"),
        *("signal complete", "power-off"),
    ]
    assert worker.off_at is not None
    assert worker.off_at >= worker.times("signal complete")[0] + 3  # it is told before


def test_a_machine_that_leaves_a_group_without_hooks_goes_when_it_is_through() -> None:
    worker = Worker()
    worker.announces("autoscaling", "Terminated")
    worker.lives(100)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]


def test_a_machine_that_goes_into_a_warm_pool_stays_on_and_comes_back() -> None:
    worker = Worker(signals_autoscaling=True)
    worker.lives(8)
    worker.announces("autoscaling", "Warmed:Running")
    worker.lives(100)
    assert worker.names == ["signal success", "no-new-jobs", "stop", "signal heartbeat", "signal complete"]
    worker.announcements.clear()
    worker.lives(100)
    assert worker.names[5:] == ["take-jobs", "signal success"]
    assert worker.runs


def test_what_somebody_keeps_out_of_a_warm_pool_goes_into_it_the_next_time() -> None:
    worker = Worker()
    worker.announces("autoscaling", "Warmed:Running")
    worker.lives(20)
    worker.somebody_starts()
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]
    worker.announcements.clear()
    worker.lives(8)
    worker.announces("autoscaling", "Warmed:Running")
    worker.lives(20)
    assert worker.names[3:] == ["no-new-jobs", "stop"]


def test_what_was_stopped_for_one_reason_is_started_when_another_is_taken_back() -> None:
    worker = Worker(on_rebalance="drain", on_exit="stop")
    worker.announces("rebalance", "rebalance")
    worker.lives(20)
    worker.announces("autoscaling", "Warmed:Running")
    worker.lives(20)
    worker.announcements.clear()
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop", "no-new-jobs", "take-jobs"]
    assert the(worker, TakeJobs).start


def test_a_start_at_the_last_moment_changes_nothing() -> None:
    worker = Worker(signals_autoscaling=True)
    worker.announces("autoscaling", "Terminated")
    worker.lives(4, every=1)
    assert worker.names[-1] == "signal complete"
    worker.somebody_starts()
    worker.lives(20, every=1)
    assert worker.names.count("stop") == 2
    assert worker.names[-1] == "power-off"


def test_what_somebody_holds_and_starts_is_left_to_them() -> None:
    worker = Worker(on_rebalance="drain")
    worker.is_held = True
    worker.announces("rebalance", "rebalance")
    worker.lives(20)
    worker.somebody_starts()
    worker.lives(20)
    worker.is_held = False
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]


def test_nobody_is_interrupted_in_telling() -> None:
    worker = Worker(signals_autoscaling=True)
    worker.lives(8)
    worker.announces("autoscaling", "Terminated")
    worker.lives(100, every=1)
    assert worker.names[1:] == ["no-new-jobs", "stop", "signal heartbeat", "signal complete", "power-off"]
    (beat,), (complete,), (off,) = (worker.times(name) for name in worker.names[3:])
    assert (complete - beat, off - complete) == (3, 3)


def test_a_launch_into_a_warm_pool_waits_for_the_bootstrap() -> None:
    worker = Worker(signals_autoscaling=True)
    worker.uptime, worker.runs, worker.is_wanted, worker.bootstrap = 60.0, False, False, "running"
    worker.announces("autoscaling", "Warmed:Stopped")
    worker.lives(60)
    assert worker.names == ["no-new-jobs", "signal heartbeat"]
    worker.somebody_starts()
    worker.lives(60)
    others = [name for name in worker.names[2:] if name != "signal heartbeat"]
    assert others == ["stop", "signal success", "signal complete"]


def test_a_start_that_does_not_end_is_waited_for_no_longer_than_ten_minutes() -> None:
    worker = Worker()
    worker.uptime, worker.bootstrap = 60.0, "running"
    worker.announces("autoscaling", "Terminated")
    begin = worker.now
    worker.lives(700)
    assert worker.times("stop") == [begin + 600]


def test_a_held_machine_asks_its_group_for_time() -> None:
    worker = Worker(signals_autoscaling=True)
    worker.lives(8)
    worker.is_held = True
    worker.announces("autoscaling", "Terminated")
    worker.lives(300)
    assert worker.names.count("signal heartbeat") == 5
    assert "signal complete" not in worker.names
    worker.is_held = False
    worker.lives(20)
    assert worker.names[-2:] == ["signal complete", "power-off"]
