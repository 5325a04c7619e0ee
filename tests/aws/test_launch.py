"""The files of packaging/aws, given to an AWS API as docs/building-an-ami.md says, and read back from it."""

import base64
import json
import string
from pathlib import Path
from typing import Any, Dict, List, Set

import pytest

from .conftest import REGION, boto3, validate

FILES = Path(__file__).resolve().parents[2] / "packaging" / "aws"
ACCOUNT = "123456789012"
SITE, ADMINISTRATORS = "192.0.2.0/24", "198.51.100.7/32"
CENTRAL_MANAGER = "cm.example.org"


def filled(name: str, **values: str) -> Dict[str, Any]:
    """A file's content with every placeholder replaced, as envsubst does; an unknown one is an error."""
    answer = json.loads(string.Template((FILES / name).read_text(encoding="utf-8")).substitute(values))
    assert isinstance(answer, dict)
    return answer


def launch_template(ami: str, group: str) -> Dict[str, Any]:
    user_data = base64.b64encode(CENTRAL_MANAGER.encode()).decode()
    values = {"AMI_ID": ami, "SECURITY_GROUP_ID": group, "INSTANCE_TYPE": "m5.large", "USER_DATA_BASE64": user_data}
    return filled("launch-template.json", **values)


@pytest.fixture
def group(ec2: Any) -> str:
    """The security group with the rules of the file, in the default VPC."""
    made = ec2.create_security_group(GroupName="annex-agent-worker", Description="HTCondor execute nodes")["GroupId"]
    rules = filled("security-group.json", SECURITY_GROUP_ID=made, SITE_CIDR=SITE, ADMIN_CIDR=ADMINISTRATORS)
    ec2.authorize_security_group_ingress(**rules)
    return str(made)


@pytest.fixture
def template(ec2: Any, group: str) -> str:
    ami = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = ec2.create_launch_template(**launch_template(ami, group))["LaunchTemplate"]
    return str(made["LaunchTemplateName"])


def launch(ec2: Any, template: str, **more: Any) -> Dict[str, Any]:
    (made,) = ec2.run_instances(LaunchTemplate={"LaunchTemplateName": template}, MinCount=1, MaxCount=1, **more)[
        "Instances"
    ]
    (reservation,) = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"]
    (instance,) = reservation["Instances"]
    assert isinstance(instance, dict)
    return instance


def test_the_site_gets_in_on_one_port_and_nobody_else_gets_in(ec2: Any, group: str) -> None:
    (made,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    rules = {
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], source["CidrIp"])
        for rule in made["IpPermissions"]
        for source in rule["IpRanges"]
    }
    assert rules == {("tcp", 9618, 9618, SITE), ("tcp", 22, 22, ADMINISTRATORS)}
    others = [
        rule[key] for rule in made["IpPermissions"] for key in ("Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    ]
    assert not any(others)


def kept_options(ec2: Any, template: str) -> Dict[str, Any]:
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateName=template)["LaunchTemplateVersions"]
    return dict(version["LaunchTemplateData"]["MetadataOptions"])


def test_the_template_demands_imdsv2_one_hop_and_the_tags(ec2: Any, template: str) -> None:
    assert kept_options(ec2, template) == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "InstanceMetadataTags": "enabled",
    }


def test_a_worker_has_the_templates_metadata_options(ec2: Any, template: str) -> None:
    # EC2 takes them from the template.  moto takes all else from it, so these are handed over as it has kept them.
    kept = kept_options(ec2, template)
    options = launch(ec2, template, MetadataOptions=kept)["MetadataOptions"]
    assert {key: options[key] for key in kept} == kept


def test_a_worker_is_told_its_central_manager_and_stands_behind_the_group(ec2: Any, template: str, group: str) -> None:
    instance = launch(ec2, template)
    assert [found["GroupId"] for found in instance["SecurityGroups"]] == [group]
    assert instance["InstanceType"] == "m5.large"
    told = ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")["UserData"]
    assert base64.b64decode(told["Value"]).decode() == CENTRAL_MANAGER


