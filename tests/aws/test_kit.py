"""``kit``'s answers for AWS, given to an AWS API as the AWS CLI would, and read back from it."""

import base64
import json
import re
from typing import Any, Dict, List, Mapping, Tuple

import pytest

from annex_agent import userdata
from annex_agent.kit import parts
from annex_agent.kit.request import read_site, request
from annex_agent.settings import from_yaml, merge

from .conftest import REGION, boto3, validate

SITE, ADMINISTRATORS = "192.0.2.0/24", "198.51.100.7/32"
NAME = "annex-agent-worker"
SETTINGS = """
central_manager: cm.example.org
annex: spring
security: {token: secretsmanager:annex/token, trust_domain: example.org}
"""


class Kit:
    """What ``annex-agent kit`` answers, with these settings and options."""

    def made(self, part: str, **options: Any) -> parts.Made:
        site, problems = read_site({"region": REGION, "account": "123456789012", "site_cidr": [SITE], **options})
        wanted = request(merge([from_yaml("config.yaml", SETTINGS)]), site)
        return parts.make(parts.find(part), wanted, problems)

    def text(self, part: str, **options: Any) -> str:
        return self.made(part, **options).text

    def document(self, part: str, **options: Any) -> Dict[str, Any]:
        answer = json.loads(self.text(part, **options))
        assert isinstance(answer, dict)
        return answer


@pytest.fixture
def kit() -> Kit:
    return Kit()


def make_group(ec2: Any, kit: Kit, **options: Any) -> str:
    """A security group with its rules: what the hints on stderr say, one after the other."""
    group = str(ec2.create_security_group(**kit.document("security-group"))["GroupId"])
    ec2.authorize_security_group_ingress(**kit.document("security-group", security_group=[group], **options))
    return group


def make_profile(iam: Any, kit: Kit) -> str:
    """A role with the policy, in an instance profile."""
    (trust,) = re.findall(r"--assume-role-policy-document '(.*)'", " ".join(kit.made("iam-policy").hints))
    iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName=NAME, PolicyName=NAME, PolicyDocument=kit.text("iam-policy"))
    arn = iam.create_instance_profile(InstanceProfileName=NAME)["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName=NAME, RoleName=NAME)
    return str(arn)


def template_options(ami: str, group: str) -> Dict[str, Any]:
    return {"ami": ami, "instance_type": "m5.large", "security_group": [group], "instance_profile": NAME}


def make_template(ec2: Any, kit: Kit, group: str, **options: Any) -> None:
    ami = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.create_launch_template(**kit.document("launch-template", **template_options(ami, group), **options))


def launch(ec2: Any, **more: Any) -> Dict[str, Any]:
    """Nothing but the template's name is left to say."""
    (made,) = ec2.run_instances(LaunchTemplate={"LaunchTemplateName": NAME}, MinCount=1, MaxCount=1, **more)[
        "Instances"
    ]
    (reservation,) = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"]
    (instance,) = reservation["Instances"]
    assert isinstance(instance, dict)
    return instance


def kept(ec2: Any) -> Dict[str, Any]:
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateName=NAME)["LaunchTemplateVersions"]
    return dict(version["LaunchTemplateData"])


