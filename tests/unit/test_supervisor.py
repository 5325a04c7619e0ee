"""The supervisor, as the process that it is, over masters that are scripts."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Callable, Iterator, List, Set

import psutil
import pytest

import annex_agent
from annex_agent import claimant, supervisor
from annex_agent.daemons import Daemons
from annex_agent.errors import CommandUnavailable
from annex_agent.supervisor import Pacing
from annex_agent.system import CONFIGURED

from .conftest import PYTHON, LiveTree, eventually, started

# Another one in each process: these tests may run beside themselves, in a container whose processes are seen from here,
# and what a dead master leaves is known by this.
OURS = uuid.uuid4().hex
ENVIRON = {"ANNEX_AGENT_CONFIG": OURS}
MARK = f"ANNEX_AGENT_CONFIG={OURS}\n"
AT_ONCE = Pacing(settle_s=0.01, pause_s=0.01)
NEVER = Pacing(settle_s=0.01, pause_s=3600.0)
# Each life is told apart, and lasts until it is given a word: "exit 3", say.
MASTER = """
echo $$ >> {root}/lives
life=$(wc -l < {root}/lives)
trap 'echo TERM >> {root}/heard; exit 5' TERM
while [ ! -e {root}/word$life ]; do sleep 0.01; done
. {root}/word$life
"""
STARTER = """
import sys
import time
from pathlib import Path
from annex_agent import supervisor
from annex_agent.system import System
class Live(System):
    def which(self, command):
        return str(self.root / "commands" / command)
live = Live(Path(sys.argv[1]))
supervisor.PACING = supervisor.Pacing(settle_s=0.01, pause_s=0.01)
with live.exclusive():
    done = supervisor.start(live, {"ANNEX_AGENT_CONFIG": sys.argv[2]})
print(done.code, done.stderr)
"""
# It writes down how it was ended.
STARTD = """
import os, signal, sys, time
def end(number, frame):
    with open(sys.argv[1], "w") as file:
        file.write(signal.Signals(number).name)
    os._exit(0)
signal.signal(signal.SIGQUIT, end)
open(sys.argv[1], "x").close()
while True:
    time.sleep(0.05)  # pause() would sleep through a signal that comes just before it
