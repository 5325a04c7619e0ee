"""What a worker tells CloudFormation and Auto Scaling with ``annex-agent signal``, from behind its fence."""

import json

import pytest

from .machine import Machine
from .region import Region
from .test_agent import agent
from .topology import CM

STACK, RESOURCE, GROUP, HOOK = "my-annex", "Workers", "workers", "annex-agent-launch"
SIGNAL = {"cloudformation": {"stack": STACK, "resource": RESOURCE}, "autoscaling": True}


@pytest.fixture
def instance(region: Region, worker: Machine) -> str:
    """A worker that waits in its group, and is waited for in its stack; its instance id."""
    region.imds.attach_role()
    document = {"central_manager": CM.hostname, "aws": {"timeout": "3s"}, "signal": SIGNAL}
    region.imds.update({"user-data": f"#annex-agent\n{json.dumps(document)}"})
    known = str(region.imds.profile["meta-data"]["instance-id"])
    region.aws.stack(STACK, RESOURCE)
    region.aws.group(GROUP, "Pending:Wait", known, HOOK)
    return known


def test_a_worker_tells_both_of_its_success_and_nobody_twice(region: Region, worker: Machine, instance: str) -> None:
    environment = region.aws.environment
    agent(worker, "configure", env=environment)
    said = agent(worker, "signal", "success", "--dry-run", env=environment)
    assert "CloudFormation would be told that this instance is ready: SUCCESS for Workers" in said
    assert region.aws.signals() == []
    said = agent(worker, "signal", "success", env=environment)
    assert f"CONTINUE to the hook {HOOK} of the group {GROUP}" in said
    answer = {"LifecycleHookName": HOOK, "AutoScalingGroupName": GROUP, "InstanceId": instance}
    assert sorted(region.aws.signals(), key=lambda told: told["Action"]) == [
        {"Action": "CompleteLifecycleAction", **answer, "LifecycleActionResult": "CONTINUE"},
        {
            "Action": "SignalResource",
            "StackName": STACK,
            "LogicalResourceId": RESOURCE,
            "UniqueId": instance,
            "Status": "SUCCESS",
        },
    ]
    assert agent(worker, "signal", "success", env=environment).count("nothing is to be told to") == 2
    assert len(region.aws.signals()) == 2


def test_without_aws_it_says_who_was_not_told(region: Region, worker: Machine, instance: str) -> None:
    agent(worker, "configure", env=region.aws.environment)
    region.aws.stop()
    said = agent(worker, "signal", "failure", env=region.aws.environment, code=1)
    for service in ("CloudFormation", "Auto Scaling"):
        assert f"{service} was not told that this instance has failed" in said
    assert said.count("gave no answer within") == 2
