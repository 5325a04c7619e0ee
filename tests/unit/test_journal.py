"""The journal's own protocol, read back as its documentation says, from a socket of this test's."""

import contextlib
import logging
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent import cli, journal
from annex_agent.logs import LOG, know, set_up

from .conftest import PYTHON

pytestmark = pytest.mark.usefixtures("quiet_log")
Read = Callable[[], Dict[str, str]]
Begin = Callable[..., None]


def fields_of(data: bytes) -> Dict[str, str]:
    """What the journal makes of a datagram."""
    found: Dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, end, rest = rest[8 : 8 + length], rest[8 + length : 9 + length], rest[9 + length :]
            assert end == b"\n"
        assert name.decode() not in found
        found[name.decode()] = value.decode()
        data = rest
    return found


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: "pytest.MonkeyPatch") -> Iterator[socket.socket]:
    """The journal's end of a socket, in the journal's place."""
    path = str(tmp_path / "socket")
    monkeypatch.setattr(journal, "SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(30)
        yield receiver


@pytest.fixture
def stderr(tmp_path: Path) -> Path:
    """A file that stands for the journal's stream."""
    path = tmp_path / "stderr"
    path.touch()
    return path


@pytest.fixture
def begin(stderr: Path, monkeypatch: "pytest.MonkeyPatch") -> Iterator[Begin]:
    """Sets up the log of a process whose stderr is the journal, or runs a whole command in it."""
    with stderr.open("w", encoding="utf-8") as file:
        info = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{info.st_dev}:{info.st_ino}")

        def begin(log_format: str = "text", *, run: Sequence[str] = ()) -> None:
            with contextlib.redirect_stderr(file):
                if run:
                    cli.main(run)
                else:
                    set_up(log_format, 1, "start")

        yield begin


@pytest.fixture
def arrives(reading: socket.socket, begin: Begin) -> Read:
    """The fields of the next event; the log is set up."""
    begin()
    return lambda: fields_of(reading.recv(1 << 20))


def test_an_event_has_its_fields(arrives: Read, stderr: Path) -> None:
    know(instance_id="i-10a64379")
    LOG.info("%s: %s", "daemons", "started", extra={"step": "daemons", "result": "done", "seconds": 1.25})
    assert arrives() == {
        "MESSAGE": "daemons: started",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "annex-agent",
        "ANNEX_AGENT_COMMAND": "start",
        "ANNEX_AGENT_INSTANCE_ID": "i-10a64379",
        "ANNEX_AGENT_STEP": "daemons",
        "ANNEX_AGENT_RESULT": "done",
        "ANNEX_AGENT_SECONDS": "1.25",
    }
    assert stderr.read_text() == "", "and is not said twice"


def test_a_commands_events_say_what_they_are_about(reading: socket.socket, begin: Begin, tmp_path: Path) -> None:
    begin(run=["configure", "--simulate", "--root", str(tmp_path)])
    events = [fields_of(reading.recv(1 << 20)) for _ in range(5)]
    steps = [event["ANNEX_AGENT_STEP"] for event in events]
    assert steps == ["terms", "state", "hostname-file", "condor-config", "configured"]
    assert {event["ANNEX_AGENT_COMMAND"] for event in events} == {"configure"}
    assert {event["ANNEX_AGENT_INSTANCE_ID"] for event in events} == {"i-10a64379"}
    assert {event["ANNEX_AGENT_RESULT"] for event in events} == {"done"}


def test_what_is_not_known_is_left_out(arrives: Read) -> None:
    know(instance_id="")
    LOG.error("no")
    assert set(arrives()) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "ANNEX_AGENT_COMMAND"}


def test_what_was_known_of_another_run_is_forgotten(arrives: Read, begin: Begin) -> None:
    know(instance_id="i-1")
    begin()
    LOG.error("no")
    assert "ANNEX_AGENT_INSTANCE_ID" not in arrives()