"""


class Stage:
    """A tree with a mark and a master that does as it is told."""

    def __init__(self, live: LiveTree) -> None:
        self.live = live
        self.mark = live.holds(CONFIGURED, MARK)
        live.command("condor_master", MASTER.format(root=live.root))

    def start(self) -> psutil.Process:
        """Returns the supervisor."""
        done = supervisor.start(self.live, ENVIRON)
        assert (done.code, done.stderr) == (0, "")
        pid = supervisor.running(self.live)
        assert pid is not None
        return psutil.Process(pid)

    def lives(self) -> List[int]:
        file = self.live.root / "lives"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def says(self, life: int, word: str) -> None:
        """Only a life that has begun can be told anything: its start must not be taken for a failure at once."""
        eventually(lambda: len(self.lives()) >= life)
        new = self.live.holds("/new", f"{word}\n")
        new.replace(self.live.root / f"word{life}")

    def is_over(self) -> bool:
        return supervisor.running(self.live) is None

    def clear(self) -> None:
        self.mark.unlink(missing_ok=True)
        supervisor.end(self.live)


@pytest.fixture
def stage(live: LiveTree, monkeypatch: "pytest.MonkeyPatch") -> Iterator[Stage]:
    monkeypatch.setattr(supervisor, "PACING", AT_ONCE)
    stage = Stage(live)
    yield stage
    stage.clear()


def test_a_master_that_fails_is_started_again_until_it_stays(stage: Stage) -> None:
    started = stage.start()
    stage.says(1, "exit 3")
    stage.says(2, "kill -9 $$")
    eventually(lambda: len(stage.lives()) == 3)
    assert psutil.pid_exists(stage.lives()[2])
    assert supervisor.running(stage.live) == started.pid


@pytest.mark.parametrize("code", [0, 99])  # 99: HTCondor's own settings have it end for good (DAEMON_SHUTDOWN)
def test_a_master_that_ends_as_it_should_is_not_started_again(stage: Stage, code: int) -> None:
    stage.start()
    stage.says(1, f"exit {code}")
    eventually(stage.is_over)
    assert len(stage.lives()) == 1


def test_after_too_many_failures_it_gives_up(stage: Stage) -> None:
    stage.start()
    for life in (1, 2, 3):
        stage.says(life, "exit 44")
    eventually(stage.is_over)
    assert len(stage.lives()) == 3


def test_failures_that_lie_far_apart_are_not_too_many(stage: Stage, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(supervisor, "PACING", AT_ONCE._replace(window_s=0.0))
    stage.start()
    for life in range(1, 6):
        stage.says(life, "exit 44")
    eventually(lambda: len(stage.lives()) == 6)


def test_a_master_that_fails_at_once_is_told_of_and_not_tried_again(
    stage: Stage, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    monkeypatch.setattr(supervisor, "PACING", Pacing(settle_s=60.0, pause_s=0.01))
    script = f"echo $$ >> {stage.live.root}/lives; echo '  no lock\n directory' >&2; exit 4"
    stage.live.command("condor_master", script)
    done = supervisor.start(stage.live, ENVIRON)
    assert (done.code, done.stderr) == (4, "no lock directory")
    eventually(stage.is_over)
    assert len(stage.lives()) == 1


def test_a_master_that_a_signal_ends_at_once_has_failed(stage: Stage, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(supervisor, "PACING", Pacing(settle_s=60.0))
    stage.live.command("condor_master", "kill -SEGV $$")
    assert supervisor.start(stage.live, ENVIRON).code == 128 + signal.SIGSEGV


def test_a_stop_that_came_while_the_supervisor_was_being_started_wins(stage: Stage) -> None:
    stage.mark.unlink()
    done = supervisor.start(stage.live, ENVIRON)
    assert done.code == 1
    assert "a stop has taken this machine out of its pool meanwhile" in done.stderr
    eventually(stage.is_over)
    assert stage.lives() == []


@pytest.mark.timeout(60)
def test_one_that_hangs_costs_no_more_than_is_left(stage: Stage, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(claimant, "_PATIENCE_S", 3600.0)
    stage.start().suspend()
    stage.live.ends_at = time.monotonic() - 1
    supervisor.end(stage.live)
    assert stage.is_over()
    os.kill(stage.lives()[0], signal.SIGKILL)


def test_a_master_that_is_not_installed_is_named(stage: Stage) -> None:
    (stage.live.commands / "condor_master").unlink()
    with pytest.raises(CommandUnavailable, match="condor_master is on no standard path"):
        supervisor.start(stage.live, ENVIRON)


def test_a_master_that_cannot_be_executed_is_told_of(stage: Stage) -> None:
    stage.live.command("condor_master", "", interpreter="/no/such/shell")
    done = supervisor.start(stage.live, ENVIRON)
    assert done.code == 127
    assert "cannot be run" in done.stderr


def test_a_master_that_is_being_replaced_is_waited_for(stage: Stage, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(supervisor, "PACING", AT_ONCE._replace(window_s=0.0))
    started = stage.start()
    master = stage.live.commands / "condor_master"
    master.rename(master.with_name("aside"))
    stage.says(1, "exit 3")
    # After each failure it has somebody look for what is left: twice means that it has tried again in vain.
    seen: Set[int] = set()

    def twice() -> bool:
        seen.update(child.pid for child in started.children())
        return len(seen - {*stage.lives()}) == 2

    eventually(twice)
    master.with_name("aside").rename(master)
    eventually(lambda: len(stage.lives()) == 2)


@pytest.mark.parametrize("change", [Path.unlink, lambda mark: mark.write_text("ANNEX_AGENT_CONFIG=f2\n")])
def test_without_its_mark_it_lets_go(stage: Stage, change: Callable[[Path], object]) -> None:
    stage.start()
    change(stage.mark)
    stage.says(1, "kill -9 $$")
    eventually(stage.is_over)
    assert len(stage.lives()) == 1


def test_a_mark_that_goes_during_the_pause_ends_it(stage: Stage, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(supervisor, "PACING", NEVER)
    stage.start()
    stage.says(1, "exit 3")
    eventually(lambda: not psutil.pid_exists(stage.lives()[0]))
    stage.mark.unlink()
    eventually(stage.is_over)
    assert len(stage.lives()) == 1


def test_sigterm_is_passed_on_and_ends_it(stage: Stage) -> None:
    stage.start().terminate()
    eventually(stage.is_over)
    assert (stage.live.root / "heard").read_text() == "TERM\n"
    assert len(stage.lives()) == 1


def test_sigterm_ends_the_pause(stage: Stage, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(supervisor, "PACING", NEVER)
    started = stage.start()
    stage.says(1, "exit 3")
    eventually(lambda: not psutil.pid_exists(stage.lives()[0]))
    started.terminate()
    eventually(stage.is_over)


def test_to_end_it_waits_for_the_master_and_can_be_said_twice(stage: Stage) -> None:
    stage.start()
    supervisor.end(stage.live)
    assert stage.is_over()
    assert not psutil.pid_exists(stage.lives()[0])
    supervisor.end(stage.live)


def test_one_that_hangs_is_ended_too(stage: Stage, monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr(claimant, "_PATIENCE_S", 0.3)
    started = stage.start()
    started.suspend()
    supervisor.end(stage.live)
    assert stage.is_over()
    os.kill(stage.lives()[0], signal.SIGKILL)


def test_a_second_start_replaces_the_first(stage: Stage) -> None:
    first = stage.start()
    second = stage.start()
    assert first != second
    assert supervisor.running(stage.live) == second.pid
    assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE  # until process 1 looks after it
    assert [psutil.pid_exists(pid) for pid in stage.lives()] == [False, True]


def test_it_outlives_its_starter_and_keeps_nothing_of_its(stage: Stage, tmp_path: Path) -> None:
    argv = [PYTHON, "-c", STARTER, str(stage.live.root), OURS]
    # Until every holder of the pipe has closed it.
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "0 \n"
    pid = supervisor.running(stage.live)
    assert pid is not None
    started = psutil.Process(pid)
    assert os.getsid(pid) != os.getsid(0)
    assert started.terminal() is None
    assert started.cwd() == "/"
    assert [file.path for file in started.open_files()] == [str(stage.live.root / supervisor.LOCK[1:])]
    assert all(Path(f"/proc/{pid}/fd/{stream}").samefile(os.devnull) for stream in (0, 1, 2))
    with stage.live.exclusive():
        pass
    started.send_signal(signal.SIGHUP)
    stage.says(1, "exit 3")
    eventually(lambda: len(stage.lives()) == 2)


# A shell would clear its signal mask by itself.
WITNESS = """
import os, shutil, signal, sys
root = os.path.dirname(os.path.dirname(sys.argv[0]))
shutil.copy("/proc/self/status", root + "/status")
with open(root + "/lives", "a") as file:
    print(os.getpid(), file=file)
