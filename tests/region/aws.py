"""AWS's API in the region: moto, at an address of the VPC, as if it had an interface endpoint there."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from .booted import BootedMachine
from .command import ENVIRONMENT, run
from .topology import AWS_API, VPC

CHECKOUT = Path(__file__).resolve().parents[2]
ROLE = "annex-worker"
_PORT = 80
_UNITS = ("annex-agent.service", "annex-agent-watch.service")
_TRANSITIONS = {"Pending": "autoscaling:EC2_INSTANCE_LAUNCHING", "Terminating": "autoscaling:EC2_INSTANCE_TERMINATING"}


class Aws:
    """Runs in the router from the first use on; ``reset`` forgets everything."""

    url = f"http://{AWS_API}"
    environment: Mapping[str, str] = {"AWS_ENDPOINT_URL": url}  # for ``annex-agent`` on a machine of the VPC

    def __init__(self, router: str, directory: Path) -> None:
        self._router = router
        self._log = directory / "aws.log"
        self._process: Optional[subprocess.Popen[str]] = None

    def start(self) -> None:
        """Listen; also after ``stop``, which was an outage: what was stored is lost."""
        if self._process is not None:
            return
        run(["ip", "-netns", self._router, "addr", "replace", f"{AWS_API}/24", "dev", VPC.name])
        argv = ["ip", "netns", "exec", self._router, sys.executable, "-m", "tests.aws.server", AWS_API, str(_PORT)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                cwd=CHECKOUT,
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._hear(self._process)

    def stop(self) -> None:
        """No API any more: connections are refused."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def reset(self) -> None:
        """As at the start; nothing if it was never used."""
        if self._process is not None:
            self._order(do="reset")

    def secret(self, name: str, value: Union[str, bytes]) -> str:
        """Put a secret into Secrets Manager, or a new version of it; its ARN."""
        content = {"SecretBinary" if isinstance(value, bytes) else "SecretString": value}
        known = self.call("secretsmanager", "list_secrets")["SecretList"]
        if any(found["Name"] == name for found in known):
            return str(self.call("secretsmanager", "put_secret_value", SecretId=name, **content)["ARN"])
        return str(self.call("secretsmanager", "create_secret", Name=name, **content)["ARN"])

    def parameter(self, name: str, value: str) -> None:
        """Put a SecureString into the Parameter Store."""
        self.call("ssm", "put_parameter", Name=name, Value=value, Type="SecureString", Overwrite=True)

    def object(self, bucket: str, key: str, content: bytes) -> None:
        """Put an object into S3, in a bucket that is made where it is missing."""
        if bucket not in [found["Name"] for found in self.call("s3", "list_buckets").get("Buckets", [])]:
            self.call("s3", "create_bucket", Bucket=bucket)
        self.call("s3", "put_object", Bucket=bucket, Key=key, Body=content)

    def stack(self, name: str, resource: str) -> None:
        """Have CloudFormation wait with a resource of a stack that is being created, until ``settle``."""
        self.call("cloudformation", "create_stack", StackName=name, TemplateBody=stack_template(resource))

    def settle(self, stack: str, status: str = "CREATE_COMPLETE") -> None:
        """CloudFormation waits with nothing in the stack any more: it refuses signals."""
        self._order(do="settle", stack=stack, status=status)

    def group(self, name: str, state: str, instance: str, *hooks: str) -> None:
        """Put an instance into an Auto Scaling group, in a state such as ``Pending:Wait`` that has such hooks."""
        for hook in hooks:
            transition = _TRANSITIONS[state.partition(":")[0]]
            place = {"AutoScalingGroupName": name, "LifecycleTransition": transition}
            self.call("autoscaling", "put_lifecycle_hook", LifecycleHookName=hook, **place)
        self._order(do="place", instance=instance, group=name, state=state)

    def signals(self) -> list[dict[str, str]]:
        """What CloudFormation and Auto Scaling were told and took, oldest first: the parameters, and the ``Action``.

        ``SignalResource`` has StackName, LogicalResourceId, UniqueId and Status; ``CompleteLifecycleAction`` has
        LifecycleHookName, AutoScalingGroupName, InstanceId and LifecycleActionResult, which
        ``RecordLifecycleActionHeartbeat`` has not.
        """
        return [dict(told) for told in self._order(do="told")]

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        """Any request of the account's owner: ``call("ec2", "describe_instances")``."""
        return self._order(do="call", service=service, operation=operation, **parameters)

    def grant(self, policy: Optional[Mapping[str, Any]]) -> None:
        """Allow the worker only what a policy allows; None: everything, as at the start."""
        self._order(do="grant", policy=policy)

    def fail(self, target: str, **how: Any) -> None:
        """See ``tests.aws.server.Server.fail``."""
        self._order(do="fail", target=target, **how)

    @property
    def requests(self) -> list[str]:
        """What the worker has asked for: ``secretsmanager.GetSecretValue 200``, ``GET /BUCKET/KEY 404``."""
        return [str(line) for line in self._order(do="requests")]

    def _order(self, **order: Any) -> Any:
        self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(json.dumps(order, default=_base64) + "\n")
        process.stdin.flush()
        reply = self._hear(process)
        if "error" in reply:
            raise AssertionError(reply["error"])
        return reply["answer"]

    def _hear(self, process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            said = self._log.read_text(encoding="utf-8", errors="replace")
            raise AssertionError(f"the AWS API ended: is moto installed for {sys.executable}?\n{said[-4000:]}")
        reply: dict[str, Any] = json.loads(line)
        return reply


def stack_template(resource: str) -> str:
    """A stack of one resource: what kind it is does not matter to those who signal, so the cheapest that moto knows."""
    network = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
    return json.dumps({"Resources": {resource: network}})


def at_boot(machine: BootedMachine, **variables: str) -> None:
    """Have annex-agent's units use the region's AWS API, on the disk of a machine that is off."""
    lines = [f"Environment={name}={value}" for name, value in {**Aws.environment, **variables}.items()]
    for unit in _UNITS:
        machine.disk.put(f"/etc/systemd/system/{unit}.d/aws.conf", "\n".join(["[Service]", *lines, ""]))


def role(name: Optional[str], credentials: Optional[Mapping[str, str]] = None) -> dict[str, Any]:
    """Changes to the metadata: this role is attached, with such credentials (made up if None); None: no role."""
    if name is None:
        return {"meta-data": {"iam": None}}
    info = {"Code": "Success", "InstanceProfileArn": f"arn:aws:iam::123456789012:instance-profile/{name}"}
    document = {**_example(), **(credentials or {})}
    offered = {"info": json.dumps(info), "security-credentials": {name: json.dumps(document)}}
    return {"meta-data": {"iam": offered}}


def _example() -> dict[str, str]:
    return {
        "Code": "Success",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIAREGIONOFTHETESTS",
        "SecretAccessKey": "the-secret-key-of-the-role",
        "Token": "the-session-token-of-the-role",
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6 * 3600)),
    }


def _base64(value: object) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{value!r} cannot be sent")
