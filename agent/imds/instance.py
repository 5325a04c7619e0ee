"""From the metadata service's keys to one validated ``Instance``.

Everything is read once, in at most ``REQUEST_BUDGET`` requests.  Most of it comes from the instance
identity document (one request); a service without that document is asked key by key.
Key names: EC2 user guide, "Instance metadata categories".
"""

import json
import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, TypeVar
from urllib.parse import quote

from .. import grammar
from ..errors import MetadataError
from ..model import Instance
from .client import Imds

REQUEST_BUDGET = 16  # for a whole boot: a fleet that starts at once must not be throttled
ROLES = "iam/security-credentials/"
META = "latest/meta-data/"
_T = TypeVar("_T")


class Reading(NamedTuple):
    """What one look at the metadata service gave."""

    instance: Instance
    user_data: Optional[bytes]
    endpoint: str
    speaks_v1_only: bool
    tags_left_out: Optional[int]  # None: nobody asked how many there are


def read_instance(imds: Imds) -> Reading:
    """Read and validate; all invalid or missing keys are reported in one ``MetadataError``."""
    reader = _Reader(imds)
    instance = reader.instance()
    user_data = imds.get("latest/user-data")
    # A role's credentials may be wanted later, in one request more.
    tags, left_out = reader.tags(for_credentials=1 if instance and instance["iam_role"] else 0)
    if reader.problems:
        raise MetadataError(
            f"the metadata service at {imds.endpoint} says what cannot be true, so nothing was taken from it: "
            + "; ".join(reader.problems)
            + ". Check what answers at that address: EC2's own service does not do this"
        )
    assert instance is not None  # without problems every required key was read
    return Reading(Instance(**instance, tags=tags), user_data or None, imds.endpoint, imds.speaks_v1_only, left_out)


class _Reader:
    def __init__(self, imds: Imds) -> None:
        self._imds = imds
        self._document: Mapping[str, Any] = {}
        self.problems: List[str] = []

    def instance(self) -> Optional[Dict[str, Any]]:
        self._document = self._identity_document()
        fields = {
            "instance_id": self._required("instanceId", "instance-id", grammar.token),
            "availability_zone": self._required("availabilityZone", "placement/availability-zone", grammar.token),
            "local_ipv4": self._required("privateIp", "local-ipv4", grammar.ipv4),
            "instance_type": self._documented("instanceType", "instance-type", grammar.token),
            "ami_id": self._documented("imageId", "ami-id", grammar.token),
            "region": self._documented("region", "placement/region", grammar.token),
            "public_ipv4": self._optional("public-ipv4", grammar.ipv4),
            "public_hostname": self._optional("public-hostname", grammar.host_name),
            "local_hostname": self._optional("local-hostname", _first_host_name),
            "life_cycle": self._optional("instance-life-cycle", grammar.token) or "on-demand",
            "vpc_id": self._vpc_id(),
            "account_id": self._account(),
            # Only the list: one level deeper are the credentials.
            "iam_role": self._optional(ROLES, role_in),
        }
        return None if self.problems else fields

    def tags(self, for_credentials: int) -> "tuple[Dict[str, str], Optional[int]]":
        """The instance's tags where its metadata options offer them, as many as the budget allows."""
        if self._imds.requests_made + for_credentials >= REQUEST_BUDGET:
            return {}, None
        listing = self._text(META + "tags/instance")
        keys = [key for key in (listing or "").splitlines() if key]
        room = max(0, REQUEST_BUDGET - self._imds.requests_made - for_credentials)
        tags = {}
        for key in keys[:room]:
            value = self._text(f"{META}tags/instance/{quote(key, safe='')}")
            if value is not None:
                tags[key] = value
        return tags, max(0, len(keys) - room)

    def _vpc_id(self) -> Optional[str]:
        mac = self._optional("mac", grammar.mac)
        return self._optional(f"network/interfaces/macs/{mac}/vpc-id", grammar.token) if mac else None

    def _identity_document(self) -> Mapping[str, Any]:
        path = "latest/dynamic/instance-identity/document"
        text = self._text(path)
        if not text:
            return {}
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            return document
        self.problems.append(f"{path} is not a JSON object ({grammar.quoted(text)})")
        return {}

    def _required(self, document_key: str, path: str, parse: Callable[[str], _T]) -> Optional[_T]:
        before = len(self.problems)
        value = self._documented(document_key, path, parse)
        if value is None and len(self.problems) == before:
            self.problems.append(f"meta-data/{path} is missing")
        return value

    def _documented(self, document_key: str, path: str, parse: Callable[[str], _T]) -> Optional[_T]:
        value = self._document.get(document_key)
        if value is None:
            return self._optional(path, parse)
        return self._parsed(f"the identity document's {document_key}", str(value), parse)

    def _account(self) -> Optional[str]:
        """Only messages and policies need it: a look-alike's own kind of account is as good as none."""
        value = str(self._document.get("accountId"))
        return value if re.fullmatch("[0-9]{12}", value) else None

    def _optional(self, path: str, parse: Callable[[str], _T]) -> Optional[_T]:
        # An empty value means the same as an absent one: that is how a VPC without DNS host names answers.
        text = self._text(META + path)
        return self._parsed(f"meta-data/{path}", text, parse) if text else None

    def _parsed(self, where: str, text: str, parse: Callable[[str], _T]) -> Optional[_T]:
        try:
            return parse(text)
        except ValueError as err:
            self.problems.append(f"{where}: {err}")
            return None

    def _text(self, path: str) -> Optional[str]:
        body = self._imds.get(path)
        if body is None:
            return None
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            self.problems.append(f"{path} is not UTF-8 text")
            return None


def role_in(text: str) -> str:
    """The role in the list at ``ROLES``: an instance has at most one."""
    return grammar.role_name(text.partition("\n")[0])


def _first_host_name(text: str) -> str:
    """With several domain names in the VPC's DHCP options, EC2 appends them all, separated by blanks."""
    names = [grammar.host_name(word) for word in text.split(" ")]
    return names[0]
