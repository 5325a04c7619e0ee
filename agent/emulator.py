"""A stand-in for EC2's instance metadata service (IMDS): for demonstrations and tests.

It answers as Amazon documents the real service to answer, and on request as it does on a bad day:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html

Pure functions decide how a request is answered; ``Emulator`` owns the sockets, threads and tokens.
"""

import base64
import http.client
import json
import logging
import math
import os
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Callable, Deque, Dict, List, Mapping, Optional, Set, Tuple, Type, Union
from urllib.parse import unquote

from .errors import UsageError
from .profile import Fault, Profile, ProfileError, Service, Tree, loads

LOG = logging.getLogger(__name__)

TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105  a header's name
_MAX_TTL_S = 21600  # six hours

# "/" lists these; like EC2, any other date is served as well.
_VERSIONS = ("1.0", "2007-01-19", "2009-04-04", "2016-09-02", "2019-10-01", "2021-07-15", "2024-04-11", "latest")
_VERSION = re.compile(r"latest|1\.0|\d{4}-\d\d-\d\d")
_LONGEST_LINE = 65536  # bytes, as in http.client
_LONGEST_BODY = 1024 * 1024  # bytes of a request; nothing here needs one
_KEPT_REQUESTS = 10_000
_RACY_NS = 50_000_000  # two writes within one tick of a file system's clock have the same mtime
_PLACEHOLDER = base64.encodebytes(b"annex-agent's emulator cannot sign: this is a placeholder").decode().strip()
_PAGE = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
 </head>
 <body>
  <h1>{title}</h1>
 </body>
</html>
"""


@dataclass(frozen=True)
class Request:
    """One request that came."""

    method: str
    path: str  # as it was sent, with version and query
    status: Optional[int]  # None: not answered (reset, black hole)
    headers: Mapping[str, str]  # names in lower case


@dataclass(frozen=True)
class _Reply:
    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Tuple[str, ...] = ()  # lines beside the usual ones


class _Tokens:
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


class _Watch:
    """A profile's file, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._signature: Tuple[int, ...] = ()
        self._content: Optional[bytes] = None

    def changed(self) -> Optional[bytes]:
        """The content if it is new, else None; that the file cannot be read is logged once."""
        try:
            stat = self.path.stat()
            signature: Tuple[int, ...] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            content = self._content if signature == self._signature else self.path.read_bytes()
        except OSError as err:
            if self._signature != (err.errno,):
                LOG.warning("%s cannot be read (%s); the last profile stays in use", self.path, err.strerror)
            self._signature = (err.errno or 0,)
            return None
        settled = time.time_ns() - stat.st_mtime_ns > _RACY_NS
        self._signature = signature if settled else ()
        before, self._content = self._content, content
        return content if content != before else None


