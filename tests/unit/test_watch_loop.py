"""The loop over the emulated metadata service: what it remembers, tells, starts, and what cannot end it."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from annex_agent import terms
from annex_agent.cli import main
from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import bundled
from annex_agent.htcondor import HTCondor
from annex_agent.logs import LOG
from annex_agent.model import Settings
from annex_agent.system import LEAVING_FILE
from annex_agent.systemd import Systemd
from annex_agent.terms import Terms
from annex_agent.watch import loop as loop_module
from annex_agent.watch.actions import Errands
from annex_agent.watch.condition import Lookout
from annex_agent.watch.fencing import Fencing
from annex_agent.watch.leaving import Notice
from annex_agent.watch.listener import Listener
from annex_agent.watch.loop import Hands, Loop, Senses
from annex_agent.watch.model import (
    GRACE,
    SPOT,
    Act,
    Condition,
    Decision,
    Heard,
    Leaving,
    Memory,
    PowerOff,
    Say,
    Stop,
    TakeJobs,
    Tell,
)
from annex_agent.watch.power import Power

from .. import polls
from .conftest import PYTHON, LiveTree, eventually, started

pytestmark = pytest.mark.usefixtures("listened_log")

MEMORY = "/var/lib/annex-agent/watch.json"
LEAVING = Leaving("lease", "the lease is over", 1.0)


@dataclass
class Watched:
    """A machine with a watch, whose decisions the test makes."""

    live: LiveTree
    url: str
    now: float = 1000.0
    acts: Tuple[Act, ...] = ()
    changes: Dict[str, Any] = field(default_factory=dict)
    asked: List[Tuple[float, Terms, Heard, Condition, Memory]] = field(default_factory=list)
    fails: Optional[Exception] = None

    def __post_init__(self) -> None:
        note = self.live.command("annex-agent", f'echo "$*" >>{self.live.root}/ran; sleep ${{SECONDS:-0}}')
        self.environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}
        systemd, clock = Systemd(self.live), self.clock
        self.errands = Errands(self.live, self.environ, (str(note),), clock)
        self.loop = Loop(
            self.live,
            Senses(Listener(self.environ), Lookout(self.live, HTCondor(self.live), lambda begins: {}, clock)),
            Hands(
                Notice(self.live, lambda begins: {}),
                self.errands,
                Power(self.live, systemd, clock),
                systemd,
                Fencing(self.live, clock),
            ),
            clock,
        )

    def clock(self) -> float:
        return self.now

    def decide(self, now: float, *rest: Any) -> Decision:
        self.asked.append((now, *rest))
        if self.fails:
            raise self.fails
        return Decision(rest[-1]._replace(**self.changes), self.acts)

    def turn(self, pause_s: float = 4.0) -> None:
        self.now += pause_s
        self.loop.turn()

    @property
    def ran(self) -> List[str]:
        path = self.live.root / "ran"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(bundled("spot")) as running:
        yield running


@pytest.fixture
def watched(live: LiveTree, emulator: Emulator, monkeypatch: "pytest.MonkeyPatch") -> Iterator[Watched]:
    made = Watched(live, emulator.url)
    monkeypatch.setattr(loop_module, "decide", made.decide)
    yield made
    made.loop._senses.listener.close()
    for running in made.errands._running.values():
        running.child.send(signal.SIGKILL)
        running.child.ended()


def test_what_is_heard_and_seen_is_what_is_decided_on(watched: Watched, emulator: Emulator) -> None:
    emulator.set("spot/instance-action", '{"action": "stop", "time": "2026-11-21T15:02:00Z"}')
    watched.turn()
    now, of, heard, condition, memory = watched.asked[0]
    assert abs(now - time.time()) < 60
    assert of == Terms()
    assert SPOT in heard.answered
    assert heard.announcements
    assert not condition.runs
    assert memory == Memory()


def test_the_time_is_that_of_ec2(watched: Watched, emulator: Emulator, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr("annex_agent.emulator.http.formatdate", lambda usegmt: "Tue, 01 Jan 2030 00:00:00 GMT")
    watched.turn()
    emulator.refuse()
    watched.turn()
    assert [round(now / 60) for now, *_ in watched.asked] == [round(1893456000 / 60)] * 2


def restarted(watched: Watched) -> None:
    """Another process, as far as that can be told."""
    watched.loop._senses.listener.close()
    watched.__post_init__()


def ending(*arguments: Any) -> None:
    raise KeyboardInterrupt


def kept(watched: Watched, **settings: Any) -> None:
    """``start`` has left such terms."""
    watched.live.holds(terms.PATH, terms.text(Terms(Settings(**settings), instance_id="i-0f1e2d3c4b5a69788")))


def test_the_terms_are_read_again_when_they_change(watched: Watched, monkeypatch: "pytest.MonkeyPatch") -> None:
    watched.turn()
    kept(watched, lease_s=60)
    watched.turn()
    assert [of.settings.lease_s for _, of, *_ in watched.asked] == [None, 60]
    read = terms.read
    monkeypatch.setattr(terms, "read", lambda system: pytest.fail("they are read again"))
    watched.turn()
    monkeypatch.setattr(terms, "read", read)
    watched.live.holds(terms.PATH, "{")
    watched.turn()
    assert watched.asked[-1][1] == Terms()


def test_what_was_decided_is_remembered(watched: Watched) -> None:
    watched.changes = {"idle_since": 5.0}
    watched.turn()
    watched.turn()
    assert [memory.idle_since for *_, memory in watched.asked] == [None, 5.0]
    before = watched.live.stamp(MEMORY)
    assert before
    watched.turn()
    assert watched.live.stamp(MEMORY) == before
    restarted(watched)
    watched.turn()
    assert watched.asked[-1][-1].idle_since == 5.0


def test_an_act_that_ends_the_watch_is_begun_again_by_the_next_one(
    watched: Watched, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    watched.changes, watched.acts = {"idle_since": 5.0}, (Say("x"),)
    monkeypatch.setattr(LOG, "log", ending)
    with pytest.raises(KeyboardInterrupt):
        watched.turn()
    assert watched.live.stamp(MEMORY) is None


def test_where_nothing_can_be_written_it_is_still_acted(watched: Watched, caplog: "pytest.LogCaptureFixture") -> None:
    watched.environ["SECONDS"] = "600"
    watched.live.holds("/var/lib/annex-agent")  # a file where a directory is to be
    watched.changes, watched.acts = {"leaving": LEAVING}, (Say("said"), Stop("fast"))
    for _ in range(3):
        watched.turn()
    assert watched.live.read_file(LEAVING_FILE)
    eventually(lambda: watched.ran == ["stop --mode fast"])
    assert caplog.text.count("remembering failed") == 1


def test_htcondor_is_told_in_every_turn(watched: Watched) -> None:
    watched.changes = {"leaving": LEAVING}
    watched.turn()
    watched.live.remove_file(LEAVING_FILE)
    watched.turn()
    assert watched.live.read_file(LEAVING_FILE)
    watched.changes = {"leaving": None}
    watched.turn()
    assert watched.live.read_file(LEAVING_FILE) is None


def test_in_the_time_of_grace_htcondor_takes_jobs(watched: Watched) -> None:
    watched.changes = {"leaving": LEAVING._replace(phase=GRACE)}
    watched.turn()
    assert watched.live.read_file(LEAVING_FILE) is None


def test_what_is_under_way_is_known_to_the_decision(watched: Watched) -> None:
    watched.environ["SECONDS"] = "600"
    watched.acts = (Stop("graceful"), Tell("heartbeat"))
    watched.turn()
    watched.turn()
    assert [condition.working for *_, condition, _ in watched.asked] == [
        frozenset(),
        frozenset({"stop", "signal heartbeat"}),
    ]


def test_a_power_off_is_under_way_too(watched: Watched) -> None:
    watched.live.command("shutdown", f"echo off >>{watched.live.root}/ran")
    watched.acts = (PowerOff("the lease is over"),)
    watched.turn()
    watched.turn()
    assert watched.asked[-1][3].working == {"power-off"}
    assert watched.ran == ["off"]


def test_what_is_to_be_said_is_said(watched: Watched, caplog: "pytest.LogCaptureFixture") -> None:
    watched.acts = (Say("100 % of it", 40),)
    watched.turn()
    assert [record.levelname for record in caplog.records if record.getMessage() == "100 % of it"] == ["ERROR"]


@pytest.mark.parametrize(("systemd", "ran"), [(False, ["start"]), (True, ["--no-block restart annex-agent.service"])])
def test_htcondor_is_started_again_by_whoever_starts_it_at_boot(
    watched: Watched, systemd: bool, ran: List[str]
) -> None:
    if systemd:
        (watched.live.root / "run/systemd/system").mkdir(parents=True)
    watched.live.command("systemctl", f'echo "$*" >>{watched.live.root}/ran')
    watched.acts = (TakeJobs(start=False),)
    watched.turn()
    watched.acts = (TakeJobs(start=True),)
    watched.turn()
    eventually(lambda: not watched.errands.working())
    assert watched.ran == ran


def test_the_service_is_asked_at_its_pace_however_often_there_is_a_turn(watched: Watched, emulator: Emulator) -> None:
    for _ in range(6):
        watched.turn(1.0)
    answered = [bool(heard.answered) for _, _, heard, *_ in watched.asked]
    assert answered == [True, False, False] * 2
    first, second = watched.asked[0][2], watched.asked[1][2]
    assert second == first._replace(announcements=(), answered=frozenset())


@pytest.mark.parametrize(
    ("leaving", "is_looked_at"), [(None, True), (LEAVING, True), (LEAVING._replace(at=9.0), False)]
)
def test_the_fence_is_looked_at_unless_the_seconds_count(
    watched: Watched, monkeypatch: "pytest.MonkeyPatch", leaving: Optional[Leaving], is_looked_at: bool
) -> None:
    looked: List[Settings] = []
    monkeypatch.setattr(watched.loop._hands.fencing, "look", looked.append)
    kept(watched, restrict_to_root=False)
    watched.changes = {"leaving": leaving}
    watched.turn()
    assert [settings.restrict_to_root for settings in looked] == [False] * is_looked_at


def pauses(watched: Watched, turns: int) -> List[float]:
    """The seconds that the loop waits between turns."""
    found: List[float] = []

    def wait(seconds: float) -> None:
        found.append(seconds)
        watched.now += seconds
        if len(found) == turns:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched.loop.run(wait)
    return found


def test_there_is_a_turn_each_time_the_service_is_to_be_asked(watched: Watched) -> None:
    kept(watched, poll_s=5)
    assert pauses(watched, 3) == [5.0] * 3


@pytest.mark.parametrize("changes", [{"leaving": LEAVING}, {}])
def test_there_is_one_each_second_while_the_machine_leaves(watched: Watched, changes: Dict[str, Any]) -> None:
    watched.environ["SECONDS"] = "600"
    watched.changes, watched.acts = changes, () if changes else (Tell("heartbeat"),)
    assert pauses(watched, 3) == [1.0] * 3


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(28, "no space"), RecursionError()])
def test_an_unexpected_failure_is_logged_once_and_the_next_turn_comes(
    watched: Watched, error: Exception, caplog: "pytest.LogCaptureFixture"
) -> None:
    watched.fails = error
    pauses(watched, 5)
    assert len(watched.asked) == 5
    assert caplog.text.count("a turn failed") == 1
    watched.now += 3600.0
    pauses(watched, 1)
    assert caplog.text.count("a turn failed") == 2


def broken(*arguments: Any, **more: Any) -> Any:
    raise ValueError("broken")


@pytest.mark.parametrize("part", ["listener.listen", "notice.settle", "errands.working", "errands.run"])
def test_one_part_that_fails_keeps_no_other_from_its_work(
    watched: Watched, monkeypatch: "pytest.MonkeyPatch", part: str
) -> None:
    name, method = part.split(".")
    senses, hands = watched.loop._senses, watched.loop._hands
    monkeypatch.setattr(getattr(senses if name == "listener" else hands, name), method, broken)
    watched.live.command("shutdown", f"echo off >>{watched.live.root}/ran")
    watched.acts = (Stop("fast"), PowerOff("the lease is over"))
    watched.turn()
    assert "off" in watched.ran


# --- the process

RUN = f"""#!{PYTHON} -I
import sys, time
from pathlib import Path
from annex_agent import cli, system
from annex_agent.watch import actions, condition, leaving, loop
# Below a directory, and as if it were the machine.
system.System.is_live = property(lambda self: True)
system.System.uid = property(lambda self: 0)
system.System.owner = property(lambda self: (0, 0))
system.System.which = lambda self, command: None
condition.process_names.named = lambda begins: {{}}
loop.Power.off = lambda self, words: print("off", flush=True)
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def argv(tmp_path: Path) -> List[str]:
    script = tmp_path / "annex-agent"
    script.write_text(RUN)
    script.chmod(0o755)
    return [str(script), "watch", "--root", str(tmp_path / "root")]


