"""A worker in an Auto Scaling group: told to leave by EC2 and asked back, then taken out of the group for good."""

from collections.abc import Callable

from . import aws, workload
from .booted import BootedMachine
from .jobs import IDLE
from .region import Region
from .test_agent_signals import GROUP
from .test_agent_units import SLOT, agent, slots, wait_for_state
from .test_interruption import WATCH
from .wait import wait_until

UNIT = "annex-agent.service"
LAUNCH, END = "annex-agent-launch", "annex-agent-end"


def told(region: Region) -> "list[tuple[str, str]]":
    return [(signal["Action"], signal.get("LifecycleActionResult", "")) for signal in region.aws.signals()]


def test_a_worker_comes_back_when_it_may_and_leaves_its_group_when_it_must(
    region: Region, pending: BootedMachine
) -> None:
    settings = {"interruption": {"poll": "1s", "rebalance": "drain"}, "stop": {"timeout": "20s"}}
    region.imds.attach_role()
    region.imds.become_spot()
    region.imds.update(workload.user_data(signal={"autoscaling": True}, **settings))
    instance = str(region.imds.profile["meta-data"]["instance-id"])
    region.aws.group(GROUP, "Pending:Wait", instance, LAUNCH)
    aws.at_boot(pending)
    pending.start()

    def await_(condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, what, 60, evidence=lambda: pending.journal(WATCH)[-4000:])

    await_(lambda: told(region) == [("CompleteLifecycleAction", "CONTINUE")], "the launch is answered")

    agent(pending, "hold")  # or it goes off as soon as it has left
    region.imds.recommend_rebalance()
    await_(lambda: slots(region) == [], "it has left its pool")
    region.imds.update({"meta-data": {"events": None}})
    await_(lambda: slots(region) == [SLOT], "it is back in its pool")
    wait_for_state(pending, UNIT, "active")
    assert [slot["Start"] for slot in region.pool.slots("Start")] == [True]
    agent(pending, "hold", "--release")

    job = workload.start_checkpointing(region.jobs, pending)
    region.aws.group(GROUP, "Terminating:Wait", instance, END)
    try:
        region.imds.set_lifecycle_state("Terminated")
        assert not pending.wait_until_off(timeout=60)
        assert slots(region) == []
        region.jobs.wait_for(job, IDLE)
        assert region.jobs.spooled(job, "checkpoint")
    finally:
        workload.remove(region.jobs, [job])
    first, *beats, last = told(region)
    assert first == last == ("CompleteLifecycleAction", "CONTINUE")
    assert beats
    assert set(beats) == {("RecordLifecycleActionHeartbeat", "")}
    assert "power" in pending.last_journal(WATCH)
