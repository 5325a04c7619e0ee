"""A stop, and the other annex-agents that it finds at work: processes of their own."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Iterator, List

import pytest

from annex_agent import precedence
from annex_agent.errors import AnnexError, Busy
from annex_agent.precedence import after_others, ahead_of_others
from annex_agent.system import LOCK, System

from .conftest import PYTHON, eventually, started

# As annex-agent: SIGTERM interrupts what it does. What it is told on its input ends it.
HOLDER = """
import select, signal, sys
from pathlib import Path
from annex_agent.system import System
def interrupted(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[3:] else interrupted)
try:
    with System(Path(sys.argv[1])).exclusive(60, float(sys.argv[2])):
        print("at work", flush=True)
        while not select.select([sys.stdin], [], [], 0.05)[0]:
            pass  # read() would sleep through a signal that comes just before it
    print("done")
except KeyboardInterrupt:
    print("interrupted")
"""


@contextlib.contextmanager
def at_work(tree: System, ends_at: float = float("inf"), *deaf: str) -> Iterator["subprocess.Popen[str]"]:
    """Another annex-agent that has the lock."""
    argv = [PYTHON, "-c", HOLDER, str(tree.root), str(ends_at), *deaf]
    with started(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield process


def test_a_stop_that_has_time_waits_until_the_other_one_is_done(
    tree: System, caplog: "pytest.LogCaptureFixture"
) -> None:
    caplog.set_level("INFO", "annex_agent")
    with at_work(tree) as other:
        order: List[str] = []

        def stop() -> None:
            with after_others(tree, 60):
                order.append("stop")

        thread = threading.Thread(target=stop)
        thread.start()
        eventually(lambda: "another annex-agent is at work: this stop waits" in caplog.text)
        order.append("other")
        assert other.communicate("")[0] == "done\n"
        thread.join()
        assert order == ["other", "stop"]


def test_it_does_not_wait_for_ever(tree: System) -> None:
    with at_work(tree) as other:
        with pytest.raises(Busy, match="another annex-agent is at work"), after_others(tree, 0.05):
            pass
        assert other.poll() is None, "and asks nobody to end"


def soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def test_where_nobody_is_at_work_it_has_the_lock_at_once(tree: System) -> None:
    with ahead_of_others(tree, soon()):
        assert tree.holder(LOCK) is None  # to ourselves the kernel names nobody
        assert tree.is_busy()


def test_whoever_is_at_work_is_asked_to_end(tree: System, caplog: "pytest.LogCaptureFixture") -> None:
    with at_work(tree) as other:
        with ahead_of_others(tree, soon()):
            assert other.communicate()[0] == "interrupted\n"
        assert f"another annex-agent (pid {other.pid}) is at work: it is asked to end" in caplog.text


def test_a_stop_that_ends_later_is_asked_to_end(tree: System) -> None:
    with at_work(tree, soon(600)) as other, ahead_of_others(tree, soon(60)):
        assert other.communicate()[0] == "interrupted\n"


def test_a_stop_that_ends_no_later_is_waited_for(tree: System) -> None:
    with tree.exclusive():  # what an earlier one has left there says nothing any more
        pass
    ends_at = soon()
    with at_work(tree, ends_at) as other:
        order: List[str] = []

        def second() -> None:
            with ahead_of_others(tree, ends_at):
                order.append("second")

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)  # so that a signal would have been sent
        order.append("first")
        assert other.communicate()[0] == "done\n"
        thread.join()
        assert order == ["first", "second"]


def test_a_stop_that_was_to_be_over_by_now_is_not_waited_for(tree: System) -> None:
    with at_work(tree, soon(0.5)) as other, ahead_of_others(tree, soon()):
        assert other.communicate()[0] == "interrupted\n"


def test_one_that_does_not_listen_is_killed(tree: System, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(precedence, "_GRACE_S", 0.1)
    with at_work(tree, float("inf"), "deaf") as other, ahead_of_others(tree, soon()):
        assert other.wait() == -signal.SIGKILL


def test_one_that_has_had_its_turn_after_the_first_is_asked_as_well(tree: System) -> None:
    with at_work(tree) as second:
        precedence._ask_to_end(tree, soon(), asked={os.getpid(): time.monotonic()})
        assert second.communicate()[0] == "interrupted\n"


def test_without_time_it_still_gets_its_turn(tree: System) -> None:
    with at_work(tree) as other, ahead_of_others(tree, soon(-60)):
        assert other.communicate()[0] == "interrupted\n"


def test_one_that_cannot_be_seen_is_waited_for_and_told_of_in_the_end(
    tree: System, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    monkeypatch.setattr(precedence, "_LEAST_S", 0.2)
    monkeypatch.setattr(System, "holder", lambda self, path: None)
    with at_work(tree) as other:
        with pytest.raises(Busy, match="another annex-agent is at work"), ahead_of_others(tree, soon(0.2)):
            pass
        assert other.poll() is None


@pytest.mark.parametrize("text", ["", "nonsense\n", "\udcff"])
def test_a_lock_that_says_nothing_is_no_stops(tree: System, text: str) -> None:
    with at_work(tree) as other:
        Path(tree.root / LOCK[1:]).write_bytes(os.fsencode(text))
        with ahead_of_others(tree, soon()):
            assert other.communicate()[0] == "interrupted\n"


def test_a_lock_that_cannot_be_made_is_an_error(tree: System) -> None:
    (tree.root / "run").write_text("in the way")
    with pytest.raises(AnnexError, match="cannot be made"), ahead_of_others(tree, soon()):
        pass
