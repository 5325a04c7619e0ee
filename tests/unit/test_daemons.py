"""HTCondor's processes, played by real ones: scripts with the daemons' names, which this test starts and ends."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator, List

import psutil
import pytest

from annex_agent import process_tree
from annex_agent.daemons import Daemons
from annex_agent.errors import DaemonError
from annex_agent.ladder import Rung
from annex_agent.model import FINGERPRINT, Daemon
from annex_agent.process_tree import _same_pid_namespace

from .conftest import PYTHON, eventually, started

MARK = "ANNEX_AGENT_TEST"
PEACEFUL = Rung("peaceful", None, 30.0)
GRACEFUL = Rung("graceful", signal.SIGTERM, 30.0)
FAST = Rung("fast", signal.SIGQUIT, 30.0)
KILL = Rung("kill", signal.SIGKILL, 30.0)
NOT_FOR_LONG_S = 0.3  # for a rung that is to fail

# The name of the script is the name of the process. As HTCondor's do, it passes a signal on and waits for its children.
PLAYER = f"""#!{PYTHON} -IS
import json, os, signal, sys, time
part = json.loads(sys.argv[1])
children = []
def start(child):
    path = os.path.join(os.path.dirname(sys.argv[0]), child["name"])
    return os.posix_spawn(path, [path, json.dumps(child)], {{**os.environ, **child.get("environ", {{}})}})
def end(number, frame):
    for child in children:
        os.kill(child, number)
    for child in children:
        os.waitpid(child, 0)
    for child in part.get("leaves", ()):
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        os.environ["READY"] = str(writing)
        start(child)
        os.read(reading, 1)
    os._exit(0)
for name in ("SIGTERM", "SIGQUIT"):
    signal.signal(getattr(signal, name), signal.SIG_IGN if name in part.get("ignores", ()) else end)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup would have us ignore it
if part.get("apart"):
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    os.setsid()
    while os.getppid() == parent:
        time.sleep(0.001)
for child in part.get("runs", ()):
    started = start(child)
    children += [] if child.get("apart") else [started]
os.write(int(os.environ["READY"]), (json.dumps([part["name"], os.getpid()]) + "\\n").encode())
while True:
    time.sleep(0.05)  # pause() would sleep through a signal that comes just before it
