"""Whole stories of a worker's end: what is decided, turn by turn."""

from typing import Any, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.watch.model import PowerOff, Stop

from .simulated_worker import NEVER, Worker

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


@pytest.mark.parametrize(("poll_s", "before_s"), [(1, 5), (4, 4), (10, 10)])
def test_the_power_off_has_its_time_however_often_there_is_a_turn(poll_s: int, before_s: int) -> None:
    worker, at = spotted(stop_takes=NEVER, poll_s=poll_s)
    worker.lives(120, every=poll_s)
    assert worker.off_at == at - before_s


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
    assert worker.names[-1] == "stop"
    worker._passes(7200)
    worker.announcements.clear()
    worker.lives(20)
    assert worker.names[-1:] == ["take-jobs"]
    assert worker.runs
    assert worker.memory.leaving is None


def test_what_somebody_starts_before_ec2_stops_it_is_stopped_again() -> None:
    worker, _ = spotted(what="stop")
    worker.lives(20)
    worker.somebody_starts()
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "stop", "stop"]


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


def test_a_machine_that_ec2_has_not_terminated_in_time_takes_no_jobs_for_that() -> None:
    worker, _ = spotted()
    worker.is_held = True
    worker.lives(130)
    worker.announcements.clear()
    worker.lives(1000)
    assert worker.names == ["no-new-jobs", "stop"]


def test_a_notice_with_another_time_is_another_one() -> None:
    worker, at = spotted(300.0)
    worker.runs_a_job(NEVER)
    worker.lives(20)
    worker.announcements.clear()
    sooner = worker.announces("spot", "terminate", 100.0)
    worker.lives(120)
    assert sooner < at
    assert worker.memory.leaving is not None
    assert worker.memory.leaving.at == sooner
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


@pytest.mark.parametrize("happens", [happens for _, happens in stories()], ids=[name for name, _ in stories()])
@given(turns=TURNS)
def test_a_restart_of_the_watch_at_any_turn_changes_nothing(happens: Any, turns: "frozenset[int]") -> None:
    straight, restarted = lived(happens), lived(happens, restarts=turns)
    assert restarted.events == straight.events
    assert len(straight.names) > 1


@pytest.mark.parametrize("happens", [happens for _, happens in stories()], ids=[name for name, _ in stories()])
@given(turns=TURNS)
def test_a_metadata_service_that_is_away_changes_nothing(happens: Any, turns: "frozenset[int]") -> None:
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


def test_what_is_taken_back_too_late_is_done() -> None:
    worker = Worker(on_rebalance="drain", lease_s=3800)
    worker.announces("rebalance", "rebalance")
    worker.lives(20)
    assert worker.off_at is not None
    worker.off_at = None  # it has failed
    worker.announcements.clear()
    worker.turn()
    worker.lives(300)
    assert worker.names == ["no-new-jobs", "stop", "power-off", "power-off"]


def test_what_is_taken_back_may_not_be_all_that_there_is() -> None:
    worker = Worker(on_rebalance="no-new-jobs")
    worker.runs_a_job(NEVER)
    worker.announces("rebalance", "rebalance")
    worker.lives(20)
    worker.announces("maintenance", "system-reboot", 3000.0)
    del worker.announcements[0]
    worker.lives(20)
    assert worker.names == ["no-new-jobs", "no-new-jobs"]
    assert worker.memory.leaving is not None
    assert worker.memory.leaving.why == "maintenance"


def test_a_held_machine_with_a_notice_is_drained_and_left_to_ec2() -> None:
    worker, _at = spotted()
    worker.is_held = True
    worker.lives(130)
    assert worker.names == ["no-new-jobs", "stop"]
    assert len(worker.lines) == 2


def test_nothing_is_said_twice() -> None:
    worker = Worker(lease_s=3730, on_lease="keep", on_rebalance="ignore", idle_s=60, on_idle="keep")
    worker.announces("rebalance", "rebalance")
    worker.announces("maintenance", "system-reboot", 86400.0)
    worker.lives(4000)
    assert len(worker.lines) == len(set(worker.lines)) == 4
