"""An instance launched as condor_annex does it, with nothing but a client token and a role, asks AWS what it is for."""

import json
import re
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

import pytest

from annex_agent.check import ec2
from annex_agent.check.finding import PROBLEM, ok
from annex_agent.check.scene import Scene
from annex_agent.check.secrets import secrets
from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import bundled
from annex_agent.entrusted import Patience
from annex_agent.errors import AnnexError, ConfigError, SecretError
from annex_agent.gather import Gathered, Wanted, gather
from annex_agent.machine import local_machine
from annex_agent.plan import Goal, build_plan
from annex_agent.system import System

from ..bundles import packed
from .conftest import boto3  # noqa: F401 - skips where it is missing
from .server import Server

REGION = "us-west-2"  # of the spot profile
ROLE, BUCKET = "annex-worker", "htcondor-annex-b9a1"
GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
AMI = "ami-12c6146b"  # one of moto's own
FLEET = "sfr-73fbd2ce-aa30-494c-8788-1cee4fe5f3d1"
CONFIG = b'COLLECTOR_HOST = cm.example.org\nAnnexName = "my_annex"\n'
PASSWORD = b"\x8b\x00\xfescrambled\xff"
ARCHIVE = packed({"config.d/00ec2-dynamic.config": CONFIG, "passwords.d/POOL": PASSWORD})
ATTENDED = Patience(secrets_s=20.0, propagation_s=0.0)
AT_BOOT = Patience(secrets_s=20.0, propagation_s=5.0)
ASSUMED = json.dumps({"Version": "2012-10-17", "Statement": []})
# What condor_annex -setup allows the role of its instances.
CONFIGURATION = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{BUCKET}/config-*.tar.gz"}
INTROSPECTION = {
    "Effect": "Allow",
    "Action": ["iam:GetRolePolicy", "iam:ListRolePolicies", "ec2:DescribeInstances"],
    "Resource": "*",
}
LAUNCH = ["DescribeInstances 200", "ListRolePolicies 200", "GetRolePolicy 200", "GetRolePolicy 200"]


def xml(body: str) -> Dict[str, Any]:
    headers = {"Content-Type": "text/xml;charset=UTF-8"}
    return {"status": 200, "body": body, "headers": headers}


def described(token: str, tags: str = "") -> Dict[str, Any]:
    return xml(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>"
        f"<clientToken>{token}</clientToken><tagSet>{tags}</tagSet></item></instancesSet></item></reservationSet>"
        "</DescribeInstancesResponse>"
    )


TAG = f"<item><key>aws:ec2spot:fleet-request-id</key><value>{FLEET}</value></item>"


def fleet(token: str) -> Dict[str, Any]:
    return xml(
        "<DescribeSpotFleetRequestsResponse><spotFleetRequestConfigSet><item><spotFleetRequestConfig>"
        f"<clientToken>{token}</clientToken></spotFleetRequestConfig></item></spotFleetRequestConfigSet>"
        "</DescribeSpotFleetRequestsResponse>"
    )


@pytest.fixture
def imds() -> Iterator[Emulator]:
    with Emulator(bundled("spot")) as running:
        running.set("user-data", None)
        running.set("instance-life-cycle", "on-demand")
        running.set(f"iam/security-credentials/{ROLE}", json.dumps({"Code": "Success", "Emulated": False}))
        yield running


