"""Whole stories of a worker's end: what is decided, turn by turn."""

from typing import Any, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.watch.model import PowerOff, Stop, TakeJobs, Tell

from .simulated_worker import BOOT, NEVER, Worker

TURNS = st.frozensets(st.integers(0, 60))


def the(worker: Worker, kind: Any) -> Any:
    """The only act of its kind."""
    (found,) = [event.act for event in worker.events if isinstance(event.act, kind)]
    return found


# Spot


def spotted(in_s: float = 120.0, what: str = "terminate", **settings: Any) -> Tuple[Worker, float]:
    """A spot instance with a notice, and when EC2 acts."""
    worker = Worker(**settings)
    return worker, worker.announces("spot", what, in_s)


def test_a_machine_without_a_job_leaves_as_soon_as_a_match_under_way_would_be_seen() -> None:
    worker, at = spotted()
    worker.lives(120)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]
    assert worker.times("stop") == [at - 116]
    assert worker.times("power-off") == [at - 112]


def test_a_match_under_way_at_the_notice_is_a_job_that_has_its_time() -> None:
    worker, at = spotted()
    worker.turn()
    worker.runs_a_job(NEVER)
    worker.lives(120)
    assert worker.times("stop") == [at - 44]  # the first turn after at - 45


def test_jobs_that_end_by_themselves_are_waited_for_and_no_longer() -> None:
    worker, at = spotted()
    worker.runs_a_job(20)
    worker.runs_a_job(30)
    worker.lives(120)
    assert [how for _, how in worker.job_ends] == ["finished", "finished"]
    assert at - 90 <= worker.times("stop")[0] <= at - 85
    assert worker.off_at is not None
    assert worker.off_at <= at - 80


def test_a_job_that_goes_on_is_told_to_leave_so_that_it_still_can_write() -> None:
    worker, at = spotted(job_takes=8.0)
    worker.runs_a_job(NEVER)
    worker.lives(120)
    assert worker.job_ends == [(at - 44 + 8.0, "left")]
    assert worker.names == ["no-new-jobs", "stop", "power-off"]
    stop = the(worker, Stop)
    assert (stop.mode, stop.within_s, stop.timeout_s) == ("graceful", 44.0, None)


def test_a_job_that_does_not_leave_is_killed_and_the_machine_is_off_in_time() -> None:
    worker, at = spotted(job_takes=None)
    worker.runs_a_job(NEVER)
    worker.lives(120)
    ((killed_at, how),) = worker.job_ends
    assert how == "killed"
    assert at - 15 <= killed_at <= at - 14
    assert worker.off_at is not None
    assert worker.off_at < at


def test_a_stop_that_hangs_does_not_keep_the_machine_on() -> None:
    worker, at = spotted(stop_takes=NEVER)
    worker.lives(120)
    assert worker.names == ["no-new-jobs", "stop", "power-off"]
    assert worker.off_at == at - 4


def test_a_longer_poll_leaves_the_power_off_its_time() -> None:
    worker, at = spotted(stop_takes=NEVER, poll_s=10)
    worker.lives(120, every=10)
    assert worker.off_at == at - 10


@pytest.mark.parametrize("in_s", [60.0, 40.0, 20.0, 8.0])
def test_a_late_notice_leaves_less_time_for_all(in_s: float) -> None:
    worker, at = spotted(in_s, job_takes=None)
    worker.runs_a_job(NEVER)
    worker.lives(in_s)
    assert worker.times("stop") == [max(at - in_s, at - 44)]
    assert worker.off_at is not None
    assert worker.off_at < at


@pytest.mark.parametrize("in_s", [4.0, 0.0, -5.0])
def test_what_is_too_late_is_done_at_once(in_s: float) -> None:
    worker, _ = spotted(in_s)
    worker.runs_a_job(NEVER)
    acts = worker.turn()
    assert [act.name for act in acts] == ["no-new-jobs", "stop", "power-off"]
    assert the(worker, Stop).within_s == max(1.0, in_s)


@pytest.mark.parametrize("what", ["stop", "hibernate"])
def test_what_is_to_come_back_is_not_powered_off(what: str) -> None:
    worker, _ = spotted(what=what)
    worker.lives(200)
    assert worker.names == ["no-new-jobs", "stop"]


