"""The metadata service asked with the standard library alone: as the other way of asking, and bounded."""

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Callable, Iterator

import pytest

from annex_agent.emulator import Emulator, Fault
from annex_agent.emulator.profile import bundled
from annex_agent.errors import MetadataError, MetadataUnreachable
from annex_agent.imds import Access, Imds
from annex_agent.imds.plain import PlainTransport

ID = "latest/meta-data/instance-id"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(bundled("wiki")) as running:
        yield running


@contextmanager
def client(url: str, **changes: Any) -> Iterator[Imds]:
    access = Access((url,), deadline_s=2.0, read_timeout_s=0.3)._replace(**changes)
    imds = Imds(access, transport=PlainTransport(access))
    yield imds
    imds.close()


@contextmanager
def service(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that accepts connections, and then does as it likes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection, suppress(OSError):
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def failing(emulator: Emulator, *faults: Fault) -> None:
    emulator.profile = replace(emulator.profile, faults=faults)


def test_one_connection_is_enough(emulator: Emulator) -> None:
    with client(emulator.url) as imds:
        assert [imds.get(ID) for _ in range(3)] == [b"i-10a64379"] * 3
        assert imds.get("latest/meta-data/no-such-key") is None
        assert [request.method for request in emulator.requests] == ["PUT", "GET", "GET", "GET", "GET"]
        assert len(emulator._connections) == 1


def test_a_service_that_has_restarted_since_is_no_failure(emulator: Emulator) -> None:
    with client(emulator.url) as imds:
        imds.get(ID)
        for connection in list(emulator._connections):
            connection.shutdown(socket.SHUT_RDWR)
        assert imds.get(ID) == b"i-10a64379"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_there_is_no_second_try(emulator: Emulator, status: int) -> None:
    failing(emulator, Fault(path="meta-data/*", status=status))
    with client(emulator.url) as imds:
        with pytest.raises(MetadataError, match=f"answered {status}"):
            imds.get(ID)
        assert [request.status for request in emulator.requests] == [200, status]


def test_a_token_refused_with_401_is_renewed_once(emulator: Emulator) -> None:
    failing(emulator, Fault(path="meta-data/*", status=401, times=1))
    with client(emulator.url) as imds:
        assert imds.get(ID) == b"i-10a64379"
        assert [request.status for request in emulator.requests] == [200, 401, 200, 200]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(path="meta-data/*", reset=True), "the connection was cut"),
        (Fault(path="meta-data/*", black_hole=True), "was not answered"),
        (Fault(path="meta-data/*", truncate=3), "was cut short|the connection was cut|did not end"),
        (Fault(path="meta-data/*", size=65 * 1024), "is larger than 64 KiB"),
    ],
)
def test_what_goes_wrong_is_told(emulator: Emulator, fault: Fault, words: str) -> None:
    failing(emulator, fault)
    with client(emulator.url) as imds:
        with pytest.raises(MetadataError, match=words):
            imds.get(ID)
        failing(emulator)
        assert imds.get(ID) == b"i-10a64379"


def test_what_comes_late_is_not_taken_for_the_next_answer(emulator: Emulator) -> None:
    failing(emulator, Fault(path="meta-data/instance-id", delay=0.5, times=1))
    with client(emulator.url) as imds:
        with pytest.raises(MetadataError, match="was not answered"):
            imds.get(ID)
        assert imds.get("latest/meta-data/instance-type") == b"m1.large"


def test_where_nothing_listens(emulator: Emulator) -> None:
    emulator.close()
    with client(emulator.url) as imds, pytest.raises(MetadataUnreachable, match="connection refused"):
        imds.get(ID)


def test_the_second_address_is_tried() -> None:
    with Emulator(bundled("wiki")) as gone, Emulator(bundled("wiki")) as there:
        gone.close()
        with client("", endpoints=(gone.url, there.url)) as imds:
            assert imds.get(ID) == b"i-10a64379"
            assert imds.endpoint == there.url


def drip(what: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        while True:
            connection.sendall(what)
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize("what", [b"H", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_drips_in_is_not_waited_for(what: bytes) -> None:
    with service(drip(what)) as url, client(url, deadline_s=0.3) as imds, pytest.raises(MetadataError):
        imds.get(ID)


def test_a_body_that_drips_in_is_not_waited_for() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        drip(b"x")(connection)

    with service(answer) as url, client(url, deadline_s=0.3) as imds, pytest.raises(MetadataError, match="in time"):
        imds.get(ID)


@pytest.mark.parametrize("what", [b"", b"\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 xyz\r\n\r\n", b"\x00" * 70000])
def test_what_does_not_speak_http_is_no_service(what: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(what)

    with service(answer) as url, client(url) as imds, pytest.raises(MetadataError, match="the connection was cut"):
        imds.get(ID)


def test_a_chunked_answer_is_read() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n")
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ni-\r\n1\r\n1\r\n0\r\n\r\n")

    with service(answer) as url, client(url) as imds:
        assert imds.get(ID) == b"i-1"


def test_another_protocol_is_refused_in_words() -> None:
    with client("https://127.0.0.1:1") as imds, pytest.raises(MetadataError, match="is no http:// address"):
        imds.get(ID)
