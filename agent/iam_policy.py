"""The least IAM policy for the secrets that settings name: these actions, on these resources, and no others.

Sources: service authorization reference of Secrets Manager, Systems Manager, S3 and KMS; the encryption contexts by
which KMS can tell one secret from another: the services' user guides, "encryption context".
"""

import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from .model import Settings
from .secret import Reference

_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov", "us-iso": "aws-iso", "us-isob": "aws-iso-b"}
_COMPLETE_ARN = re.compile(r".*-[A-Za-z0-9]{6}")  # Secrets Manager appends six characters to a secret's name
_SIDS = {"secretsmanager": "ReadSecrets", "ssm": "ReadParameters", "s3": "ReadObjects"}
_CONTEXTS = {"secretsmanager": "SecretARN", "ssm": "PARAMETER_ARN", "s3": "aws:s3:arn"}


class Place(NamedTuple):
    """Where the instance is; ``*`` where the account or the region is not known."""

    region: str = "*"
    account: str = "*"

    @property
    def partition(self) -> str:
        """``aws``, or that of a region in China or of a government."""
        return _PARTITIONS.get(self.region.rpartition("-")[0].rpartition("-")[0], "aws")


class Need(NamedTuple):
    """The action that fetching one secret is, and the resource that it is done to, as a policy names them."""

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


def least_policy(
    settings: Settings, region: str, account: str, partition: Optional[str] = None, own_keys: bool = False
) -> Dict[str, Any]:
    """The policy document; it has no statements where nothing is fetched from AWS.

    ``own_keys``: secrets are encrypted with KMS keys of the owner's own (AWS's keys for these services need no more
    than the right to the secret itself).
    """
    place = Place(region, account)
    needs = [need(reference, place, partition) for reference in references(settings)]
    statements = [
        _statement(service, [found for found in needs if found.action.startswith(f"{service}:")]) for service in _SIDS
    ]
    keys = [_decrypt(found, place, partition or place.partition) for found in dict.fromkeys(needs)] if own_keys else []
    return {"Version": "2012-10-17", "Statement": [*filter(None, statements), *keys]}


def _statement(service: str, needs: Sequence[Need]) -> Mapping[str, Any]:
    if not needs:
        return {}
    resources = list(dict.fromkeys(found.resource for found in needs))
    return {"Sid": _SIDS[service], "Effect": "Allow", "Action": needs[0].action, "Resource": _one_or_all(resources)}


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
