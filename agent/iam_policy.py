"""The least IAM policy for what settings name, secrets and signals: these actions, on these resources, and no others.

Sources: service authorization reference of Secrets Manager, Systems Manager, S3, KMS, CloudFormation and EC2 Auto
Scaling; the encryption contexts by which KMS can tell one secret from another: the services' user guides, "encryption
context".
"""

import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from .model import Settings
from .secret import Reference

_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov", "us-iso": "aws-iso", "us-isob": "aws-iso-b"}
_COMPLETE_ARN = re.compile(r".*-[A-Za-z0-9]{6}")  # Secrets Manager appends six characters to a secret's name
_SIDS = {"secretsmanager": "ReadSecrets", "ssm": "ReadParameters", "s3": "ReadObjects"}
_CONTEXTS = {"secretsmanager": "SecretARN", "ssm": "PARAMETER_ARN", "s3": "aws:s3:arn"}


# Whose groups are nobody's to know before they are asked for: no policy can name what these are done to.
_HOOKS_ARE_SOUGHT = ("autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLifecycleHooks")
_HOOKS_ARE_ANSWERED = ("CompleteLifecycleAction", "RecordLifecycleActionHeartbeat")


class Place(NamedTuple):
    """Where the instance is; ``*`` where the account or the region is not known."""

    region: str = "*"
    account: str = "*"

    @property
    def partition(self) -> str:
        """``aws``, or that of a region in China or of a government."""
        return _PARTITIONS.get(self.region.rpartition("-")[0].rpartition("-")[0], "aws")


class Need(NamedTuple):
    """The action that fetching one secret or sending one signal is, and the resource, as a policy names them."""

    action: str
    resource: str
    region: str


def references(settings: Settings) -> Iterator[Reference]:
    """Where each secret is kept that has to be fetched from AWS."""
    return (place for place in settings.secrets.values() if place.is_in_aws)


def need(reference: Reference, place: Place, partition: Optional[str] = None) -> Need:
    """What the instance's role must be allowed to do, to fetch a secret that is kept in AWS."""
    region, rest = reference.region or place.region, reference.reveal()
    start = f"arn:{partition or place.partition}"
    if reference.scheme == "s3":
        bucket, key = reference.bucket_and_key
        return Need("s3:GetObject", f"{start}:s3:::{bucket}/{_literally(key)}", region)
    if reference.scheme == "ssm":
        name = rest if reference.region is None else rest.split(":", 5)[5].partition("/")[2]
        base = f"{start}:ssm:{region}:{place.account}" if reference.region is None else ":".join(rest.split(":")[:5])
        # A version or a label is not part of the resource; nor is the slash that a name may begin with.
        return Need("ssm:GetParameter", f"{base}:parameter/{name.partition(':')[0].lstrip('/')}", region)
    arn = rest if reference.region else f"{start}:secretsmanager:{region}:{place.account}:secret:{rest}"
    is_complete = reference.region and _COMPLETE_ARN.fullmatch(arn)
    return Need("secretsmanager:GetSecretValue", arn if is_complete else f"{arn}-??????", region)


def asks_aws(settings: Settings) -> bool:
    """Whether a worker with these settings asks AWS for anything, and so needs a role."""
    is_told = settings.cloudformation_stack or settings.signals_autoscaling
    return bool(is_told) or any(True for _ in references(settings))


def stack_need(stack: str, place: Place, partition: Optional[str] = None) -> Need:
    """What it takes to signal a resource of a stack."""
    start = f"arn:{partition or place.partition}:cloudformation:{place.region}:{place.account}"
    return Need("cloudformation:SignalResource", f"{start}:stack/{stack}/*", place.region)


def hooks_need(operation: str, place: Place, group: str = "*", partition: Optional[str] = None) -> Need:
    """What it takes to answer the lifecycle hooks of an Auto Scaling group; ``*``: of whatever group it is in."""
    start = f"arn:{partition or place.partition}:autoscaling:{place.region}:{place.account}"
    return Need(f"autoscaling:{operation}", f"{start}:autoScalingGroup:*:autoScalingGroupName/{group}", place.region)


def least_policy(
    settings: Settings, region: str, account: str, partition: Optional[str] = None, own_keys: bool = False
) -> Dict[str, Any]:
    """The policy document; it has no statements where AWS is asked for nothing.

    ``own_keys``: secrets are encrypted with KMS keys of the owner's own (AWS's keys for these services need no more
    than the right to the secret itself).
    """
    place = Place(region, account)
    needs = [need(reference, place, partition) for reference in references(settings)]
    statements = [
        _statement(service, [found for found in needs if found.action.startswith(f"{service}:")]) for service in _SIDS
    ]
    keys = [_decrypt(found, place, partition or place.partition) for found in dict.fromkeys(needs)] if own_keys else []
    signals = _signals(settings, place, partition)
    return {"Version": "2012-10-17", "Statement": [*filter(None, statements), *keys, *signals]}


def _signals(settings: Settings, place: Place, partition: Optional[str]) -> Iterator[Mapping[str, Any]]:
    if settings.cloudformation_stack:
        signalled = stack_need(settings.cloudformation_stack, place, partition)
        yield _allowed("SignalStack", signalled.action, signalled.resource)
    if settings.signals_autoscaling:
        yield _allowed("FindLifecycleHooks", list(_HOOKS_ARE_SOUGHT), "*")
        answered = [hooks_need(operation, place, partition=partition) for operation in _HOOKS_ARE_ANSWERED]
        yield _allowed("AnswerLifecycleHooks", [found.action for found in answered], answered[0].resource)


def _statement(service: str, needs: Sequence[Need]) -> Mapping[str, Any]:
    if not needs:
        return {}
    resources = list(dict.fromkeys(found.resource for found in needs))
    return _allowed(_SIDS[service], needs[0].action, _one_or_all(resources))


def _allowed(sid: str, actions: Any, resources: Any) -> Mapping[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}


def _decrypt(found: Need, place: Place, partition: str) -> Mapping[str, Any]:
    """KMS is asked by the service on the role's behalf, and told which secret it is for: that is what is allowed."""
    service = found.action.partition(":")[0]
    contexts = [found.resource]
    if service == "s3":  # with an S3 bucket key, the context is the bucket
        contexts.append(found.resource.partition("/")[0])
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    condition = {
        "kms:ViaService": f"{service}.{found.region}.{domain}",
        f"kms:EncryptionContext:{_CONTEXTS[service]}": _one_or_all(contexts),
    }
    keys = f"arn:{partition}:kms:{found.region}:{place.account}:key/*"
    return {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": keys, "Condition": {"StringLike": condition}}


def _one_or_all(texts: List[str]) -> Any:
    return texts[0] if len(texts) == 1 else texts


def _literally(key: str) -> str:
    """``*``, ``?`` and ``$`` as a policy writes the characters themselves."""
    return re.sub(r"[*?$]", lambda found: f"${{{found.group()}}}", key)