signal.pause()
"""


def test_the_master_gets_a_clean_start(stage: Stage, umask: Callable[[int], int]) -> None:
    umask(0o077)
    stage.live.command("condor_master", WITNESS, interpreter=f"{PYTHON} -IS")
    started = stage.start()
    eventually(lambda: len(stage.lives()) == 1)
    (pid,) = stage.lives()
    master = psutil.Process(pid)
    assert set(master.environ()) == {"PATH", "LANG", "ANNEX_AGENT_CONFIG"}
    assert master.cmdline()[-1] == "-f"
    status = dict(line.split(":\t", 1) for line in (stage.live.root / "status").read_text().splitlines())
    assert int(status["SigBlk"], 16) == 0
    for number in (signal.SIGHUP, signal.SIGQUIT):
        assert int(status["SigIgn"], 16) & (1 << (number - 1)) == 0, number
    assert status["Umask"] == "0022"
    assert master.parent() == started
    assert os.getpgid(pid) == pid


def test_it_leaves_no_zombies(stage: Stage) -> None:
    started = stage.start()
    stage.says(1, "exit 3")
    eventually(lambda: len(stage.lives()) == 2)
    assert [child.pid for child in started.children()] == stage.lives()[1:]


def test_it_is_no_daemon_of_htcondors(stage: Stage) -> None:
    started = stage.start()
    assert Daemons(ours=lambda process: process == started).running() == ()


@pytest.fixture
def left(stage: Stage) -> Iterator[Path]:
    """What a startd writes down of its end; the master that has started it crashes once there is a file "crash"."""
    said = stage.live.root / "left"
    startd = stage.live.command("condor_startd", STARTD, interpreter=f"{PYTHON} -IS")
    stage.start()
    wait = f"until [ -e {said} ] && [ -e {stage.live.root}/crash ]; do sleep 0.01; done"
    stage.says(1, f"{startd} {said} & echo $! > {said}.pid; {wait}; kill -9 $$")
    yield said
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(said.with_name("left.pid").read_text()), signal.SIGKILL)


def test_what_a_dead_master_leaves_is_ended_before_the_next_one_starts(stage: Stage, left: Path) -> None:
    bystander = stage.live.command("condor_starter", "while :; do sleep 0.01; done")
    with started([str(bystander)]) as other:
        stage.live.holds("/crash")
        eventually(lambda: len(stage.lives()) == 2)
        assert left.read_text() == "SIGQUIT"
        assert other.poll() is None, "another configuration's daemons are not ours to end"


def test_what_a_dead_master_leaves_is_left_to_a_stop(stage: Stage, left: Path) -> None:
    stage.mark.unlink()
    stage.live.holds("/crash")
    eventually(stage.is_over)
    assert left.read_text() == ""


def test_it_runs_from_a_private_directory_as_well(stage: Stage, tmp_path: Path) -> None:
    private = tmp_path / "share" / "annex-agent" / "annex_agent"
    shutil.copytree(Path(annex_agent.__file__).parent, private, ignore=shutil.ignore_patterns("__pycache__"))
    code = f"import sys; sys.path.insert(0, {str(private.parent)!r})\n{STARTER}"
    argv = [PYTHON, "-I", "-S", "-c", code, str(stage.live.root), OURS]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "0 \n"
    pid = supervisor.running(stage.live)
    assert pid is not None
    assert str(private) in psutil.Process(pid).cmdline()


@pytest.mark.parametrize(
    ("mark", "wanted"),
    [
        ("ANNEX_AGENT_CONFIG=f1\n", True),
        ("ANNEX_AGENT_CONFIG=f1\nmore\n", True),
        ("f1\n", True),
        ("f1", True),
        ("", False),
        ("\n", False),
        ("ANNEX_AGENT_CONFIG=\n", False),
        ("ANNEX_AGENT_CONFIG=f2\n", False),
        ("OTHER=f1\n", False),
        ("f2\nANNEX_AGENT_CONFIG=f1\n", False),
    ],
)
def test_what_the_mark_stands_for(mark: str, wanted: bool) -> None:
    assert supervisor.stands_for(mark, {"ANNEX_AGENT_CONFIG": "f1"}) is wanted