class Emulator:
    """A running metadata service on ``address`` (port 0: a free one); close it, or use it in ``with``.

    With ``watch``, that file is the control surface: it is read again when it changes, and a broken
    edit is logged and changes nothing.  Tokens outlive every change of the profile.  ``clock`` gives
    the seconds by which tokens expire.  Raises ``UsageError`` if the address cannot be had.
    """

    def __init__(
        self,
        profile: Profile,
        address: Tuple[str, int] = ("127.0.0.1", 0),
        watch: Optional[Path] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()  # guards everything down to the empty line
        self._profile = profile
        self._watch = _Watch(watch) if watch else None
        self._tokens = _Tokens(clock)
        self._spent: Counter[Fault] = Counter()
        self._requests: Deque[Request] = deque(maxlen=_KEPT_REQUESTS)
        self._connections: Set[socket.socket] = set()

        self._closed = threading.Event()
        self._accepting = threading.Event()
        self._listener = _bound(address)
        self._host, self._port = self._listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._accept, name="imds-emulator", daemon=True)
        self._opening = threading.Timer(profile.refuse_for, self.listen)
        self._opening.daemon = True
        with self._lock:
            self._reread()
        if profile.refuse_for:
            self._opening.start()
        else:
            self.listen()
        self._thread.start()

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The endpoint without a path: ``http://127.0.0.1:8080``, ``http://[::1]:8080``; good also once closed."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def profile(self) -> Profile:
        """What is served now; setting it makes spent faults live again."""
        with self._lock:
            return self._profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        with self._lock:
            self._profile = profile
            self._spent.clear()

    def set(self, path: str, value: Union[str, bytes, None]) -> None:
        """Set one key below ``meta-data`` ("spot/instance-action"), or "user-data"; None removes it."""
        with self._lock:
            if path == "user-data":
                data = value.encode() if isinstance(value, str) else value
                self._profile = replace(self._profile, user_data=data)
            else:
                meta_data = _with_value(self._profile.meta_data, path.strip("/").split("/"), value)
                self._profile = replace(self._profile, meta_data=meta_data)

    @property
    def requests(self) -> List[Request]:
        """The requests since the start or the last ``requests_seen``, at most 10,000, oldest first."""
        with self._lock:
            return list(self._requests)

    def requests_seen(self) -> List[Request]:
        """The same as ``requests``, and forget them."""
        with self._lock:
            seen = list(self._requests)
            self._requests.clear()
            return seen

    def refuse(self) -> None:
        """Refuse connections (ECONNREFUSED) until ``listen``; needs Linux.

        The port stays taken, and connections that were accepted live on.
        """
        self._opening.cancel()
        with self._lock, suppress(OSError):
            # Once only: Linux remembers a second shutdown, and ends every connection accepted after it.
            if self._accepting.is_set():
                self._accepting.clear()
                self._listener.shutdown(socket.SHUT_RDWR)

    def listen(self) -> None:
        """Accept connections (again); without effect once the emulator is closed."""
        self._opening.cancel()
        with self._lock:
            if not self._closed.is_set():
                self._listener.listen(128)
                self._accepting.set()

    def wait(self) -> None:
        """Block until Ctrl-C (SIGINT), or until another thread closes the emulator."""
        with suppress(KeyboardInterrupt):
            self._closed.wait()

    def close(self) -> None:
        """End every connection, whatever its request waits for, and free the port; twice is once."""
        self._closed.set()
        self.refuse()
        self._accepting.set()
        self._thread.join(timeout=1)
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # the client was quicker
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed.is_set():
            self._accepting.wait()
            with suppress(OSError):  # refused or closed meanwhile: look again
                connection, _ = self._listener.accept()
                threading.Thread(target=self._converse, args=(connection,), name="imds-connection", daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        try:
            with suppress(OSError), connection, connection.makefile("rb") as stream:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not self._closed.is_set() and self._exchange(connection, stream):
                    pass
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _exchange(self, connection: socket.socket, stream: BinaryIO) -> bool:
        """Serve one request; False when the connection is to end."""
        try:
            incoming = _read(stream)
        except (ValueError, http.client.HTTPException):
            connection.sendall(_encoded(_page(400), "GET", closing=True))
            return False
        if incoming is None:
            return False
        request, keep_alive = incoming
        fault, reply = self._decide(request)
        if self._closed.wait(fault.delay) or not _answers(fault, connection):
            return False
        # One write is one TCP segment: a second one would wait 40 ms for the client's delayed ACK.
        closing = not keep_alive or fault.truncate is not None
        connection.sendall(_encoded(reply, request.method, closing, fault.truncate))
        return not closing

    def _decide(self, request: Request) -> Tuple[Fault, _Reply]:
        with self._lock:
            self._reread()
            fault = self._next_fault(request.method, "/".join(_segments(request.path)[1:]))
            reply = _faulty(fault) or _answer(self._profile, self._tokens, request)
            status = None if fault.reset or fault.black_hole else reply.status
            self._requests.append(replace(request, status=status))
        LOG.debug("%s %s: %s", request.method, request.path, status or "not answered")
        return fault, reply

    def _reread(self) -> None:
        content = self._watch.changed() if self._watch else None
        if content is None or self._watch is None:
            return
        try:
            self._profile = loads(content)
        except ProfileError as err:
            LOG.warning("%s is not a profile (%s); the last one stays in use", self._watch.path, err)
        for fault in set(self._spent) - set(self._profile.faults):
            del self._spent[fault]

    def _next_fault(self, method: str, path: str) -> Fault:
        """The first fault that matches and is not spent (equal faults add up), else one without effect."""
        allowed: Counter[Fault] = Counter()
        for fault in self._profile.faults:
            allowed[fault] += fault.times or 0
            if fault.matches(method, path) and (fault.times is None or self._spent[fault] < allowed[fault]):
                self._spent[fault] += 1
                return fault
        return Fault()


def _bound(address: Tuple[str, int]) -> socket.socket:
    """A socket that owns ``address`` and does not listen yet."""
    host, port = address
    if not 0 <= port <= 65535:  # getaddrinfo would begin at 0 again
        raise _unusable(host, port, "ports end at 65535")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as scout:
            scout.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            scout.bind(where)
            # Linux gives up an automatic port when its socket stops listening, but keeps one that was asked for.
            return _bind_again(scout)
    except (OSError, UnicodeError) as err:
        raise _unusable(host, port, getattr(err, "strerror", None) or str(err)) from err


def _unusable(host: str, port: int, reason: str) -> UsageError:
    return UsageError(
        f"cannot listen on {host} port {port} ({reason}); use an address of this machine, and port 0 for a free one"
    )


def _bind_again(scout: socket.socket) -> socket.socket:
    bound = socket.socket(scout.family, scout.type, scout.proto)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(scout.getsockname())
    return bound


def _read(stream: BinaryIO) -> Optional[Tuple[Request, bool]]:
    """The next request and whether its connection stays open, or None at the end of the stream.

    Raises ValueError or http.client.HTTPException for what is not HTTP/1.
    """
    line = stream.readline(_LONGEST_LINE)
    if not line:
        return None
    method, target, version = line.decode("latin-1").split()
    headers = {name.lower(): value.strip() for name, value in http.client.parse_headers(stream).items()}
    length = int(headers.get("content-length", "0"))
    if not version.startswith("HTTP/1.") or not 0 <= length <= _LONGEST_BODY or "transfer-encoding" in headers:
        raise ValueError(line)
    stream.read(length)  # so that the next request begins where it begins
    keep_alive = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return Request(method, target, None, headers), keep_alive


def _encoded(reply: _Reply, method: str, closing: bool, truncate: Optional[int] = None) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status} {_phrase(reply.status)}",
        f"Content-Type: {reply.content_type}",
        "Accept-Ranges: none",
        f"Content-Length: {len(reply.body)}",
        f"Date: {formatdate(usegmt=True)}",
        "Server: EC2ws",  # the AWS SDKs and other clients recognise the service by it
        *reply.headers,
        *(["Connection: close"] if closing else []),
    ]
    body = b"" if method == "HEAD" else reply.body[:truncate]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _answers(fault: Fault, connection: socket.socket) -> bool:
    """Carry out a fault that leaves the request without an answer; True if it is another one."""
    if fault.black_hole:
        while connection.recv(4096):  # until the client gives up, or the emulator is closed
            pass
    if fault.reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return not (fault.reset or fault.black_hole)


