"""``kit``: what the pool's site needs, made of the settings that the workers read."""

import base64
import json
import re
import shutil
import subprocess
from email import message_from_string
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any, Dict, List, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent import cli, userdata
from annex_agent.errors import AnnexError, ConfigError, UsageError
from annex_agent.kit import parts
from annex_agent.kit.request import read_site, request
from annex_agent.kit.user_data import LIMIT
from annex_agent.schema import KEYS
from annex_agent.settings import Merged, from_document, merge

IDTOKENS: Dict[str, Any] = {
    "central_manager": "cm.example.org",
    "annex": "spring",
    "security": {"token": "secretsmanager:annex/token", "trust_domain": "example.org"},
}
PASSWORD: Dict[str, Any] = {"central_manager": "cm.example.org", "security": {"pool_password": "ssm:/annex/password"}}
HOST: Dict[str, Any] = {"central_manager": "cm.example.org", "security": {"method": "host"}}
IMAGE: Dict[str, Any] = {"central_manager": "cm.example.org"}
# A site that has said everything.
OPTIONS: Mapping[str, Any] = {
    "region": "us-east-1",
    "account": "123456789012",
    "vpc": "vpc-0123456789abcdef0",
    "ami": "ami-0123456789abcdef0",
    "instance_type": "m5.large",
    "security_group": ["sg-0123456789abcdef0"],
    "instance_profile": "annex-agent-worker",
    "site_cidr": ["192.0.2.0/24"],
    "worker_cidr": ["67.202.0.0/18"],
}
PARTS = tuple(parts.PARTS)


def merged(*documents: Mapping[str, Any]) -> Merged:
    return merge([from_document(f"source {number}", document) for number, document in enumerate(documents)])


def make(part: str, document: Mapping[str, Any], options: Mapping[str, Any] = OPTIONS) -> parts.Made:
    site, problems = read_site(options)
    return parts.make(parts.find(part), request(merged(document), site), problems)


def made(part: str, document: Mapping[str, Any], **options: Any) -> str:
    return make(part, document, {**OPTIONS, **options}).text


def document(part: str, settings: Mapping[str, Any], **options: Any) -> Dict[str, Any]:
    answer = json.loads(made(part, settings, **options))
    assert isinstance(answer, dict)
    return answer


def refused(part: str, settings: Mapping[str, Any], options: Mapping[str, Any] = OPTIONS) -> AnnexError:
    with pytest.raises(AnnexError) as caught:
        make(part, settings, options)
    return caught.value


def knobs(text: str) -> Dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = dict(line.split(" = ", 1) for line in lines)
    assert len(found) == len(lines), "no knob is set twice"
    return found


class TestAsking:
    def test_every_part_is_made_of_settings_and_options(self) -> None:
        for part in PARTS:
            assert made(part, IDTOKENS).endswith("\n"), part

    @pytest.mark.parametrize("part", PARTS)
    def test_what_is_missing_is_told_all_at_once(self, part: str) -> None:
        needed = {
            "central-manager": set(),
            "submit": set(),
            "token": {"region"},
            "security-group": {"site-cidr"},
            "iam-policy": {"region", "account"},
            "user-data": set(),
            "launch-template": {"ami", "instance-type", "security-group", "instance-profile"},
        }[part]
        if not needed:
            assert make(part, IDTOKENS, {}).text
            return
        error = refused(part, IDTOKENS, {})
        assert isinstance(error, UsageError)
        assert set(re.findall(r"--([a-z-]+) is needed", str(error))) == needed

    def test_every_bad_option_is_told_whatever_the_part(self) -> None:
        bad = {
            "region": "Virginia",
            "account": "12345",
            "vpc": "vpc-x",
            "ami": "ami",
            "instance_type": "large",
            "security_group": ["sg-12345678", "default"],
            "instance_profile": "a b",
            "site_cidr": ["192.0.2.1/24"],
            "admin_cidr": ["everywhere"],
            "worker_cidr": ["10.0.0.0/33"],
            "name": "sg-x",
            "lifetime": "11 years",
        }
        error = refused("user-data", IMAGE, bad)
        assert isinstance(error, UsageError)
        assert re.findall(r"(?:^|; )--([a-z-]+): ", str(error)) == [name.replace("_", "-") for name in bad]

    def test_a_token_is_not_made_for_longer_than_ten_years(self) -> None:
        assert "3650d" not in str(make("token", IDTOKENS, {**OPTIONS, "lifetime": "3650d"}).hints)
        assert "ten years" in str(refused("token", IDTOKENS, {**OPTIONS, "lifetime": "3651d"}))

    def test_wrong_settings_weigh_more_than_a_missing_option(self) -> None:
        settings = {**IMAGE, "security": {"token": "inline:secret-word", "trust_domain": "example.org"}}
        error = refused("launch-template", settings, {"ami": "ami"})
        assert isinstance(error, ConfigError)
        assert error.exit_code == 5
        assert [problem.split(" ")[0] for problem in error.problems] == [
            "--ami:",
            "--ami",
            "--instance-type",
            "--security-group",
            "security.token",
        ]
        assert "secret-word" not in str(error)