def test_an_instance_that_was_hibernated_takes_jobs_again() -> None:
    worker, _ = spotted(what="hibernate")
    worker.lives(20)
    assert not worker.runs
    worker._passes(7200)
    worker.announcements.clear()
    worker.lives(20)
    assert worker.names[-1:] == ["take-jobs"]
    assert worker.runs
    assert worker.memory.leaving is None


def test_no_new_jobs_lets_jobs_run_until_they_can_only_be_killed() -> None:
    worker, at = spotted(on_spot="no-new-jobs", job_takes=None)
    worker.runs_a_job(NEVER)
    worker.lives(120)
    assert worker.times("stop") == [at - 12]
    assert the(worker, Stop).mode == "fast"
    assert worker.off_at is not None
    assert worker.off_at < at


def test_a_notice_may_be_ignored_and_is_told_once() -> None:
    worker, _ = spotted(on_spot="ignore")
    worker.lives(100)
    assert worker.names == []
    assert worker.lines == ["EC2 terminates this spot instance at 09:02:00 UTC: ignored, as interruption.spot says"]


def test_a_notice_is_never_taken_back() -> None:
    worker, at = spotted()
    worker.runs_a_job(NEVER)
    worker.turn()
    worker.announcements.clear()
    worker.lives(120)
    assert worker.off_at is not None
    assert worker.off_at < at


def test_a_notice_with_another_time_is_another_one() -> None:
    worker, at = spotted(300.0)
    worker.runs_a_job(NEVER)
    worker.lives(20)
    worker.announcements.clear()
    sooner = worker.announces("spot", "terminate", 100.0)
    worker.lives(120)
    assert sooner < at
    assert worker.times("stop") == [sooner - 44]


def test_a_notice_from_before_the_boot_is_over() -> None:
    worker = Worker()
    worker.announces("spot", "terminate", -3700.0)
    worker.lives(40)
    assert worker.names == []


def test_a_notice_during_the_bootstrap_does_not_wait_for_it() -> None:
    worker, at = spotted(stop_takes=NEVER)
    worker.bootstrap, worker.runs, worker.is_wanted = "running", False, False
    worker.lives(120)
    assert worker.times("stop") == [at - 44]
    assert worker.off_at == at - 4


def test_a_stop_that_fails_is_tried_again_with_what_is_left() -> None:
    worker, at = spotted(stop_takes=NEVER)
    worker.runs_a_job(NEVER)
    worker.lives(80)
    worker.loses_its_children()
    worker.lives(4)
    first, second = [event for event in worker.events if isinstance(event.act, Stop)]
    assert (first.at, second.at) == (at - 44, at - 40)
    assert isinstance(second.act, Stop)
    assert second.act.within_s == 40.0


def test_a_notice_takes_over_from_whatever_was_going_on() -> None:
    worker = Worker(on_rebalance="drain", job_takes=None, stop_timeout_s=3600)
    worker.runs_a_job(NEVER)
    worker.announces("rebalance", "rebalance")
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop"]
    at = worker.announces("spot", "terminate", 120.0)
    worker.lives(120)
    assert worker.names == ["no-new-jobs", "stop", "no-new-jobs", "stop", "power-off"]
    assert worker.times("stop")[1] == at - 44
    assert worker.job_ends[0][1] == "killed"
    assert worker.off_at is not None
    assert worker.off_at < at


def test_nothing_takes_over_from_a_notice() -> None:
    worker, at = spotted(lease_s=3660 + 30, on_autoscaling="drain")
    worker.runs_a_job(NEVER)
    worker.announces("autoscaling", "Terminated")
    worker.lives(120)
    assert worker.times("stop") == [at - 44]
    assert worker.names.count("no-new-jobs") == 1


