"""The server: it owns the sockets, the threads and the tokens, and carries out faults."""

import http.client
import socket
import struct
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Callable, Deque, List, Optional, Set, Tuple, Type, Union

from ..errors import UsageError
from .announced import Appearances
from .answers import Tokens, answer, faulty
from .http import Reply, Request, encoded, page, read, segments
from .profile import Fault, Profile, ProfileError, loads
from .tree import with_value
from .watch import LOG, Watch

_KEPT_REQUESTS = 10_000


class Emulator:
    """A running metadata service on ``address`` (port 0: a free one); close it, or use it in ``with``.

    With ``watch``, that file is the control surface: it is read again when it changes, and a broken
    edit is logged and changes nothing.  Tokens outlive every change of the profile.  ``clock`` gives
    the seconds by which tokens expire, ``wall_clock`` those since the epoch.  Raises ``UsageError`` if
    the address cannot be had.
    """

    def __init__(
        self,
        profile: Profile,
        address: Tuple[str, int] = ("127.0.0.1", 0),
        watch: Optional[Path] = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._lock = threading.Lock()  # guards everything down to the empty line
        self._profile = profile
        self._watch = Watch(watch) if watch else None
        self._tokens = Tokens(clock)
        self._appearances = Appearances(wall_clock)
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
                meta_data = with_value(self._profile.meta_data, path.strip("/").split("/"), value)
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
            incoming = read(stream)
        except (ValueError, http.client.HTTPException):
            connection.sendall(encoded(page(400), "GET", closing=True))
            return False
        if incoming is None:
            return False
        request, keep_alive = incoming
        fault, reply = self._decide(request)
        if self._closed.wait(fault.delay) or not _leaves_an_answer(fault, connection):
            return False
        # One write is one TCP segment: a second one would wait 40 ms for the client's delayed ACK.
        closing = not keep_alive or fault.truncate is not None
        connection.sendall(encoded(reply, request.method, closing, fault.truncate))
        return not closing

    def _decide(self, request: Request) -> Tuple[Fault, Reply]:
        with self._lock:
            self._reread()
            fault = self._next_fault(request.method, "/".join(segments(request.path)[1:]))
            reply = faulty(fault) or answer(self._profile, self._tokens, self._appearances, request)
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


def _leaves_an_answer(fault: Fault, connection: socket.socket) -> bool:
    """Carry out a fault that leaves the request without an answer; True if it is another one."""
    if fault.black_hole:
        while connection.recv(4096):  # until the client gives up, or the emulator is closed
            pass
    if fault.reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return not (fault.reset or fault.black_hole)
