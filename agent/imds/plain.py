"""One request to the metadata service with the standard library alone: for a process that is to stay small.

requests and what it loads take half of what the watch may have of a machine's memory.
"""

import http.client
import socket
import time
from typing import Any, Callable, Mapping, Optional, cast
from urllib.parse import urlsplit

from ..errors import MetadataError
from .access import Access
from .reply import Reply, TransientError, too_large

_SHORTEST_S = 0.05  # what a request gets that comes when the time is nearly up


class PlainTransport:
    """Sends requests on one kept connection; no answer, however slowly it drips, is waited for past ``deadline``."""

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._clock = clock
        self._connection: Optional[_Connection] = None
        self.deadline = self._until = clock() + access.deadline_s
        self.requests_made = 0

    def close(self) -> None:
        """Give the connection back."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def request(self, method: str, url: str, headers: Mapping[str, str], limit: int) -> Reply:
        """One answer of at most ``limit`` bytes; ``TransientError`` where there was none, or none to rely on."""
        self.requests_made += 1
        self._until = max(self.deadline, self._clock() + _SHORTEST_S)
        try:
            reply = self._reply(method, url, headers, limit)
        except BaseException:
            self.close()  # what still comes on it would be taken for the next answer
            raise
        if reply.status == 429 or reply.status >= 500:
            raise TransientError(f"{url} was answered {reply.status}")
        return reply

    def _reply(self, method: str, url: str, headers: Mapping[str, str], limit: int) -> Reply:
        connection = self._connection
        if connection is not None and connection.sock is not None and connection.base == _base(url):
            try:
                return self._exchange(connection, method, url, headers, limit)
            except _StaleError:
                self.close()  # the service has restarted, or was tired of waiting, since the last answer
        return self._exchange(self._connected(url), method, url, headers, limit)

    def _connected(self, url: str) -> "_Connection":
        self.close()
        self._connection = connection = _Connection(_base(url), self._remaining_s)
        try:
            connection.open(min(self._access.connect_timeout_s, self._remaining_s()))
        except socket.timeout as err:
            raise TransientError("connecting timed out", unconnected=True) from err
        except OSError as err:
            raise TransientError((err.strerror or str(err)).lower(), unconnected=True) from err
        return connection

    def _exchange(
        self, connection: "_Connection", method: str, url: str, headers: Mapping[str, str], limit: int
    ) -> Reply:
        parts = urlsplit(url)
        was_used, connection.is_used = connection.is_used, True
        try:
            connection.request(method, parts.path, headers={"Accept-Encoding": "identity", **headers})
            response = connection.getresponse()
        except socket.timeout as err:
            raise TransientError(f"{url} was not answered", silent=True) from err
        except (OSError, http.client.HTTPException) as err:
            if was_used and isinstance(err, (ConnectionError, http.client.NotConnected)):
                raise _StaleError from err
            raise _cut(url, err) from err
        try:
            return Reply(response.status, cast("Mapping[str, str]", response.headers), _body(url, response, limit))
        except socket.timeout as err:
            raise TransientError(f"{url} did not end in time") from err
        except (OSError, http.client.HTTPException) as err:
            raise _cut(url, err) from err

    def _remaining_s(self) -> float:
        """For one step of a request, which as a whole has until the deadline."""
        left_s = self._until - self._clock()
        if left_s <= 0:
            raise socket.timeout("timed out")
        return min(self._access.read_timeout_s, left_s)


class _StaleError(Exception):
    """A kept connection turns out to have been closed."""


class _Connection(http.client.HTTPConnection):
    """``remaining_s`` is asked before every read, for http.client itself knows only how long one may take."""

    def __init__(self, base: str, remaining_s: Callable[[], float]) -> None:
        parts = urlsplit(base)
        if parts.scheme != "http":
            raise MetadataError(f"{base} is no http:// address, and the metadata service has no other")
        super().__init__(parts.hostname or "", parts.port or 80)
        self.base = base
        self.is_used = False
        self._remaining_s = remaining_s

    def open(self, timeout_s: float) -> None:
        """Connect."""
        made = socket.create_connection((self.host, self.port), timeout_s)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = _Socket(self._remaining_s, made.detach())


class _Socket(socket.socket):
    def __init__(self, remaining_s: Callable[[], float], handle: int) -> None:
        super().__init__(fileno=handle)
        self._remaining_s = remaining_s
        self.settimeout(remaining_s())

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(self._remaining_s())
        return super().recv_into(*arguments)


def _body(url: str, response: http.client.HTTPResponse, limit: int) -> bytes:
    announced = response.length
    body = response.read(limit + 1)
    if len(body) > limit:
        raise MetadataError(too_large(url, limit))
    if announced is not None and len(body) < announced:
        raise TransientError(f"{url} was cut short ({len(body)} of {announced} bytes)")
    return body


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _cut(url: str, err: Exception) -> TransientError:
    return TransientError(f"{url}: the connection was cut ({type(err).__name__})")
