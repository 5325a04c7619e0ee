"""The operating system below a root: real files in tmp_path, real child processes."""

import contextlib
import os
import pwd
import resource
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path
from typing import Callable, ContextManager, Iterator, List

import psutil
import pytest

from annex_agent.errors import AnnexError, CommandFailed, CommandTimedOut, CommandUnavailable
from annex_agent.processes import COMMAND_PATH, memory_file
from annex_agent.system import System

from .conftest import PYTHON, eventually, started

FILE = "/etc/condor/config.d/60-annex-agent.config"
IS_ROOT = os.geteuid() == 0


def child(program: str, *arguments: object) -> ContextManager["subprocess.Popen[str]"]:
    """Another process that talks with the test over its standard input and output."""
    argv = [PYTHON, "-c", program, *(str(argument) for argument in arguments)]
    return started(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: what a full disk is to a writer, for root too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(directory: Path) -> "list[str]":
    return sorted(path.name for path in directory.iterdir())


class TestReading:
    def test_a_file_is_read_with_its_mode_and_owner(self, tree: System) -> None:
        path = tree.root / "some"
        path.write_bytes(b"\xff\0")
        path.chmod(0o4640)
        found = tree.read_file("/some")
        assert found is not None
        assert (found.content, found.mode, found.owner) == (b"\xff\0", 0o4640, (os.geteuid(), path.stat().st_gid))

    @pytest.mark.parametrize("path", ["/nothing", "/no/such/directory/file"])
    def test_a_file_that_is_not_there_is_none(self, tree: System, path: str) -> None:
        assert tree.read_file(path) is None

    def test_a_directory_in_the_place_of_a_file_is_an_error_that_names_it(self, tree: System) -> None:
        (tree.root / "etc").mkdir()
        with pytest.raises(AnnexError, match=r"\A/etc cannot be read \(Is a directory\)"):
            tree.read_file("/etc")

    def test_a_file_in_the_place_of_a_directory_is_an_error_that_names_it(self, tree: System) -> None:
        (tree.root / "etc").write_text("")
        with pytest.raises(AnnexError, match=r"\A/etc/hostname cannot be read \(Not a directory\)"):
            tree.read_file("/etc/hostname")

    @pytest.mark.skipif(IS_ROOT, reason="root may read everything: run tests/run as another user")
    def test_a_file_that_may_not_be_read_is_an_error_that_says_what_to_do(self, tree: System) -> None:
        (tree.root / "secret").touch(0o000)
        with pytest.raises(AnnexError, match=r"/secret cannot be read .*: run as root"):
            tree.read_file("/secret")


class TestWriting:
    @pytest.mark.parametrize("content", [b"", b"one line\n", bytes(range(256)) * 1000])
    def test_what_is_written_is_read_back_with_mode_and_owner(self, tree: System, content: bytes) -> None:
        tree.write_file(FILE, content, 0o640)
        found = tree.read_file(FILE)
        assert found is not None
        assert (found.content, found.mode, found.owner) == (content, 0o640, tree.owner)

    def test_files_in_a_tree_belong_to_root_or_to_the_user_who_prepares_it(self, tree: System) -> None:
        assert tree.owner == ((0, 0) if IS_ROOT else (os.geteuid(), os.getegid()))
        assert System().owner == (0, 0)

    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
    @pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
    def test_the_mode_of_a_file_does_not_depend_on_the_umask(
        self, tree: System, umask: Callable[[int], int], mask: int, mode: int
    ) -> None:
        (tree.root / "etc").mkdir()
        umask(mask)
        tree.write_file("/etc/file", b"", mode)
        assert stat.S_IMODE((tree.root / "etc/file").stat().st_mode) == mode

    def test_others_can_reach_what_is_below_new_directories_whatever_the_umask(
        self, tree: System, umask: Callable[[int], int]
    ) -> None:
        umask(0o077)
        tree.write_file(FILE, b"", 0o644)
        made = [tree.root / "etc", tree.root / "etc/condor", tree.root / "etc/condor/config.d"]
        assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in made] == ["0o755"] * 3

    def test_a_file_is_replaced_with_its_mode(self, tree: System) -> None:
        tree.write_file(FILE, b"a longer text", 0o644)
        tree.write_file(FILE, b"short", 0o600)
        found = tree.read_file(FILE)
        assert found is not None
        assert (found.content, found.mode) == (b"short", 0o600)

    def test_nothing_is_left_beside_the_file(self, tree: System) -> None:
        tree.write_file(FILE, b"text", 0o644)
        assert names((tree.root / FILE[1:]).parent) == ["60-annex-agent.config"]
        assert not tree.has_remains(FILE)

    def test_a_disk_that_is_full_half_way_leaves_the_old_file_whole(self, tree: System) -> None:
        tree.write_file(FILE, b"old", 0o640)
        with (
            full_disk(100_000),
            pytest.raises(AnnexError, match=rf"\A{FILE} cannot be written \(.*\): is the disk full"),
        ):
            tree.write_file(FILE, b"new" * 100_000, 0o644)
        found = tree.read_file(FILE)
        assert found is not None
        assert (found.content, found.mode) == (b"old", 0o640)

    def test_a_disk_that_is_full_leaves_no_half_of_a_new_file(self, tree: System) -> None:
        with full_disk(100_000), pytest.raises(AnnexError):
            tree.write_file(FILE, b"new" * 100_000, 0o644)
        assert tree.read_file(FILE) is None

    @pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
    def test_a_file_is_given_to_its_owner(self, tree: System) -> None:
        class ForAnother(System):
            owner = (1, 2)

        ForAnother(tree.root).write_file("/file", b"", 0o640)
        found = tree.read_file("/file")
        assert found is not None
        assert (found.owner, found.mode) == ((1, 2), 0o640)

    def test_what_cannot_be_given_to_its_owner_is_not_put_in_place(self, tree: System) -> None:
        if IS_ROOT:
            pytest.skip("root may give files away: run tests/run as another user")

        class ForRoot(System):
            owner = (0, 0)

        (tree.root / "file").write_text("old")
        with pytest.raises(AnnexError, match="/file cannot be written"):
            ForRoot(tree.root).write_file("/file", b"new", 0o644)
        assert (tree.root / "file").read_text() == "old"

    def test_a_directory_in_the_way_stays_and_is_named(self, tree: System) -> None:
        (tree.root / "file/inside").mkdir(parents=True)
        with pytest.raises(AnnexError, match="/file cannot be written"):
            tree.write_file("/file", b"new", 0o644)
        assert (tree.root / "file/inside").is_dir()

    def test_a_reader_never_sees_half_a_file(self, tree: System) -> None:
        whole = [bytes([letter]) * 300_000 for letter in b"AB"]
        tree.write_file("/file", whole[0], 0o644)
        seen, over = set(), threading.Event()

        def read() -> None:
            while not over.is_set():
                seen.add((tree.root / "file").read_bytes())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for number in range(40):
                tree.write_file("/file", whole[number % 2], 0o644)
        finally:
            over.set()
            reader.join()
        assert seen <= set(whole)


