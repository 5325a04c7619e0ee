"""A spot instance is taken back: what becomes of its jobs, of its slot, and of the machine.

The jobs and what each of them is to live through: see ``workload``.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

import pytest

from . import workload
from .booted import BootedMachine
from .jobs import COMPLETED, IDLE
from .observer import Observer, report
from .pool import end_daemons
from .region import Region
from .wait import wait_until
from .workload import Workload

WATCH = "annex-agent-watch.service"
# A notice of less than EC2's two minutes needs less of them: so much is for the jobs, and they are told so late.
NOTICE_S, VACATE_S, SHORT_S = 42, 20, 10
BRIEF = {"vacate": f"{VACATE_S}s", "poll": "1s"}
# What a service says that has lost its tokens, is overwhelmed, is somebody else, or sends half of it.
BAD_DAY = (
    {"path": "meta-data/*", "status": 401, "times": 3},
    {"path": "meta-data/*", "status": 503, "times": 3},
    {"path": "meta-data/*", "body": "<html>a proxy's login page</html>", "times": 3},
    {"path": "meta-data/*", "truncate": 5, "times": 3},
    {"path": "meta-data/*", "reset": True, "times": 3},
)


def boot(region: Region, machine: BootedMachine, interruption: Optional[Mapping[str, Any]] = None) -> None:
    """A spot instance, in its pool."""
    region.imds.become_spot()
    region.imds.update(workload.user_data(interruption=interruption or {}))
    machine.start()
    assert machine.state(WATCH) == "active", machine.journal(WATCH)
    assert region.pool.slots("Name"), machine.journal()


def expect_fates(region: Region, machine: BootedMachine, jobs: Workload) -> None:
    """Each job has had what was left for it; the machine is off."""
    short = region.jobs.ad(jobs.short)
    assert (short["JobStatus"], short["NumJobStarts"]) == (COMPLETED, 1)
    assert region.jobs.file(jobs.short) == "done\n"
    for cluster in (jobs.checkpointing, jobs.stubborn):  # its shadow hears of the end a moment later
        region.jobs.wait_for(cluster, IDLE)
        assert workload.is_requeued(region.jobs, cluster)
    arrived = region.jobs.spooled(jobs.checkpointing, "checkpoint")
    assert arrived, "the checkpoint is at the submit node"
    assert float(arrived) > workload.noted(machine, "checkpointing-told"), "it is that of the end"
    assert workload.has_never_started(region.jobs, jobs.waiting)


def tell(machine: BootedMachine, notice: float, action: float, off: float) -> None:
    """How it went, in figures."""
    report(
        {
            "notice -> a job is told to leave": workload.noted(machine, "stubborn-told") - notice,
            "notice -> the job that stays is killed": workload.noted(machine, "stubborn-alive") - notice,
            "off before EC2 acts": action - off,
        }
    )


def tell_of_the_slot(observer: Observer, action: float) -> None:
    """How the collector saw it."""
    report(
        {
            "last daemon ended -> no slot": observer.no_slot_since() - observer.no_daemon_since(),
            "no slot before EC2 acts": action - observer.no_slot_since(),
        }
    )


def test_two_minutes_are_used(region: Region, pending: BootedMachine) -> None:
    boot(region, pending)
    jobs = workload.start(region.jobs, pending)
    with Observer(region.pool, pending) as observer:
        notice = time.time()
        action = region.imds.announce_spot(120)
        closed = observer.wait_for_leaving("spot", timeout=30)
        constraint = f'AnnexLeaving == "spot" && AnnexLeavingTime == {action}'
        assert len(region.pool.ads("-constraint", constraint)) == len(region.pool.slots("Name"))
        assert "EC2 terminates this spot instance at" in pending.run(["annex-agent", "status"]).stdout
        region.jobs.wait_for(jobs.short)
        off = observer.wait_until_off_before(action)
    try:
        expect_fates(region, pending, jobs)
        told, killed = (workload.noted(pending, f"stubborn-{what}") for what in ("told", "alive"))
        assert closed < told < killed < observer.no_slot_since() < off < action
        # A quarter of the two minutes would be too much to lose.
        assert told - notice > 60
        assert killed - notice > 90
    finally:
        workload.remove(region.jobs, jobs)
    report({"notice -> START is false": closed - notice})
    tell(pending, notice, action, off)
    tell_of_the_slot(observer, action)


def kill_watch(machine: BootedMachine) -> None:
    """It has no time to say a word; systemd starts it again."""
    before = machine.show(WATCH, "MainPID")
    machine.systemctl("kill", "--signal=KILL", WATCH)
    wait_until(
        lambda: machine.show(WATCH, "MainPID") not in (before, "0") and machine.state(WATCH) == "active",
        "the watch is back",
        30,
        evidence=lambda: machine.journal(WATCH),
    )


def test_a_rebalance_recommendation_a_bad_day_of_the_metadata_service_and_the_death_of_the_watch(
    region: Region, pending: BootedMachine
) -> None:
    boot(region, pending, {**BRIEF, "rebalance": "no-new-jobs"})
    jobs = workload.start(region.jobs, pending, SHORT_S)
    with Observer(region.pool, pending) as observer:
        region.imds.recommend_rebalance()
        observer.wait_for_leaving("rebalance", timeout=20)
        region.imds.misbehave(BAD_DAY[:3])
        notice = time.time()
        action = region.imds.announce_spot(NOTICE_S)
        observer.wait_for_leaving("spot", timeout=NOTICE_S - VACATE_S)
        region.imds.misbehave([{**fault, "times": 10} for fault in BAD_DAY])  # from now on, until it is over
        kill_watch(pending)
        off = observer.wait_until_off_before(action)
    try:
        expect_fates(region, pending, jobs)
        assert observer.no_slot_since() < action
    finally:
        workload.remove(region.jobs, jobs)
    tell(pending, notice, action, off)
    tell_of_the_slot(observer, action)


def refuse(region: Region) -> None:
    """There is no collector any more."""
    end_daemons(region.cm)


def hang(region: Region) -> None:
    """It takes connections, and never answers: each daemon waits for it in turn."""
    region.cm.run(["pkill", "-STOP", "-f", "condor_collector"])


@pytest.fixture
def lose_collector(region: Region, request: "pytest.FixtureRequest") -> Iterator[Callable[[], None]]:
    """Takes the collector away, in the way that is asked for; it is back after the test, and lists nobody."""
    yield lambda: request.param(region)
    if request.param is hang:
        region.cm.run(["pkill", "-CONT", "-f", "condor_collector"])
        end_daemons(region.cm)
    region.pool.start_central_manager()


# A daemon that tells one that hangs something is deaf meanwhile: jobs need all the time that they have to leave.
@pytest.mark.parametrize(
    ("lose_collector", "notice_s", "interruption"),
    [(refuse, NOTICE_S, BRIEF), (hang, NOTICE_S + 25, {"poll": "1s"})],
    indirect=["lose_collector"],
    ids=["refuses", "hangs"],
)
def test_without_a_collector(
    region: Region,
    pending: BootedMachine,
    lose_collector: Callable[[], None],
    notice_s: int,
    interruption: Mapping[str, Any],
) -> None:
    boot(region, pending, interruption)
    jobs = workload.start(region.jobs, pending, SHORT_S)
    lose_collector()
    with Observer(region.pool, pending) as observer:
        notice = time.time()
        action = region.imds.announce_spot(notice_s)
        off = observer.wait_until_off_before(action)
        assert observer.no_daemon_since() < off
    try:
        expect_fates(region, pending, jobs)
    finally:
        workload.remove(region.jobs, jobs)
    tell(pending, notice, action, off)