@given(
    st.floats(115.0, 130.0),
    st.floats(2.0, 5.0),
    st.lists(st.one_of(st.floats(0.0, 140.0), st.just(NEVER)), max_size=3),
    st.one_of(st.none(), st.floats(0.5, 60.0)),
    st.floats(0.5, 3.0),
)
def test_a_notice_in_good_time(
    in_s: float, every: float, jobs: List[float], job_takes: Optional[float], stop_takes: float
) -> None:
    worker, at = spotted(in_s, job_takes=job_takes, stop_takes=stop_takes)
    begin = worker.now
    for seconds in jobs:
        worker.runs_a_job(seconds)
    worker.lives(in_s, every)
    assert worker.off_at is not None
    assert worker.off_at < at
    assert worker.names.count("stop") == 1
    (stopped_at,) = worker.times("stop")
    ends = [end for end, _ in worker.job_ends]
    assert stopped_at >= at - 45 or all(end <= stopped_at for end in ends)
    killed = [end for end, how in worker.job_ends if how == "killed"]
    assert all(end >= at - 15 and end - begin >= 100 for end in killed)
    assert all(end >= at - 45 for end, how in worker.job_ends if how == "left")


# Whatever the watch itself, and the metadata service, go through


def stories() -> List[Tuple[str, Any]]:
    """Names, and workers with all that is to happen to them; made anew for each."""

    def spot(worker: Worker) -> None:
        worker.runs_a_job(50)
        worker.announces("spot", "terminate", 120.0)

    def stubborn(worker: Worker) -> None:
        worker.job_takes = None
        worker.runs_a_job(NEVER)
        worker.announces("spot", "terminate", 120.0)

    def hanging(worker: Worker) -> None:
        worker.stop_takes = NEVER
        worker.announces("spot", "stop", 120.0)

    def rebalance(worker: Worker) -> None:
        worker.runs_a_job(50)
        worker.announces("rebalance", "rebalance")

    def autoscaling(worker: Worker) -> None:
        worker.job_takes = 70.0
        worker.runs_a_job(NEVER)
        worker.announces("autoscaling", "Terminated")

    def maintenance(worker: Worker) -> None:
        worker.announces("maintenance", "instance-stop", 700.0)
        worker.runs_a_job(NEVER)

    def lease(worker: Worker) -> None:
        worker.runs_a_job(NEVER)

    def failed(worker: Worker) -> None:
        worker.bootstrap, worker.runs, worker.is_wanted = "failed", False, False

    return [
        (found.__name__, found)
        for found in (spot, stubborn, hanging, rebalance, autoscaling, maintenance, lease, failed)
    ]


def lived(happens: Any, restarts: "frozenset[int]" = frozenset(), deaf: "frozenset[int]" = frozenset()) -> Worker:
    worker = Worker(
        on_rebalance="no-new-jobs",
        on_failure="poweroff",
        signals_autoscaling=True,
        lease_s=3630 + 100,
        idle_s=3600,
    )
    worker.lives(8)
    happens(worker)
    worker.turn()
    worker.restarts, worker.deaf = (
        frozenset(worker.turns + number for number in restarts),
        frozenset(worker.turns + number for number in deaf),
    )
    return worker.lives(300)


@pytest.mark.parametrize(("name", "happens"), stories())
@given(turns=TURNS)
def test_a_restart_of_the_watch_at_any_turn_changes_nothing(name: str, happens: Any, turns: "frozenset[int]") -> None:
    straight, restarted = lived(happens), lived(happens, restarts=turns)
    assert restarted.events == straight.events
    assert len(straight.names) > 1


@pytest.mark.parametrize(("name", "happens"), stories())
@given(turns=TURNS)
def test_a_metadata_service_that_is_away_changes_nothing(name: str, happens: Any, turns: "frozenset[int]") -> None:
    assert lived(happens, deaf=turns).events == lived(happens).events


@given(TURNS)
def test_a_notice_survives_the_loss_of_all_children_at_any_turn(turns: "frozenset[int]") -> None:
    worker, at = spotted()
    worker.runs_a_job(NEVER)
    worker.restarts = turns
    while worker.off_at is None and worker.now < at:
        if worker.turns in turns:
            worker.loses_its_children()
        worker.turn()
        worker._passes(4)
    assert worker.off_at is not None
    assert worker.off_at < at


@pytest.mark.parametrize("step", [3600.0, -3600.0])
@given(before=st.integers(1, 20), deaf_for=st.integers(1, 10))
def test_a_clock_that_is_set_loses_no_notice(step: float, before: int, deaf_for: int) -> None:
    """While EC2 gives no date the machine's own clock is set; then EC2's date tells how far it is off."""
    worker, at = spotted()
    worker.runs_a_job(NEVER)
    worker.turn()
    worker._passes(4)
    while worker.off_at is None and worker.now < at:
        is_deaf = before <= worker.turns < before + deaf_for
        worker.answers, worker.skew = not is_deaf, step if is_deaf else 0.0
        worker.turn()
        worker._passes(4)
    assert worker.times("stop") == [at - 44]
    assert worker.off_at == at - 36