class TestAfterACrash:
    # The crash comes at the worst moment, which no option brings about: the child's own os.fchmod is replaced by it.
    CRASH = """
import os, signal, sys
from pathlib import Path
from annex_agent.system import System
os.fchmod = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
System(Path(sys.argv[1])).write_file(sys.argv[2], b"new", 0o644)
"""

    def crash(self, tree: System) -> None:
        with child(self.CRASH, tree.root, FILE) as process:
            assert process.wait() == -signal.SIGKILL

    def test_the_old_file_is_whole_and_the_remains_are_seen(self, tree: System) -> None:
        tree.write_file(FILE, b"old", 0o644)
        self.crash(tree)
        found = tree.read_file(FILE)
        assert found is not None
        assert found.content == b"old"
        assert tree.has_remains(FILE)

    def test_the_remains_have_a_name_that_htcondor_skips_and_nobody_else_may_read_them(self, tree: System) -> None:
        self.crash(tree)
        (remains,) = (tree.root / FILE[1:]).parent.iterdir()
        assert remains.name.startswith(".")
        assert stat.S_IMODE(remains.stat().st_mode) == 0o600

    def test_the_next_write_heals_it(self, tree: System) -> None:
        self.crash(tree)
        tree.write_file(FILE, b"new", 0o644)
        assert names((tree.root / FILE[1:]).parent) == ["60-annex-agent.config"]
        assert not tree.has_remains(FILE)

    def test_remains_that_are_a_link_are_not_followed(self, tree: System, tmp_path: Path) -> None:
        self.crash(tree)
        victim = tmp_path / "victim"
        victim.write_text("untouched")
        (remains,) = (tree.root / FILE[1:]).parent.iterdir()
        remains.unlink()
        remains.symlink_to(victim)
        tree.write_file(FILE, b"new", 0o644)
        assert victim.read_text() == "untouched"
        assert names((tree.root / FILE[1:]).parent) == ["60-annex-agent.config"]