class Annex:
    """One instance of an annex, and the account that it is in."""

    def __init__(self, aws: Server, imds: Emulator, root: Path) -> None:
        self.aws, self.imds, self.root = aws, imds, root
        self.descriptions: List[Dict[str, Any]] = []

    def launch(self, token: str) -> None:
        self.descriptions = [{**described(token), "times": 1000}]

    def is_described(self, *answers: Mapping[str, Any]) -> None:
        """By EC2, before it says what ``launch`` has it say."""
        self.descriptions[:0] = [dict(answer) for answer in answers]

    def role(self, *statements: Mapping[str, Any], attached: bool = False) -> None:
        self.aws.call("iam", "create_role", RoleName=ROLE, AssumeRolePolicyDocument=ASSUMED)
        for number, statement in enumerate(statements):
            text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            if attached:
                arn = self.aws.call("iam", "create_policy", PolicyName=f"P{number}", PolicyDocument=text)["Policy"][
                    "Arn"
                ]
                self.aws.call("iam", "attach_role_policy", RoleName=ROLE, PolicyArn=arn)
            else:
                self.aws.call("iam", "put_role_policy", RoleName=ROLE, PolicyName=f"P{number}", PolicyDocument=text)

    def archive(self, key: str, content: bytes = ARCHIVE) -> None:
        place = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
        self.aws.call("s3", "create_bucket", Bucket=BUCKET, **place)
        self.aws.call("s3", "put_object", Bucket=BUCKET, Key=key, Body=content)

    def gathered(self, patience: Patience = ATTENDED, **environ: str) -> Gathered:
        for answer in self.descriptions:
            self.aws.fail("DescribeInstances", **answer)
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds.url, "AWS_ENDPOINT_URL": self.aws.url, **environ}
        return gather(local_machine(System(self.root)), Wanted(deadline_s=10.0, patience=patience), env)

    def refusal(self, kind: "type[AnnexError]", patience: Patience = ATTENDED) -> str:
        with pytest.raises(AnnexError) as caught:
            self.gathered(patience)
        assert type(caught.value) is kind
        assert str(caught.value).isprintable()
        return str(caught.value)

    def is_recognised(self, patience: Patience = ATTENDED) -> Gathered:
        gathered = self.gathered(patience)
        assert gathered.failures == ()
        settings = gathered.facts.settings
        assert settings.annex == "my_annex"
        assert str(settings.bundle) == f"s3://{BUCKET}/config-my_annex.tar.gz"
        assert gathered.facts.bundle is not None
        assert [file.text for file in gathered.facts.bundle.config] == [CONFIG.decode()]
        return gathered


@pytest.fixture
def annex(aws: Server, imds: Emulator, tmp_path: Path) -> Annex:
    return Annex(aws, imds, tmp_path)


@pytest.fixture
def launched(annex: Annex) -> Annex:
    """As condor_annex would do it."""
    annex.launch(f"my_annex_{GUID}")
    annex.role(CONFIGURATION, INTROSPECTION)
    annex.archive("config-my_annex.tar.gz")
    return annex


def test_it_is_recognised_and_told_where_that_comes_from(annex: Annex) -> None:
    made = annex.aws.call("ec2", "run_instances", ImageId=AMI, MinCount=1, MaxCount=1, ClientToken=f"my_annex_{GUID}")
    annex.imds.set("instance-id", made["Instances"][0]["InstanceId"])
    annex.role(CONFIGURATION, INTROSPECTION)
    annex.archive("config-my_annex.tar.gz")
    gathered = annex.is_recognised()
    assert gathered.origins["annex"] == gathered.origins["bundle"] == "condor_annex"
    assert annex.aws.requests == [*LAUNCH, f"GET /{BUCKET}/config-my_annex.tar.gz 200"]


def test_what_is_written_says_so(launched: Annex) -> None:
    plan = build_plan(launched.gathered().facts, Goal.CONFIGURE)
    (ours,) = [step for step in plan.steps if step.name == "condor-config"]
    text = getattr(ours, "content", "")
    for line in ('AnnexName = "my_annex"', "IsAnnex = True", 'EC2InstanceID = "i-'):
        assert f"\n{line}" in text
    assert "\nCOLLECTOR_HOST" not in text
    assert "scrambled" not in repr(plan)


def test_a_policy_that_is_attached_to_the_role_will_do(annex: Annex) -> None:
    annex.launch(f"my_annex_{GUID}")
    annex.role(INTROSPECTION, CONFIGURATION, attached=True)
    annex.archive("config-my_annex.tar.gz")
    annex.is_recognised()


def test_an_annex_name_of_the_owners_own_is_kept(launched: Annex) -> None:
    launched.imds.set("user-data", "#annex-agent\nannex: another\n")
    gathered = launched.gathered()
    assert gathered.facts.settings.annex == "another"
    assert gathered.origins["annex"] != "condor_annex"


@pytest.mark.parametrize(
    "user_data",
    ["cm.example.org", "COLLECTOR_HOST = cm.example.org", "#annex-agent\nannex: {bundle: file:/there}\n"],
)
def test_nothing_is_asked_where_the_settings_name_a_pool(launched: Annex, user_data: str) -> None:
    (launched.root / "there").write_bytes(ARCHIVE)
    launched.imds.set("user-data", user_data)
    assert launched.gathered().failures == ()
    assert launched.aws.requests == []


def test_a_spot_fleets_instance_has_the_fleets_token(launched: Annex) -> None:
    launched.imds.set("instance-life-cycle", "spot")
    launched.is_described(described("of-the-fleet-1", TAG))
    launched.aws.fail("DescribeSpotFleetRequests", **fleet(f"my_annex_{GUID}"))
    launched.is_recognised()