def test_a_worker_has_no_role_and_no_key_unless_its_launch_gives_one(ec2: Any, iam: Any, template: str) -> None:
    bare = launch(ec2, template)
    assert not bare.get("IamInstanceProfile")
    assert not bare.get("KeyName")
    trust = json.dumps(filled("iam-trust-policy.json"))
    iam.create_role(RoleName="annex-agent-worker", AssumeRolePolicyDocument=trust)
    profile = iam.create_instance_profile(InstanceProfileName="annex-agent-worker")["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName="annex-agent-worker", RoleName="annex-agent-worker")
    given = launch(ec2, template, IamInstanceProfile={"Name": "annex-agent-worker"})
    assert given["IamInstanceProfile"]["Arn"] == profile
    role = iam.get_role(RoleName="annex-agent-worker")["Role"]
    assert [who["Principal"] for who in role["AssumeRolePolicyDocument"]["Statement"]] == [
        {"Service": "ec2.amazonaws.com"}
    ]
    assert iam.list_role_policies(RoleName="annex-agent-worker")["PolicyNames"] == []
    assert iam.list_attached_role_policies(RoleName="annex-agent-worker")["AttachedPolicies"] == []


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("CreateLaunchTemplate", launch_template("ami-0123456789abcdef0", "sg-0123456789abcdef0")),
        (
            "AuthorizeSecurityGroupIngress",
            filled("security-group.json", SECURITY_GROUP_ID="sg-1", SITE_CIDR=SITE, ADMIN_CIDR=ADMINISTRATORS),
        ),
    ],
)
def test_the_aws_cli_takes_the_file(operation: str, parameters: Dict[str, Any]) -> None:
    shape = service_model().operation_model(operation).input_shape
    assert validate.ParamValidator().validate(parameters, shape).generate_report() == ""


def service_model() -> Any:
    return boto3.client("ec2", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x").meta.service_model


def statements() -> List[Dict[str, Any]]:
    return list(filled("iam-policy.json", REGION=REGION, ACCOUNT_ID=ACCOUNT)["Statement"])


def listed(value: Any) -> List[str]:
    return [value] if isinstance(value, str) else list(value)


def actions(statement: Dict[str, Any]) -> Set[str]:
    return set(listed(statement["Action"]))


def test_iam_takes_the_builders_policy(iam: Any) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": statements()})
    assert len(document) < 6144, "the most that IAM takes for a managed policy"
    made = iam.create_policy(PolicyName="annex-agent-image", PolicyDocument=document)["Policy"]
    version = iam.get_policy_version(PolicyArn=made["Arn"], VersionId="v1")["PolicyVersion"]
    assert [found["Sid"] for found in version["Document"]["Statement"]] == [found["Sid"] for found in statements()]


def test_every_action_of_the_builders_policy_exists_in_ec2() -> None:
    known = {f"ec2:{name}" for name in service_model().operation_names}
    assert set().union(*map(actions, statements())) - known == set()


def test_the_builder_changes_nothing_outside_its_region_account_and_tag() -> None:
    for statement in statements():
        if all(action.startswith("ec2:Describe") for action in actions(statement)):
            continue
        for resource in listed(statement["Resource"]):
            assert resource.startswith((f"arn:aws:ec2:{REGION}:{ACCOUNT}:", f"arn:aws:ec2:{REGION}::")), resource
        if actions(statement) & {"ec2:StopInstances", "ec2:TerminateInstances", "ec2:DeleteVolume"}:
            assert statement["Condition"] == {"StringEquals": {"aws:ResourceTag/Purpose": "annex-agent-image"}}
    (launches,) = (found for found in statements() if found["Sid"] == "LaunchWithIMDSv2AndTheTag")
    assert launches["Condition"]["StringEquals"]["ec2:MetadataHttpTokens"] == "required"
