"""The command line from end to end: in this process, and as a user starts it."""

import contextlib
import hashlib
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import pytest

from annex_agent import __version__, cli, commands, simulation, state, terms
from annex_agent.htcondor import CONFIG_FILE
from annex_agent.machine import Machine
from annex_agent.model import Settings
from annex_agent.status import PATH
from annex_agent.system import System
from annex_agent.watch import memory
from annex_agent.watch.model import Announcement, Memory

from .conftest import PYTHON, LiveTree, bearing, started

IS_ROOT = os.geteuid() == 0
UNREACHABLE = "http://127.0.0.1:1"  # never the real service: a test that reached it would depend on where it runs
ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
# How the command is found, and nothing else that this process was started with.
INHERITED = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def environ(home: Path) -> Dict[str, str]:
    """The environment of a user whose home is empty and whose metadata service is out of reach."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**kept, "HOME": str(home), ENDPOINT: UNREACHABLE}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree as an image's builder has it, with an older configuration of ours."""
    root = tmp_path / "root"
    for path, text in {
        CONFIG_FILE: "COLLECTOR_HOST = old.example.org\n",
        "/etc/hostname": "image\n",
        "/etc/cloud/cloud.cfg.d/05_logging.cfg": "",
    }.items():
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / path[1:]).write_text(text)
    return root