def test_a_spot_fleets_tag_may_be_late(launched: Annex) -> None:
    launched.imds.set("instance-life-cycle", "spot")
    launched.is_described({**described("of-the-fleet-1"), "times": 2}, described("of-the-fleet-1", TAG))
    launched.aws.fail("DescribeSpotFleetRequests", **fleet(f"my_annex_{GUID}"))
    launched.is_recognised(AT_BOOT)
    assert launched.aws.requests.count("DescribeInstances 200") == 3


def test_ec2_may_not_know_the_instance_at_once(launched: Annex) -> None:
    launched.is_described(
        {**xml("<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"), "times": 2}
    )
    launched.is_recognised(AT_BOOT)


@pytest.mark.parametrize("token", ["", GUID, "b0b4f1c4-3b4d-3a1e-9a5e-3d1f0b1c2d3e_subnet-0a1b2c3d_1"])
def test_another_launch_is_told_what_it_lacks(annex: Annex, token: str) -> None:
    annex.launch(token)
    words = annex.refusal(ConfigError, AT_BOOT)
    assert words.startswith("no central manager is named: launch the instance with its host name as user-data")
    assert words.endswith("; nor did condor_annex launch it (its client token is not NAME_GUID)")
    assert annex.aws.requests == ["DescribeInstances 200"]


def test_a_fleet_that_is_not_condor_annexs(launched: Annex) -> None:
    launched.is_described(described("of-the-fleet-1", TAG))
    launched.aws.fail("DescribeSpotFleetRequests", **fleet(GUID))
    assert "nor did condor_annex launch it" in launched.refusal(ConfigError)


def test_an_instance_without_a_role_asks_nobody(launched: Annex) -> None:
    launched.imds.set("iam", None)
    assert launched.refusal(ConfigError).endswith("set central_manager in /etc/annex-agent/config.yaml")
    assert launched.aws.requests == []


def denied(action: str) -> Dict[str, Any]:
    code = "UnauthorizedOperation" if action.startswith("Describe") else "AccessDenied"
    error = f"<Error><Code>{code}</Code><Message>You are not authorized</Message></Error>"
    body = (
        f"<Response><Errors>{error}</Errors></Response>"
        if action.startswith("Describe")
        else (f"<ErrorResponse>{error}</ErrorResponse>")
    )
    return {"status": 403, "body": body, "headers": {"Content-Type": "text/xml"}, "times": 1000}


def scene_of(annex: Annex) -> Scene:
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": annex.imds.url, "AWS_ENDPOINT_URL": annex.aws.url}
    for answer in annex.descriptions:
        annex.aws.fail("DescribeInstances", **answer)
    return Scene(local_machine(System(annex.root)), environ, Wanted(deadline_s=10.0))


class TestCheck:
    def test_it_looks_as_a_start_does_and_asks_once(self, launched: Annex) -> None:
        scene = scene_of(launched)
        place = f"s3://{BUCKET}/config-my_annex.tar.gz"
        assert [*ec2.settings(scene)] == [ok(f"the central manager is named in condor_annex's archive, {place}")]
        assert [*secrets(scene)] == [ok(f"can be had: {place}")]
        assert launched.aws.requests.count("DescribeInstances 200") == 1

    def test_what_a_start_lacks(self, annex: Annex) -> None:
        annex.launch(GUID)
        (missing,) = ec2.settings(scene_of(annex))
        assert missing.verdict == PROBLEM
        assert "nor did condor_annex launch it" in missing.remedy

    def test_an_archive_that_a_start_would_not_take(self, launched: Annex) -> None:
        archive = packed({"config.d/x": b"include command : id"})
        launched.aws.call("s3", "put_object", Bucket=BUCKET, Key="config-my_annex.tar.gz", Body=archive)
        (bad,) = secrets(scene_of(launched))
        assert bad.verdict == PROBLEM
        assert "is no archive of condor_annex's: 'config.d/x' line 1: " in bad.words


def test_an_archive_that_names_no_pool_is_refused_unless_the_settings_do(launched: Annex) -> None:
    archive = packed({"config.d/x": b"START = True"})
    launched.aws.call("s3", "put_object", Bucket=BUCKET, Key="config-my_annex.tar.gz", Body=archive)
    (failure,) = launched.gathered().failures
    assert "names no central manager (COLLECTOR_HOST in its configuration); set central_manager" in str(failure)
    settings = f"{{central_manager: cm.example.org, annex: {{bundle: s3://{BUCKET}/config-my_annex.tar.gz}}}}"
    launched.imds.set("user-data", f"#annex-agent\n{settings}\n")
    assert launched.gathered().failures == ()


