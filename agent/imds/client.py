"""The client: a session token, retries until one total deadline, version 1 only where the AWS SDKs use it.

Source: EC2 user guide, "Use the Instance Metadata Service to access instance metadata".
"""

import time
from typing import Callable, Dict, Mapping, NamedTuple, Optional

from ..errors import MetadataError
from . import refusals
from .access import Access
from .reply import Reply, TransientError, Transport

TOKEN_PATH = "latest/api/token"  # noqa: S105 - a path, not a secret
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
TOKEN_TTL_S = 600
BODY_LIMIT = 64 * 1024  # EC2 caps user-data at 16 KiB; nothing else comes near it
_TOKEN_LIMIT = 4096


class _Token(NamedTuple):
    text: str
    fresh_until: float


class Imds:
    """Reads keys; every failure is a ``MetadataError`` with a remedy.

    With a ``transport`` of the caller's own it asks once: whoever brings one comes again by himself.
    """

    def __init__(
        self,
        access: Access,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        transport: Optional[Transport] = None,
    ) -> None:
        self._access = access
        self._sleep = sleep
        self._clock = clock
        self._persists = transport is None
        self._transport = transport or _by_requests(access, clock)
        self._endpoint: Optional[str] = None  # known once one of the candidates has answered
        self._token: Optional[_Token] = None
        self.speaks_v1_only = False
        self.date = ""  # the time of day at the service when it answered last: an HTTP date

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def go_on(self, deadline_s: float) -> None:
        """Another deadline, from now, for what is read from here on."""
        self._access = self._access._replace(deadline_s=deadline_s)
        self._transport.deadline = self._clock() + deadline_s

    @property
    def endpoint(self) -> str:
        """The address that answered, or the first candidate while none has."""
        return self._endpoint or self._access.endpoints[0]

    @property
    def requests_made(self) -> int:
        """How many requests went out, retries and tokens among them."""
        return self._transport.requests_made

    def get(self, path: str, limit: int = BODY_LIMIT) -> Optional[bytes]:
        """The value at ``path`` (``latest/...``), or None where the service has no such key (404)."""
        reply = self._get(path, limit)
        if reply.status == 401 and not self.speaks_v1_only:
            self._token = None  # it expired early, or the service restarted: once more with a new one
            reply = self._get(path, limit)
        if reply.status not in (200, 404):
            raise refusals.refused(f"{self.endpoint}/{path}", reply.status, not self.speaks_v1_only)
        return reply.body if reply.status == 200 else None

    def _get(self, path: str, limit: int) -> Reply:
        return self._persist(lambda: self._request("GET", path, self._authorisation(), limit))

    def _request(self, method: str, path: str, headers: Mapping[str, str], limit: int) -> Reply:
        reply = self._transport.request(method, f"{self.endpoint}/{path}", headers, limit)
        self.date = reply.headers.get("Date", "")
        return reply

    def _authorisation(self) -> Dict[str, str]:
        if not self.speaks_v1_only and not (self._token and self._clock() < self._token.fresh_until):
            self._token = self._new_token()
        return {TOKEN_HEADER: self._token.text} if self._token else {}

    def _new_token(self) -> Optional[_Token]:
        reply = self._from_first_to_answer("PUT", TOKEN_PATH, {TTL_HEADER: str(TOKEN_TTL_S)}, _TOKEN_LIMIT)
        if reply.status in (404, 405):
            # As the AWS SDKs do: only a service that does not know the token request may be read without one.
            if not self._access.v1_allowed:
                raise refusals.only_v1(self._access, self.endpoint, reply.status)
            self.speaks_v1_only = True
            return None
        if reply.status != 200:
            raise refusals.token_refused(self.endpoint, reply.status)
        text = reply.body.decode("ascii", "replace")
        if not text or not text.isascii() or not text.isprintable():
            raise refusals.no_token(self.endpoint)
        return _Token(text, self._clock() + _freshness_s(reply.headers))

    def _from_first_to_answer(self, method: str, path: str, headers: Mapping[str, str], limit: int) -> Reply:
        """Ask the endpoint that is known, or each candidate in turn until one answers at all."""
        if self._endpoint:
            return self._request(method, path, headers, limit)
        failures = []
        for candidate in self._access.endpoints:
            self._endpoint = candidate
            try:
                return self._request(method, path, headers, limit)
            except TransientError as err:
                if not err.unconnected:
                    raise
                self._endpoint = None
                failures.append(err)
        raise failures[0]  # the preferred address's reason is the one to tell

    def _persist(self, attempt: Callable[[], Reply]) -> Reply:
        try:
            return attempt()
        except TransientError as err:
            if not self._persists:
                raise self._gave_up(err) from err
            first = err
        from .retries import Retries  # noqa: PLC0415 - slow to load, and a service that is well needs none

        try:
            return Retries(self._transport.deadline, self._clock, self._sleep).persist(attempt, first)
        except TransientError as err:
            raise self._gave_up(err) from err

    def _gave_up(self, err: TransientError) -> MetadataError:
        has_token = bool(self._token) or self.speaks_v1_only
        return refusals.gave_up(self._access, self.endpoint, err, has_token)


def _by_requests(access: Access, clock: Callable[[], float]) -> Transport:
    from .transport import RequestsTransport  # noqa: PLC0415 - half of what the watch may take of the memory

    return RequestsTransport(access, clock() + access.deadline_s, clock)


def _freshness_s(headers: Mapping[str, str]) -> float:
    """How long to use a token: less than its life, so that it never expires on the way."""
    announced = headers.get(TTL_HEADER, "")
    life = int(announced) if announced.isascii() and announced.isdigit() else TOKEN_TTL_S
    return life - min(60.0, life / 2)