@pytest.mark.parametrize("step", [3600.0, -3600.0])
@pytest.mark.parametrize("answers", [True, False])
def test_a_clock_that_is_set_ends_nothing(step: float, answers: bool) -> None:
    worker = Worker(idle_s=1800, unreachable_s=1800, on_unreachable="poweroff", on_failure="poweroff")
    worker.listed = False
    worker.lives(600)
    worker.skew, worker.answers = step, answers
    worker.lives(600)
    worker.skew, worker.answers = 0.0, True
    worker.lives(590)
    assert worker.names == []
    worker.lives(100)
    assert worker.names[:1] == ["no-new-jobs"] or worker.lines


def test_a_clock_that_was_wrong_at_the_boot_does_not_end_a_bootstrap_early() -> None:
    worker = Worker(on_failure="poweroff", grace_s=0)
    worker.uptime, worker.skew, worker.answers = 60.0, -3600.0, False
    worker.runs, worker.is_wanted, worker.bootstrap = False, False, "running"
    worker.lives(100)
    worker.skew, worker.answers = 0.0, True
    worker.lives(700)
    assert worker.names == []
    worker.lives(100)
    assert worker.off_at is not None


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


def test_an_event_that_is_taken_back_lets_the_machine_take_jobs() -> None:
    worker = Worker()
    worker.announces("maintenance", "system-reboot", 700.0)
    worker.lives(100)
    assert not worker.runs
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


@pytest.mark.parametrize("until_s", [None, 900.0])
def test_an_event_that_does_not_come_is_over(until_s: Optional[float]) -> None:
    worker = Worker()
    at = worker.announces("maintenance", "system-reboot", 300.0, until_s)
    worker.lives(1500)
    assert worker.names == ["no-new-jobs", "stop", "take-jobs"]
    assert at + 600 < worker.times("take-jobs")[0] <= at + 608
    assert worker.runs


def test_an_event_is_over_after_its_reboot_although_it_stays_active() -> None:
    worker = Worker()
    worker.announces("maintenance", "system-reboot", 100.0, 7200.0)
    worker.lives(110)
    assert not worker.runs
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


def test_a_launch_into_a_warm_pool_waits_for_the_bootstrap() -> None:
    worker = Worker(signals_autoscaling=True)
    worker.uptime, worker.runs, worker.is_wanted, worker.bootstrap = 60.0, False, False, "running"
    worker.announces("autoscaling", "Warmed:Stopped")
    worker.lives(60)
    assert worker.names == ["no-new-jobs", "signal heartbeat"]
    worker.somebody_starts()
    worker.lives(60)
    assert worker.names[2:] == ["signal success", "stop", "signal complete"] or worker.names[2:] == [
        *("stop", "signal success", "signal complete")
    ]


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


# The power-off itself


def test_a_power_off_that_fails_is_tried_again_once_it_is_over() -> None:
    worker, _at = spotted()
    worker.lives(40)
    assert worker.off_at is not None
    worker.off_at = None
    worker.under_way["power-off"] = (worker.now, None)
    worker.lives(20)
    assert worker.names.count("power-off") == 1
    del worker.under_way["power-off"]
    worker.turn()
    assert worker.names.count("power-off") == 2
    assert isinstance(worker.events[-1].act, PowerOff)


def test_a_held_machine_with_a_notice_is_drained_and_left_to_ec2() -> None:
    worker, _at = spotted()
    worker.is_held = True
    worker.lives(130)
    assert worker.names == ["no-new-jobs", "stop"]
    assert len(worker.lines) == 2


def test_nothing_is_said_twice() -> None:
    worker = leased(on_lease="keep", on_rebalance="ignore", idle_s=60, on_idle="keep")
    worker.announces("rebalance", "rebalance")
    worker.announces("maintenance", "system-reboot", 86400.0)
    worker.lives(4000)
    assert len(worker.lines) == len(set(worker.lines)) == 4
