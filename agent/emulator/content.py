"""What there is to serve: a tree of keys, and the identity document that follows from it."""

import base64
import json
import re
import time
from typing import List, Mapping, Optional, Union

from .profile import Profile, Tree

_PLACEHOLDER = base64.encodebytes(b"annex-agent's emulator cannot sign: this is a placeholder").decode().strip()

_CREDENTIALS_LIFE_S = 6 * 3600


def served(profile: Profile) -> Tree:
    """Everything below a version."""
    identity = {"document": _document(profile.meta_data), "pkcs7": _PLACEHOLDER, "signature": _PLACEHOLDER}
    dynamic = _laid_over({"instance-identity": identity}, profile.dynamic)
    return {"dynamic": dynamic, "meta-data": _with_credentials(profile.meta_data), "user-data": profile.user_data}


def _with_credentials(meta_data: Tree) -> Tree:
    """Each role's document completed where it says Success, as the service keeps it: never about to expire.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
    """
    path = ["iam", "security-credentials"]
    roles = find(meta_data, path)
    for role, text in roles.items() if isinstance(roles, Mapping) else ():
        document = _object(text)
        if document.get("Code") == "Success":
            completed = json.dumps({**_made_up_credentials(), **document}, indent=2, separators=(",", " : "))
            meta_data = with_value(meta_data, [*path, role], completed)
    return meta_data


def _object(text: Union[str, bytes, Tree, None]) -> Mapping[str, object]:
    try:
        document = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _made_up_credentials() -> Mapping[str, object]:
    now = time.time()
    return {
        "Code": "Success",
        "LastUpdated": _timestamp(now),
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIAMADEUPBYEMULATOR",
        "SecretAccessKey": "made-up-by-the-emulator-of-annex-agent00",
        "Token": "made up by the emulator of annex-agent",
        "Expiration": _timestamp(now + _CREDENTIALS_LIFE_S),
        "Emulated": True,  # EC2 has no such key: so that nobody takes them for what they are not
    }


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _laid_over(below: Tree, above: Tree) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        merged[key] = _laid_over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def find(tree: Tree, path: List[str]) -> Union[str, bytes, Tree, None]:
    """What stands at ``path``: a value, a directory, or None."""
    found: Union[str, bytes, Tree, None] = tree
    for part in path:
        if not isinstance(found, Mapping):
            return None
        # "0=my-key" is listed so and read as "0": public-keys/0/openssh-key
        indexed = (child for key, child in found.items() if key.startswith(f"{part}=") and isinstance(child, Mapping))
        found = found[part] if part in found else next(indexed, None)
    return found


def listing(tree: Tree, slashes: bool) -> str:
    """A directory as the service lists it: a name a line, directories with a slash."""
    names = (
        f"{key}/" if slashes and isinstance(child, Mapping) and "=" not in key else key
        for key, child in sorted(tree.items())
        if child is not None
    )
    return "\n".join(names)


def with_value(tree: Tree, path: List[str], value: Union[str, bytes, None]) -> Tree:
    """``tree`` with one key set, or removed together with the directories that it leaves empty."""
    below = tree.get(path[0])
    new: Union[str, bytes, Tree, None] = value
    if path[1:]:
        new = with_value(below if isinstance(below, Mapping) else {}, path[1:], value) or None
    rest = {key: child for key, child in tree.items() if key != path[0]}
    return rest if new is None else {**rest, path[0]: new}


def _document(meta_data: Tree) -> str:
    """The instance identity document, with null for what the meta-data does not say.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
    """

    def text(*path: str) -> Optional[str]:
        found = find(meta_data, list(path))
        return found if isinstance(found, str) else None

    zone, kind = text("placement", "availability-zone"), text("instance-type")
    document = {
        "accountId": text("network", "interfaces", "macs", text("mac") or "", "owner-id"),
        # In names of instance types, "g" after the generation is AWS Graviton.
        "architecture": "arm64" if re.match(r"a1\.|[a-z]+[0-9]+g", kind or "") else "x86_64",
        "availabilityZone": zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": text("ami-id"),
        "instanceId": text("instance-id"),
        "instanceType": kind,
        "kernelId": text("kernel-id"),
        "marketplaceProductCodes": None,
        "pendingTime": "2008-10-01T00:00:00Z",  # nothing in meta-data tells; a fixed one keeps demonstrations alike
        "privateIp": text("local-ipv4"),
        "ramdiskId": text("ramdisk-id"),
        "region": text("placement", "region") or (zone or "").rstrip("abcdefghijklmnopqrstuvwxyz") or None,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2, separators=(",", " : "))
