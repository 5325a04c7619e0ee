"""The log on stderr, in its three forms."""

import contextlib
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Iterator

import pytest

from annex_agent import console, journal
from annex_agent.logs import LOG, set_up

pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.fixture(autouse=True)
def no_journal(monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    monkeypatch.setattr(journal, "SOCKET", "/nowhere/journal/socket")  # the running machine's is not ours to write to


@pytest.fixture(autouse=True)
def its_console(monkeypatch: "pytest.MonkeyPatch", tmp_path: Path) -> Path:
    """In place of the running machine's."""
    path = tmp_path / "console"
    monkeypatch.setattr(console, "CONSOLE", str(path))
    return path


@pytest.fixture
def screen(its_console: Path) -> Iterator[int]:
    """Whoever looks at the console reads this descriptor."""
    os.mkfifo(its_console)
    descriptor = os.open(its_console, os.O_RDONLY | os.O_NONBLOCK)
    yield descriptor
    os.close(descriptor)


@contextlib.contextmanager
def stderr_to(path: Path) -> Iterator[str]:
    """Gives what systemd puts into JOURNAL_STREAM: which file stderr is."""
    with path.open("w", encoding="utf-8") as file, contextlib.redirect_stderr(file):
        info = os.fstat(file.fileno())
        yield f"{info.st_dev}:{info.st_ino}"


def everything() -> None:
    LOG.debug("detail %d", 1)
    LOG.info("a step")
    LOG.warning("take care")
    LOG.error("no")


def test_as_text_each_line_says_who_speaks_and_how_bad_it_is(capsys: "pytest.CaptureFixture[str]") -> None:
    set_up("text", 1)
    everything()
    assert capsys.readouterr().err.split("\n") == [
        "annex-agent: detail 1",
        "annex-agent: a step",
        "annex-agent: warning: take care",
        "annex-agent: error: no",
        "",
    ]


@pytest.mark.parametrize(("verbosity", "lines"), [(-1, 2), (0, 3), (1, 4)])
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_verbosity_decides_how_many(
    capsys: "pytest.CaptureFixture[str]", form: str, verbosity: int, lines: int
) -> None:
    set_up(form, verbosity)
    everything()
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_stdout_stays_for_the_answer(capsys: "pytest.CaptureFixture[str]") -> None:
    set_up("text", 1)
    everything()
    assert capsys.readouterr().out == ""


def test_as_json_each_line_is_an_object(capsys: "pytest.CaptureFixture[str]") -> None:
    set_up("json", 0)
    LOG.info("a step\nof two lines: ä", extra={"step": "daemons", "result": "done", "seconds": 1.5})
    LOG.warning("plain")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("time"))
    assert first == {
        "level": "info",
        "message": "a step\nof two lines: ä",
        "step": "daemons",
        "result": "done",
        "seconds": 1.5,
    }
    assert second.keys() == {"time", "level", "message"}


def test_where_the_journal_takes_no_datagrams_it_gets_lines_with_priorities_and_no_name(
    tmp_path: Path, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    with stderr_to(tmp_path / "journal") as stream:
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        set_up("text", 1)
        everything()
        LOG.error("two\nlines")
    lines = (tmp_path / "journal").read_text().splitlines()
    assert lines == ["<7>detail 1", "<6>a step", "<4>take care", "<3>no", "<3>two", "<3>lines"]


def test_json_stays_json_in_the_journal(tmp_path: Path, monkeypatch: "pytest.MonkeyPatch") -> None:
    with stderr_to(tmp_path / "journal") as stream:
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        set_up("json", 0)
        LOG.info("a step")
    assert json.loads((tmp_path / "journal").read_text())["message"] == "a step"


@pytest.mark.parametrize("stream", ["1:2", "", "nonsense", "::"])
def test_a_journal_that_stderr_does_not_go_to_is_none(
    tmp_path: Path, monkeypatch: "pytest.MonkeyPatch", stream: str
) -> None:
    # A service's child inherits the variable, and may have sent its stderr elsewhere.
    with stderr_to(tmp_path / "elsewhere"):
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        set_up("text", 0)
        LOG.info("a step")
    assert (tmp_path / "elsewhere").read_text() == "annex-agent: a step\n"


def test_a_stderr_that_is_no_file_is_no_journal(
    monkeypatch: "pytest.MonkeyPatch", capsys: "pytest.CaptureFixture[str]"
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with pytest.raises(OSError, match="fileno"):
        sys.stderr.fileno()
    set_up("text", 0)
    LOG.info("a step")
    assert capsys.readouterr().err == "annex-agent: a step\n"


def test_to_set_it_up_twice_does_not_say_things_twice(capsys: "pytest.CaptureFixture[str]") -> None:
    set_up("text", 0)
    set_up("text", 0)
    LOG.info("a step")
    assert capsys.readouterr().err == "annex-agent: a step\n"


def test_other_libraries_are_not_heard(capsys: "pytest.CaptureFixture[str]") -> None:
    set_up("text", 1)
    logging.getLogger("urllib3").debug("Starting new HTTP connection")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("command", "in_journal"), [("watch", True), ("watch", False), ("start", True), ("stop", True)]
)
def test_what_the_watch_warns_of_is_on_the_console_too(
    screen: int, monkeypatch: "pytest.MonkeyPatch", tmp_path: Path, command: str, in_journal: bool
) -> None:
    with stderr_to(tmp_path / "stream") as stream:
        if in_journal:
            monkeypatch.setenv("JOURNAL_STREAM", stream)
        set_up("text", 1, command)
        everything()
    shown = b"\r\nannex-agent: take care\r\n\r\nannex-agent: no\r\n"
    assert os.read(screen, 4096) == (shown if command == "watch" and in_journal else b"")


def an_error(words: str) -> logging.LogRecord:
    return logging.LogRecord("annex_agent", logging.ERROR, "x", 1, words, (), None)


def test_a_console_gets_a_line_of_ascii_that_commands_it_nothing(screen: int) -> None:
    console.ConsoleHandler().handle(an_error("two\nlines: \x1b[2J ä"))
    assert os.read(screen, 4096) == b"\r\nannex-agent: two lines: [2J \\xe4\r\n"


def test_a_console_that_is_not_there_is_not_made(its_console: Path) -> None:
    console.ConsoleHandler().handle(an_error("no"))
    assert not its_console.exists()


def test_a_console_that_takes_nothing_is_not_waited_for(its_console: Path) -> None:
    os.mkfifo(its_console)  # nobody reads it
    console.ConsoleHandler().handle(an_error("no"))