class TestLinks:
    def test_a_link_at_the_file_is_replaced_and_not_followed(self, tree: System, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("untouched")
        (tree.root / "file").symlink_to(victim)
        tree.write_file("/file", b"new", 0o644)
        assert victim.read_text() == "untouched"
        assert not (tree.root / "file").is_symlink()
        assert (tree.root / "file").read_text() == "new"

    def test_removing_a_link_leaves_what_it_points_at(self, tree: System, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("untouched")
        (tree.root / "file").symlink_to(victim)
        tree.remove_file("/file")
        assert victim.read_text() == "untouched"
        assert names(tree.root) == []

    @pytest.mark.parametrize("relative", [False, True])
    def test_a_directory_that_is_a_link_out_of_the_root_is_refused(
        self, tree: System, tmp_path: Path, relative: bool
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "file").write_text("untouched")
        (tree.root / "etc").symlink_to("../outside" if relative else outside)
        refused = pytest.raises(AnnexError, match=rf"\A/etc/file leads out of {tree.root} .*must be relative")
        with refused:
            tree.write_file("/etc/file", b"new", 0o644)
        with refused:
            tree.read_file("/etc/file")
        with refused:
            tree.remove_file("/etc/file")
        assert (outside / "file").read_text() == "untouched"
        assert names(outside) == ["file"]

    def test_a_path_that_climbs_out_of_the_root_is_refused(self, tree: System, tmp_path: Path) -> None:
        with pytest.raises(AnnexError, match="leads out of"):
            tree.write_file("/../file", b"new", 0o644)
        assert not (tmp_path / "file").exists()

    def test_a_tree_whose_name_begins_like_the_roots_is_outside(self, tree: System, tmp_path: Path) -> None:
        (tmp_path / "tree-of-another").mkdir()
        (tree.root / "etc").symlink_to(tmp_path / "tree-of-another")
        with pytest.raises(AnnexError, match="leads out of"):
            tree.write_file("/etc/file", b"", 0o644)

    def test_a_link_within_the_root_is_followed(self, tree: System) -> None:
        (tree.root / "usr/etc").mkdir(parents=True)
        (tree.root / "etc").symlink_to("usr/etc")
        tree.write_file("/etc/file", b"new", 0o644)
        assert (tree.root / "usr/etc/file").read_text() == "new"

    def test_the_root_itself_may_be_reached_over_a_link(self, tree: System, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tree.root)
        System(tmp_path / "link").write_file("/etc/file", b"new", 0o644)
        assert (tree.root / "etc/file").read_text() == "new"


class TestOtherFiles:
    def test_removing_a_file_twice_is_removing_it_once(self, tree: System) -> None:
        tree.write_file("/file", b"", 0o644)
        tree.remove_file("/file")
        tree.remove_file("/file")
        assert tree.read_file("/file") is None

    def test_what_cannot_be_removed_is_an_error_that_names_it(self, tree: System) -> None:
        (tree.root / "file/inside").mkdir(parents=True)
        with pytest.raises(AnnexError, match="/file"):
            tree.remove_file("/file")

    def test_a_directory_is_made_with_all_above_it(self, tree: System, umask: Callable[[int], int]) -> None:
        umask(0o077)
        tree.make_directory("/var/lib/condor/spool", 0o751, pwd.getpwuid(os.geteuid()).pw_name)
        assert tree.is_directory("/var/lib/condor/spool")
        assert stat.S_IMODE((tree.root / "var/lib/condor/spool").stat().st_mode) == 0o751

    def test_a_directory_for_a_user_who_does_not_exist_says_so(self, tree: System) -> None:
        with pytest.raises(AnnexError, match=r"/spool cannot be made for the user no-such-user "):
            tree.make_directory("/spool", 0o755, "no-such-user")
        assert names(tree.root) == []

    def test_a_private_directory_is_for_our_eyes_only_and_one_that_is_there_stays_as_it_is(
        self, tree: System, umask: Callable[[int], int]
    ) -> None:
        umask(0)
        tree.make_private_directory("/etc/condor/tokens.d")
        assert tree.mode("/etc/condor/tokens.d") == 0o700
        assert tree.mode("/etc/condor") == 0o755
        (tree.root / "etc/condor/tokens.d").chmod(0o750)
        tree.make_private_directory("/etc/condor/tokens.d")
        assert tree.mode("/etc/condor/tokens.d") == 0o750

    def test_a_private_directory_that_cannot_be_made_is_an_error_that_names_it(self, tree: System) -> None:
        tree.write_file("/etc/condor", b"", 0o644)
        with pytest.raises(AnnexError, match="/etc/condor/tokens.d cannot be made"):
            tree.make_private_directory("/etc/condor/tokens.d")

    def test_a_file_is_not_a_directory(self, tree: System) -> None:
        (tree.root / "file").touch()
        (tree.root / "directory").mkdir()
        assert [tree.is_directory(path) for path in ("/file", "/nothing", "/directory")] == [False, False, True]


class TestIdentity:
    @pytest.mark.parametrize(("root", "is_live"), [("/", True), ("//", True), ("/tmp/..", True), ("/tmp", False)])
    def test_the_running_machine_is_known_by_its_root(self, root: str, is_live: bool) -> None:
        system = System(Path(root).resolve())
        assert system.is_live is is_live
        assert (system.cores is not None) is is_live  # this machine's are not those that a tree will have

    def test_the_host_name_is_the_kernels(self) -> None:
        assert System().host_name() == socket.gethostname()

    @pytest.mark.skipif(IS_ROOT, reason="root may set it, and this machine's is to stay: run tests/run as another user")
    def test_the_host_name_cannot_be_set_by_everyone(self) -> None:
        with pytest.raises(AnnexError, match=r"the host name cannot be set to mine .*: run as root"):
            System().set_host_name("mine")

    @pytest.mark.skipif(not IS_ROOT, reason="needs root, to have a host name of its own to set")
    def test_the_host_name_is_set_in_a_namespace_of_its_own(self) -> None:
        program = """
import ctypes, sys
from annex_agent.system import System
CLONE_NEWUTS = 0x04000000
if ctypes.CDLL(None).unshare(CLONE_NEWUTS):
    sys.exit("no namespace")
System().set_host_name("ec2-67-202-60-66.compute-1.amazonaws.com")
print(System().host_name())
"""
        before = socket.gethostname()
        with child(program) as process:
            said, _ = process.communicate()
        if process.returncode:
            pytest.skip("this root may not have a namespace of its own (unshare of UTS is refused)")
        assert said == "ec2-67-202-60-66.compute-1.amazonaws.com\n"
        assert socket.gethostname() == before


class TestCommands:
    def test_a_command_sees_no_environment_but_what_is_given(self, monkeypatch: "pytest.MonkeyPatch") -> None:
        monkeypatch.setenv("_CONDOR_NAME", "stray")
        monkeypatch.setenv("LD_PRELOAD", "")
        done = System().run(("env",), 30, {"CONDOR_CONFIG": "/x"})
        assert sorted(done.stdout.split("\n")) == [
            "",
            "CONDOR_CONFIG=/x",
            "LANG=C",
            "LC_ALL=C",
            f"PATH={COMMAND_PATH}",
        ]

    def test_a_command_is_looked_up_on_the_fixed_path(self, tmp_path: Path, monkeypatch: "pytest.MonkeyPatch") -> None:
        script(tmp_path / "env", "echo a trap")
        script(tmp_path / "of-my-own", "echo a trap")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert "PATH=" in System().run(("env",), 30).stdout
        assert System().which("of-my-own") is None
        with pytest.raises(CommandUnavailable):
            System().run(("of-my-own",), 30)

    def test_both_streams_and_the_exit_status_come_back(self) -> None:
        done = System().run(("sh", "-c", "echo answer; echo trouble >&2; exit 3"), 30)
        assert (done.argv[0], done.code, done.stdout, done.stderr) == ("sh", 3, "answer\n", "trouble\n")

    def test_a_command_that_a_signal_ends_has_no_good_status(self) -> None:
        assert System().run(("sh", "-c", "kill -9 $$"), 30).code == -signal.SIGKILL

    def test_output_that_is_not_utf_8_is_no_trouble(self) -> None:
        assert System().run(("printf", r"\377\303\244"), 30).stdout == "\ufffdä"

    def test_what_is_given_as_input_arrives_and_ends(self) -> None:
        assert System().run(("cat",), 30, text_input='MyType = "Query"\nä\n').stdout == 'MyType = "Query"\nä\n'
        assert System().run(("cat",), 30).stdout == ""

    def test_a_command_that_reads_none_of_a_long_input_is_no_trouble(self) -> None:
        assert System().run(("true",), 30, text_input="x" * 1_000_000).code == 0

    def test_a_command_runs_where_no_file_system_is_kept_busy(self) -> None:
        assert System().run(("pwd",), 30).stdout == "/\n"

    def test_a_command_that_is_missing_is_named(self) -> None:
        with pytest.raises(CommandUnavailable, match=r"\Ano-such-command cannot be run .*: is it installed"):
            System().run(("no-such-command",), 30)

    def test_a_command_that_may_not_be_executed_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "text"
        path.write_text("no program")
        with pytest.raises(CommandUnavailable, match=f"{path} cannot be run"):
            System().run((str(path),), 30)

    def test_a_command_that_hangs_is_ended(self, tmp_path: Path) -> None:
        hangs = script(tmp_path / "hangs", f"echo $$ > {tmp_path}/pid; exec sleep 600")
        with pytest.raises(CommandFailed, match=rf"\A{hangs} did not end within 0\.5 s"):
            System().run((hangs,), 0.5)
        assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


class TestMemoryFiles:
    def test_what_a_command_writes_into_it_can_be_read(self) -> None:
        with memory_file("before, and longer") as file:
            System().run(("sh", "-c", f"printf 'caf\\351' > {file.path}"), 30, inherit=(file,))
            assert file.content() == b"caf\xe9"

    def test_a_command_that_inherits_it_can_read_it(self) -> None:
        with memory_file("NAME = value\nä\n") as file:
            assert System().run(("cat", file.path), 30, inherit=(file,)).stdout == "NAME = value\nä\n"

    def test_several_are_read_at_their_own_paths_and_more_than_once(self) -> None:
        with memory_file("one ") as one, memory_file("two ") as two:
            done = System().run(("cat", two.path, one.path, two.path), 30, inherit=(one, two))
        assert done.stdout == "two one two "

    def test_a_command_that_does_not_inherit_it_cannot(self) -> None:
        with memory_file("secret") as file:
            assert System().run(("cat", file.path), 30).code != 0

    def test_it_is_gone_afterwards(self) -> None:
        with memory_file("text") as file:
            assert os.fstat(file.handle).st_size == 4
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file.handle)

    def test_it_is_gone_after_an_error_too(self) -> None:
        with pytest.raises(CommandUnavailable), memory_file("text") as file:
            System().run(("no-such-command",), 30, inherit=(file,))
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file.handle)


