"""The step that ends the watch, over processes that hold its lock."""

import signal
from types import SimpleNamespace

import pytest

from annex_agent import claimant
from annex_agent.errors import DaemonError
from annex_agent.machine import Machine
from annex_agent.systemd import WATCH_UNIT
from annex_agent.unit_steps import EndWatch
from annex_agent.watch import presence

from .conftest import LiveTree, holding


def booted(live: LiveTree, state: str) -> None:
    """systemd has the watch's unit in that state."""
    (live.root / "run/systemd/system").mkdir(parents=True)
    live.command("systemctl", f'[ "$1" = show ] && printf "LoadState=loaded\\nActiveState={state}\\n" || :')


def performed(machine: Machine) -> str:
    return EndWatch().perform(machine, lambda sentence: None)


def test_where_none_is_kept_there_is_nothing_to_do(machine: Machine, live: LiveTree) -> None:
    assert EndWatch().pending(machine) is None
    booted(live, "inactive")
    assert EndWatch().pending(machine) is None


def test_one_that_somebody_started_is_asked_to_end(
    machine: Machine, live: LiveTree, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    monkeypatch.setattr(claimant, "_PATIENCE_S", 120.0)
    with holding(live, presence.LOCK) as process:
        change = EndWatch().pending(machine)
        assert change is not None
        assert str(process.pid) in change.summary
        assert performed(machine) == "ended"
        assert process.wait(30) == -signal.SIGTERM
        assert EndWatch().pending(machine) is None


def test_one_that_does_not_hear_is_killed(machine: Machine, live: LiveTree, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(claimant, "_PATIENCE_S", 0.2)
    with holding(live, presence.LOCK, deaf=True) as process:
        assert performed(machine) == "ended"
        assert process.wait(30) == -signal.SIGKILL


def test_one_that_cannot_be_killed_is_named(
    machine: Machine, live: LiveTree, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    monkeypatch.setattr(claimant, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(claimant, "os", SimpleNamespace(kill=lambda pid, number: None))
    with holding(live, presence.LOCK) as process, pytest.raises(DaemonError, match=f"pid {process.pid}"):
        performed(machine)


@pytest.mark.parametrize("state", ["active", "activating"])
def test_systemd_is_asked_first_for_it_would_start_another_one(machine: Machine, live: LiveTree, state: str) -> None:
    booted(live, state)
    change = EndWatch().pending(machine)
    assert change is not None
    assert change.summary == f"{WATCH_UNIT} is {state}"
    assert performed(machine) == "ended"
    assert live.ran[-1] == ("systemctl", "stop", WATCH_UNIT)
