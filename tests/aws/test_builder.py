"""What an image's builder may do in AWS: packaging/aws/iam-policy.json, given to an AWS API."""

import json
import string
from pathlib import Path
from typing import Any, Dict, List, Set

from .conftest import REGION, boto3

FILES = Path(__file__).resolve().parents[2] / "packaging" / "aws"
ACCOUNT = "123456789012"


def filled(name: str, **values: str) -> Dict[str, Any]:
    """A file's content with every placeholder replaced, as envsubst does; an unknown one is an error."""
    answer = json.loads(string.Template((FILES / name).read_text(encoding="utf-8")).substitute(values))
    assert isinstance(answer, dict)
    return answer


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