@pytest.fixture(autouse=True)
def as_it_was(quiet_log: None, monkeypatch: "pytest.MonkeyPatch") -> None:
    """For the runs within this process: no metadata service, and the log as it was."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(ENDPOINT, UNREACHABLE)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)


def command(*arguments: object) -> List[str]:
    return [PYTHON, "-m", "annex_agent", *(str(argument) for argument in arguments)]


def annex_agent(
    environ: Mapping[str, str], *arguments: object, cwd: Optional[Path] = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments), env=environ, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def snapshot(*trees: Path) -> Dict[str, Tuple[object, ...]]:
    """Everything that a change would show in: kind, mode, owner, time of the last change, content."""
    found: Dict[str, Tuple[object, ...]] = {}
    for tree in trees:
        for path in [tree, *tree.rglob("*")]:
            info = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(info.st_mode) else None
            found[str(path)] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, content)
    return found


def last_run(root: Path) -> Dict[str, Any]:
    run: Dict[str, Any] = json.loads((root / PATH[1:]).read_text())["runs"][-1]
    return run


class TestADryRun:
    @pytest.mark.parametrize("before", [[], ["start"], ["configure"]])
    def test_nothing_is_changed_neither_in_the_tree_nor_at_home(
        self, environ: Dict[str, str], root: Path, home: Path, before: List[str]
    ) -> None:
        unchanged = snapshot(root, home)
        done = annex_agent(environ, *before, "--dry-run", "--simulate", "--root", root, cwd=home)
        assert (done.returncode, done.stderr) == (0, "")
        assert snapshot(root, home) == unchanged

    def test_it_shows_the_facts_each_step_and_what_it_would_change(self, environ: Dict[str, str], root: Path) -> None:
        said = annex_agent(environ, "--dry-run", "--simulate", "--root", root).stdout
        assert "i-10a64379" in said
        assert "-COLLECTOR_HOST = old.example.org" in said
        assert "+COLLECTOR_HOST = cm.example.org" in said
        assert f"      --- {CONFIG_FILE}\n      +++ {CONFIG_FILE}\n" in said
        for step in ("/etc/hostname", "/run/annex-agent/configured", "start condor_master", "the collector lists"):
            assert step in said

    def test_a_step_that_cannot_be_looked_at_is_shown_with_the_others_and_decides_the_exit_code(
        self, environ: Dict[str, str], root: Path
    ) -> None:
        (root / "etc/hostname").unlink()
        (root / "etc/hostname").mkdir()
        done = annex_agent(environ, "--dry-run", "--simulate", "--root", root)
        assert done.returncode == 1
        assert "  ! write /etc/hostname" in done.stdout
        assert "+COLLECTOR_HOST = cm.example.org" in done.stdout
        assert "/etc/hostname cannot be read (Is a directory)" in done.stderr

    def test_it_works_on_any_machine_without_a_tree(self, environ: Dict[str, str], home: Path) -> None:
        before = snapshot(home)
        done = annex_agent(environ, "--dry-run", "--simulate", cwd=home)
        assert done.returncode == 0
        assert "TCP_FORWARDING_HOST = 67.202.60.66" in done.stdout
        assert snapshot(home) == before

    @pytest.mark.skipif(not IS_ROOT, reason="only root can become someone else; everyone else is someone else already")
    def test_it_needs_no_root(self, environ: Dict[str, str]) -> None:
        def as_nobody(*argv: str) -> "subprocess.CompletedProcess[bytes]":
            own = {**environ, "HOME": "/"}
            return subprocess.run(argv, env=own, cwd="/", user=65534, capture_output=True, check=False)

        try:
            readable = as_nobody(PYTHON, "-c", "import annex_agent.cli").returncode == 0
        except PermissionError:
            readable = False
        if not readable:
            pytest.skip("others than root cannot read this interpreter or checkout: use ones below /usr or /tmp")
        done = as_nobody(*command("--dry-run", "--simulate"))
        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.parametrize("profile", ["spot", "no-public-address"])
    def test_another_example_can_be_chosen(self, environ: Dict[str, str], root: Path, profile: str) -> None:
        done = annex_agent(environ, "--dry-run", "--simulate", "--profile", profile, "--root", root)
        assert (done.returncode, done.stderr) == (0, "")
        assert "i-10a64379" not in done.stdout

    def test_an_answer_in_another_alphabet_than_the_terminals_is_no_trouble(
        self, environ: Dict[str, str], root: Path
    ) -> None:
        (root / CONFIG_FILE[1:]).write_text("# déjà vu\n", encoding="utf-8")
        environ["PYTHONIOENCODING"] = "ascii"  # as on a terminal whose locale has no such letters
        done = annex_agent(environ, "--dry-run", "--simulate", "--root", root)
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_stop_too(self, environ: Dict[str, str]) -> None:
        done = annex_agent(environ, "stop", "--dry-run", "--mode", "fast", "--timeout", "5s")
        assert done.returncode == 0
        assert "end HTCondor's daemons: fast (5 s), then kill (10 s)" in done.stdout

    def test_a_stop_with_an_end_shows_what_there_is_time_for(self, environ: Dict[str, str]) -> None:
        done = annex_agent(environ, "stop", "--dry-run", "--mode", "peaceful", "--timeout", "1h", "--within", "1000s")
        assert done.returncode == 0
        found = re.search(r"peaceful \((9\d\d.*) s\), then graceful \(30 s\), then fast \(7 s\)", done.stdout)
        assert found, done.stdout
        assert float(found.group(1)) <= 1000 - 45

    def test_of_a_stop_with_an_end_the_first_rung_has_all_that_is_left(self, environ: Dict[str, str]) -> None:
        done = annex_agent(environ, "stop", "--dry-run", "--mode", "graceful", "--within", "2h")
        assert re.search(r"daemons: graceful \(71\d\d", done.stdout), done.stdout


class TestConfiguringATree:
    def test_the_files_are_written(self, environ: Dict[str, str], root: Path) -> None:
        done = annex_agent(environ, "configure", "--root", root, "--simulate")
        assert done.returncode == 0
        text = (root / CONFIG_FILE[1:]).read_text().split("\n")
        assert "COLLECTOR_HOST = cm.example.org" in text
        assert "TCP_FORWARDING_HOST = 67.202.60.66" in text
        assert "PRIVATE_NETWORK_INTERFACE = 10.253.191.243" in text
        assert (root / "etc/hostname").read_text() == "ec2-67-202-60-66.compute-1.amazonaws.com\n"
        assert (root / "etc/cloud/cloud.cfg.d/99-annex-agent.cfg").exists()
        fingerprint = hashlib.sha256((root / CONFIG_FILE[1:]).read_bytes()).hexdigest()
        assert (root / "run/annex-agent/configured").read_text().startswith(f"ANNEX_AGENT_CONFIG={fingerprint}\n")

    def test_a_second_run_says_so_and_changes_nothing(self, environ: Dict[str, str], root: Path) -> None:
        annex_agent(environ, "configure", "--root", root, "--simulate")
        state = str(root / "run/annex-agent")
        own = (state, f"{state}/status.json", f"{state}/lock")
        before = {path: seen for path, seen in snapshot(root).items() if path not in own}
        done = annex_agent(environ, "configure", "--root", root, "--simulate")
        assert done.returncode == 0
        assert {path: seen for path, seen in snapshot(root).items() if path not in own} == before
        assert done.stdout.startswith("nothing to do")

    def test_cleaned_it_holds_nothing_of_one_instance(self, environ: Dict[str, str], root: Path) -> None:
        ours = (root / CONFIG_FILE[1:], root / "etc/hostname")
        others = sorted(path for path in root.rglob("*") if path.is_file() and path not in ours)
        annex_agent(environ, "configure", "--root", root, "--simulate")
        shown = annex_agent(environ, "clean", "--root", root, "--dry-run")
        assert f"  ~ remove {CONFIG_FILE}" in shown.stdout
        assert (root / CONFIG_FILE[1:]).exists()
        for _ in range(2):
            done = annex_agent(environ, "clean", "--root", root)
            assert (done.returncode, done.stdout) == (0, "nothing of one instance is left\n")
            assert sorted(path for path in root.rglob("*") if path.is_file()) == others

    def test_another_instances_tree_is_purged_first(self, environ: Dict[str, str], root: Path) -> None:
        annex_agent(environ, "configure", "--root", root, "--simulate", "--profile", "spot")
        done = annex_agent(environ, "configure", "--root", root, "--simulate")
        assert "this disk was instance" in done.stderr
        assert "forget-config: removed" in done.stderr
        assert '"i-10a64379"' in (root / "var/lib/annex-agent/instance.json").read_text()

    def test_the_machine_on_which_a_tree_is_prepared_keeps_its_htcondor(
        self, environ: Dict[str, str], root: Path, tmp_path: Path
    ) -> None:
        with bearing("condor_master", tmp_path) as process:
            for more in (["--profile", "spot"], []):  # the second one finds what another instance has left
                done = annex_agent(environ, "configure", "--root", root, "--simulate", *more)
                assert done.returncode == 0
            assert "ended by" not in done.stderr
            assert annex_agent(environ, "clean", "--root", root).returncode == 0
            assert process.poll() is None

    def test_the_answer_on_stdout_is_one_line(self, environ: Dict[str, str], root: Path) -> None:
        done = annex_agent(environ, "configure", "--root", root, "--simulate")
        assert done.stdout.endswith("\n")
        assert done.stdout.count("\n") == 1

    def test_a_tree_may_be_named_relatively(self, environ: Dict[str, str], root: Path) -> None:
        done = annex_agent(environ, "configure", "--root", root.name, "--simulate", cwd=root.parent)
        assert done.returncode == 0
        assert (root / "run/annex-agent/configured").exists()

    def test_a_tree_whose_links_lead_out_of_it_is_left_alone(
        self, environ: Dict[str, str], root: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        (root / "etc/condor").rename(outside)
        (root / "etc/condor").symlink_to(outside)
        before = snapshot(outside)
        done = annex_agent(environ, "configure", "--root", root, "--simulate")
        assert done.returncode == 1
        assert f"{CONFIG_FILE} leads out of {root}" in done.stderr
        assert snapshot(outside) == before

    def test_a_tree_that_cannot_be_written_is_an_error_and_no_traceback(
        self, environ: Dict[str, str], root: Path
    ) -> None:
        (root / "run").write_text("in the way")
        done = annex_agent(environ, "configure", "--root", root, "--simulate")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "/run/annex-agent" in done.stderr

    def test_user_data_from_a_file_stands_in_for_the_instances(
        self, environ: Dict[str, str], root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "user-data").write_text("COLLECTOR_HOST = other.example.org\nNUM_SLOTS = 3\n")
        annex_agent(environ, "configure", "--root", root, "--simulate", "--user-data", tmp_path / "user-data")
        text = (root / CONFIG_FILE[1:]).read_text()
        assert "COLLECTOR_HOST = other.example.org\n" in text
        assert "NUM_SLOTS = 3\n" in text

    @pytest.mark.parametrize("config", ["central_manager: cm.example.org\n", ""])
    def test_what_is_passed_over_in_user_data_is_said(
        self, environ: Dict[str, str], root: Path, tmp_path: Path, config: str
    ) -> None:
        head = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=X\n\n--X\n"
        user_data = tmp_path / "user-data"
        user_data.write_text(f"{head}Content-Type: text/html\n\n<p>\n--X--\n")
        (tmp_path / "config.yaml").write_text(config)
        options = ["--profile", "spot", "--user-data", user_data, "--config", tmp_path / "config.yaml"]  # it has a role
        done = annex_agent(environ, "configure", "--root", root, "--simulate", *options)
        assert "user-data: part 1: its type 'text/html' is known neither" in done.stderr
        assert done.returncode == (0 if config else 5)

    def test_another_run_at_the_same_time_is_turned_away(self, environ: Dict[str, str], root: Path) -> None:
        with System(root).exclusive():
            done = annex_agent(environ, "configure", "--root", root, "--simulate")
        assert done.returncode == 1
        assert "another annex-agent is at work" in done.stderr


class TestInvalidConfigurations:
    def test_every_problem_of_every_source_is_printed_and_nothing_is_written(
        self, environ: Dict[str, str], root: Path, tmp_path: Path
    ) -> None:
        config, user_data = root / "etc/annex-agent/config.yaml", tmp_path / "user-data"
        config.parent.mkdir()
        config.write_text("colour: red\nstop: {timeout: soon}\n")
        user_data.write_text("NUM_SLOTS 3\nbad-name = 1\n")
        done = annex_agent(environ, "configure", "--root", root, "--simulate", "--user-data", user_data)
        assert done.returncode == 5
        problems = [line for line in done.stderr.split("\n") if line]
        assert len(problems) == 4
        for place in ("colour", "stop.timeout", "user-data: line 1", "user-data: line 2"):
            assert any(place in problem for problem in problems)
        assert "old.example.org" in (root / CONFIG_FILE[1:]).read_text()
        assert not (root / "run/annex-agent/configured").exists()

    def test_it_is_on_record(self, environ: Dict[str, str], root: Path, tmp_path: Path) -> None:
        (tmp_path / "user-data").write_text("not a host name")
        annex_agent(environ, "configure", "--root", root, "--simulate", "--user-data", tmp_path / "user-data")
        assert last_run(root)["state"] == "failed"
        assert "not a host name" in last_run(root)["error"]

    def test_an_example_that_is_wrong_is_one(self, environ: Dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "my.yaml").write_text("meta-data: [\n")
        done = annex_agent(environ, "--dry-run", "--simulate", "--profile", tmp_path / "my.yaml")
        assert done.returncode == 5
        assert "my.yaml" in done.stderr


class TestWrongUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            "start --root TREE",
            "start --root TREE --simulate",
            "stop --root TREE",
            "stop --root TREE --dry-run",
            "stop --dry-run --timeout nonsense",
            "stop --dry-run --timeout 0",
            "stop --dry-run --within nonsense",
            "stop --dry-run --within 0",
            "stop --dry-run --mode slowly",
            "fly",
            "--nonsense",
            "--dry --simulate",
            "--log-format xml --dry-run --simulate",
            "--dry-run --simulate --user-data TREE/no-such-file",
            "--dry-run --simulate --config TREE/no-such-file",
            "--dry-run --simulate --config TREE",
            "--dry-run --simulate --profile no-such-profile",
            "stop --dry-run --config TREE/no-such-file",
            "start --mode fast --dry-run --simulate",
            "--timeout 90s --dry-run --simulate",
            "--within 90s --dry-run --simulate",
            "stop --dry-run --json",
            "check --keep-condor",
            "check --root TREE",
            "check --config TREE/no-such-file",
            "check --user-data TREE/no-such-file",
            "status --root TREE --port 1",
        ],
    )
    def test_it_is_2_with_a_sentence(self, root: Path, capsys: "pytest.CaptureFixture[str]", arguments: str) -> None:
        before = snapshot(root)
        try:
            code = cli.main(arguments.replace("TREE", str(root)).split())
        except SystemExit as err:  # argparse's own
            code = int(str(err.code))
        said = capsys.readouterr()
        assert code == 2
        assert len(said.err.strip()) > 20
        assert said.out == ""
        assert snapshot(root) == before

    # The running machine is played by a tree here: should these refusals fail, nothing but the tree would change.
    @pytest.fixture
    def running_machine(self, machine: Machine, monkeypatch: "pytest.MonkeyPatch") -> Machine:
        monkeypatch.setattr(commands, "local_machine", lambda system: machine)
        return machine

    @pytest.mark.parametrize("name", ["start", "configure"])
    def test_an_examples_identity_is_not_given_to_the_running_machine(
        self, running_machine: Machine, live: LiveTree, capsys: "pytest.CaptureFixture[str]", name: str
    ) -> None:
        before = snapshot(live.root)
        assert cli.main([name, "--simulate"]) == 2
        assert "--dry-run" in capsys.readouterr().err
        assert snapshot(live.root) == before

    @pytest.mark.skipif(IS_ROOT, reason="root may do it: run tests/run as another user to see the refusal")
    @pytest.mark.parametrize("name", ["start", "configure", "stop"])
    def test_the_running_machine_is_roots(
        self, running_machine: Machine, live: LiveTree, capsys: "pytest.CaptureFixture[str]", name: str
    ) -> None:
        before = snapshot(live.root)
        assert cli.main([name]) == 2
        assert "needs root" in capsys.readouterr().err
        assert snapshot(live.root) == before


@pytest.mark.skipif(not IS_ROOT, reason="these commands need root; what they change is a tree that plays the machine")
class TestARunningMachine:
    """The machine is played by a tree with commands of its own."""

    @pytest.fixture(autouse=True)
    def example(self, machine: Machine, monkeypatch: "pytest.MonkeyPatch") -> Iterator[None]:
        monkeypatch.setattr(commands, "local_machine", lambda system: machine)
        with simulation.running("wiki") as url:
            monkeypatch.setenv(ENDPOINT, url)
            yield

    @pytest.mark.parametrize("option", [[], ["--within", "1h"]])
    def test_a_stop_has_no_longer_than_until_ec2_takes_the_machine(
        self, live: LiveTree, capsys: "pytest.CaptureFixture[str]", option: List[str]
    ) -> None:
        notice = Announcement("spot", "terminate", "k", time.time() + 100)
        memory.write(live, Memory(announced=(notice,)))
        assert cli.main(["stop", "--dry-run", "--mode", "graceful", *option]) == 0
        found = re.search(r"daemons: graceful \((.*?) s\)", capsys.readouterr().out)
        assert found
        assert float(found.group(1)) <= 100 - 15, "then it is killed"

    @pytest.mark.parametrize(
        ("whose", "of_boot", "words"),
        [
            ("i-1", "now", "fast (90 s)"),
            ("i-1", "before", "graceful (420 s)"),
            (None, "now", "graceful (420 s)"),
        ],
    )
    def test_a_stop_begins_as_this_worker_was_told_at_its_start(
        self, live: LiveTree, capsys: "pytest.CaptureFixture[str]", whose: Optional[str], of_boot: str, words: str
    ) -> None:
        live.holds("/etc/annex-agent/config.yaml", "stop: {timeout: 7m}\n")
        boot = state.boot_id(live) if of_boot == "now" else of_boot
        settings = Settings(stop_mode="fast", stop_timeout_s=90)
        terms.leave(live, terms.Terms(settings, instance_id=whose, boot_id=boot))
        assert cli.main(["stop", "--dry-run"]) == 0
        assert f"daemons: {words}" in capsys.readouterr().out

    def test_what_came_before_the_first_step_has_taken_its_time_too(
        self, capsys: "pytest.CaptureFixture[str]", monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        monkeypatch.setattr(cli, "time", SimpleNamespace(monotonic=lambda: time.monotonic() - 100))
        assert cli.main(["stop", "--dry-run", "--mode", "peaceful", "--within", "1000s"]) == 0
        found = re.search(r"peaceful \((\d+.*?) s\)", capsys.readouterr().out)
        assert found
        assert 900 - 45 - 30 < float(found.group(1)) <= 900 - 45

    def test_without_htcondor_there_is_nothing_to_configure(
        self, live: LiveTree, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        assert cli.main(["start"]) == 1
        assert "HTCondor is not installed" in capsys.readouterr().err
        assert not (live.root / "etc").exists()

    def test_daemons_that_do_not_come_up_are_7_and_on_record(
        self, live: LiveTree, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        live.configured(CONDOR_VERSION="23.9.6")
        live.command("condor_master", "echo 'no log directory' >&2; exit 4")
        assert cli.main(["start"]) == 7
        assert "condor_master ended at once with 4: no log directory" in capsys.readouterr().err
        assert live.named == "ec2-67-202-60-66.compute-1.amazonaws.com"
        run = last_run(live.root)
        assert (run["state"], run["instance_id"]) == ("failed", "i-10a64379")
        assert (run["steps"][-1]["name"], run["steps"][-1]["result"]) == ("daemons", "failed")

    def test_a_configuration_that_htcondor_refuses_is_5_and_not_put_in_place(self, live: LiveTree) -> None:
        live.command("condor_config_val", 'test -z "$CONDOR_CONFIG" || { echo "Syntax error" >&2; exit 1; }')
        assert cli.main(["configure"]) == 5
        assert not (live.root / CONFIG_FILE[1:]).exists()

    def test_to_stop_where_nothing_runs_is_ok(self, live: LiveTree, capsys: "pytest.CaptureFixture[str]") -> None:
        assert cli.main(["stop"]) == 0
        assert capsys.readouterr().out.startswith("nothing to do")
        assert last_run(live.root)["command"] == "stop"

    def test_a_stop_does_not_fail_for_a_broken_configuration(
        self, live: LiveTree, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        live.holds("/etc/annex-agent/config.yaml", "stop: {timeout: soon}\ncolour: red\n")
        live.command("condor_config_val", "echo 'Syntax error' >&2; exit 1")
        assert cli.main(["stop"]) == 0
        assert "config.yaml: line 1: stop.timeout" in capsys.readouterr().err

    def test_a_stop_does_not_fail_for_a_configuration_that_cannot_be_read(self, live: LiveTree) -> None:
        (live.root / "etc/annex-agent/config.yaml").mkdir(parents=True)
        assert cli.main(["stop"]) == 0


class TestTheMetadataService:
    def test_where_nothing_listens_it_is_4_and_the_endpoint_is_named(
        self, environ: Dict[str, str], root: Path, home: Path
    ) -> None:
        with socket.socket() as bound:  # and not listening: nobody else gets this port meanwhile
            bound.bind(("127.0.0.1", 0))
            endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}"
            done = annex_agent({**environ, ENDPOINT: endpoint}, "--dry-run", "--root", root)
        assert (done.returncode, done.stdout) == (4, "")
        assert endpoint in done.stderr
        assert done.stderr.count("\n") == 1

    def test_an_endpoint_that_is_no_url_is_4(self, environ: Dict[str, str]) -> None:
        done = annex_agent({**environ, ENDPOINT: "nonsense"}, "--dry-run")
        assert done.returncode == 4
        assert ENDPOINT in done.stderr

    def test_the_emulated_one_serves_until_it_is_told_to_end(self, environ: Dict[str, str], root: Path) -> None:
        argv = command("simulate", "--port", "0")
        with started(argv, env=environ, stdout=subprocess.PIPE) as service:
            assert service.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", service.stdout.readline())
            assert found is not None
            done = annex_agent({**environ, ENDPOINT: found.group()}, "--dry-run", "--root", root)
            service.send_signal(signal.SIGTERM)
            service.communicate()
        assert done.returncode == 0
        assert "i-10a64379" in done.stdout
        assert service.returncode == 0
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(found.group(), timeout=30)

    def test_a_port_that_is_taken_is_wrong_usage(self, environ: Dict[str, str]) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            done = annex_agent(environ, "simulate", "--port", port)
        assert done.returncode == 2
        assert port in done.stderr

    def test_the_examples_are_listed(self, capsys: "pytest.CaptureFixture[str]") -> None:
        assert cli.main(["simulate", "--list-profiles"]) == 0
        assert {"spot", "wiki"} <= set(capsys.readouterr().out.split())


class TestStatus:
    def test_an_empty_tree_is_3(self, root: Path, capsys: "pytest.CaptureFixture[str]") -> None:
        before = snapshot(root)
        assert cli.main(["status", "--root", str(root)]) == 3
        assert "none since this machine booted" in capsys.readouterr().out
        assert snapshot(root) == before

    def test_for_programs_it_is_json(self, root: Path, capsys: "pytest.CaptureFixture[str]") -> None:
        assert cli.main(["status", "--root", str(root), "--json"]) == 3
        answer = json.loads(capsys.readouterr().out)
        assert answer["running"] is False
        assert answer["runs"] == []

    def test_it_tells_what_was_done(self, root: Path, capsys: "pytest.CaptureFixture[str]") -> None:
        assert cli.main(["configure", "--root", str(root), "--simulate"]) == 0
        capsys.readouterr()
        assert cli.main(["status", "--root", str(root)]) == 3
        said = capsys.readouterr().out
        assert "configure, begun " in said
        assert f"write {CONFIG_FILE}" in said


class TestTheLog:
    def configure(self, root: Path, *arguments: str) -> None:
        assert cli.main(["configure", "--root", str(root), "--simulate", *arguments]) == 0

    def test_as_text_there_is_one_line_a_step(self, root: Path, capsys: "pytest.CaptureFixture[str]") -> None:
        self.configure(root)
        lines = capsys.readouterr().err.splitlines()
        assert all(line.startswith("annex-agent: ") for line in lines)
        assert len(lines) == len(last_run(root)["steps"])

    def test_as_json_there_is_one_object_a_step(self, root: Path, capsys: "pytest.CaptureFixture[str]") -> None:
        self.configure(root, "--log-format", "json")
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        told = [(line["step"], line["result"]) for line in lines]
        assert told == [(step["name"], step["result"]) for step in last_run(root)["steps"]]

    def test_when_quiet_only_trouble_is_told(self, root: Path, capsys: "pytest.CaptureFixture[str]") -> None:
        self.configure(root, "-q")
        assert capsys.readouterr().err == ""

    def test_when_verbose_more_is_told(self, root: Path, capsys: "pytest.CaptureFixture[str]") -> None:
        self.configure(root, "-v")
        assert len(capsys.readouterr().err.splitlines()) > len(last_run(root)["steps"])

    def test_in_the_journal_each_line_has_its_priority(
        self, environ: Dict[str, str], root: Path, tmp_path: Path
    ) -> None:
        with (tmp_path / "journal").open("w") as journal:
            info = os.fstat(journal.fileno())
            subprocess.run(
                command("configure", "--root", root, "--simulate"),
                env={**environ, "JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"},
                stdout=subprocess.DEVNULL,
                stderr=journal,
                check=True,
            )
        lines = (tmp_path / "journal").read_text().splitlines()
        assert lines
        assert all(line.startswith("<6>") for line in lines)

    def test_on_a_terminal_each_step_gets_a_mark(self, environ: Dict[str, str], root: Path) -> None:
        ours, terminal = pty.openpty()
        environ["PYTHONIOENCODING"] = "utf-8"
        argv = command("configure", "--root", root, "--simulate")
        with started(argv, env=environ, stdout=subprocess.DEVNULL, stderr=terminal) as process:
            os.close(terminal)
            shown = b""
            with contextlib.suppress(OSError):  # a terminal whose other end is closed ends in EIO
                while True:
                    shown += os.read(ours, 65536)
        os.close(ours)
        assert process.returncode == 0
        done = [step for step in last_run(root)["steps"] if step["result"] == "done"]
        assert shown.decode().count("✓") == len(done)


class TestInterruptions:
    def test_a_run_that_is_told_to_end_says_so_in_its_record(self, environ: Dict[str, str], root: Path) -> None:
        with socket.socket() as silent:  # a metadata service that takes a connection and never answers
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            silent.settimeout(60)
            argv = command("configure", "--root", root)
            environ[ENDPOINT] = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with started(argv, env=environ, stderr=subprocess.PIPE) as process:
                connection, _ = silent.accept()
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=60)
                connection.close()
        assert process.returncode == 130
        assert "interrupted" in said
        assert "Traceback" not in said
        assert (last_run(root)["state"], last_run(root)["error"]) == ("failed", "interrupted")
        assert "old.example.org" in (root / CONFIG_FILE[1:]).read_text()

    # No step of a tree takes long enough to be interrupted, so the child's plan is replaced by one that does.
    SLOW = """
