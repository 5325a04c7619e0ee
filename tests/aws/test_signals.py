"""``signal``: what CloudFormation and Auto Scaling are told as the instance's role, and each way not to be told."""

import json
import logging
import re
import socket
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

from annex_agent import signalling, terms
from annex_agent.aws import Deadline
from annex_agent.check.finding import OK, PROBLEM, WARNING, Judgement
from annex_agent.check.scene import Scene
from annex_agent.check.signals import signals
from annex_agent.cli import main
from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import bundled
from annex_agent.errors import SignalError
from annex_agent.gather import Wanted
from annex_agent.iam_policy import least_policy
from annex_agent.lifecycle_hooks import ours
from annex_agent.logs import LOG
from annex_agent.machine import local_machine
from annex_agent.model import Settings
from annex_agent.signal_message import EVENTS
from annex_agent.system import System
from annex_agent.terms import Terms

from .conftest import boto3  # noqa: F401 - skips where it is missing
from .server import ACCOUNT, Server
from .waiting import error

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/signals.md").read_text(encoding="utf-8")
REGION, INSTANCE = "us-west-2", "i-0f1e2d3c4b5a69788"  # of the spot profile
STACK, RESOURCE, GROUP = "my-annex", "Workers", "workers"
LAUNCH, END = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
STACK_ONLY = Settings(cloudformation_stack=STACK, cloudformation_resource=RESOURCE, aws_timeout_s=20)
GROUP_ONLY = Settings(signals_autoscaling=True, aws_timeout_s=20)
BOTH = STACK_ONLY._replace(signals_autoscaling=True)
SECRETS = ("made up by the emulator", "ASIAMADEUPBYEMULATOR")
SIGNAL = {"Action": "SignalResource", "StackName": STACK, "LogicalResourceId": RESOURCE, "UniqueId": INSTANCE}


@pytest.fixture
def imds() -> Iterator[Emulator]:
    with Emulator(bundled("spot")) as running:
        yield running


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self.seconds: List[float] = []
        self._meanwhile = meanwhile

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._meanwhile()

    def deadline(self, seconds: float) -> Deadline:
        self.seconds.append(seconds)
        return Deadline(seconds, clock=self, sleep=self.sleep)


