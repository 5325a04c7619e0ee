"""The temporary credentials of the role that the instance was launched with.

Source: EC2 user guide, "Retrieve security credentials from instance metadata".
"""

import json
from typing import Any, Mapping, Optional

from .. import grammar
from ..errors import MetadataError
from ..secret import Credentials
from .client import Imds
from .instance import META, ROLES, role_in

_KEYS = ("AccessKeyId", "SecretAccessKey", "Token")


class NotYet(Exception):  # noqa: N818 - reads as what happened
    """The role is there, its credentials are not: in the first seconds after a launch, or for as long as EC2 may not
    assume the role."""


def read_role(imds: Imds) -> Optional[str]:
    """The role's name, or None where none is attached, or not yet."""
    listing = imds.get(META + ROLES)
    try:
        return role_in(listing.decode("utf-8")) if listing else None
    except ValueError as err:
        raise _nonsense(imds, ROLES) from err


def read_credentials(imds: Imds, role: str) -> Credentials:
    """In one request; ``NotYet`` says why there are none."""
    path = f"{ROLES}{role}"
    body = imds.get(META + path)
    if not body:
        raise NotYet(f"{path} is not there")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None  # and nothing of it goes into a message or a traceback
    if not isinstance(document, dict):
        raise _nonsense(imds, path)
    code = document.get("Code")
    if code != "Success":
        raise NotYet(f"EC2 says {grammar.quoted(str(code))} in {path}")
    keys = tuple(_text(document, key) for key in _KEYS)
    if not all(keys):
        raise _nonsense(imds, path)
    return Credentials(role, (keys[0], keys[1], keys[2]), document.get("Emulated") is True)


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) and value.isascii() and value.isprintable() else ""


def _nonsense(imds: Imds, path: str) -> MetadataError:
    return MetadataError(
        f"{imds.endpoint} says of {path} what cannot be true: check what answers at that address, "
        "EC2's own service does not do this"
    )