def _faulty(fault: Fault) -> Optional[_Reply]:
    """What a fault answers instead of the service, or None if it leaves the answer alone."""
    if fault.status is None and fault.body is None and fault.size is None:
        return None
    status = fault.status or 200
    retry = () if fault.retry_after is None else (f"Retry-After: {fault.retry_after}",)
    body = b"x" * fault.size if fault.size is not None else fault.body
    if body is None and status >= 400:
        return _page(status, *retry)
    return _Reply(status, body or b"", headers=retry)


def _answer(profile: Profile, tokens: _Tokens, request: Request) -> _Reply:
    """What the real service would answer, by the user guide's list of HTTP status codes."""
    service, segments = profile.service, _segments(request.path)
    if not service.enabled:
        return _page(403)
    if segments[1:] == ["api", "token"] and (service.v2 or request.method == "PUT"):
        return _token(service, tokens, segments[0], request)
    if request.method not in ("GET", "HEAD"):
        return _page(405, "Allow: GET, HEAD")
    token = request.headers.get(TOKEN_HEADER.lower()) if service.v2 else None
    if token is None:
        return _content(profile, segments) if service.v1 or not service.v2 else _page(401)
    remaining_s = tokens.remaining_s(token)
    return replace(_content(profile, segments), headers=(_ttl(remaining_s),)) if remaining_s else _page(401)