"""
NAMES = ("condor_master", "condor_startd", "condor_starter", "condor_schedd", "condor_shared_port", "a-job")
IGNORES_ALL = ["SIGTERM", "SIGQUIT"]


def part(name: str, *runs: Dict[str, Any], ignores: "list[str] | None" = None, **more: Any) -> Dict[str, Any]:
    """What a process is called, what it starts, which signals it ignores."""
    return {"name": name, "runs": runs, "ignores": ignores or [], **more}


def whole_tree(ignores: "list[str] | None" = None) -> Dict[str, Any]:
    job = part("a-job", ignores=ignores)
    starter = part("condor_starter", job, ignores=ignores)
    return part("condor_master", part("condor_startd", starter, ignores=ignores), ignores=ignores)


class Stage:
    """Starts players, and knows its own by a mark in their environment, wherever they went."""

    def __init__(self, directory: Path) -> None:
        self._mark = uuid.uuid4().hex
        self._directory = directory
        self._started: List[subprocess.Popen[bytes]] = []
        for name in NAMES:
            (directory / name).write_text(PLAYER)
            (directory / name).chmod(0o755)
        self.daemons = Daemons(ours=self.owns)

    def enter(self, play: Dict[str, Any], **environ: str) -> Dict[str, int]:
        """Start a process and all that it starts; returns their pids by name once all are ready."""
        reading, writing = os.pipe()
        argv = [str(self._directory / play["name"]), json.dumps(play)]
        env = {"READY": str(writing), MARK: self._mark, **environ}
        self._started.append(subprocess.Popen(argv, env=env, pass_fds=(writing,)))
        os.close(writing)
        with os.fdopen(reading) as lines:
            return dict(json.loads(lines.readline()) for _ in range(_size(play)))

    def enter_as_a_program(self, name: str) -> None:
        """Start a process that is no script: its arguments hold the name that the kernel cuts short."""
        path = self._directory / name
        path.unlink()
        path.symlink_to(Path(PYTHON).resolve())
        argv = [str(path), "-IS", "-c", "import signal; print(flush=True); signal.pause()"]
        process = subprocess.Popen(argv, env={MARK: self._mark}, stdout=subprocess.PIPE)
        self._started.append(process)
        assert process.stdout is not None
        with process.stdout as lines:
            lines.readline()

    def owns(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return process.environ().get(MARK) == self._mark
        return False

    def left(self) -> List[str]:
        """The names of those that still run."""
        return sorted(process.name() for process in self._alive())

    def clear(self) -> None:
        for player in self._alive():
            with contextlib.suppress(psutil.NoSuchProcess):
                player.kill()
        for process in self._started:
            process.wait()

    def _alive(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter(["status"]):
            if process.info["status"] != psutil.STATUS_ZOMBIE and self.owns(process):
                yield process


def _size(play: Dict[str, Any]) -> int:
    return 1 + sum(_size(child) for child in play["runs"])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.clear()


def unused() -> None:
    pytest.fail("this is not a peaceful stop")


class TestLooking:
    def test_every_daemon_is_seen_and_no_job(self, stage: Stage) -> None:
        pids = stage.enter(whole_tree())
        names = ("condor_master", "condor_startd", "condor_starter")
        assert set(stage.daemons.running()) == {Daemon(pids[name], name) for name in names}

    def test_a_name_that_is_longer_than_the_kernel_keeps_is_seen(self, stage: Stage) -> None:
        stage.enter_as_a_program("condor_shared_port")
        assert [daemon.name for daemon in stage.daemons.running()] == ["condor_shared_port"]

    def test_where_nothing_runs_nothing_is_seen(self, stage: Stage) -> None:
        assert stage.daemons.running() == ()
        assert stage.daemons.master() is None

    def test_a_daemon_is_not_known_by_its_arguments(self, stage: Stage) -> None:
        stage.enter(part("a-job", note="condor_master"))
        assert stage.daemons.running() == ()

    def test_another_ones_daemons_are_not_seen(self, stage: Stage, tmp_path: Path) -> None:
        stage.enter(whole_tree())
        assert Daemons(ours=lambda process: False).running() == ()

    def test_what_has_ended_and_was_not_waited_for_does_not_run(self, stage: Stage) -> None:
        pid = stage.enter(part("condor_master"))["condor_master"]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        daemons = Daemons(ours=lambda process: process.pid == pid)
        assert daemons.running() == ()
        assert daemons.stop((GRACEFUL,), unused, pytest.fail) is None

    def test_the_fingerprint_is_in_the_masters_environment(self, stage: Stage) -> None:
        pid = stage.enter(whole_tree(), **{FINGERPRINT: "abc"})["condor_master"]
        master = stage.daemons.master()
        assert master is not None
        assert (master.pid, master.fingerprint) == (pid, "abc")

    def test_a_master_that_someone_else_started_has_an_empty_fingerprint(self, stage: Stage) -> None:
        stage.enter(part("condor_master"))
        master = stage.daemons.master()
        assert master is not None
        assert master.fingerprint == ""

    def test_the_master_is_the_one_at_the_top(self, stage: Stage) -> None:
        stage.enter(part("condor_master", part("condor_master")))
        master = stage.daemons.master()
        assert master is not None
        (below,) = {daemon.pid for daemon in stage.daemons.running()} - {master.pid}
        assert psutil.Process(below).ppid() == master.pid

    def test_a_startd_alone_is_no_master(self, stage: Stage) -> None:
        stage.enter(part("condor_startd"))
        assert stage.daemons.master() is None

    def test_this_process_is_in_its_own_namespace(self) -> None:
        assert _same_pid_namespace(psutil.Process())

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a namespace and to look into it")
    def test_a_process_in_a_container_is_not_ours(self, stage: Stage) -> None:
        unshare = shutil.which("unshare")
        if not unshare or subprocess.run([unshare, "--pid", "--fork", "true"], check=False).returncode:
            pytest.skip("this root may not make a process namespace (or util-linux is not installed)")
        argv = [unshare, "--pid", "--fork", "--kill-child", "sh", "-c", "echo ready; read end"]
        with started(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            (contained,) = psutil.Process(process.pid).children()
            assert not _same_pid_namespace(contained)
            assert _same_pid_namespace(psutil.Process(process.pid))
            process.communicate()


class TestReportingAgain:
    def test_the_master_and_nobody_else_gets_the_signal_for_it(self, stage: Stage) -> None:
        stage.enter(part("condor_master", part("condor_startd")))
        stage.daemons.report_again()
        eventually(lambda: stage.left() == ["condor_startd"])  # here it has no other meaning than the kernel's

    def test_where_nothing_runs_nobody_is_asked(self, stage: Stage) -> None:
        stage.daemons.report_again()


class TestStopping:
    def test_where_nothing_runs_nothing_is_done(self, stage: Stage) -> None:
        assert stage.daemons.stop((PEACEFUL, GRACEFUL, KILL), unused, pytest.fail) is None

    def test_daemons_that_obey_end_gracefully_and_nothing_is_told(self, stage: Stage) -> None:
        stage.enter(whole_tree())
        assert stage.daemons.stop((GRACEFUL, FAST, KILL), unused, pytest.fail) == "graceful"
        assert stage.left() == []

    def test_a_job_in_its_vacate_time_is_waited_for(self, stage: Stage) -> None:
        # The master has ended, the job has not: the rung is not over.
        stage.enter(part("condor_master", part("a-job", ignores=["SIGTERM"], apart=True)))
        lone = stage.enter(part("condor_startd", part("a-job", ignores=["SIGTERM"])))
        told: List[str] = []
        rungs = (Rung("graceful", signal.SIGTERM, NOT_FOR_LONG_S), FAST)
        assert stage.daemons.stop(rungs, unused, told.append) == "fast"
        assert f"a-job (pid {lone['a-job']})" in told[0]

    def test_daemons_that_ignore_the_request_end_fast(self, stage: Stage) -> None:
        pids = stage.enter(part("condor_master", part("condor_startd", ignores=["SIGTERM"]), ignores=["SIGTERM"]))
        told: List[str] = []
        rungs = (Rung("graceful", signal.SIGTERM, NOT_FOR_LONG_S), FAST, KILL)
        assert stage.daemons.stop(rungs, unused, told.append) == "fast"
        assert stage.left() == []
        (sentence,) = told
        assert sentence.startswith("graceful shutdown: ")
        assert sentence.endswith(f" still there after {NOT_FOR_LONG_S:g} s")
        assert {f"{name} (pid {pid})" for name, pid in pids.items()} <= set(
            sentence[len("graceful shutdown: ") : sentence.index(" still")].split(", ")
        )

    def test_daemons_that_obey_nothing_are_killed_with_all_that_they_started(self, stage: Stage) -> None:
        stage.enter(whole_tree(ignores=IGNORES_ALL))
        told: List[str] = []
        rungs = (
            Rung("graceful", signal.SIGTERM, NOT_FOR_LONG_S),
            Rung("fast", signal.SIGQUIT, NOT_FOR_LONG_S),
            KILL,
        )
        assert stage.daemons.stop(rungs, unused, told.append) == "kill"
        assert stage.left() == []
        assert [sentence.split(" shutdown: ")[0] for sentence in told] == ["graceful", "fast"]

    def test_a_kill_reaches_what_a_job_moved_out_of_its_tree(self, stage: Stage) -> None:
        runaway = part("a-job", apart=True, ignores=IGNORES_ALL, environ={"_CONDOR_ANCESTOR_1": "1:2:3"})
        pids = stage.enter(part("condor_master", part("condor_starter", runaway)))
        tree = psutil.Process(pids["condor_master"]).children(recursive=True)
        assert pids["a-job"] not in {process.pid for process in tree}
        assert stage.daemons.stop((KILL,), unused, pytest.fail) == "kill"
        eventually(lambda: stage.left() == [])

    def test_a_kill_spares_what_htcondor_did_not_start(self, stage: Stage) -> None:
        stage.enter(part("a-job"))
        stage.enter(part("condor_master"))
        assert stage.daemons.stop((KILL,), unused, pytest.fail) == "kill"
        assert stage.left() == ["a-job"]

    def test_a_signal_goes_to_the_top_and_htcondor_passes_it_on(self, stage: Stage) -> None:
        # A startd that gets the signal from us, too, would be told twice; a master that ignores it shows who sent it.
        stage.enter(part("condor_master", part("condor_startd"), ignores=["SIGTERM"]))
        told: List[str] = []
        rungs = (Rung("graceful", signal.SIGTERM, NOT_FOR_LONG_S), FAST)
        assert stage.daemons.stop(rungs, unused, told.append) == "fast"
        assert "condor_startd" in told[0]

    def test_a_signal_that_a_master_does_not_pass_on_reaches_the_startd(self, stage: Stage) -> None:
        # So it is while the master waits for a collector that is silent.
        starter = part("condor_starter", ignores=["SIGTERM"], apart=True)
        stage.enter(part("condor_master", part("condor_startd"), starter, ignores=["SIGTERM"]))
        told: List[str] = []
        rungs = (Rung("graceful", signal.SIGTERM, 3.0), FAST)
        assert stage.daemons.stop(rungs, unused, told.append) == "fast"
        assert "condor_startd" not in told[0]

    def test_a_startd_alone_decides_when_a_job_is_told_to_leave(self, stage: Stage) -> None:
        # While a job is in its retirement time its starter is told nothing.
        busy = part("condor_startd", part("condor_starter"), ignores=["SIGTERM"])
        stage.enter(part("condor_master", busy, ignores=["SIGTERM"]))
        told: List[str] = []
        rungs = (Rung("graceful", signal.SIGTERM, 2.0), FAST)
        assert stage.daemons.stop(rungs, unused, told.append) == "fast"
        assert "condor_starter" in told[0]

    def test_a_fast_end_that_nobody_passes_on_reaches_the_starters(self, stage: Stage) -> None:
        stage.enter(
            part(
                "condor_master", part("condor_startd", part("condor_starter"), ignores=IGNORES_ALL), ignores=IGNORES_ALL
            )
        )
        told: List[str] = []
        rungs = (Rung("fast", signal.SIGQUIT, 3.0), KILL)
        assert stage.daemons.stop(rungs, unused, told.append) == "kill"
        assert "condor_starter" not in told[0]

    def test_daemons_without_a_job_that_do_not_end_are_not_waited_for_as_long_as_a_job(
        self, stage: Stage, monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        # They may be waiting for a collector that is silent, slot after slot.
        monkeypatch.setattr(process_tree, "_ONLY_TELLING_S", NOT_FOR_LONG_S)
        stage.enter(part("condor_master", part("condor_startd", ignores=IGNORES_ALL), ignores=IGNORES_ALL))
        told: List[str] = []
        rungs = (GRACEFUL._replace(wait_s=24 * 3600.0), FAST._replace(wait_s=24 * 3600.0), KILL)
        assert stage.daemons.stop(rungs, unused, told.append) == "kill"
        assert len(told) == 2

    @pytest.mark.parametrize("name", ["condor_starter", "condor_schedd", "a-job"])
    def test_whoever_has_a_job_to_see_to_has_the_whole_time(
        self, stage: Stage, monkeypatch: "pytest.MonkeyPatch", name: str
    ) -> None:
        monkeypatch.setattr(process_tree, "_ONLY_TELLING_S", NOT_FOR_LONG_S / 3)
        pids = stage.enter(part("condor_master", part(name, ignores=IGNORES_ALL), ignores=["SIGTERM"]))
        told: List[str] = []
        threading.Timer(2 * NOT_FOR_LONG_S, lambda: os.kill(pids[name], signal.SIGKILL)).start()
        rungs = (GRACEFUL, FAST)
        assert stage.daemons.stop(rungs, unused, told.append) == "fast"
        assert name not in told[0]

    def test_the_orphan_of_a_master_that_died_is_ended_too(self, stage: Stage) -> None:
        pids = stage.enter(whole_tree())
        os.kill(pids["condor_master"], signal.SIGKILL)
        eventually(lambda: psutil.Process(pids["condor_startd"]).ppid() != pids["condor_master"])
        assert stage.daemons.stop((GRACEFUL,), unused, pytest.fail) == "graceful"
        assert stage.left() == []

    def test_peaceful_lets_the_jobs_finish_and_then_ends_the_daemons(self, stage: Stage) -> None:
        pids = stage.enter(whole_tree())
        jobs: List[bool] = []

        def no_more() -> None:
            threading.Timer(0.2, finish).start()

        def finish() -> None:
            jobs.append(psutil.pid_exists(pids["a-job"]))
            os.kill(pids["condor_starter"], signal.SIGTERM)  # as it does when its job has finished

        assert stage.daemons.stop((PEACEFUL, KILL), no_more, pytest.fail) == "peaceful"
        assert jobs == [True]
        assert stage.left() == []

    def test_a_job_that_comes_just_then_finishes_too(self, stage: Stage) -> None:
        stage.enter(part("condor_master"))
        asked: List[str] = []

        def no_more() -> None:
            asked.append("no more")
            threading.Timer(0.3, hand_over).start()

        def hand_over() -> None:
            starter = stage.enter(part("condor_starter"))["condor_starter"]
            time.sleep(1.5)  # longer than it is waited for where there is no job
            asked.append("the master is there" if "condor_master" in stage.left() else "the master is gone")
            os.kill(starter, signal.SIGTERM)

        assert stage.daemons.stop((PEACEFUL, KILL), no_more, pytest.fail) == "peaceful"
        assert asked == ["no more", "the master is there"]

    def test_jobs_that_do_not_finish_in_time_are_told_and_the_next_rung_follows(self, stage: Stage) -> None:
        stage.enter(whole_tree())
        told: List[str] = []
        rungs = (PEACEFUL._replace(wait_s=NOT_FOR_LONG_S), GRACEFUL)
        assert stage.daemons.stop(rungs, lambda: None, told.append) in ("peaceful", "graceful")
        # Whoever is slow to end after the job, or all of them in time: only the job's own patience is over.
        assert [sentence.partition(" shutdown: ")[0] for sentence in told] in (["peaceful"], [])
        assert stage.left() == []

    def test_where_it_cannot_be_asked_the_next_rung_follows_at_once(self, stage: Stage) -> None:
        stage.enter(whole_tree())
        told: List[str] = []

        def broken() -> None:
            raise OSError("no configuration")

        rungs = (PEACEFUL._replace(wait_s=24 * 3600.0), GRACEFUL)
        assert stage.daemons.stop(rungs, broken, told.append) == "graceful"
        assert told == ["peaceful shutdown is not possible (no configuration)"]

    def test_what_appears_during_a_rung_is_ended_by_the_next(self, stage: Stage) -> None:
        stage.enter(part("condor_master", leaves=[part("condor_startd")]))
        told: List[str] = []
        rungs = (Rung("graceful", signal.SIGTERM, NOT_FOR_LONG_S), FAST)
        assert stage.daemons.stop(rungs, unused, told.append) == "fast"
        assert "condor_startd" in told[0]
        assert stage.left() == []

    def test_what_its_last_daemon_leaves_behind_is_not_overlooked(self, stage: Stage) -> None:
        # The master ends while the processes are being listed: its last child is not in that list, nor is it alive.
        leaf = part("condor_startd", ignores=["SIGTERM"])
        master = part("condor_master", leaves=[leaf], ignores=["SIGTERM"])
        pid = stage.enter(master)["condor_master"]
        looks: List[int] = []

        def ours(process: psutil.Process) -> bool:
            owned = stage.owns(process)
            looks.extend([pid] if process.pid == pid else [])
            if process.pid == pid and len(looks) == 4:  # it is being waited for
                os.kill(pid, signal.SIGQUIT)
                eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
            return owned

        told: List[str] = []
        rungs = (Rung("graceful", signal.SIGTERM, 2.0), FAST)
        assert Daemons(ours).stop(rungs, unused, told.append) == "fast"
        assert "condor_startd" in told[0]
        assert stage.left() == []

    def test_what_appears_just_before_the_kill_is_killed_too(self, stage: Stage) -> None:
        stage.enter(part("condor_master", ignores=["SIGTERM"]))
        rungs = (Rung("graceful", signal.SIGTERM, NOT_FOR_LONG_S), Rung("kill", signal.SIGKILL, 2.0))

        def one_more(sentence: str) -> None:
            stage.enter(part("condor_startd", ignores=IGNORES_ALL))

        assert stage.daemons.stop(rungs, unused, one_more) == "kill"
        assert stage.left() == []

    def test_what_nothing_ends_is_an_error_that_names_it(self, stage: Stage) -> None:
        pid = stage.enter(part("condor_master", ignores=["SIGTERM"]))["condor_master"]
        told: List[str] = []
        with pytest.raises(DaemonError, match=rf"\Acondor_master \(pid {pid}\) could not be ended"):
            stage.daemons.stop((Rung("graceful", signal.SIGTERM, NOT_FOR_LONG_S),), unused, told.append)
        assert stage.left() == ["condor_master"]

    def test_a_long_list_is_cut_short(self, stage: Stage) -> None:
        starters = [part("condor_starter", ignores=["SIGTERM"]) for _ in range(6)]
        stage.enter(part("condor_master", *starters, ignores=["SIGTERM"]))
        told: List[str] = []
        stage.daemons.stop((Rung("graceful", signal.SIGTERM, NOT_FOR_LONG_S), KILL), unused, told.append)
        assert "and 2 more still there" in told[0]
