"""A worker whose time is over, or for which there is no work, goes off by itself; one that somebody holds does not."""

import json
import time

from . import aws, workload
from .booted import BootedMachine
from .jobs import IDLE
from .observer import Observer, report
from .region import Region
from .test_agent_signals import RESOURCE, STACK
from .test_agent_units import agent, wait_for_state
from .test_interruption import WATCH
from .wait import wait_until

UNIT, CONDOR = "annex-agent.service", "condor.service"
TERMS = "/run/annex-agent/terms.json"
QUICK = {"poll": "1s"}


def hasten(machine: BootedMachine, **seconds: int) -> None:
    """Make times on which the worker's terms agree shorter than settings may be."""
    terms = json.loads(machine.read(TERMS))
    terms["settings"].update(seconds)
    machine.write(TERMS, json.dumps(terms))


def said_at(machine: BootedMachine, words: str) -> float:
    """When the watch first said so; 0 if it has not."""
    entries = (json.loads(line) for line in machine.journal(WATCH, output="json").splitlines())
    times = (int(entry["__REALTIME_TIMESTAMP"]) / 1e6 for entry in entries if words in str(entry["MESSAGE"]))
    return next(times, 0.0)


def test_a_lease_ends_at_its_time_whoever_is_restarted_before(region: Region, pending: BootedMachine) -> None:
    signal = {"cloudformation": {"stack": STACK, "resource": RESOURCE}}
    region.imds.attach_role()
    region.imds.update(workload.user_data(lifetime={"lease": "1h"}, interruption=QUICK, signal=signal))
    launched = region.imds.launch(seconds_ago=600)
    region.aws.stack(STACK, RESOURCE)
    aws.at_boot(pending)
    pending.start()
    pending.systemctl("restart", UNIT)
    job = workload.start_checkpointing(region.jobs, pending)
    lease_s = round(time.time() - launched) + 10
    end = launched + lease_s
    hasten(pending, lease_s=lease_s)
    region.imds.misbehave([{"path": "dynamic/*", "status": 503}])  # who has forgotten the launch cannot ask again
    pending.systemctl("restart", WATCH)
    assert "the lease ends at" in agent(pending, "status")
    try:
        with Observer(region.pool, pending) as observer:
            leaving = observer.wait_for_leaving("lease", timeout=60)
            off = observer.wait_until_off_before(time.time() + 60)
        assert end <= leaving < observer.no_slot_since() < off
        region.jobs.wait_for(job, IDLE)
        assert region.jobs.spooled(job, "checkpoint")
    finally:
        workload.remove(region.jobs, [job])
    assert [told["Status"] for told in region.aws.signals()] == ["SUCCESS"]
    report({"lease's end -> START is false": leaving - end, "lease's end -> off": off - end})


def test_a_lease_that_ends_during_a_restart_is_kept(region: Region, pending: BootedMachine) -> None:
    region.imds.update(workload.user_data(lifetime={"lease": "10m"}, interruption=QUICK))
    end = region.imds.launch(seconds_ago=600 - 20) + 600
    pending.start()
    wait_until(lambda: time.time() > end - 1, "the lease is about to end", 60)
    pending.systemctl("restart", "--no-block", UNIT, WATCH, check=False)
    assert not pending.wait_until_off(timeout=60)
    assert "lease" in pending.last_journal(WATCH)


def test_an_idle_worker_goes_unless_it_is_held_and_a_restart_of_htcondor_is_work_enough(
    region: Region, pending: BootedMachine
) -> None:
    idle_s = 8
    region.imds.update(workload.user_data(lifetime={"idle": "1h"}, interruption=QUICK))
    pending.start()
    hasten(pending, idle_s=idle_s)
    pending.systemctl("restart", CONDOR)
    wait_for_state(pending, UNIT, "active")
    restarted = time.time()
    agent(pending, "hold")
    hasten(pending, idle_s=idle_s)
    wait_until(lambda: said_at(pending, "held"), "it would go, were it not held", 60, evidence=pending.journal)
    assert said_at(pending, "held") > restarted + idle_s / 2
    assert [slot["Start"] for slot in region.pool.slots("Start")] == [True]
    agent(pending, "hold", "--release")
    with Observer(region.pool, pending) as observer:
        observer.wait_until_off_before(time.time() + 60)
    assert observer.no_slot_since()
    assert "idle" in pending.last_journal(WATCH)
