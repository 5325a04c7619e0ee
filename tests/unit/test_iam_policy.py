"""The least policy: exactly what the references need."""

import json
import re
from typing import Any, Dict, List, Optional

import pytest

from annex_agent.iam_policy import Place, asks_aws, least_policy, need
from annex_agent.model import Settings
from annex_agent.secret import reference

ACCOUNT = "123456789012"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret"


def policy(own_keys: bool = False, **places: str) -> List[Dict[str, Any]]:
    references: Dict[str, Any] = {field: reference(text) for field, text in places.items()}
    document = least_policy(Settings(**references), "eu-west-1", ACCOUNT, "aws", own_keys)
    assert document["Version"] == "2012-10-17"
    json.dumps(document)
    return list(document["Statement"])


@pytest.mark.parametrize(
    ("place", "action", "resource"),
    [
        ("secretsmanager:annex/token", "secretsmanager:GetSecretValue", f"{SECRET}:annex/token-??????"),
        # By an ARN, with what Secrets Manager appends to the name and without.
        (
            f"secretsmanager:{SECRET}:annex/token-aB3dE6",
            "secretsmanager:GetSecretValue",
            f"{SECRET}:annex/token-aB3dE6",
        ),
        (f"secretsmanager:{SECRET}:annex/token", "secretsmanager:GetSecretValue", f"{SECRET}:annex/token-??????"),
        ("ssm:/annex/password", "ssm:GetParameter", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/annex/password"),
        ("ssm:password", "ssm:GetParameter", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/password"),
        ("ssm:/annex/password:3", "ssm:GetParameter", f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/annex/password"),
        (
            "ssm:arn:aws:ssm:us-west-2:210987654321:parameter/shared/password:live",
            "ssm:GetParameter",
            "arn:aws:ssm:us-west-2:210987654321:parameter/shared/password",
        ),
        ("s3://bucket/a/config-x.tar.gz", "s3:GetObject", "arn:aws:s3:::bucket/a/config-x.tar.gz"),
        ("s3://bucket/what*is?this$", "s3:GetObject", "arn:aws:s3:::bucket/what${*}is${?}this${$}"),
    ],
)
def test_one_secret_is_one_action_on_one_resource(place: str, action: str, resource: str) -> None:
    (statement,) = policy(token=place)
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Allow", action, resource)


def test_what_is_not_in_aws_needs_nothing() -> None:
    assert policy(token="file:/etc/token", pool_password="inline:hunter2") == []
    assert policy() == []


def test_the_same_secret_twice_is_named_once() -> None:
    (statement,) = policy(token="ssm:/a", pool_password="ssm:/a")
    assert isinstance(statement["Resource"], str)


def test_several_services_are_several_statements() -> None:
    statements = policy(token="secretsmanager:t", pool_password="ssm:p", bundle="s3://bucket/key")
    assert [found["Action"].partition(":")[0] for found in statements] == ["secretsmanager", "ssm", "s3"]
    assert len({found["Sid"] for found in statements}) == 3


def test_signals_are_for_the_stack_and_for_groups_of_the_region_and_account_alone() -> None:
    asked = Settings(cloudformation_stack="my-annex", cloudformation_resource="Workers", signals_autoscaling=True)
    stack, hooks, answers = least_policy(asked, "cn-north-1", ACCOUNT)["Statement"]
    assert (stack["Action"], stack["Resource"]) == (
        "cloudformation:SignalResource",
        f"arn:aws-cn:cloudformation:cn-north-1:{ACCOUNT}:stack/my-annex/*",
    )
    # Service authorization reference: no resource can be named for these.
    assert hooks["Action"] == ["autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLifecycleHooks"]
    assert hooks["Resource"] == "*"
    assert answers["Action"] == ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"]
    assert answers["Resource"] == (
        f"arn:aws-cn:autoscaling:cn-north-1:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/*"
    )
    assert len({statement["Sid"] for statement in (stack, hooks, answers)}) == 3


@pytest.mark.parametrize(
    ("settings", "services"),
    [
        (Settings(), []),
        (Settings(cloudformation_stack="s", cloudformation_resource="r"), ["cloudformation"]),
        (Settings(signals_autoscaling=True), ["autoscaling", "autoscaling"]),
        (Settings(signals_autoscaling=True, token=reference("ssm:/a")), ["ssm", "autoscaling", "autoscaling"]),
    ],
)
def test_only_what_is_asked_for_is_allowed(settings: Settings, services: List[str]) -> None:
    statements = least_policy(settings, "eu-west-1", ACCOUNT)["Statement"]
    actions = [found["Action"] if isinstance(found["Action"], str) else found["Action"][0] for found in statements]
    assert [action.partition(":")[0] for action in actions] == services
    assert asks_aws(settings) == bool(services)


def test_keys_of_ones_own_are_used_for_these_secrets_alone() -> None:
    *_, secret, object_key = policy(own_keys=True, token="secretsmanager:t", bundle="s3://bucket/a/key")
    assert secret["Action"] == object_key["Action"] == "kms:Decrypt"
    assert secret["Resource"] == f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/*"
    assert secret["Condition"]["StringLike"] == {
        "kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com",
        "kms:EncryptionContext:SecretARN": f"{SECRET}:t-??????",
    }
    assert object_key["Condition"]["StringLike"] == {
        "kms:ViaService": "s3.eu-west-1.amazonaws.com",
        "kms:EncryptionContext:aws:s3:arn": ["arn:aws:s3:::bucket/a/key", "arn:aws:s3:::bucket"],
    }


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("ap-southeast-3", "aws"),
        ("cn-northwest-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-isob-east-1", "aws-iso-b"),
        ("*", "aws"),
    ],
)
def test_the_partition_follows_from_the_region(region: str, partition: str) -> None:
    assert need(reference("s3://bucket/key"), Place(region, ACCOUNT)).resource == f"arn:{partition}:s3:::bucket/key"


@pytest.mark.parametrize(
    ("text", "region"),
    [
        (f"secretsmanager:{SECRET}:annex/token", "eu-west-1"),
        ("secretsmanager:annex/token", None),
        ("ssm:arn:aws:ssm:us-west-2:210987654321:parameter/a", "us-west-2"),
        ("ssm:/a", None),
        ("s3://bucket/key", None),
    ],
)
def test_an_arn_names_its_region(text: str, region: Optional[str]) -> None:
    assert reference(text).region == region
    assert str(reference(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file:token", "the whole path of a file"),
        ("file:", "the whole path of a file"),
        ("s3:bucket/key", "s3://BUCKET/KEY"),
        ("s3://bucket", "s3://BUCKET/KEY"),
        ("s3://bucket/", "s3://BUCKET/KEY"),
        ("s3://Bucket/key", "s3://BUCKET/KEY"),
        ("ssm:", "of a parameter"),
        ("ssm:with space", "of a parameter"),
        ("ssm:arn:aws:secretsmanager:us-east-1:123456789012:secret:x", "of a parameter"),
        ("secretsmanager:", "of a secret"),
        ("secretsmanager:arn:aws:ssm:us-east-1:123456789012:parameter/x", "of a secret"),
        ("secretsmanager:a:b", "of a secret"),
        ("inline:", "the secret itself"),
        ("hunter2", "where the secret is kept"),
        ("http://hunter2", "where the secret is kept"),
    ],
)
def test_a_reference_that_cannot_be_one_is_refused_and_not_repeated(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        reference(text)
    assert "hunter2" not in str(caught.value)