def _token(service: Service, tokens: _Tokens, version: str, request: Request) -> _Reply:
    if not service.v2:
        return _page(service.token_status)
    if request.method != "PUT":
        return _page(405, "Allow: OPTIONS, PUT")
    if version != "latest" or "x-forwarded-for" in request.headers:
        return _page(403)
    ttl = request.headers.get(TTL_HEADER.lower(), "")
    if not re.fullmatch("[0-9]{1,5}", ttl) or not 1 <= int(ttl) <= _MAX_TTL_S:
        return _page(400)
    ttl_s = min(int(ttl), service.max_token_ttl)
    return _Reply(200, tokens.issue(ttl_s).encode(), headers=(_ttl(ttl_s),))


def _ttl(seconds: int) -> str:
    return f"{TTL_HEADER}: {seconds}"


def _content(profile: Profile, segments: List[str]) -> _Reply:
    if not segments:
        return _Reply(200, "\n".join(_VERSIONS).encode())
    found = _find(_tree(profile), segments[1:]) if _VERSION.fullmatch(segments[0]) else None
    if found is None:
        return _page(404)
    if isinstance(found, Mapping):
        return _Reply(200, _listing(found, slashes=len(segments) > 1).encode())
    content_type = "application/octet-stream" if segments[1:] == ["user-data"] else "text/plain"
    return _Reply(200, found.encode() if isinstance(found, str) else found, content_type)


def _page(status: int, *headers: str) -> _Reply:
    return _Reply(status, _PAGE.format(title=f"{status} - {_phrase(status)}").encode(), "text/html", headers)


def _phrase(status: int) -> str:
    return http.client.responses.get(status, "Unassigned")


def _segments(target: str) -> List[str]:
    """``/latest/meta-data/?x`` as its parts; an empty part (``//``) is kept, and matches nothing."""
    path = re.sub(r"^https?://[^/]*", "", target).partition("?")[0]
    inside = re.sub(r"^/|/$", "", path)
    return [unquote(part) for part in inside.split("/")] if inside else []


def _tree(profile: Profile) -> Tree:
    """Everything below a version."""
    identity = {"document": _document(profile.meta_data), "pkcs7": _PLACEHOLDER, "signature": _PLACEHOLDER}
    dynamic = _laid_over({"instance-identity": identity}, profile.dynamic)
    return {"dynamic": dynamic, "meta-data": profile.meta_data, "user-data": profile.user_data}


def _laid_over(below: Tree, above: Tree) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        merged[key] = _laid_over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def _find(tree: Tree, path: List[str]) -> Union[str, bytes, Tree, None]:
    found: Union[str, bytes, Tree, None] = tree
    for part in path:
        if not isinstance(found, Mapping):
            return None
        # "0=my-key" is listed so and read as "0": public-keys/0/openssh-key
        indexed = (child for key, child in found.items() if key.startswith(f"{part}=") and isinstance(child, Mapping))
        found = found[part] if part in found else next(indexed, None)
    return found


def _listing(tree: Tree, slashes: bool) -> str:
    names = (
        f"{key}/" if slashes and isinstance(child, Mapping) and "=" not in key else key
        for key, child in sorted(tree.items())
        if child is not None
    )
    return "\n".join(names)


def _with_value(tree: Tree, path: List[str], value: Union[str, bytes, None]) -> Tree:
    """``tree`` with one key set, or removed together with the directories that it leaves empty."""
    below = tree.get(path[0])
    new: Union[str, bytes, Tree, None] = value
    if path[1:]:
        new = _with_value(below if isinstance(below, Mapping) else {}, path[1:], value) or None
    rest = {key: child for key, child in tree.items() if key != path[0]}
    return rest if new is None else {**rest, path[0]: new}


def _document(meta_data: Tree) -> str:
    """The instance identity document, with null for what the meta-data does not say.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
    """

    def text(*path: str) -> Optional[str]:
        found = _find(meta_data, list(path))
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
