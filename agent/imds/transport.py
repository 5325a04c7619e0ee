"""One request to the metadata service by way of requests: what came back, or why another try is worth while."""

import time
from email.utils import parsedate_to_datetime
from typing import Callable, Mapping

import requests
from requests.adapters import HTTPAdapter

from ..errors import MetadataError
from .access import Access
from .reply import Reply, TransientError, too_large

_CHUNK = 8192


class RequestsTransport:
    """Sends requests on one kept connection, none of them after ``deadline`` (in ``clock``'s seconds)."""

    def __init__(self, access: Access, deadline: float, clock: Callable[[], float]) -> None:
        self._access = access
        self.deadline = deadline
        self._clock = clock
        # The adapter alone keeps the connection, and knows no proxies, redirects, cookies or .netrc: the service is
        # link-local, and what a proxy answers would be another machine's.
        self._adapter = HTTPAdapter()
        self.requests_made = 0

    def close(self) -> None:
        """Give the connections back."""
        self._adapter.close()

    def request(self, method: str, url: str, headers: Mapping[str, str], limit: int) -> Reply:
        """One answer of at most ``limit`` bytes; ``TransientError`` where there was none, or none to rely on."""
        self.requests_made += 1
        remaining = max(0.1, self.deadline - self._clock())
        timeouts = (min(self._access.connect_timeout_s, remaining), min(self._access.read_timeout_s, remaining))
        try:
            prepared = requests.Request(method, url, {"Accept-Encoding": "identity", **headers}).prepare()
            with self._adapter.send(prepared, stream=True, timeout=timeouts) as response:
                reply = Reply(response.status_code, response.headers, self._body(url, response, limit))
        except requests.RequestException as err:
            raise _as_transient(url, err) from err
        if reply.status == 429 or reply.status >= 500:
            raise TransientError(f"{url} was answered {reply.status}", _retry_after_s(reply.headers))
        return reply

    def _body(self, url: str, response: requests.Response, limit: int) -> bytes:
        announced = response.headers.get("Content-Length", "")
        size = int(announced) if announced.isascii() and announced.isdigit() else None
        body = b""
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > limit:
                break
            if self._clock() > self.deadline:
                raise TransientError(f"{url} did not end in time")
        if len(body) > limit or (size or 0) > limit:
            raise MetadataError(too_large(url, limit))
        if size is not None and len(body) < size:
            raise TransientError(f"{url} was cut short ({len(body)} of {size} bytes)")
        return body


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Retry-After as seconds from now (RFC 9110: a number of seconds, or a date); 0 if absent or unreadable."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0


def _as_transient(url: str, err: requests.RequestException) -> TransientError:
    if isinstance(err, requests.ConnectTimeout):
        return TransientError("connecting timed out", unconnected=True)
    if isinstance(err, requests.ReadTimeout):
        return TransientError(f"{url} was not answered", silent=True)
    reason = _innermost(err)
    if isinstance(reason, (ConnectionRefusedError, TimeoutError)) or (
        isinstance(reason, OSError) and not isinstance(reason, (ConnectionError, requests.RequestException))
    ):
        return TransientError((reason.strerror or str(reason)).lower(), unconnected=True)
    return TransientError(f"{url}: the connection was cut ({type(reason).__name__})")


def _innermost(err: BaseException) -> BaseException:
    """The operating system's own error below what requests and urllib3 wrapped around it."""
    seen = {id(err)}
    while True:
        nested = (*err.args, getattr(err, "reason", None), err.__cause__, err.__context__)
        deeper = next((arg for arg in nested if isinstance(arg, BaseException) and id(arg) not in seen), None)
        if deeper is None:
            return err
        seen.add(id(deeper))
        err = deeper