@pytest.fixture
def environ(emulator: Emulator) -> Dict[str, str]:
    return {**os.environ, "AWS_EC2_METADATA_SERVICE_ENDPOINT": emulator.url}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_it_is_told_to(
    argv: List[str], environ: Dict[str, str], emulator: Emulator, number: signal.Signals
) -> None:
    with started(argv, env=environ, stderr=-1) as process:
        eventually(lambda: emulator.requests)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stderr
        assert process.stderr.read().endswith("told to end\n")


def test_there_is_one_in_a_machine(argv: List[str], environ: Dict[str, str], emulator: Emulator) -> None:
    with started(argv, env=environ, stderr=-1) as first:
        eventually(lambda: emulator.requests)
        with started(argv, env=environ, stderr=-1) as second:
            _, said = second.communicate(timeout=30)
        assert second.returncode == 1
        assert f"annex-agent watch runs already (pid {first.pid})" in said
        assert first.poll() is None


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dry-run"], "there is nothing to show before"),
        (["--simulate"], "there is nothing to show before"),
        (["--root", "/nowhere"], "watch concerns the running machine"),
    ],
)
def test_what_cannot_be_watched(arguments: List[str], words: str, capsys: "pytest.CaptureFixture[str]") -> None:
    assert main(["watch", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("quiet_log")
def test_it_needs_root(monkeypatch: "pytest.MonkeyPatch", capsys: "pytest.CaptureFixture[str]") -> None:
    monkeypatch.setattr("annex_agent.system.System.uid", 1000)
    assert main(["watch"]) == 2
    assert "needs root" in capsys.readouterr().err


def test_two_thousand_turns_in_all_weathers_leave_nothing_behind() -> None:
    before, after = polls.held(2000)
    assert after.descriptors <= before.descriptors
    assert after.children == before.children == 0
    assert after.kib <= before.kib + 1024