class TestLaunching:
    @pytest.fixture
    def daemon(self, tmp_path: Path) -> Iterator[str]:
        """A command that leaves a daemon behind, which holds on to all that it was given."""
        pid = tmp_path / "pid"
        yield script(tmp_path / "daemon", f"echo $NAMED; sleep 600 & echo $! > {pid}; echo trouble >&2; exit 3")
        if pid.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGKILL)

    def test_a_daemon_that_keeps_its_output_open_is_not_waited_for(self, daemon: str, tmp_path: Path) -> None:
        done = System().launch((daemon,), {"NAMED": "by us"}, 60)
        assert (done.code, done.stderr) == (3, "by us\ntrouble\n")
        assert psutil.pid_exists(int((tmp_path / "pid").read_text()))

    def test_a_daemon_does_not_keep_the_lock(self, daemon: str, tree: System, tmp_path: Path) -> None:
        with tree.exclusive():
            System().launch((daemon,), {}, 60)
        with tree.exclusive():
            assert psutil.pid_exists(int((tmp_path / "pid").read_text()))

    def test_a_daemon_sees_no_environment_but_what_is_given(self, monkeypatch: "pytest.MonkeyPatch") -> None:
        monkeypatch.setenv("_CONDOR_NAME", "stray")
        said = System().launch(("env",), {"ANNEX_AGENT_CONFIG": "f"}, 30).stderr
        assert {line.partition("=")[0] for line in said.split()} == {"PATH", "LANG", "ANNEX_AGENT_CONFIG"}

    def test_a_daemon_that_is_missing_is_named(self) -> None:
        with pytest.raises(CommandUnavailable, match="no-such-daemon cannot be run"):
            System().launch(("no-such-daemon",), {}, 30)

    def test_a_daemon_that_stays_in_the_foreground_is_ended(self, tmp_path: Path) -> None:
        stays = script(tmp_path / "stays", f"echo $$ > {tmp_path}/pid; exec sleep 600")
        with pytest.raises(CommandFailed, match=r"did not go into the background within 0\.5 s"):
            System().launch((stays,), {}, 0.5)
        assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


