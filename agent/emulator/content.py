"""What there is to serve: a profile's keys, what they leave to be made up, and the identity document."""

import base64
import json
import re
import time
from typing import Mapping, Optional, Union

from .announced import Appearances, completed, timestamp
from .profile import Profile
from .tree import Tree, find, laid_over, with_value

_PLACEHOLDER = base64.encodebytes(b"annex-agent's emulator cannot sign: this is a placeholder").decode().strip()

_CREDENTIALS_LIFE_S = 6 * 3600


def served(profile: Profile, appearances: Appearances) -> Tree:
    """Everything below a version."""
    launched = profile.launched or timestamp(appearances.started)
    document = _document(profile.meta_data, launched)
    identity = {"document": document, "pkcs7": _PLACEHOLDER, "signature": _PLACEHOLDER}
    meta_data = completed(_with_credentials(profile.meta_data), appearances)
    dynamic = laid_over({"instance-identity": identity}, profile.dynamic)
    return {"dynamic": dynamic, "meta-data": meta_data, "user-data": profile.user_data}


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
        "LastUpdated": timestamp(now),
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIAMADEUPBYEMULATOR",
        "SecretAccessKey": "made-up-by-the-emulator-of-annex-agent00",
        "Token": "made up by the emulator of annex-agent",
        "Expiration": timestamp(now + _CREDENTIALS_LIFE_S),
        "Emulated": True,  # EC2 has no such key: so that nobody takes them for what they are not
    }


def _document(meta_data: Tree, launched: str) -> str:
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
        "pendingTime": launched,
        "privateIp": text("local-ipv4"),
        "ramdiskId": text("ramdisk-id"),
        "region": text("placement", "region") or (zone or "").rstrip("abcdefghijklmnopqrstuvwxyz") or None,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2, separators=(",", " : "))
