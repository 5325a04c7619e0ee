"""The unit tests on the oldest Python and libraries that are supported, as Debian bullseye ships them.

Python 3.9 with the versions of Enterprise Linux 9 and Amazon Linux 2023; nothing comes from PyPI.
"""

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import bundled

from ..aws.server import Server
from ..bundles import packed
from .aws import stack_template
from .image import BULLSEYE, tree
from .prerequisites import PrerequisiteError, prerequisites
from .throwaway import run_in

ROOT = Path(__file__).resolve().parents[2]
# What the checkout has beside the project: none of it may help, or hinder, in there.
NOT_OURS = (".git", ".venv*", "build", "dist", "*.egg-info", ".*_cache", ".hypothesis")
INSIDE = """
set -eux
cp -R /mnt/checkout /usr/src/checkout
cd /usr/src/checkout
python3 -m pip install --no-index --no-deps --no-build-isolation --no-cache-dir .
# The distribution's versions satisfy what setup.cfg asks for.
python3 -c 'import pkg_resources; pkg_resources.require("annex-agent")'
# What is looked for here is what the libraries do otherwise, not one more example.
export HYPOTHESIS_PROFILE=quick
python3 -m pytest -p no:cacheprovider tests/unit
# What root may do and others may not can only be seen as somebody else.
chown -R nobody .
as_nobody="setpriv --reuid=nobody --regid=nogroup --clear-groups"
export HOME=/tmp LOGNAME=nobody
# The program itself, as a laptop or a builder of images would run it.
$as_nobody annex-agent --dry-run --simulate | grep '^      +TCP_FORWARDING_HOST = 67.202.60.66$'
mkdir /srv/tree
annex-agent configure --simulate --root /srv/tree
grep '^TCP_FORWARDING_HOST = 67.202.60.66$' /srv/tree/etc/condor/config.d/60-annex-agent.config
annex-agent clean --root /srv/tree
test -z "$(find /srv/tree -type f)"
exec $as_nobody python3 -m pytest -p no:cacheprovider \\
    tests/unit/test_cli.py tests/unit/test_system.py tests/unit/test_steps.py
"""


FETCH = """
set -eu
mkdir /tmp/path
cp -R /mnt/agent /tmp/path/annex_agent
cp -R /mnt/templates /tmp/path/annex_agent/templates
export PYTHONPATH=/tmp/path AWS_ENDPOINT_URL="$1" AWS_REGION=us-west-2
shift
for settings; do
    printf '#annex-agent\\n%s' "$settings" >/tmp/user-data
    python3 -m annex_agent --dry-run --simulate --profile spot --user-data /tmp/user-data | grep ^..secrets
done
python3 -c 'import boto3; print("boto3", boto3.__version__)'
"""


SIGNAL = """
set -eu
mkdir /tmp/path /tmp/root
cp -R /mnt/agent /tmp/path/annex_agent
cp -R /mnt/templates /tmp/path/annex_agent/templates
export PYTHONPATH=/tmp/path AWS_ENDPOINT_URL="$1" AWS_EC2_METADATA_SERVICE_ENDPOINT="$2"
printf '#annex-agent\n%s' "$3" >/tmp/user-data
python3 -m annex_agent configure --root /tmp/root --user-data /tmp/user-data
python3 -m annex_agent signal heartbeat --root /tmp/root
python3 -m annex_agent signal success --root /tmp/root
"""


@pytest.fixture
def bullseye() -> Path:
    try:
        prerequisites()
    except PrerequisiteError as err:
        pytest.skip(str(err))
    return tree(BULLSEYE)


@pytest.mark.timeout(1500)
def test_the_unit_tests_pass_with_the_oldest_libraries(bullseye: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for item in ROOT.iterdir():
        if any(fnmatch(item.name, pattern) for pattern in NOT_OURS):
            continue
        if item.is_dir():
            shutil.copytree(item, checkout / item.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(item, checkout)
    done = run_in(bullseye, ["/bin/sh", "-c", INSIDE], {checkout: "/mnt/checkout"}, timeout=1200)
    print(done.stdout[-20000:], done.stderr[-4000:])  # pytest shows it if this fails, and with -rP
    assert done.returncode == 0, "it does not work with the oldest libraries: see what was said inside, below"


def test_the_oldest_boto3_fetches_secrets_of_each_kind(bullseye: Path) -> None:
    pytest.importorskip("moto", reason="pip install 'annex-agent[test]' brings moto, a server of AWS's API")
    places = ("secretsmanager:annex/password", "ssm:/annex/password", "s3://bucket/key")
    passwords = [{"central_manager": "cm.example.org", "security": {"pool_password": place}} for place in places[:2]]
    documents = [json.dumps(document) for document in (*passwords, {"annex": {"bundle": places[2]}})]
    with Server() as aws:
        aws.region = "us-west-2"
        aws.call("secretsmanager", "create_secret", Name="annex/password", SecretString="hush")
        aws.call("ssm", "put_parameter", Name="/annex/password", Value="hush", Type="SecureString")
        aws.call("s3", "create_bucket", Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": aws.region})
        aws.call(
            "s3",
            "put_object",
            Bucket="bucket",
            Key="key",
            Body=packed({"00ec2-dynamic.config": b"COLLECTOR_HOST = cm\n"}),
        )
        binds = {ROOT / "agent": "/mnt/agent", ROOT / "templates": "/mnt/templates"}
        argv = ["/bin/sh", "-c", FETCH, "sh", aws.url, *documents]
        done = run_in(bullseye, argv, binds, timeout=120, network=True)
        asked = sorted(aws.requests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [f"{place} can be had" in done.stdout for place in places] == [True] * 3
    assert "boto3 1.13." in done.stdout
    assert asked == ["GET /bucket/key 200", "secretsmanager.GetSecretValue 200", "ssm.GetParameter 200"]


def test_the_oldest_boto3_signals(bullseye: Path) -> None:
    pytest.importorskip("moto", reason="pip install 'annex-agent[test]' brings moto, a server of AWS's API")
    signal = {"cloudformation": {"stack": "my-annex", "resource": "Workers"}, "autoscaling": True}
    document = json.dumps({"central_manager": "cm.example.org", "signal": signal})
    with Server() as aws, Emulator(bundled("spot")) as imds:
        aws.region = "us-west-2"
        aws.call("cloudformation", "create_stack", StackName="my-annex", TemplateBody=stack_template("Workers"))
        hook = {"LifecycleHookName": "launch", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
        aws.call("autoscaling", "put_lifecycle_hook", AutoScalingGroupName="workers", **hook)
        aws.waiting.place("i-0f1e2d3c4b5a69788", "workers", "Pending:Wait")
        binds = {ROOT / "agent": "/mnt/agent", ROOT / "templates": "/mnt/templates"}
        argv = ["/bin/sh", "-c", SIGNAL, "sh", aws.url, imds.url, document]
        done = run_in(bullseye, argv, binds, timeout=120, network=True)
        told = [told["Action"] for told in aws.waiting.told]
    assert done.returncode == 0, done.stdout + done.stderr
    assert told[0] == "RecordLifecycleActionHeartbeat"
    assert sorted(told[1:]) == ["CompleteLifecycleAction", "SignalResource"]