class TestWhatAwsRefuses:
    def test_whether_it_is_an_annexs_at_all(self, launched: Annex) -> None:
        launched.is_described(denied("DescribeInstances"))
        words = launched.refusal(ConfigError)
        assert words.startswith("no central manager is named")
        assert words.endswith(
            "whether condor_annex launched it cannot be told: the client token of its launch is refused to the role "
            f"{ROLE}: it may not ec2:DescribeInstances on * (no policy of its allows it)"
        )

    def test_its_fleet(self, launched: Annex) -> None:
        launched.is_described(described("of-the-fleet-1", TAG))
        launched.aws.fail("DescribeSpotFleetRequests", **denied("DescribeSpotFleetRequests"))
        assert "the client token of its spot fleet is refused" in launched.refusal(ConfigError)

    @pytest.mark.parametrize(
        ("action", "words"),
        [
            ("ListRolePolicies", f"the policies of the role {ROLE} is refused"),
            ("GetRolePolicy", f"the policy P0 of the role {ROLE} is refused"),
        ],
    )
    def test_its_own_policies(self, launched: Annex, action: str, words: str) -> None:
        launched.aws.fail(action, **denied(action))
        said = launched.refusal(SecretError)
        assert said.startswith("condor_annex's archive of the annex my_annex cannot be found (")
        assert words.replace(" is refused", "") in said
        assert f"iam:{action}" in said
        assert said.endswith("annex.bundle: s3://BUCKET/config-NAME.tar.gz, in config.yaml or user-data, does without")

    @pytest.mark.parametrize("action", ["ListAttachedRolePolicies", "GetPolicy ", "GetPolicyVersion"])
    def test_its_attached_policies(self, annex: Annex, action: str) -> None:
        annex.launch(f"my_annex_{GUID}")
        annex.role(CONFIGURATION, attached=True)
        annex.aws.fail(action.strip(), **denied(action))
        assert f"iam:{action.strip()}" in annex.refusal(SecretError)

    def test_the_archive_itself(self, launched: Annex) -> None:
        launched.aws.fail("config-my_annex", status=403, times=1000, body="<Error><Code>AccessDenied</Code></Error>")
        (failure,) = launched.gathered().failures
        assert "s3:GetObject" in str(failure)

    def test_everything_within_its_time(self, launched: Annex) -> None:
        launched.is_described({"status": 503, "times": 1000})
        launched.imds.set("user-data", "#annex-agent\naws: {timeout: 2s}\n")
        began = time.monotonic()
        assert "answered 503 for" in launched.refusal(ConfigError, AT_BOOT)
        assert time.monotonic() - began < 60, "bounded, however slow the machine"

    def test_no_answer(self, launched: Annex) -> None:
        launched.imds.set("user-data", "#annex-agent\naws: {timeout: 1s}\n")
        with pytest.raises(ConfigError, match="gave no answer"):
            launched.gathered(AWS_ENDPOINT_URL="http://127.0.0.1:9")


class TestWhereTheArchiveIsNot:
    def lost(self, annex: Annex, *statements: Mapping[str, Any]) -> str:
        annex.launch(f"my_annex_{GUID}")
        annex.role(*statements)
        return annex.refusal(SecretError)

    def test_in_no_bucket(self, annex: Annex) -> None:
        assert f"by its policies the role {ROLE} may read config-*.tar.gz in no bucket" in self.lost(annex)

    def test_in_one_of_two(self, annex: Annex) -> None:
        other = {**CONFIGURATION, "Resource": "arn:aws:s3:::other/config-*.tar.gz"}
        assert f"in {BUCKET}/ and in other/" in self.lost(annex, CONFIGURATION, other)

    def test_in_one_that_cannot_be(self, annex: Annex) -> None:
        other = {**CONFIGURATION, "Resource": "arn:aws:s3:::UPPER/config-*.tar.gz"}
        assert "after s3: must stand a bucket and a key" in self.lost(annex, other)

    def test_under_its_name(self, launched: Annex) -> None:
        launched.aws.call("s3", "delete_object", Bucket=BUCKET, Key="config-my_annex.tar.gz")
        (failure,) = launched.gathered().failures
        assert "does not exist; put the object there, or correct its key" in str(failure)

    def test_whole(self, launched: Annex) -> None:
        launched.aws.call("s3", "put_object", Bucket=BUCKET, Key="config-my_annex.tar.gz", Body=ARCHIVE[:-20])
        gathered = launched.gathered()
        (failure,) = gathered.failures
        assert re.match("the secret s3://.* is no archive of condor_annex's: it is damaged", str(failure))
        assert gathered.facts.bundle is None
        assert gathered.facts.secrets.bundle is None