def rules(ec2: Any, group: str) -> List[Tuple[Any, ...]]:
    (made,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    others = [
        rule[key] for rule in made["IpPermissions"] for key in ("Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    ]
    assert not any(others)
    return sorted(
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], source["CidrIp"])
        for rule in made["IpPermissions"]
        for source in rule["IpRanges"]
    )


def test_the_site_gets_in_on_one_port_and_nobody_else_gets_in(ec2: Any, kit: Kit) -> None:
    assert rules(ec2, make_group(ec2, kit)) == [("tcp", 9618, 9618, SITE)]


def test_administrators_get_in_by_ssh_where_that_is_asked_for(ec2: Any, kit: Kit) -> None:
    group = make_group(ec2, kit, admin_cidr=[ADMINISTRATORS])
    assert rules(ec2, group) == [("tcp", 22, 22, ADMINISTRATORS), ("tcp", 9618, 9618, SITE)]


def test_what_leaves_the_workers_is_left_as_it_is(ec2: Any, kit: Kit) -> None:
    (made,) = ec2.describe_security_groups(GroupIds=[make_group(ec2, kit)])["SecurityGroups"]
    (egress,) = made["IpPermissionsEgress"]
    assert (egress["IpProtocol"], [allowed["CidrIp"] for allowed in egress["IpRanges"]]) == ("-1", ["0.0.0.0/0"])


def test_a_launch_by_name_is_told_the_settings_and_stands_behind_the_group(ec2: Any, iam: Any, kit: Kit) -> None:
    group, profile = make_group(ec2, kit), make_profile(iam, kit)
    make_template(ec2, kit, group)
    # EC2 takes the profile and the metadata options from the template, too.  moto does not: it gets what it has kept.
    options = kept(ec2)["MetadataOptions"]
    instance = launch(ec2, IamInstanceProfile=kept(ec2)["IamInstanceProfile"], MetadataOptions=options)
    assert {key: instance["MetadataOptions"][key] for key in options} == options
    assert [found["GroupId"] for found in instance["SecurityGroups"]] == [group]
    assert instance["InstanceType"] == "m5.large"
    assert instance["IamInstanceProfile"]["Arn"] == profile
    assert {tag["Key"]: tag["Value"] for tag in instance["Tags"] if ":" not in tag["Key"]} == {
        "Name": NAME,
        "AnnexName": "spring",
    }
    attribute = {"InstanceId": instance["InstanceId"], "Attribute": "userData"}
    told = base64.b64decode(ec2.describe_instance_attribute(**attribute)["UserData"]["Value"])
    assert merge([userdata.parse(told).source]).settings == merge([from_yaml("config.yaml", SETTINGS)]).settings


def test_the_template_demands_imdsv2_one_hop_and_the_tags(ec2: Any, kit: Kit) -> None:
    make_template(ec2, kit, make_group(ec2, kit))
    assert kept(ec2)["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "InstanceMetadataTags": "enabled",
    }


def test_a_power_off_ends_the_instance(ec2: Any, kit: Kit) -> None:
    make_template(ec2, kit, make_group(ec2, kit))
    assert kept(ec2)["InstanceInitiatedShutdownBehavior"] == "terminate"


def test_spot_is_asked_for_once(ec2: Any, kit: Kit) -> None:
    make_template(ec2, kit, make_group(ec2, kit), spot=True)
    market = kept(ec2)["InstanceMarketOptions"]
    assert market == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
    }


def test_the_role_is_an_instances_and_reads_one_secret(iam: Any, kit: Kit) -> None:
    make_profile(iam, kit)
    role = iam.get_role(RoleName=NAME)["Role"]
    (who,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert who["Principal"] == {"Service": "ec2.amazonaws.com"}
    (statement,) = iam.get_role_policy(RoleName=NAME, PolicyName=NAME)["PolicyDocument"]["Statement"]
    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert statement["Resource"] == f"arn:aws:secretsmanager:{REGION}:123456789012:secret:annex/token-??????"
    assert iam.list_attached_role_policies(RoleName=NAME)["AttachedPolicies"] == []


GROUP = "sg-0123456789abcdef0"
NETWORKS = {"site_cidr": [SITE, "2001:db8::/48"], "admin_cidr": [ADMINISTRATORS]}


@pytest.mark.parametrize(
    ("operation", "part", "options"),
    [
        ("CreateSecurityGroup", "security-group", {"vpc": "vpc-0123456789abcdef0"}),
        ("AuthorizeSecurityGroupIngress", "security-group", {**NETWORKS, "security_group": [GROUP]}),
        ("CreateLaunchTemplate", "launch-template", {**template_options("ami-0123456789abcdef0", GROUP), "spot": True}),
    ],
)
def test_the_aws_cli_takes_it(operation: str, part: str, options: Mapping[str, Any], kit: Kit) -> None:
    client = boto3.client("ec2", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    shape = client.meta.service_model.operation_model(operation).input_shape
    assert validate.ParamValidator().validate(kit.document(part, **options), shape).generate_report() == ""