import sys, time
from annex_agent import bootstrap, cli
from annex_agent.plan import Plan
from annex_agent.steps import Change

class Slow:
    name, description = "slow", "wait for ever"
    def pending(self, machine):
        return Change("it does not wait")
    def perform(self, machine, tell):
        print("performing", flush=True)
        while True:
            time.sleep(0.05)  # pause() would sleep through a signal that comes just before it

bootstrap.build_plan = lambda facts, goal: Plan((Slow(),))
sys.exit(cli.main(sys.argv[1:]))
"""

    def test_a_step_that_is_interrupted_is_on_record_as_failed(self, environ: Dict[str, str], root: Path) -> None:
        argv = [PYTHON, "-c", self.SLOW, "configure", "--root", str(root), "--simulate"]
        with started(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "performing\n"
            assert last_run(root)["steps"][0]["result"] == "running"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 130
        run = last_run(root)
        assert (run["state"], run["error"]) == ("failed", "interrupted")
        assert (run["steps"][0]["result"], run["steps"][0]["words"]) == ("failed", "interrupted")

    def test_a_run_that_was_killed_is_no_hindrance_to_the_next(self, environ: Dict[str, str], root: Path) -> None:
        argv = [PYTHON, "-c", self.SLOW, "configure", "--root", str(root), "--simulate"]
        with started(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
            process.communicate(timeout=60)
        assert annex_agent(environ, "configure", "--root", root, "--simulate").returncode == 0

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ("--dry-run --simulate --root TREE", 0),
            ("configure --simulate --root TREE", 0),
            ("status --root TREE", 3),
            ("status --json --root TREE", 3),
            ("simulate --list-profiles", 0),
        ],
    )
    def test_a_reader_who_has_seen_enough_is_no_trouble(
        self, environ: Dict[str, str], root: Path, arguments: str, code: int
    ) -> None:
        reading, writing = os.pipe()
        os.close(reading)  # annex-agent | true
        argv = command(*arguments.replace("TREE", str(root)).split())
        done = subprocess.run(argv, env=environ, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writing)
        assert "BrokenPipe" not in done.stderr
        assert done.returncode in (0, code)

    def test_the_first_line_is_enough_for_head(self, environ: Dict[str, str], root: Path) -> None:
        with started(
            command("--dry-run", "--simulate", "--root", root),
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline().startswith("annex-agent start, dry run")
            process.stdout.close()
            said = process.stderr.read()
        assert (process.returncode, said) == (0, "")


class TestHelp:
    def help(self, capsys: "pytest.CaptureFixture[str]") -> str:
        with pytest.raises(SystemExit) as caught:
            cli.main(["--help"])
        assert caught.value.code == 0
        return capsys.readouterr().out

    def test_every_exit_code_is_explained(self, capsys: "pytest.CaptureFixture[str]") -> None:
        found = re.findall(r"^  (\d+)  \S", self.help(capsys).partition("exit codes:")[2], re.MULTILINE)
        assert found[:8] == list("01234567")

    def test_every_command_is_explained(self, capsys: "pytest.CaptureFixture[str]") -> None:
        text = self.help(capsys)
        assert [name for name in cli._COMMANDS if not re.search(rf"^  {name}  +\w", text, re.MULTILINE)] == []

    def test_the_version_is_told(self, capsys: "pytest.CaptureFixture[str]") -> None:
        with pytest.raises(SystemExit) as caught:
            cli.main(["--version"])
        assert caught.value.code == 0
        assert capsys.readouterr().out == f"annex-agent {__version__}\n"

    def test_it_can_be_had_as_a_module(self, environ: Dict[str, str]) -> None:
        assert annex_agent(environ, "--version").stdout == f"annex-agent {__version__}\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_caller_who_has_closed_our_streams_gets_an_exit_code_all_the_same(
    environ: Dict[str, str], closed: str
) -> None:
    shell = f"{' '.join(command('--dry-run', '--simulate'))} {closed}"
    done = subprocess.run(["sh", "-c", shell], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