class TestTheLock:
    HOLD = """
import sys
from pathlib import Path
from annex_agent.errors import AnnexError
from annex_agent.system import System
try:
    with System(Path(sys.argv[1])).exclusive():
        print("held", flush=True)
        sys.stdin.read()
except AnnexError as err:
    print(err, flush=True)
"""

    def test_a_second_process_is_turned_away_while_the_first_is_at_work(self, tree: System) -> None:
        with tree.exclusive(), child(self.HOLD, tree.root) as second:
            said, _ = second.communicate()
        assert said.startswith("another annex-agent is at work on this machine")

    def test_whoever_is_patient_gets_its_turn(self, tree: System) -> None:
        turns: List[str] = []

        def second() -> None:
            with tree.exclusive(patience_s=60):
                turns.append("second")

        with tree.exclusive():
            waiting = threading.Thread(target=second)
            waiting.start()
            turns.append("first")
        waiting.join()
        assert turns == ["first", "second"]

    def test_it_is_free_again_when_its_holder_ends(self, tree: System) -> None:
        with child(self.HOLD, tree.root) as first:
            assert first.stdout is not None
            assert first.stdout.readline() == "held\n"
            with pytest.raises(AnnexError, match="another annex-agent"), tree.exclusive():
                pass
            first.communicate()
        with tree.exclusive():
            pass

    def test_it_is_free_again_when_its_holder_crashes(self, tree: System) -> None:
        with child(self.HOLD, tree.root) as first:
            assert first.stdout is not None
            assert first.stdout.readline() == "held\n"
            first.kill()
        with tree.exclusive():
            pass

    def test_it_is_free_again_after_an_error(self, tree: System) -> None:
        with pytest.raises(ZeroDivisionError), tree.exclusive():
            raise ZeroDivisionError
        with tree.exclusive():
            pass

    def test_a_place_where_no_lock_can_be_is_an_error_that_names_it(self, tree: System) -> None:
        (tree.root / "run").write_text("in the way")
        with pytest.raises(AnnexError, match="/run/annex-agent"), tree.exclusive():
            pass


