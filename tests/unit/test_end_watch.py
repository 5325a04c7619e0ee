"""The step that ends the watch, over processes that hold its lock."""

import contextlib
import subprocess
from typing import Callable, Iterator

import pytest

from annex_agent import claimant
from annex_agent.errors import DaemonError
from annex_agent.machine import Machine
from annex_agent.systemd import WATCH_UNIT
from annex_agent.unit_steps import EndWatch
from annex_agent.watch import presence

from .conftest import PYTHON, LiveTree, started

HOLDER = """
import signal, sys
from pathlib import Path
from annex_agent.system import System
from annex_agent.watch import presence
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
assert System(Path(sys.argv[1])).claim(presence.LOCK)
print("holds", flush=True)
signal.pause()
"""
Kept = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def kept(live: LiveTree) -> Iterator[Kept]:
    """A watch is kept, by a process that does nothing else."""
    with contextlib.ExitStack() as stack:

        def keep(how: str = "") -> "subprocess.Popen[str]":
            argv = [PYTHON, "-c", HOLDER, str(live.root), how]
            process = stack.enter_context(started(argv, stdout=subprocess.PIPE))
            assert process.stdout is not None
            assert process.stdout.readline() == "holds\n"
            return process

        yield keep


def booted(live: LiveTree, state: str, word: str = "") -> None:
    """systemd has the watch's unit in that state; its stop asks the process to end as the unit would."""
    (live.root / "run/systemd/system").mkdir(parents=True)
    live.command("systemctl", f'[ "$1" = show ] && printf "LoadState=loaded\\nActiveState={state}\\n"; {word}:')


def performed(machine: Machine) -> str:
    return EndWatch().perform(machine, lambda sentence: None)


def test_where_none_is_kept_there_is_nothing_to_do(machine: Machine, live: LiveTree) -> None:
    assert EndWatch().pending(machine) is None
    booted(live, "inactive")
    assert EndWatch().pending(machine) is None


def test_one_that_somebody_started_is_asked_to_end(machine: Machine, live: LiveTree, kept: Kept) -> None:
    process = kept("")
    change = EndWatch().pending(machine)
    assert change is not None
    assert str(process.pid) in change.summary
    assert performed(machine) == "ended"
    assert process.wait(30) == -15
    assert presence.running(live) is None
    assert EndWatch().pending(machine) is None


def test_one_that_does_not_hear_is_killed(machine: Machine, kept: Kept, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(claimant, "_PATIENCE_S", 0.2)
    process = kept("deaf")
    assert performed(machine) == "ended"
    assert process.wait(30) == -9


def test_one_that_cannot_be_killed_is_named(machine: Machine, kept: Kept, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(claimant, "_PATIENCE_S", 0.05)
    monkeypatch.setattr("annex_agent.claimant.os.kill", lambda pid, number: None)
    process = kept("")
    with pytest.raises(DaemonError, match=f"pid {process.pid}"):
        performed(machine)


@pytest.mark.parametrize("state", ["active", "activating"])
def test_systemd_is_asked_first_for_it_would_start_another_one(machine: Machine, live: LiveTree, state: str) -> None:
    booted(live, state)
    change = EndWatch().pending(machine)
    assert change is not None
    assert change.summary == f"{WATCH_UNIT} is {state}"
    assert performed(machine) == "ended"
    assert live.ran[-1] == ("systemctl", "stop", WATCH_UNIT)
