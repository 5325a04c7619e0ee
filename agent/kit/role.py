"""The least policy of the workers' role: to read the secrets and to send the signals that the settings name."""

import json
from typing import Any, Dict, Iterator

from ..errors import AnnexError, ConfigError
from ..iam_policy import asks_aws, least_policy
from .request import Request, missing


def problems(request: Request) -> Iterator[AnnexError]:
    """Nothing to allow, or not known where."""
    if not asks_aws(request.settings):
        yield ConfigError(
            [
                "these settings name no secret that is kept in AWS (secretsmanager:, ssm:, s3://), and nobody there to "
                "be told anything (signal): the workers need no role, and no policy"
            ]
        )
        return
    yield from missing(request.site, "region", "account")


def document(request: Request) -> Dict[str, Any]:
    """Input of iam create-policy and put-role-policy."""
    site = request.site
    return least_policy(request.settings, str(site.region), str(site.account), own_keys=site.own_keys)


def trust_policy(request: Request) -> Dict[str, Any]:
    """Who may be the role: instances (IAM user guide, "AWS service principals"; China has names of its own)."""
    domain = "amazonaws.com.cn" if str(request.site.region).startswith("cn-") else "amazonaws.com"
    statement = {"Effect": "Allow", "Principal": {"Service": f"ec2.{domain}"}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def hints(request: Request) -> Iterator[str]:
    """What to do with it."""
    name = request.site.name
    trust = json.dumps(trust_policy(request))
    yield f"a role, if there is none: aws iam create-role --role-name {name} --assume-role-policy-document '{trust}'"
    yield f"next: aws iam put-role-policy --role-name {name} --policy-name {name} --policy-document file://FILE"
    yield (
        f"and for launches: aws iam create-instance-profile --instance-profile-name {name}; "
        f"aws iam add-role-to-instance-profile --instance-profile-name {name} --role-name {name}"
    )
    if not request.site.own_keys:
        yield "where a secret is encrypted with a KMS key of your own, add --own-keys"
