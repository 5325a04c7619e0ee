"""The whole bootstrap with a secret from AWS, over the calls of the AWS CLI that condor-annex-ec2 makes at best.

Both ask the same AWS API (moto) and the same metadata service on loopback, as the same role.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator, List, Optional

from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import bundled

from ..aws.server import Server
from ..bundles import packed
from .measure import Row, by_turns

TIMES = 5
_CALLS = "six calls of the AWS CLI"
_ROLE, _BUCKET, _ANNEX, _REGION = "annex-worker", "htcondor-annex-b9a1", "my-annex", "us-west-2"
_KEY = f"config-{_ANNEX}.tar.gz"
_TOKEN = "eyJhbGciOiJIUzI1NiIsImtpZCI6IlBPT0wifQ.eyJpc3MiOiJleGFtcGxlLm9yZyJ9.c2lnbmF0dXJl"
_ONE_SECRET = 1 / 6
# Four of AWS's services are asked, not one, and boto's description of EC2 alone takes as long to load as all the rest.
_FOUR_SERVICES = 1 / 4
_WAYS = {
    "a token from Secrets Manager": (
        "#annex-agent\n{central_manager: cm.example.org, security: {token: secretsmanager:annex/token}}\n",
        _ONE_SECRET,
    ),
    "condor_annex's archive, named in user-data": (
        f"#annex-agent\n{{annex: {{bundle: s3://{_BUCKET}/{_KEY}}}}}\n",
        _ONE_SECRET,
    ),
    "condor_annex's archive, found by the launch alone": ("", _FOUR_SERVICES),
}
# On an instance /run is in memory, and that is where most is written; a disk would show its own time, not ours.
_MEMORY = "/dev/shm"
_CLI = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "annex-agent-bench" / "awscli"


def rows() -> Iterator[Row]:
    """Wall time of ``annex-agent configure`` in an empty tree, by each way to the pool, over the six calls."""
    aws = _aws_cli()
    if aws is None:
        print("the AWS CLI is not here, and pip cannot get it: the row of the bootstrap is left out", flush=True)
        return
    with tempfile.TemporaryDirectory(dir=_MEMORY) as directory, Server() as server, Emulator(bundled("spot")) as imds:
        _prepare(server, imds)
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url,
            "AWS_ENDPOINT_URL": server.url,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }
        calls = _six_calls(aws, _instance(server, imds), f"{directory}/{_KEY}")
        ways = {way: _bootstrap(Path(directory), user_data) for way, (user_data, _) in _WAYS.items()}
        costs = by_turns({**ways, _CALLS: ["sh", "-ec", calls]}, TIMES, environ)
    for way in ways:
        agent, cli = costs[way].wall, costs[_CALLS].wall
        what = f"whole bootstrap with {way}, over {_CALLS}"
        yield Row(what, agent / cli, round(_WAYS[way][1], 3), f"{agent:.2f} / {cli:.2f} s")


def _bootstrap(directory: Path, user_data: str) -> List[str]:
    """In a tree that is empty each time."""
    agent, tree, given = Path(sys.executable).with_name("annex-agent"), directory / "tree", directory / "user-data"
    lines = [f"rm -rf {tree}", f"mkdir {tree}", f"printf '%s' {shlex.quote(user_data)} >{given}"]
    return ["sh", "-ec", "\n".join([*lines, f"exec {agent} configure --root {tree} --user-data {given} 2>/dev/null"])]


def _six_calls(aws: Path, instance: str, file: str) -> str:
    """What it takes to learn the annex's name and the bucket, and to fetch the archive, if nothing is tried twice."""
    call = f"{aws} --region {_REGION}"
    return "\n".join(
        [
            f"{call} ec2 describe-instances --instance-ids {instance}",
            f"{call} iam get-instance-profile --instance-profile-name {_ROLE}",
            f"{call} iam list-attached-role-policies --role-name {_ROLE}",
            f"{call} iam list-role-policies --role-name {_ROLE}",
            f"{call} iam get-role-policy --role-name {_ROLE} --policy-name Configuration",
            f"{call} s3 cp s3://{_BUCKET}/{_KEY} {file}",
        ]
    )


def _prepare(server: Server, imds: Emulator) -> None:
    """The account, as condor_annex's set-up leaves it, with a token beside the archive."""
    server.region = _REGION
    imds.set("instance-life-cycle", "on-demand")
    server.call("secretsmanager", "create_secret", Name="annex/token", SecretString=_TOKEN)
    server.call("iam", "create_role", RoleName=_ROLE, AssumeRolePolicyDocument="{}")
    server.call("iam", "create_instance_profile", InstanceProfileName=_ROLE)
    server.call("iam", "add_role_to_instance_profile", InstanceProfileName=_ROLE, RoleName=_ROLE)
    read = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{_BUCKET}/config-*.tar.gz"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [read]})
    server.call("iam", "put_role_policy", RoleName=_ROLE, PolicyName="Configuration", PolicyDocument=document)
    place = {"CreateBucketConfiguration": {"LocationConstraint": _REGION}}
    server.call("s3", "create_bucket", Bucket=_BUCKET, **place)
    archive = {"config.d/00ec2-dynamic.config": b"COLLECTOR_HOST = cm.example.org\n", "passwords.d/POOL": b"scrambled"}
    server.call("s3", "put_object", Bucket=_BUCKET, Key=_KEY, Body=packed(archive))


def _instance(server: Server, imds: Emulator) -> str:
    token = f"{_ANNEX}_0f8fad5b-d9cb-469f-a165-70867728950e"
    made = server.call("ec2", "run_instances", ImageId="ami-12c6146b", MinCount=1, MaxCount=1, ClientToken=token)
    name = str(made["Instances"][0]["InstanceId"])
    imds.set("instance-id", name)
    return name


def _aws_cli() -> Optional[Path]:
    """The one that is installed; else one of a virtual environment of its own, for it wants a botocore of its own."""
    found = shutil.which("aws")
    if found:
        return Path(found)
    if not (_CLI / "bin" / "aws").exists():
        install: List[List[str]] = [
            [sys.executable, "-m", "venv", str(_CLI)],
            [str(_CLI / "bin" / "pip"), "install", "--quiet", "awscli"],
        ]
        if any(subprocess.run(argv, check=False).returncode for argv in install):
            return None
    return _CLI / "bin" / "aws"