def test_a_fifo_is_no_file_to_read_and_does_not_make_us_wait(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "fifo"))
    with pytest.raises(AnnexError, match="no regular file"):
        System(tmp_path).read_file("/fifo")


def test_a_command_that_runs_out_of_time_takes_what_it_started_with_it(tmp_path: Path) -> None:
    # The grandchild keeps the pipe open: who waits for the pipe to end would wait for a minute.
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(CommandTimedOut):
        System(tmp_path).run(["sh", "-c", script], timeout_s=0.5)
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())


def test_whether_another_is_at_work_can_be_seen(tmp_path: Path) -> None:
    system = System(tmp_path)
    assert not system.is_busy()
    with system.exclusive():
        assert system.is_busy()
    assert not system.is_busy()


class TestClaims:
    PATH = "/run/annex-agent/thing"
    HOLD = """
import sys
from pathlib import Path
from annex_agent.system import System
print(System(Path(sys.argv[1])).claim("/run/annex-agent/thing"), flush=True)
sys.stdin.read()
"""

    def test_its_holder_is_known_and_the_only_one(self, tree: System) -> None:
        assert tree.holder(self.PATH) is None
        with child(self.HOLD, tree.root) as first:
            assert first.stdout is not None
            assert first.stdout.readline() == "True\n"
            assert tree.holder(self.PATH) == first.pid
            with child(self.HOLD, tree.root) as second:
                assert second.communicate()[0] == "False\n"
            assert tree.holder(self.PATH) == first.pid, "to look, or to try, takes nothing away from it"
            first.kill()
            first.wait()
        assert tree.holder(self.PATH) is None


class TestChildren:
    def test_it_runs_with_its_own_environment_only_and_its_end_is_known(self, tmp_path: Path) -> None:
        path = script(tmp_path / "speaks", "env; echo trouble >&2; exit 3")
        process = System().start_child((path, "-f"), {"NAMED": "by us"})
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.ended() == 3
        said = process.last_words()
        assert "NAMED=by us" in said
        assert "HOME=" not in said
        assert said.endswith("trouble")

    def test_an_end_by_a_signal_is_told_as_a_shell_would(self, tmp_path: Path) -> None:
        process = System().start_child((script(tmp_path / "stays", "exec sleep 600"),), {})
        assert process.ended() is None
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.ended() == 128 + signal.SIGKILL

    def test_only_the_end_of_many_words_is_kept(self, tmp_path: Path) -> None:
        process = System().start_child((script(tmp_path / "talks", "seq 10000"),), {})
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.last_words().endswith("9999 10000")
        assert process.ended() == 0

    def test_what_cannot_be_started_leaves_nothing_open(self) -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(CommandUnavailable, match="/no/such/thing cannot be run"):
            System().start_child(("/no/such/thing",), {})
        assert len(list(Path("/proc/self/fd").iterdir())) == before