class Told:
    """What the command printed and logged, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Worker:
    """An instance with these settings, on which ``annex-agent signal`` is run."""

    def __init__(self, imds: Emulator, root: Path, capfd: "pytest.CaptureFixture[str]") -> None:
        self.imds, self.root, self._capfd = imds, root, capfd
        self.terms = Terms(BOTH, INSTANCE, REGION, ACCOUNT)

    def keep(self, settings: Settings, **more: Any) -> None:
        self.terms = self.terms._replace(settings=settings, **more)
        path = self.root / terms.PATH.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(terms.text(self.terms))

    def signal(self, event: str, settings: Optional[Settings] = None, *options: str) -> Told:
        if settings:
            self.keep(settings)
        self._capfd.readouterr()
        code = main(["signal", event, "--root", str(self.root), *options])
        out, err = self._capfd.readouterr()
        assert not [secret for secret in SECRETS if secret in out + err]
        assert code in (0, 1)
        assert bool(err) == bool(code) or "trying again" in err or options
        return Told(code, out, err)

    def failure(self, event: str, settings: Settings) -> str:
        """Why somebody was not told."""
        told = self.signal(event, settings)
        assert told.code == 1
        (line,) = [line for line in told.err.splitlines() if "error: " in line]
        return line.partition("error: ")[2]


@pytest.fixture
def worker(
    aws: Server,
    imds: Emulator,
    tmp_path: Path,
    monkeypatch: "pytest.MonkeyPatch",
    capfd: "pytest.CaptureFixture[str]",
) -> Worker:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "root"
    root.mkdir()
    return Worker(imds, root, capfd)


def template() -> str:
    """The guide's own."""
    (text,) = re.findall(r"^```yaml\n(Parameters:.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(text)


def make_stack(aws: Server) -> None:
    values = {"Image": "ami-12c6146b", "InstanceProfile": "annex-worker", "Zones": f"{REGION}a"}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    aws.call("iam", "create_instance_profile", InstanceProfileName="annex-worker")
    aws.call("cloudformation", "create_stack", StackName=STACK, TemplateBody=template(), Parameters=parameters)


def make_group(aws: Server, state: str, **hooks: str) -> None:
    """The instance is in the group, in a state; of the hooks, the names (``-`` as ``_``) and their transitions."""
    for name, transition in hooks.items():
        aws.call(
            "autoscaling",
            "put_lifecycle_hook",
            AutoScalingGroupName=GROUP,
            LifecycleHookName=name.replace("_", "-"),
            LifecycleTransition=transition,
        )
    aws.waiting.place(INSTANCE, GROUP, state)


def refused(code: str, message: str = "", status: int = 400) -> Dict[str, Any]:
    return {"status": status, "body": error(code, message), "headers": {"Content-Type": "text/xml"}}


def answer(hook: str, result: str) -> Dict[str, str]:
    return {
        "Action": "CompleteLifecycleAction",
        "LifecycleHookName": hook,
        "AutoScalingGroupName": GROUP,
        "LifecycleActionResult": result,
        "InstanceId": INSTANCE,
    }


class TestCloudFormation:
    @pytest.mark.parametrize(("event", "status"), [("success", "SUCCESS"), ("failure", "FAILURE")])
    def test_it_is_told(self, aws: Server, worker: Worker, event: str, status: str) -> None:
        make_stack(aws)
        told = worker.signal(event, STACK_ONLY)
        assert told.code == 0
        said = f"this instance {EVENTS[event]}: {status} for {RESOURCE} in the stack {STACK}"
        assert told.out == f"CloudFormation was told that {said}\n"
        assert aws.waiting.told == [{**SIGNAL, "Status": status}]
        assert aws.requests == ["SignalResource 200"]
        assert set(aws.signers()) == {"ASIAMADEUPBYEMULATOR"}

    @pytest.mark.parametrize("event", ["complete", "abandon", "heartbeat"])
    def test_of_an_end_it_wants_to_know_nothing(self, aws: Server, worker: Worker, event: str) -> None:
        told = worker.signal(event, STACK_ONLY)
        assert told.code == 0
        assert told.out.startswith("nothing is to be told: the settings (signal) name nobody who is to know that this")
        assert aws.requests == []
        assert worker.imds.requests == []

    def test_a_stack_that_is_complete_waits_for_nothing(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        aws.waiting.settle(STACK)
        told = worker.signal("success", STACK_ONLY)
        assert told.code == 0
        assert told.out == (
            "nothing is to be told to CloudFormation: it waits for no signal of this instance for Workers in the stack "
            "my-annex\n"
        )
        assert aws.requests == ["SignalResource 400"]

    def test_twice_is_as_good_as_once(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        worker.signal("success", STACK_ONLY)
        told = worker.signal("success")
        assert told.code == 0
        assert "waits for no signal of this instance" in told.out
        assert len(aws.waiting.told) == 1
        assert worker.signal("failure").code == 0
        assert [signal["Status"] for signal in aws.waiting.told] == ["SUCCESS", "FAILURE"]

    @pytest.mark.parametrize(
        "settings",
        [
            STACK_ONLY._replace(cloudformation_stack="no-such-stack"),
            STACK_ONLY._replace(cloudformation_resource="NoSuchResource"),
        ],
    )
    def test_a_name_that_is_wrong_is_told_at_once(self, aws: Server, worker: Worker, settings: Settings) -> None:
        make_stack(aws)
        said = worker.failure("success", settings)
        stack, resource = settings.cloudformation_stack, settings.cloudformation_resource
        assert said == (
            "CloudFormation was not told that this instance is ready: there is no stack "
            f"{stack} in {REGION}, or no resource {resource} in it; correct signal.cloudformation in the settings"
        )
        assert len(aws.requests) == 1

    def test_another_validation_error_is_an_error(self, aws: Server, worker: Worker) -> None:
        aws.fail("SignalResource", **refused("ValidationError", "Value at 'uniqueId' is too long"))
        assert "the signal for Workers in the stack my-annex was not given: 127.0.0.1" in worker.failure(
            "success", STACK_ONLY
        )

    def test_an_endpoint_of_its_own(self, aws: Server, worker: Worker, monkeypatch: "pytest.MonkeyPatch") -> None:
        make_stack(aws)
        make_group(aws, "Pending:Wait", launch=LAUNCH)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        for name in ("CLOUDFORMATION", "AUTO_SCALING"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", aws.url)
        assert worker.signal("success", BOTH).code == 0


class TestAutoScaling:
    @pytest.mark.parametrize(
        ("event", "state", "expected"),
        [
            ("success", "Pending:Wait", ("launch", "CONTINUE")),
            ("failure", "Pending:Wait", ("launch", "ABANDON")),
            ("success", "Warmed:Pending:Wait", ("launch", "CONTINUE")),
            ("complete", "Terminating:Wait", ("end", "CONTINUE")),
            ("abandon", "Terminating:Wait", ("end", "ABANDON")),
            ("complete", "Warmed:Terminating:Wait", ("end", "CONTINUE")),
        ],
    )
    def test_the_hook_is_answered(
        self, aws: Server, worker: Worker, event: str, state: str, expected: Tuple[str, str]
    ) -> None:
        hook, result = expected
        make_group(aws, state, launch=LAUNCH, end=END)
        told = worker.signal(event, GROUP_ONLY)
        assert told.code == 0
        words = f"{result} to the hook {hook} of the group {GROUP}"
        assert told.out == f"Auto Scaling was told that this instance {EVENTS[event]}: {words}\n"
        assert aws.waiting.told == [answer(hook, result)]
        assert aws.waiting.state(INSTANCE) == state.replace("Wait", "Proceed")
        assert "waits in no hook" in worker.signal(event).out

    @pytest.mark.parametrize(("state", "hook"), [("Pending:Wait", "launch"), ("Terminating:Wait", "end")])
    def test_a_heartbeat_is_for_the_hook_that_the_instance_waits_in(
        self, aws: Server, worker: Worker, state: str, hook: str
    ) -> None:
        make_group(aws, state, launch=LAUNCH, end=END)
        told = worker.signal("heartbeat", GROUP_ONLY)
        assert told.out.endswith(f"needs more time: a heartbeat for the hook {hook} of the group {GROUP}\n")
        (heartbeat,) = aws.waiting.told
        assert (heartbeat["Action"], heartbeat["LifecycleHookName"]) == ("RecordLifecycleActionHeartbeat", hook)
        assert aws.waiting.state(INSTANCE) == state

    @pytest.mark.parametrize(
        ("event", "state", "says"),
        [
            ("success", "InService", "is InService in the group workers, and waits in no hook of its launch"),
            ("failure", "InService", "waits in no hook of its launch"),
            ("success", "Terminating:Wait", "waits in no hook of its launch"),
            ("success", "Pending:Proceed", "waits in no hook of its launch"),
            ("complete", "Pending:Wait", "waits in no hook of its end"),
            ("heartbeat", "InService", "waits in no hook of its launch or its end"),
            ("heartbeat", "Terminating", "waits in no hook of its launch or its end"),
        ],
    )
    def test_an_instance_that_does_not_wait_has_nothing_to_tell(
        self, aws: Server, worker: Worker, event: str, state: str, says: str
    ) -> None:
        make_group(aws, state, launch=LAUNCH, end=END)
        told = worker.signal(event, GROUP_ONLY)
        assert told.code == 0
        assert says in told.out
        assert told.out.startswith("nothing is to be told to Auto Scaling: this instance")
        asked = ["DescribeAutoScalingInstances 200", "DescribeLifecycleHooks 200"]
        assert aws.requests == asked[: 2 if state == "Terminating" else 1]

    def test_in_no_group(self, aws: Server, worker: Worker) -> None:
        aws.waiting.place("i-0123456789abcdef0", GROUP, "Pending:Wait")
        told = worker.signal("success", GROUP_ONLY)
        assert (told.code, told.out) == (
            0,
            "nothing is to be told to Auto Scaling: this instance is in none of its groups\n",
        )

    def test_in_a_group_without_such_a_hook(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending:Wait", end=END)
        told = worker.signal("success", GROUP_ONLY)
        assert told.code == 0
        assert "the group workers has no hook of its launch" in told.out
        assert aws.waiting.told == []

    def test_a_boot_that_is_faster_than_auto_scaling_waits_for_it(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending", launch=LAUNCH)
        clock = Clock(lambda: aws.waiting.place(INSTANCE, GROUP, "Pending:Wait"))
        worker.keep(GROUP_ONLY)
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": worker.imds.url, "AWS_ENDPOINT_URL": aws.url}
        assert signalling.signal("success", worker.root, environ, clock.deadline) == 0
        assert aws.waiting.told == [answer("launch", "CONTINUE")]
        assert clock.now > 0

    def test_but_not_for_ever(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending", launch=LAUNCH)
        said = worker.failure("success", GROUP_ONLY._replace(aws_timeout_s=1))
        assert "this instance is still Pending in the group workers, which takes no answer yet; run" in said
        assert aws.waiting.told == []

    def test_nor_where_there_is_no_hook_to_wait_for(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending", end=END)
        told = worker.signal("success", GROUP_ONLY)
        assert (told.code, len(aws.requests)) == (0, 2)
        assert "has no hook of its launch" in told.out

    def test_somebody_else_may_have_answered_in_the_meantime(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending:Wait", launch=LAUNCH)
        none = f"No active Lifecycle Action found with instance ID {INSTANCE}"
        aws.fail("CompleteLifecycleAction", **refused("ValidationError", none))
        told = worker.signal("success", GROUP_ONLY)
        assert told.code == 0
        assert "this instance waits in the hook launch of the group workers no more" in told.out

    def test_each_hook_of_the_kind_is_answered(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending:Wait", one=LAUNCH, two=LAUNCH, end=END)
        assert worker.signal("success", GROUP_ONLY).code == 0
        assert aws.waiting.told == [answer("one", "CONTINUE"), answer("two", "CONTINUE")]

    def test_but_those_of_others_are_theirs_where_one_bears_our_name(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Terminating:Wait", collect_logs=END, annex_agent_end=END)
        assert worker.signal("complete", GROUP_ONLY).code == 0
        assert aws.waiting.told == [answer("annex-agent-end", "CONTINUE")]
        assert aws.waiting.state(INSTANCE) == "Terminating:Wait"
        assert ours(("a", "annex-agent", "my-annex-agent-hook")) == ("annex-agent", "my-annex-agent-hook")

    def test_one_hook_s_trouble_does_not_keep_another_from_its_answer(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending:Wait", one=LAUNCH, two=LAUNCH)
        aws.fail("CompleteLifecycleAction", **refused("InvalidParameterValue"))
        said = worker.failure("success", GROUP_ONLY)
        assert "the answer to the hook one of the group workers was not given" in said
        assert aws.waiting.told == [answer("two", "CONTINUE")]


class TestBoth:
    def test_both_are_told(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        make_group(aws, "Pending:Wait", launch=LAUNCH)
        told = worker.signal("success", BOTH)
        assert [line.partition(" was told")[0] for line in told.out.splitlines()] == ["CloudFormation", "Auto Scaling"]
        assert sorted(signal["Action"] for signal in aws.waiting.told) == ["CompleteLifecycleAction", "SignalResource"]

    @pytest.mark.parametrize(
        ("target", "failed", "told"),
        [
            ("SignalResource", "CloudFormation", "Auto Scaling"),
            ("Describe", "Auto Scaling", "CloudFormation"),
        ],
    )
    def test_one_is_told_where_the_other_cannot_be(
        self, aws: Server, worker: Worker, target: str, failed: str, told: str
    ) -> None:
        make_stack(aws)
        make_group(aws, "Pending:Wait", launch=LAUNCH)
        aws.fail(target, times=100, **refused("Surprise"))
        said = worker.signal("success", BOTH)
        assert said.code == 1
        assert said.out.startswith(f"{told} was told that this instance is ready")
        assert f"{failed} was not told that this instance is ready" in said.err
        assert f"{told} was not" not in said.err

    def test_neither_waits_for_the_other(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending:Wait", launch=LAUNCH)
        aws.fail("SignalResource", times=1000, status=503)
        seen: List[int] = []

        def meanwhile() -> None:  # CloudFormation's first pause lasts until Auto Scaling has been told
            deadline = time.monotonic() + 20
            while not aws.waiting.told and not seen and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(len(aws.waiting.told))

        worker.keep(BOTH)
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": worker.imds.url, "AWS_ENDPOINT_URL": aws.url}
        with pytest.raises(SignalError, match="CloudFormation was not told"):
            signalling.signal("success", worker.root, environ, Clock(meanwhile).deadline)
        assert seen[0] == 1

    def test_the_error_names_both(self, aws: Server, worker: Worker) -> None:
        aws.fail("", times=100, **refused("Surprise"))
        said = worker.failure("failure", BOTH)
        assert re.match("CloudFormation was not told that .*; and Auto Scaling was not told that this", said)

    def test_neither_is_asked_for(self, aws: Server, worker: Worker) -> None:
        for event in EVENTS:
            told = worker.signal(event, Settings())
            assert told.code == 0
            assert told.out.startswith("nothing is to be told:")
            assert told.out.count("\n") == 1
        assert aws.requests == []
        assert worker.imds.requests == []

    def test_a_dry_run_tells_nobody(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        make_group(aws, "Pending:Wait", launch=LAUNCH)
        told = worker.signal("failure", BOTH, "--dry-run")
        assert told.code == 0
        assert told.out == (
            "CloudFormation would be told that this instance has failed: FAILURE for Workers in the stack my-annex\n"
            "Auto Scaling would be told that this instance has failed: "
            "ABANDON to the hook launch of the group workers\n"
        )
        assert aws.waiting.told == []
        assert aws.requests == ["DescribeAutoScalingInstances 200", "DescribeLifecycleHooks 200"]

    def test_the_least_policy_is_enough_and_no_more_is_needed(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        policy = least_policy(BOTH, REGION, ACCOUNT)
        for settings in (STACK_ONLY, GROUP_ONLY):
            own = least_policy(settings, REGION, ACCOUNT)["Statement"]
            assert [statement for statement in policy["Statement"] if statement in own] == own
        events = {"success": "Pending:Wait", "heartbeat": "Terminating:Wait", "complete": "Terminating:Wait"}
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": worker.imds.url, "AWS_ENDPOINT_URL": aws.url}
        worker.keep(BOTH)
        single = [
            {**statement, "Action": action}
            for statement in policy["Statement"]
            for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        ]
        assert len(single) == 5
        for left_out in (None, *single):
            aws.reset()
            aws.region = REGION
            make_stack(aws)
            aws.grant({"Statement": [statement for statement in single if statement != left_out]})
            refusals = []
            for event, state in events.items():
                make_group(aws, state, launch=LAUNCH, end=END)
                try:
                    signalling.signal(event, worker.root, environ, Clock().deadline)
                except SignalError as err:
                    refusals.append(str(err))
            assert bool(refusals) == bool(left_out)
            if left_out:
                resource = left_out["Resource"].replace("autoScalingGroupName/*", f"autoScalingGroupName/{GROUP}")
                assert f"it may not {left_out['Action']} on {resource} (no policy of its allows it)" in refusals[0]


class TestPatience:
    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 503},
            {"status": 500, "body": "<html>"},
            refused("Throttling", "Rate exceeded"),
            refused("InternalFailure", status=500),
            refused("ResourceContention", "You already have a pending update", status=500),
            refused("ResourceContention", "You already have a pending update"),
        ],
    )
    def test_what_passes_is_tried_again(self, aws: Server, worker: Worker, fault: Dict[str, Any]) -> None:
        make_stack(aws)
        aws.fail("SignalResource", times=2, **fault)
        told = worker.signal("success", STACK_ONLY)
        assert told.code == 0
        assert len(aws.requests) == 3
        assert len(aws.waiting.told) == 1
        assert re.fullmatch(
            r"annex-agent: the signal for [\w -]+: 127.0.0.1:\d+ answered \w+, trying again\n", told.err
        )

    def run(self, worker: Worker, clock: Clock, url: str, settings: Settings = BOTH) -> str:
        """The failure where time passes by pauses alone."""
        worker.keep(settings._replace(aws_timeout_s=120))
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": worker.imds.url, "AWS_ENDPOINT_URL": url}
        with pytest.raises(SignalError) as caught:
            signalling.signal("success", worker.root, environ, clock.deadline)
        assert caught.value.exit_code == 1
        assert clock.seconds == [30.0]
        assert clock.now <= 30.0
        return str(caught.value)

    def test_where_nothing_listens_it_ends_after_30_s(self, worker: Worker) -> None:
        clock = Clock()
        said = self.run(worker, clock, "http://127.0.0.1:1", STACK_ONLY)
        assert clock.now > 20.0
        assert re.match(
            r"CloudFormation was not told that this instance is ready: the signal for Workers in the stack my-annex "
            r"cannot be given: 127.0.0.1:1 gave no answer within \d\d s .*VPC endpoint for cloudformation",
            said,
        )

    def test_aws_timeout_may_say_less(self, worker: Worker) -> None:
        worker.keep(STACK_ONLY._replace(aws_timeout_s=7))
        clock = Clock()
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": worker.imds.url, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
        with pytest.raises(SignalError):
            signalling.signal("success", worker.root, environ, clock.deadline)
        assert clock.seconds == [7]
        assert clock.now <= 7.0

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            (refused("Throttling"), "answered Throttling for"),
            ({"status": 503}, "answered 503 for .* the service's own trouble"),
        ],
    )
    def test_what_does_not_pass_ends_after_30_s(
        self, aws: Server, worker: Worker, fault: Dict[str, Any], says: str
    ) -> None:
        clock = Clock()
        aws.fail("", times=10_000, **fault)
        assert re.search(says, self.run(worker, clock, aws.url, STACK_ONLY))
        assert clock.now > 20.0
        assert 5 < len(aws.requests) < 30

    def test_a_denial_is_final_once_the_role_has_had_its_time(self, aws: Server, worker: Worker) -> None:
        clock = Clock()
        aws.grant({"Statement": []})
        said = self.run(worker, clock, aws.url, STACK_ONLY)
        assert 8.0 < clock.now <= 15.0
        assert said == (
            "CloudFormation was not told that this instance is ready: the signal for Workers in the stack my-annex is "
            "refused to the role annex-worker: "
            f"it may not cloudformation:SignalResource on arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/* "
            "(no policy of its allows it); annex-agent check prints the least policy that lets it"
        )

    def test_a_role_that_was_just_made_is_given_time(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        aws.fail("SignalResource", times=2, **refused("AccessDenied", status=403))
        assert worker.signal("success", STACK_ONLY).code == 0

    @pytest.mark.timeout(60)
    def test_where_nothing_is_ever_answered(self, worker: Worker, monkeypatch: "pytest.MonkeyPatch") -> None:
        with socket.create_server(("127.0.0.1", 0)) as hole:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{hole.getsockname()[1]}")
            said = worker.failure("success", BOTH._replace(aws_timeout_s=1))
        assert said.count("gave no answer within") == 2

    @pytest.mark.timeout(60)
    def test_where_the_metadata_service_is_away(self, worker: Worker, monkeypatch: "pytest.MonkeyPatch") -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
        said = worker.failure("success", BOTH._replace(aws_timeout_s=1))
        assert said.startswith("CloudFormation was not told that this instance is ready: the signal for Workers")
        assert "Auto Scaling was not told that this instance is ready: the state of this instance cannot be" in said

    def test_without_a_role_nothing_is_asked(self, aws: Server, worker: Worker) -> None:
        worker.imds.set("iam", None)
        said = worker.failure("success", STACK_ONLY._replace(aws_timeout_s=1))
        assert "cannot be given: this instance has no role; launch it with an instance profile" in said
        assert f"cloudformation:SignalResource on arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/*" in said
        assert aws.requests == []

    def test_a_role_that_was_attached_after_the_boot_counts(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        worker.keep(STACK_ONLY, iam_role="another-role")
        assert worker.signal("success").code == 0

    def test_credentials_that_have_expired_are_read_anew(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        aws.fail("SignalResource", **refused("ExpiredToken", status=403))
        assert worker.signal("success", STACK_ONLY).code == 0
        assert len([asked for asked in worker.imds.requests if asked.path.endswith("/annex-worker")]) == 2

    def test_without_boto3_it_says_how_to_install_it(self, worker: Worker, monkeypatch: "pytest.MonkeyPatch") -> None:
        monkeypatch.setitem(__import__("sys").modules, "botocore.session", None)
        assert "dnf install python3-boto3" in worker.failure("success", STACK_ONLY)

    def test_made_up_credentials_are_not_sent_to_the_real_aws(
        self, worker: Worker, monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        assert "AWS knows nothing of them" in worker.failure("success", STACK_ONLY)

    def test_nothing_of_the_credentials_is_logged(
        self, aws: Server, worker: Worker, caplog: "pytest.LogCaptureFixture", monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        aws.fail("", times=3, **refused("SignatureDoesNotMatch", f"the string was {SECRETS[0]} {SECRETS[1]}"))
        monkeypatch.setattr(LOG, "propagate", True)
        with caplog.at_level(logging.DEBUG):
            told = worker.signal("success", BOTH, "-v")
        assert "check the clock" in told.err
        assert not [secret for secret in SECRETS if secret in caplog.text]
        assert "botocore" not in caplog.text


class TestTheCheck:
    def found(self, worker: Worker, aws: Server, settings: Optional[str]) -> List[Judgement]:
        wanted = f"signal: {settings}\n" if settings else ""
        worker.imds.set("user-data", f"#annex-agent\ncentral_manager: cm.example.org\n{wanted}")
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": worker.imds.url, "AWS_ENDPOINT_URL": aws.url}
        return list(signals(Scene(local_machine(System(worker.root)), environ, Wanted(deadline_s=10.0))))

    STACK = "{cloudformation: {stack: my-annex, resource: Workers}}"
    GROUP = "{autoscaling: true}"

    def test_nothing_is_asked_where_no_signal_is(self, aws: Server, worker: Worker) -> None:
        (judgement,) = self.found(worker, aws, None)
        assert (judgement.verdict, judgement.words) == (OK, "the settings ask for none")
        assert aws.requests == []

    def test_it_signals_nothing_itself_and_says_what_the_role_needs(self, aws: Server, worker: Worker) -> None:
        (judgement,) = self.found(worker, aws, self.STACK)
        assert judgement.verdict == OK
        needed = f"cloudformation:SignalResource on arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/my-annex/*"
        assert judgement.words.endswith(f"the role annex-worker must be allowed {needed}")
        assert aws.requests == []

    def test_it_asks_where_the_instance_waits(self, aws: Server, worker: Worker) -> None:
        make_group(aws, "Pending:Wait", launch=LAUNCH)
        (judgement,) = self.found(worker, aws, self.GROUP)
        assert (judgement.verdict, judgement.words) == (OK, "Auto Scaling: this instance waits in launch")
        assert aws.waiting.told == []
        aws.waiting.place(INSTANCE, GROUP, "Pending")
        (judgement,) = self.found(worker, aws, self.GROUP)
        assert (judgement.verdict, "is Pending in the group" in judgement.words) == (OK, True)
        aws.waiting.reset()
        (judgement,) = self.found(worker, aws, self.GROUP)
        assert judgement.words == "Auto Scaling: this instance is in none of its groups"

    def test_it_prints_the_policy_that_is_missing_and_with_it_finds_all_well(self, aws: Server, worker: Worker) -> None:
        aws.grant({"Statement": []})
        (judgement,) = self.found(worker, aws, self.GROUP)
        assert judgement.verdict == PROBLEM
        assert "may not autoscaling:DescribeAutoScalingInstances on *" in judgement.words
        aws.grant(json.loads(judgement.remedy[judgement.remedy.index("{") :]))
        (judgement,) = self.found(worker, aws, self.GROUP)
        assert judgement.verdict == OK

    def test_another_trouble_has_its_own_remedy(self, aws: Server, worker: Worker) -> None:
        aws.fail("", times=10, **refused("InvalidClientTokenId", status=403))
        (judgement,) = self.found(worker, aws, self.GROUP)
        assert judgement.verdict == PROBLEM
        assert judgement.remedy.startswith("check that the role still exists")

    def test_without_a_role(self, aws: Server, worker: Worker) -> None:
        worker.imds.set("iam", None)
        (judgement,) = self.found(worker, aws, self.STACK)
        assert (judgement.verdict, judgement.words) == (PROBLEM, "this instance has no role that could give them")
        assert '"cloudformation:SignalResource"' in judgement.remedy
        assert aws.requests == []

    def test_off_ec2(self, aws: Server, worker: Worker) -> None:
        (worker.root / "etc/annex-agent").mkdir(parents=True)
        (worker.root / "etc/annex-agent/config.yaml").write_text(f"signal: {self.GROUP}\n")
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1", "AWS_ENDPOINT_URL": aws.url}
        scene = Scene(local_machine(System(worker.root)), environ, Wanted(deadline_s=0.5))
        (judgement,) = signals(scene)
        assert (judgement.verdict, judgement.words) == (WARNING, "not tried, as this is no instance")


class TestTheCommandLine:
    @pytest.mark.parametrize("arguments", [[], ["succes"], ["SUCCESS"]])
    def test_the_event_is_one_of_five(
        self, arguments: List[str], tmp_path: Path, capfd: "pytest.CaptureFixture[str]"
    ) -> None:
        assert main(["signal", *arguments, "--root", str(tmp_path)]) == 2
        assert "success, failure, complete, abandon, heartbeat" in capfd.readouterr().err

    def test_what_is_not_known_is_not_told(self, tmp_path: Path, capfd: "pytest.CaptureFixture[str]") -> None:
        assert main(["signal", "success", "--root", str(tmp_path)]) == 1
        assert "there is no /run/annex-agent/terms.json that can be read" in capfd.readouterr().err

    def test_without_a_region(self, aws: Server, worker: Worker, monkeypatch: "pytest.MonkeyPatch") -> None:
        make_stack(aws)
        worker.keep(STACK_ONLY, region=None)
        told = worker.signal("success")
        assert told.code == 1
        assert "names no region; set AWS_REGION" in told.err
        monkeypatch.setenv("AWS_REGION", REGION)
        assert worker.signal("success").code == 0

    def test_the_metadata_service_knows_what_the_terms_of_an_image_do_not(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        worker.keep(STACK_ONLY, instance_id=None, region=None, account_id=None)
        assert worker.signal("failure").code == 0
        assert aws.waiting.told == [{**SIGNAL, "Status": "FAILURE"}]

    def test_nobody_knows_whose_the_terms_of_an_image_are(self, worker: Worker) -> None:
        worker.keep(STACK_ONLY, instance_id=None, region=None)
        worker.imds.set("instance-id", "no such thing")
        assert "nobody was told that this instance has failed: the metadata" in worker.failure("failure", STACK_ONLY)

    def test_it_reads_what_a_configure_has_left(self, aws: Server, worker: Worker) -> None:
        make_stack(aws)
        document = {
            "central_manager": "cm.example.org",
            "signal": {"cloudformation": {"stack": STACK, "resource": RESOURCE}},
        }
        worker.imds.set("user-data", f"#annex-agent\n{json.dumps(document)}")
        assert main(["configure", "--root", str(worker.root)]) == 0
        assert worker.signal("success").code == 0
        assert aws.waiting.told == [{**SIGNAL, "Status": "SUCCESS"}]


def statements(policy: Any) -> List[Tuple[Any, Any]]:
    return [(statement["Action"], statement["Resource"]) for statement in policy]


def test_the_guide_has_the_policy_of_the_program() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert json.loads(shown) == least_policy(BOTH, "us-east-1", ACCOUNT)["Statement"]


def test_the_guide_s_template_signals_what_waits_in_it() -> None:
    text = template()
    assert re.search(r"^  Workers:\n.*\n    CreationPolicy:", text, re.MULTILINE)
    assert 'stack: "${AWS::StackName}", resource: Workers' in text
    assert "InstanceInitiatedShutdownBehavior: terminate" in text


@pytest.mark.parametrize("event", EVENTS)
def test_the_guide_has_every_event(event: str) -> None:
    assert re.search(rf"^\| `{event}` \|", GUIDE, re.MULTILINE)