class TestTheCommand:
    @pytest.fixture
    def config(self, tmp_path: Path, quiet_log: None) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps(IDTOKENS))
        return path

    def test_without_a_part_the_parts_are_listed(self, capsys: "pytest.CaptureFixture[str]", quiet_log: None) -> None:
        assert cli.main(["kit"]) == 0
        assert re.findall(r"^([a-z-]+) +\w", capsys.readouterr().out, re.MULTILINE) == list(PARTS)

    def test_an_unknown_part_is_wrong_usage(self, capsys: "pytest.CaptureFixture[str]", quiet_log: None) -> None:
        assert cli.main(["kit", "sunshine"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert all(part in said.err for part in PARTS)

    def test_the_answer_is_on_stdout_and_advice_on_stderr(
        self, config: Path, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        options = ["--config", str(config), "--region", "us-east-1", "--account", "123456789012"]
        assert cli.main(["kit", *options, "iam-policy"]) == 0
        said = capsys.readouterr()
        assert json.loads(said.out)["Version"] == "2012-10-17"
        assert "put-role-policy" in said.err
        assert cli.main(["kit", "iam-policy", "-q", *options]) == 0
        assert capsys.readouterr().err == ""

    def test_config_and_user_data_are_merged_as_on_a_worker(
        self, config: Path, tmp_path: Path, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        data = tmp_path / "user-data"
        data.write_text("#annex-agent\nsecurity: {trust_domain: example.net}\n")
        assert cli.main(["kit", "submit", "--config", str(config), "--user-data", str(data)]) == 0
        said = capsys.readouterr().out
        assert "TRUST_DOMAIN = example.net\n" in said
        assert '"spring"' in said

    def test_bad_settings_and_bad_options_are_told_together(
        self, config: Path, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        config.write_text("colour: red\nstop: {mode: soon}\n")
        assert cli.main(["kit", "token", "--config", str(config), "--region", "here", "--vpc", "there"]) == 5
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 5
        for word in ("colour", "stop.mode", "no central manager", "--region", "--vpc"):
            assert word in said.err

    @pytest.mark.parametrize("arguments", [["start", "token"], ["stop", "now"], ["--dry-run", "start", "x"]])
    def test_other_commands_take_no_argument(self, arguments: List[str], capsys: "pytest.CaptureFixture[str]") -> None:
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2
        assert "takes no argument" in capsys.readouterr().err

    def test_its_options_are_no_other_commands(self, capsys: "pytest.CaptureFixture[str]") -> None:
        with pytest.raises(SystemExit) as caught:
            cli.main(["start", "--spot"])
        assert caught.value.code == 2
        assert "--spot is an option of kit" in capsys.readouterr().err


# Values that the keys of the schema take, as a document holds them.
_LABEL = st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
_HOST_NAME = st.builds("{}.{}".format, _LABEL, st.sampled_from(["example.org", "ec2.internal", "no", "on"]))
_DURATION = st.one_of(st.integers(60, 999999), st.sampled_from(["90s", "10m", "8h", "2d"]))
_ENDS = st.sampled_from(["keep", "stop", "poweroff"])
_LEAVING = st.sampled_from(["drain", "no-new-jobs", "ignore"])
_REFERENCE = st.sampled_from(
    [
        "secretsmanager:annex/token",
        "secretsmanager:arn:aws:secretsmanager:us-east-1:123456789012:secret:annex/token-AbCdEf",
        "ssm:/annex/password",
        "s3://bucket/a key: with {all} \"kinds' of #things",
        "file:/etc/annex-agent/tök en",
    ]
)
_KNOB_TEXT = st.text(st.characters(blacklist_categories=("Cc", "Zl", "Zp")), max_size=12)
VALUES: Mapping[str, "st.SearchStrategy[Any]"] = {
    "central_manager": st.one_of(_HOST_NAME, st.lists(_HOST_NAME.map("{}:9620".format), min_size=1, max_size=3)),
    "annex.name": st.one_of(_LABEL, st.sampled_from(["no", "null", "1e3", "0x10", "1.5", "ON", "2026-11-21"])),
    "annex.bundle": _REFERENCE,
    "security.trust_domain": _HOST_NAME,
    "hostname": st.one_of(st.sampled_from(["public", "private", "keep"]), _HOST_NAME),
    "network.advertise": st.sampled_from(["auto", "public", "private"]),
    "network.private_network_name": st.sampled_from(["{vpc_id}", "amazon-{region}-x", "ours"]),
    "network.ports": st.sampled_from(["shared", "40000-40050", "1024-65535"]),
    "aws.proxy": st.sampled_from(["http://proxy.example.org:3128", "https://[fd00::1]:8080/"]),
    "aws.timeout": _DURATION,
    "metadata.v1": st.sampled_from(["fallback", "never"]),
    "metadata.restrict_to_root": st.booleans(),
    "stop.mode": st.sampled_from(["graceful", "peaceful", "fast"]),
    "stop.timeout": _DURATION,
    **{f"lifetime.{name}": _DURATION for name in ("lease", "idle", "unregistered", "unreachable", "grace")},
    **{f"lifetime.on_{name}": _ENDS for name in ("exit", "lease", "idle", "failure", "unregistered", "unreachable")},
    **{f"interruption.{name}": _LEAVING for name in ("spot", "rebalance", "maintenance", "autoscaling")},
    "interruption.vacate": st.sampled_from([20, "45s", "2m"]),
    "interruption.lead": _DURATION,
    "interruption.poll": st.sampled_from([1, "4s", "1m"]),
    "signal.autoscaling": st.booleans(),
}
# Which of them may stand together is another matter.
SECRETS = {
    "none": {},
    "idtokens": {"security.method": "idtokens", "security.token": "secretsmanager:annex/token"},
    "password": {"security.method": "password", "security.pool_password": "ssm:/annex/password"},
    "by the secret": {"security.token": "s3://bucket/key"},
}
PAIR = {"signal.cloudformation.stack": "my-annex", "signal.cloudformation.resource": "Workers"}


@st.composite
def documents(draw: Any) -> Dict[str, Any]:
    flat = draw(st.fixed_dictionaries({}, optional=VALUES))
    flat.update({**SECRETS[draw(st.sampled_from(sorted(SECRETS)))], **(PAIR if draw(st.booleans()) else {})})
    nested: Dict[str, Any] = {"condor": draw(st.dictionaries(st.sampled_from(["A", "B.c", "no", "START"]), _KNOB_TEXT))}
    for path, value in flat.items():
        *sections, name = path.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return nested


class TestUserData:
    def test_every_key_of_the_schema_is_tried(self) -> None:
        tried = {*VALUES, *PAIR, *(path for secrets in SECRETS.values() for path in secrets)}
        assert tried == {key.path for key in KEYS}

    @given(documents(), documents(), st.booleans())
    def test_what_it_says_is_what_was_set(self, image: Dict[str, Any], launch: Dict[str, Any], mime: bool) -> None:
        sources = [
            from_document("config", {"central_manager": "cm.example.org", **image}),
            from_document("user-data", launch),
        ]
        try:
            wanted = merge(sources)
        except ConfigError:  # they contradict each other, or a knob's value ends in a backslash
            return
        site, _ = read_site({"mime": mime or None})
        text = parts.make(parts.find("user-data"), request(wanted, site)).text
        found = userdata.parse(text.encode("ascii"))
        assert found.source.problems == ()
        assert merge([found.source]).settings == wanted.settings
        # Laid over the image's own config.yaml, too: a default that was set on purpose is not left out.
        assert merge([sources[0], found.source]).settings == wanted.settings

    def test_the_two_oldest_forms_become_settings(self) -> None:
        for text in ("cm.example.org", 'COLLECTOR_HOST = cm.example.org\nSTART = TARGET.Owner == "alice"\n'):
            wanted = merge([userdata.parse(text.encode()).source])
            again = parts.make(parts.find("user-data"), request(wanted, read_site({})[0])).text
            assert merge([userdata.parse(again.encode()).source]).settings == wanted.settings

    def test_others_can_add_parts_to_the_message(self) -> None:
        message = message_from_string(made("user-data", IDTOKENS, mime=True))
        message.attach(MIMEText("#!/bin/sh\n", "x-shellscript"))
        found = userdata.parse(message.as_bytes()).source
        assert merge([found]).settings == merged(IDTOKENS).settings

    @pytest.mark.parametrize("part", ["user-data", "launch-template"])
    @pytest.mark.parametrize("key", ["token", "pool_password"])
    def test_no_secret_is_put_where_others_read_it(self, part: str, key: str) -> None:
        error = refused(part, {**IMAGE, "security": {key: "inline:secret-word"}})
        assert isinstance(error, ConfigError)
        assert f"security.{key} is inline:" in str(error)
        assert "secret-word" not in str(error)

    @pytest.mark.parametrize("part", ["user-data", "launch-template"])
    def test_no_more_than_ec2_takes(self, part: str) -> None:
        assert "KiB" in str(refused(part, {**IMAGE, "condor": {"A": "x" * LIMIT}}))


class TestTheLaunchTemplate:
    def test_it_holds_all_that_a_launch_needs(self) -> None:
        template = document("launch-template", IDTOKENS, spot=True)
        data = template["LaunchTemplateData"]
        assert base64.b64decode(data.pop("UserData")).decode() == made("user-data", IDTOKENS)
        tags = [{"Key": "Name", "Value": "annex-agent-worker"}, {"Key": "AnnexName", "Value": "spring"}]
        assert template["LaunchTemplateName"] == "annex-agent-worker"
        assert data == {
            "ImageId": OPTIONS["ami"],
            "InstanceType": "m5.large",
            "SecurityGroupIds": OPTIONS["security_group"],
            "MetadataOptions": {
                "HttpEndpoint": "enabled",
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 1,
                "InstanceMetadataTags": "enabled",
            },
            "InstanceInitiatedShutdownBehavior": "terminate",
            "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
            "IamInstanceProfile": {"Name": "annex-agent-worker"},
            "InstanceMarketOptions": {
                "MarketType": "spot",
                "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
            },
        }

    def test_a_role_is_needed_only_for_a_secret_of_aws(self) -> None:
        without = {name: value for name, value in OPTIONS.items() if name != "instance_profile"}
        for settings in (IMAGE, {**IDTOKENS, "security": {**IDTOKENS["security"], "token": "file:/etc/token"}}):
            data = json.loads(make("launch-template", settings, without).text)["LaunchTemplateData"]
            assert "IamInstanceProfile" not in data
        assert "--instance-profile is needed" in str(refused("launch-template", PASSWORD, without))

    def test_the_profile_may_be_an_arn(self) -> None:
        arn = "arn:aws:iam::123456789012:instance-profile/path/annex"
        data = document("launch-template", IDTOKENS, instance_profile=arn)["LaunchTemplateData"]
        assert data["IamInstanceProfile"] == {"Arn": arn}


class TestTheSecurityGroup:
    def test_first_it_is_made(self) -> None:
        group = document("security-group", IDTOKENS, security_group=None)
        assert (group["GroupName"], group["VpcId"]) == ("annex-agent-worker", OPTIONS["vpc"])
        assert "IpPermissions" not in group

    def test_without_a_vpc_it_says_which_one_it_will_be(self) -> None:
        made = make("security-group", IDTOKENS, {"site_cidr": ["192.0.2.0/24"]})
        assert "VpcId" not in json.loads(made.text)
        assert "default VPC" in " ".join(made.hints)

    def rules(self, settings: Mapping[str, Any], **options: Any) -> List[Any]:
        return [
            (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], *ranges.values())
            for rule in document("security-group", settings, **options)["IpPermissions"]
            for key in ("IpRanges", "Ipv6Ranges")
            for ranges in rule.get(key, ())
        ]

    def test_then_it_lets_the_site_in_on_one_port(self) -> None:
        words = "HTCondor: central manager and access points"
        assert self.rules(IDTOKENS) == [("tcp", 9618, 9618, "192.0.2.0/24", words)]

    def test_or_on_the_ports_of_the_settings(self) -> None:
        settings = {**IDTOKENS, "network": {"ports": "40000-40050"}}
        assert [rule[:4] for rule in self.rules(settings, site_cidr=["192.0.2.0/24", "2001:db8::/48"])] == [
            ("tcp", 40000, 40050, "192.0.2.0/24"),
            ("tcp", 40000, 40050, "2001:db8::/48"),
        ]

    def test_ssh_is_open_to_whom_it_is_asked_for(self) -> None:
        assert [rule[1:4] for rule in self.rules(IDTOKENS, admin_cidr=["198.51.100.7"])] == [
            (9618, 9618, "192.0.2.0/24"),
            (22, 22, "198.51.100.7/32"),
        ]

    def test_nothing_comes_in_where_workers_are_reached_through_the_collector_alone(self) -> None:
        options = {**OPTIONS, "ccb": True, "site_cidr": None}
        assert "nothing comes in" in str(refused("security-group", IDTOKENS, options))
        assert make("security-group", IDTOKENS, {**options, "security_group": None}).text
        rules = self.rules(IDTOKENS, admin_cidr=["198.51.100.0/24"], ccb=True)
        assert [rule[1] for rule in rules] == [22]

    @pytest.mark.parametrize("advertise", ["public", "private"])
    def test_which_the_settings_must_have_asked_for(self, advertise: str) -> None:
        settings = {**IDTOKENS, "network": {"advertise": advertise}}
        assert "network.advertise is auto" in str(refused("security-group", settings, {**OPTIONS, "ccb": True}))
        assert [rule[1] for rule in self.rules(settings)] == [9618]
        settings["condor"] = {"CCB_ADDRESS": "$(COLLECTOR_HOST)"}
        assert self.rules(settings, ccb=True, admin_cidr=["198.51.100.0/24"])

    @pytest.mark.parametrize("knob", ["SHARED_PORT_PORT", "STARTD.lowport", "use_shared_port"])
    def test_it_does_not_guess_what_the_owners_own_knobs_do_to_the_ports(self, knob: str) -> None:
        assert f"condor.{knob}" in str(refused("security-group", {**IDTOKENS, "condor": {knob: "40000"}}))

    def test_the_whole_internet_is_remarked_on(self) -> None:
        hints = make("security-group", IDTOKENS, {**OPTIONS, "site_cidr": ["0.0.0.0/0"]}).hints
        assert any("whole Internet" in hint for hint in hints)


class TestThePolicy:
    def test_it_allows_to_read_the_secret_and_nothing_else(self) -> None:
        (statement,) = document("iam-policy", IDTOKENS, region="cn-north-1")["Statement"]
        assert statement["Action"] == "secretsmanager:GetSecretValue"
        assert statement["Resource"].startswith("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:annex/token-")

    def test_the_role_is_an_instances_also_in_china(self) -> None:
        for region, service in (("us-east-1", "ec2.amazonaws.com"), ("cn-north-1", "ec2.amazonaws.com.cn")):
            hints = " ".join(make("iam-policy", IDTOKENS, {**OPTIONS, "region": region}).hints)
            (trust,) = re.findall(r"--assume-role-policy-document '(.*)'", hints)
            (statement,) = json.loads(trust)["Statement"]
            assert (statement["Principal"], statement["Action"]) == ({"Service": service}, "sts:AssumeRole")

    def test_keys_of_ones_own_are_allowed_on_request(self) -> None:
        statements = document("iam-policy", IDTOKENS, own_keys=True)["Statement"]
        assert [statement["Action"] for statement in statements] == ["secretsmanager:GetSecretValue", "kms:Decrypt"]

    def test_without_a_secret_of_aws_there_is_none(self) -> None:
        assert isinstance(refused("iam-policy", IMAGE), ConfigError)


class TestTheCentralManager:
    def test_tokens(self) -> None:
        found = knobs(made("central-manager", IDTOKENS))
        assert found["TRUST_DOMAIN"] == "example.org"
        assert {found[f"SEC_DAEMON_{what}"] for what in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")} == {"REQUIRED"}
        assert found["ALLOW_ADVERTISE_STARTD"] == "$(ALLOW_ADVERTISE_STARTD:$(ALLOW_DAEMON)), condor@example.org"
        assert found["SEC_DAEMON_AUTHENTICATION_METHODS"].endswith(", IDTOKENS")
        assert not any("PASSWORD" in name for name in found)

    def test_a_password_is_both_identities_and_not_the_tokens_key(self) -> None:
        found = knobs(made("central-manager", PASSWORD))
        for name in ("ALLOW_ADVERTISE_STARTD", "ALLOW_ADVERTISE_MASTER", "ALLOW_READ"):
            assert found[name].endswith(", condor@password, condor_pool@*")
        for name in ("SEC_DAEMON_AUTHENTICATION_METHODS", "SEC_READ_AUTHENTICATION_METHODS"):
            assert found[name].endswith(", PASSWORD")
        assert found["SEC_PASSWORD_FILE"] != found["SEC_TOKEN_POOL_SIGNING_KEY_FILE"]
        assert "TRUST_DOMAIN" not in found

    def test_addresses_are_warned_about(self) -> None:
        answer = make("central-manager", HOST)
        found = knobs(answer.text)
        assert found["ALLOW_ADVERTISE_MASTER"].endswith(", 67.202.0.0/18")
        assert found["SEC_DAEMON_AUTHENTICATION"] == "OPTIONAL"
        assert "NOT SAFE" in answer.text
        assert any(hint.startswith("warning: ") for hint in answer.hints)
        assert "--worker-cidr is needed" in str(refused("central-manager", HOST, {}))

    def test_what_only_the_images_builder_knows_is_not_guessed(self) -> None:
        assert "security.method is image" in str(refused("central-manager", IMAGE))

    def test_tokens_need_their_domain(self) -> None:
        for part in ("central-manager", "token"):
            settings = {**IMAGE, "security": {"token": "ssm:token"}}
            assert "security.trust_domain is needed" in str(refused(part, settings))

    def test_another_port_is_set_and_named(self) -> None:
        text = made("central-manager", {**IDTOKENS, "central_manager": "cm.example.org:9620"})
        assert knobs(text)["COLLECTOR_PORT"] == "9620"
        assert "TCP port 9620" in text
        assert "COLLECTOR_PORT" not in knobs(made("central-manager", IDTOKENS))

    def test_both_of_two_are_named(self) -> None:
        text = made("central-manager", {**IDTOKENS, "central_manager": ["a.example.org", "b.example.org"]})
        assert text.startswith("# For a.example.org and b.example.org,")


class TestTheAccessPoint:
    def test_jobs_can_ask_for_the_annex(self) -> None:
        assert 'requirements = TARGET.AnnexName == "spring"' in made("submit", IDTOKENS)
        assert "requirements = TARGET.IsAnnex =?= True" in made("submit", IMAGE)

    def test_it_holds_the_domain_only_of_tokens(self) -> None:
        assert set(knobs(made("submit", IDTOKENS))) == {"TRUST_DOMAIN", "SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION"}
        assert set(knobs(made("submit", PASSWORD))) == {"SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION"}

    @pytest.mark.parametrize(
        ("network", "words"),
        [
            ({"advertise": "public"}, "It must reach TCP port 9618 of theirs."),
            ({"advertise": "private"}, "It must reach TCP port 9618 of their private addresses"),
            ({"ports": "40000-40050"}, "It must reach TCP port 40000-40050 of theirs;"),
            ({"private_network_name": "{vpc_id}"}, "PRIVATE_NETWORK_NAME = {vpc_id} (with its own {vpc_id})"),
            ({"private_network_name": "ours"}, "PRIVATE_NETWORK_NAME = ours to use"),
        ],
    )
    def test_it_says_how_the_workers_are_reached(self, network: Mapping[str, str], words: str) -> None:
        text = " ".join(made("submit", {**IDTOKENS, "network": network}).replace("\n# ", " ").split())
        assert words in text

    def test_workers_that_are_reached_through_the_collector_call_back(self) -> None:
        text = made("submit", IDTOKENS, ccb=True).replace("\n# ", " ")
        assert "They call back when they are wanted (CCB)" in text
        assert "It must reach" not in text


PLACES = {
    "by name": "secretsmanager:annex/it's a token".replace("'s a ", "-"),
    "by ARN": "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:annex/token-AbCdEf",
    "parameter": "ssm:/annex/token",
    "parameter's ARN": "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/annex/token",
    "object": "s3://bucket/it's; a $(key)",
    "file": "file:/etc/annex-agent/the worker's token",
}
SECRET = "a.b-c_d$(x) `y` 'z' \"w\" %s \\n"


class Script:
    """A script of ``kit token``, run where HTCondor's tools and the AWS CLI only write down what they were given."""

    def __init__(self, directory: Path, text: str, **answers: str) -> None:
        self.directory, self.text = directory, text
        self.bin = directory / "bin"
        self.bin.mkdir(exist_ok=True)
        (directory / "secret").write_text(f"{SECRET}\n")
        self._tool("condor_token_create", f'cat "{directory}/secret"')
        self._tool("condor_config_val", f'echo "{directory}/annex-pool-password"')
        self._tool("condor_store_cred", f'cat >>"{directory}/stdin"')
        keep = f'case "$*" in *describe-secret*) exit {answers.get("describe", "0")} ;; esac; cat >>"{directory}/stdin"'
        self._tool("aws", keep)

    def _tool(self, name: str, body: str) -> None:
        path = self.bin / name
        seen = f'{{ printf "%s\\n" "$0 $*"; env; tr "\\0" " " </proc/$PPID/cmdline; }} >>"{self.directory}/seen"'
        path.write_text(f"#!/bin/sh\n{seen}\n{body}\n")
        path.chmod(0o755)

    def run(self, *shell: str, code: int = 0) -> str:
        path = self.directory / "script"
        path.write_text(self.text)
        # A variable of the script's that came in with the environment would go on to its children.
        environ = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.directory), "secret": "exported"}
        done = subprocess.run(
            [*(shell or ("sh",)), str(path)],
            cwd=self.directory,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    @property
    def seen(self) -> str:
        """What anybody on the machine could have seen of the tools: arguments and environment."""
        return (self.directory / "seen").read_text()

    @property
    def stdin(self) -> str:
        path = self.directory / "stdin"
        return path.read_text() if path.exists() else ""


def shells() -> List[str]:
    return [shell for shell in ("sh", "bash", "dash", "ksh", "zsh") if shutil.which(shell)]


class TestTheToken:
    def settings(self, place: str, **security: str) -> Dict[str, Any]:
        return {**IMAGE, "security": {"token": place, "trust_domain": "example.org", **security}}

    @pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
    def test_the_secret_is_seen_by_nobody(self, place: str, tmp_path: Path) -> None:
        script = Script(tmp_path, made("token", self.settings(place)))
        said = script.run("sh", "-x")  # as somebody would who looks for a mistake
        kept = tmp_path / "annex-agent-worker.secret"
        stored = kept.read_text().strip() if place.startswith("file:") else script.stdin
        assert stored == SECRET
        assert SECRET not in script.seen + said
        assert "exported" not in script.seen
        if kept.exists():
            assert kept.stat().st_mode & 0o777 == 0o600
            assert "sudo install -D -m 0600" in said

    @pytest.mark.parametrize("shell", shells())
    def test_any_shell_runs_it(self, shell: str, tmp_path: Path) -> None:
        script = Script(tmp_path, made("token", self.settings(PLACES["by name"])))
        script.run(shell)
        assert script.stdin == SECRET

    def test_the_token_is_limited_and_ends(self, tmp_path: Path) -> None:
        script = Script(tmp_path, made("token", self.settings(PLACES["by name"]), lifetime="12h"))
        script.run()
        assert (
            "condor_token_create -identity condor@example.org -lifetime 43200 "
            "-authz ADVERTISE_STARTD -authz ADVERTISE_MASTER -authz READ\n"
        ) in script.seen
        assert "after 43200 seconds" in script.text.replace("\n# ", " ")

    @pytest.mark.parametrize(
        ("place", "words"),
        [
            ("by name", "put-secret-value --secret-id=annex/it-token --secret-string file:///dev/stdin --region us-"),
            (
                "by ARN",
                "put-secret-value --secret-id=arn:aws:secretsmanager:eu-west-1:123456789012:secret:annex/token-A",
            ),
            ("by ARN", "file:///dev/stdin --region eu-west-1\n"),
            (
                "parameter",
                "put-parameter --name=/annex/token --type SecureString --overwrite --value file:///dev/stdin",
            ),
            ("parameter's ARN", "put-parameter --name=/annex/token --type SecureString"),
            ("parameter's ARN", "file:///dev/stdin --region eu-west-1\n"),
            ("object", "s3 cp --sse AES256 - s3://bucket/it's; a $(key)\n"),
        ],
    )
    def test_it_goes_where_workers_fetch_it(self, place: str, words: str, tmp_path: Path) -> None:
        script = Script(tmp_path, made("token", self.settings(PLACES[place])))
        script.run()
        assert words in script.seen

    def test_a_secret_that_is_not_there_is_made(self, tmp_path: Path) -> None:
        script = Script(tmp_path, made("token", self.settings(PLACES["by name"])), describe="254")
        script.run()
        assert "create-secret --name=annex/it-token --secret-string file:///dev/stdin --region us-east-1" in script.seen
        assert "put-secret-value" not in script.seen
        assert script.stdin == SECRET

    def test_where_no_token_is_made_nothing_is_stored(self, tmp_path: Path) -> None:
        for failing in ("exit 1", "true"):
            script = Script(tmp_path, made("token", self.settings(PLACES["by name"])))
            script._tool("condor_token_create", failing)
            script.run(code=1)
            assert script.stdin == ""

    def test_a_password_is_made_once_and_kept_at_both_ends(self, tmp_path: Path) -> None:
        script = Script(tmp_path, made("token", PASSWORD))
        script.run()
        (password,) = {script.stdin[: len(script.stdin) // 2], script.stdin[len(script.stdin) // 2 :]}
        assert len(base64.b64decode(password)) == 32
        assert password not in script.seen
        assert "condor_store_cred add -c -i -\n" in script.seen
        assert "put-parameter --name=/annex/password" in script.seen
        (tmp_path / "annex-pool-password").touch()
        assert "would be lost" in script.run(code=1)
        assert script.stdin == password * 2

    @pytest.mark.parametrize("settings", [HOST, IMAGE])
    def test_without_a_secret_there_is_nothing_to_make(self, settings: Mapping[str, Any]) -> None:
        assert "has no secret to make" in str(refused("token", settings))

    @pytest.mark.parametrize(
        ("place", "words"),
        [("inline:secret-word", "is inline:, the secret itself"), ("ssm:/annex/token:3", "names one version")],
    )
    def test_a_place_that_a_new_one_cannot_be_put_to(self, place: str, words: str) -> None:
        error = refused("token", self.settings(place))
        assert words in str(error)
        assert "secret-word" not in str(error)

    @pytest.mark.skipif(
        not shutil.which("shellcheck"), reason="shellcheck is not installed: apt-get install shellcheck"
    )
    def test_shellcheck_finds_nothing(self, tmp_path: Path) -> None:
        texts = [made("token", self.settings(place)) for place in PLACES.values()] + [made("token", PASSWORD)]
        for text in texts:
            done = subprocess.run(
                ["shellcheck", "--exclude=SC2016", "-"], input=text, capture_output=True, text=True, check=False
            )
            assert done.stdout == ""