def test_priorities_are_syslogs(arrives: Read) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL, 25):
        LOG.log(level, "x")
    assert [arrives()["PRIORITY"] for _ in range(6)] == ["7", "6", "4", "3", "2", "6"]


@pytest.mark.parametrize(
    "sentence",
    [
        "DENIED\nPRIORITY=0\nANNEX_AGENT_STEP=forged",
        "\nMESSAGE=other",
        "a\n\x08\0\0\0\0\0\0\0PRIORITY",
        "MESSAGE=x",
        "ends with a line feed\n",
        "\0",
        "",
        "\udcff is no text",
    ],
)
def test_no_sentence_adds_a_field(arrives: Read, sentence: str) -> None:
    LOG.warning("%s", sentence, extra={"step": sentence})
    fields = arrives()
    shown = sentence.encode("utf-8", "backslashreplace").decode()
    assert fields == {
        "MESSAGE": shown,
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "annex-agent",
        "ANNEX_AGENT_COMMAND": "start",
        "ANNEX_AGENT_STEP": shown,
    }


@given(st.dictionaries(st.from_regex(r"\A[A-Z]{1,8}\Z"), st.text(), max_size=4))
def test_what_goes_in_comes_out(fields: Dict[str, str]) -> None:
    shown = {name: value.encode("utf-8", "backslashreplace").decode() for name, value in fields.items()}
    assert fields_of(journal.datagram(fields)) == shown


@pytest.mark.parametrize("letter", ["x", "ä", "\n"])
def test_a_message_that_is_far_too_long_is_cut(arrives: Read, letter: str) -> None:
    LOG.error(letter * 1_000_000)
    message = arrives()["MESSAGE"]
    assert 16_000 < len(message.encode()) < 17_000
    assert message.startswith(letter * 8000)
    assert message.endswith(f"{letter} [cut]")


def test_without_a_journal_lines_go_to_stderr(arrives: Read, reading: socket.socket, stderr: Path) -> None:
    Path(journal.SOCKET).unlink()
    LOG.error("no")
    assert stderr.read_text() == "<3>no\n"


def test_a_journal_that_is_started_anew_is_found_again(arrives: Read, stderr: Path) -> None:
    Path(journal.SOCKET).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(journal.SOCKET)
        LOG.error("no")
        assert fields_of(other.recv(1 << 20))["MESSAGE"] == "no"


def test_a_journal_that_takes_nothing_is_not_waited_for_for_ever(
    reading: socket.socket, begin: Begin, stderr: Path, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    monkeypatch.setattr(journal, "_PATIENCE_S", 0.001)
    begin()
    for _ in range(10_000):  # until the kernel's queue is full
        LOG.error("no")
        if stderr.stat().st_size:
            break
    assert stderr.read_text() == "<3>no\n"


def test_all_that_a_failing_process_has_said_arrives_in_order(reading: socket.socket, stderr: Path) -> None:
    # Far more than the kernel's queue holds, to a reader who is late, from a process that does not end well.
    code = (
        "import os, sys; from annex_agent import journal, logs\n"
        "journal.SOCKET, info = sys.argv[1], os.fstat(2)\n"
        "os.environ['JOURNAL_STREAM'] = f'{info.st_dev}:{info.st_ino}'\n"
        "logs.set_up('text', 1)\n"
        "for number in range(2000): logs.LOG.error('%d', number)\n"
        "os._exit(7)"
    )
    with stderr.open("w") as file:
        process = subprocess.Popen([PYTHON, "-c", code, journal.SOCKET], stderr=file)
        messages: List[str] = []
        reader = threading.Thread(
            target=lambda: messages.extend(fields_of(reading.recv(1 << 20))["MESSAGE"] for _ in range(2000))
        )
        reader.start()
        assert process.wait() == 7
        reader.join()
    assert messages == [str(number) for number in range(2000)]
    assert stderr.read_text() == ""


def test_json_is_for_who_asked_for_it(reading: socket.socket, begin: Begin, stderr: Path) -> None:
    begin("json")
    LOG.error("no")
    assert '"message": "no"' in stderr.read_text()
