"""What the watch has done by others: commands of its own, and the power-off."""

import signal
import sys
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from annex_agent.system import System
from annex_agent.systemd import Systemd
from annex_agent.watch.actions import Errands, own_command
from annex_agent.watch.model import PowerOff, Stop, TakeJobs, Tell
from annex_agent.watch.power import Power

from .conftest import PYTHON, LiveTree, eventually

pytestmark = pytest.mark.usefixtures("listened_log")

# Notes down its arguments, and what ended it; ends with the status, or waits, that the environment says.
PLAYER = f"""#!{PYTHON} -IS
import os, signal, sys, time
def note(words):
    with open(os.environ["NOTES"], "a") as file:
        file.write(words + "\\n")
def ended(number, frame):
    note("told to end")
    sys.exit(130)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "DEAF" in os.environ else ended)
note(" ".join(sys.argv[1:]))
print("said on stdout", flush=True)
end = time.monotonic() + float(os.environ.get("SECONDS", 0))
while time.monotonic() < end:
    time.sleep(0.05)  # a longer one would sleep through a signal that comes just before it
sys.exit(int(os.environ.get("CODE", 0)))
"""


class Player:
    """Errands whose command is the script above."""

    def __init__(self, tmp_path: Path) -> None:
        self.now = 1000.0
        self.notes = tmp_path / "notes"
        self.notes.touch()
        script = tmp_path / "annex-agent"
        script.write_text(PLAYER)
        script.chmod(0o755)
        self.environ: Dict[str, str] = {"NOTES": str(self.notes)}
        self.errands = Errands(System(tmp_path), self.environ, (str(script),), clock=lambda: self.now)

    @property
    def noted(self) -> List[str]:
        return self.notes.read_text().splitlines()

    def ends(self) -> None:
        eventually(lambda: not self.errands.working())


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Player]:
    made = Player(tmp_path)
    yield made
    for running in made.errands._running.values():
        running.child.send(signal.SIGKILL)
        running.child.ended()


@pytest.mark.parametrize(
    ("errand", "words"),
    [
        (Stop("graceful", within_s=72.9), "stop --mode graceful --within 72s"),
        (Stop("fast", timeout_s=600.0), "stop --mode fast --timeout 600s"),
        (Stop("peaceful", 30.0, 0.2), "stop --mode peaceful --timeout 30s --within 1s"),
        (Stop("graceful", within_s=-3.0), "stop --mode graceful --within 1s"),
        (Tell("success"), "signal success"),
        (TakeJobs(start=True), "start"),
    ],
)
def test_each_errand_is_a_command_of_ours(player: Player, errand: Stop, words: str) -> None:
    player.errands.run(errand, 600.0)
    assert player.errands.working() <= {errand.name}
    player.ends()
    assert player.noted == [words]


def test_what_it_says_goes_where_we_speak(player: Player, capfd: "pytest.CaptureFixture[str]") -> None:
    player.errands.run(Tell("success"), 600.0)
    player.ends()
    assert capfd.readouterr() == ("", "said on stdout\n")


def test_nobody_waits_for_it_and_there_is_one_at_a_time(player: Player) -> None:
    player.environ["SECONDS"] = "600"
    player.errands.run(Stop("graceful", within_s=70.0), 600.0)
    player.errands.run(Tell("heartbeat"), 600.0)
    eventually(lambda: len(player.noted) == 2)
    assert player.errands.working() == {"stop", "signal heartbeat"}
    assert player.errands.are_under_way
    player.now += 1.0
    player.errands.run(Stop("graceful", within_s=69.0), 600.0)
    player.errands.run(Stop("graceful"), 600.0)
    assert player.errands.working() == {"stop", "signal heartbeat"}
    assert len(player.noted) == 2


@pytest.mark.parametrize("deaf", [False, True])
def test_a_stop_that_must_be_through_earlier_takes_over(player: Player, deaf: bool) -> None:
    player.environ.update(SECONDS="600", **({"DEAF": "1"} if deaf else {}))
    player.errands.run(Stop("peaceful"), 600.0)
    eventually(lambda: len(player.noted) == 1)
    if deaf:  # its second is soon over
        player.errands._clock = iter([player.now + 0.6 * step for step in range(1000)]).__next__
    player.errands.run(Stop("graceful", within_s=70.0), 600.0)
    eventually(lambda: player.noted[-1] == "stop --mode graceful --within 70s")
    assert player.noted[1:-1] == ([] if deaf else ["told to end"])


def test_one_that_failed_is_logged_and_tried_again_after_a_moment(
    player: Player, caplog: "pytest.LogCaptureFixture"
) -> None:
    player.environ["CODE"] = "7"
    player.errands.run(Stop("fast"), 600.0)
    player.ends()
    assert "annex-agent stop --mode fast ended with 7" in caplog.text
    player.errands.run(Stop("fast"), 600.0)
    assert player.errands.working() == frozenset()
    player.errands.run(Tell("failure"), 600.0)
    assert player.errands.are_under_way
    player.now += 2.0
    player.errands.run(Stop("fast"), 600.0)
    assert "stop" in player.errands.working()


