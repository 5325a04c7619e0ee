"""What the service answers: pure decisions, by the user guide's description of it.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

import base64
import math
import os
import re
from dataclasses import replace
from functools import partial
from typing import Callable, Dict, List, Mapping, Optional

from .announced import Appearances
from .content import served
from .http import Reply, Request, page, segments
from .profile import Fault, Profile, Service
from .tree import find, listing

TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105  a header's name
_MAX_TTL_S = 21600  # six hours
# "/" lists these; like EC2, any other date is served as well.
_VERSIONS = ("1.0", "2007-01-19", "2009-04-04", "2016-09-02", "2019-10-01", "2021-07-15", "2024-04-11", "latest")
_VERSION = re.compile(r"latest|1\.0|\d{4}-\d\d-\d\d")


class Tokens:
    """The session tokens that were given out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expiry: Dict[str, float] = {}

    def issue(self, ttl_s: int) -> str:
        now = self._clock()
        self._expiry = {token: expiry for token, expiry in self._expiry.items() if expiry > now}
        token = base64.urlsafe_b64encode(os.urandom(40)).decode()  # 56 characters that end in "==", as EC2's do
        self._expiry[token] = now + ttl_s
        return token

    def remaining_s(self, token: str) -> int:
        """Whole seconds, rounded up; 0 if the token has expired or was never given out."""
        return max(0, math.ceil(self._expiry.get(token, 0.0) - self._clock()))


def faulty(fault: Fault) -> Optional[Reply]:
    """What a fault answers instead of the service, or None if it leaves the answer alone."""
    if fault.status is None and fault.body is None and fault.size is None:
        return None
    status = fault.status or 200
    retry = () if fault.retry_after is None else (f"Retry-After: {fault.retry_after}",)
    body = b"x" * fault.size if fault.size is not None else fault.body
    if body is None and status >= 400:
        return page(status, *retry)
    return Reply(status, body or b"", headers=retry)


def answer(profile: Profile, tokens: Tokens, appearances: Appearances, request: Request) -> Reply:
    """What the real service would answer, by the user guide's list of HTTP status codes."""
    service, path = profile.service, segments(request.path)
    if not service.enabled:
        return page(403)
    if path[1:] == ["api", "token"] and (service.v2 or request.method == "PUT"):
        return _token(service, tokens, path[0], request)
    if request.method not in ("GET", "HEAD"):
        return page(405, "Allow: GET, HEAD")
    content = partial(_content, profile, appearances, path)
    token = request.headers.get(TOKEN_HEADER.lower()) if service.v2 else None
    if token is None:
        return content() if service.v1 or not service.v2 else page(401)
    remaining_s = tokens.remaining_s(token)
    return replace(content(), headers=(_ttl(remaining_s),)) if remaining_s else page(401)


def _token(service: Service, tokens: Tokens, version: str, request: Request) -> Reply:
    if not service.v2:
        return page(service.token_status)
    if request.method != "PUT":
        return page(405, "Allow: OPTIONS, PUT")
    if version != "latest" or "x-forwarded-for" in request.headers:
        return page(403)
    ttl = request.headers.get(TTL_HEADER.lower(), "")
    if not re.fullmatch("[0-9]{1,5}", ttl) or not 1 <= int(ttl) <= _MAX_TTL_S:
        return page(400)
    ttl_s = min(int(ttl), service.max_token_ttl)
    return Reply(200, tokens.issue(ttl_s).encode(), headers=(_ttl(ttl_s),))


def _ttl(seconds: int) -> str:
    return f"{TTL_HEADER}: {seconds}"


def _content(profile: Profile, appearances: Appearances, path: List[str]) -> Reply:
    if not path:
        return Reply(200, "\n".join(_VERSIONS).encode())
    found = find(served(profile, appearances), path[1:]) if _VERSION.fullmatch(path[0]) else None
    if found is None:
        return page(404)
    if isinstance(found, Mapping):
        return Reply(200, listing(found, slashes=len(path) > 1).encode())
    content_type = "application/octet-stream" if path[1:] == ["user-data"] else "text/plain"
    return Reply(200, found.encode() if isinstance(found, str) else found, content_type)