@pytest.mark.parametrize(
    ("errand", "patience_s"),
    [(Stop("graceful", within_s=70.0), 190.0), (Stop("fast"), 720.0), (Stop("fast", 60.0), 180.0), (Tell("x"), 45.0)],
)
def test_what_does_not_end_is_killed(
    player: Player, errand: Stop, patience_s: float, caplog: "pytest.LogCaptureFixture"
) -> None:
    player.environ.update(SECONDS="600", DEAF="1")
    player.errands.run(errand, 600.0)
    player.now += patience_s - 0.1
    assert player.errands.working()
    player.now += 0.2
    player.errands.working()
    player.ends()
    assert "does not end: it is killed" in caplog.text
    assert "ended with 137" in caplog.text


def test_a_command_that_cannot_be_run_is_logged(tmp_path: Path, caplog: "pytest.LogCaptureFixture") -> None:
    errands = Errands(System(tmp_path), {}, (str(tmp_path / "none"),))
    errands.run(Stop("fast"), 600.0)
    assert errands.working() == frozenset()
    assert "cannot be run" in caplog.text


def test_no_descriptor_is_left(player: Player) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        player.errands.run(Tell("success"), 600.0)
        player.ends()
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_how_this_program_is_called_again(monkeypatch: "pytest.MonkeyPatch") -> None:
    assert own_command("/usr/bin/annex-agent") == ("/usr/bin/annex-agent",)
    monkeypatch.chdir("/usr")
    assert own_command("bin/annex-agent") == ("/usr/bin/annex-agent",)
    assert own_command("/x/annex_agent/__main__.py") == (sys.executable, "-m", "annex_agent")
    monkeypatch.setattr("sys.argv", ["/opt/venv/bin/annex-agent", "watch"])
    assert own_command() == ("/opt/venv/bin/annex-agent",)


class Switch:
    """A machine with some of the commands that switch one off; which of them fail is said."""

    def __init__(self, live: LiveTree, *fails: str, systemd: bool = True) -> None:
        self.now = 1000.0
        self.live = live
        self.ran = live.root / "ran"
        if systemd:
            (live.root / "run/systemd/system").mkdir(parents=True)
        for name in ("systemctl", "journalctl", "shutdown", "poweroff"):
            failing = "|".join(f'"{words}"' for words in fails) or "none"
            note = f'echo "{name} $*" >>{self.ran}'
            live.command(name, f'{note}; case "{name} $*" in {failing}) echo "no such luck" >&2; exit 1;; esac')
        self.power = Power(live, Systemd(live), clock=lambda: self.now)

    def off(self) -> List[str]:
        """The commands that this time ran."""
        self.ran.write_text("")
        self.power.off("the lease is over")
        return self.ran.read_text().splitlines()


FLUSHED = ["journalctl --flush", "journalctl --sync"]


def test_the_log_is_on_the_disk_before_the_machine_goes_off(live: LiveTree, caplog: "pytest.LogCaptureFixture") -> None:
    switch = Switch(live)
    assert not switch.power.is_going
    assert switch.off() == [*FLUSHED, "systemctl poweroff"]
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert "powers itself off: the lease is over" in caplog.text
    assert switch.power.is_going


def test_while_it_goes_off_nothing_is_asked_again(live: LiveTree) -> None:
    switch = Switch(live)
    switch.off()
    switch.now += 59.0
    assert switch.off() == []


def test_a_machine_that_does_not_go_off_is_told_in_a_harder_way(live: LiveTree) -> None:
    switch = Switch(live)
    switch.off()
    for way in ("systemctl poweroff --force", *["systemctl poweroff --force --force"] * 2):
        switch.now += 61.0
        assert not switch.power.is_going
        assert switch.off() == [*FLUSHED, way]


def test_what_fails_is_followed_by_something_harder_at_once(live: LiveTree, caplog: "pytest.LogCaptureFixture") -> None:
    switch = Switch(live, "systemctl poweroff", "journalctl --flush")
    assert switch.off() == [*FLUSHED, "systemctl poweroff", "systemctl poweroff --force"]
    assert "systemctl poweroff: no such luck" in caplog.text
    assert switch.power.is_going


def test_where_nothing_does_it_is_tried_again(live: LiveTree) -> None:
    ways = ["systemctl poweroff", "systemctl poweroff --force", "systemctl poweroff --force --force"]
    switch = Switch(live, *ways)
    assert switch.off() == [*FLUSHED, *ways]
    assert not switch.power.is_going
    assert switch.off() == [*FLUSHED, ways[-1]]


def test_a_tool_that_hangs_does_not_hold_it_up(live: LiveTree) -> None:
    switch = Switch(live)
    live.patience_s = 0.2
    live.command("journalctl", "sleep 600")
    assert switch.off() == ["systemctl poweroff"]


def test_without_systemd(live: LiveTree) -> None:
    switch = Switch(live, "shutdown -h now", systemd=False)
    (live.commands / "journalctl").unlink()
    assert switch.off() == ["shutdown -h now", "poweroff "]


def test_a_tree_that_is_no_machine_is_not_switched_off(tmp_path: Path, monkeypatch: "pytest.MonkeyPatch") -> None:
    system = System(tmp_path)
    monkeypatch.setattr(System, "run", lambda *arguments: pytest.fail("it ran something"))
    Power(system, Systemd(system)).off(PowerOff("x").words)
