"""The steps: what each would change, that it brings it about, and that a second run finds nothing to do."""

import os
import pwd
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import List, Tuple

import pytest

from annex_agent import peaceful, stop_steps, supervisor
from annex_agent.daemon_steps import MakeDirectories, ReadBack, StartDaemons, Trust, WaitForSlot
from annex_agent.errors import AnnexError, ConfigError, DaemonError
from annex_agent.htcondor import CONFIG_FILE, HTCondor
from annex_agent.ladder import Rung, ladder
from annex_agent.machine import Machine
from annex_agent.model import Knob
from annex_agent.steps import EmptyDirectory, RemoveDirectory, RemoveFile, SetHostName, Step, WriteFile
from annex_agent.stop_steps import StopDaemons, WithdrawSlot
from annex_agent.system import CONFIGURED, STOPPING_FILE, System
from annex_agent.systemd import Systemd

from .conftest import PYTHON, FixedDaemons, LiveTree, started

TEXT = "COLLECTOR_HOST = cm.example.org\nDAEMON_LIST = MASTER, STARTD\n"
WRITE = WriteFile("condor-config", CONFIG_FILE, TEXT, 0o644, "HTCondor's configuration")
ADDRESS_FILE = "/var/log/condor/.startd_address"
RUNGS = (Rung("graceful", signal.SIGTERM, 1.0),)


def no_one(sentence: str) -> None:
    pytest.fail(f"nothing was to be said, but: {sentence}")


def summary(step: Step, machine: Machine) -> str:
    change = step.pending(machine)
    assert change is not None
    return change.summary


def detail(step: Step, machine: Machine) -> str:
    change = step.pending(machine)
    assert change is not None
    return change.detail


class TestWriteFile:
    def test_a_second_run_finds_nothing_to_do(self, machine: Machine) -> None:
        assert WRITE.pending(machine) is not None
        assert WRITE.perform(machine, no_one) == f"wrote {CONFIG_FILE}"
        assert WRITE.pending(machine) is None

    def test_to_look_changes_nothing(self, machine: Machine, live: LiveTree) -> None:
        before = sorted(live.root.rglob("*"))
        WRITE.pending(machine)
        assert sorted(live.root.rglob("*")) == before

    def test_a_new_file_is_shown_whole(self, machine: Machine) -> None:
        assert summary(WRITE, machine) == "new file (0644)"
        assert detail(WRITE, machine).split("\n") == [
            "--- /dev/null",
            f"+++ {CONFIG_FILE}",
            "@@ -0,0 +1,2 @@",
            "+COLLECTOR_HOST = cm.example.org",
            "+DAEMON_LIST = MASTER, STARTD",
        ]

    def test_a_changed_file_is_shown_as_a_unified_diff(self, machine: Machine, live: LiveTree) -> None:
        live.holds(CONFIG_FILE, TEXT.replace("cm.", "old."))
        assert summary(WRITE, machine) == "changed content (0644)"
        assert detail(WRITE, machine).split("\n") == [
            f"--- {CONFIG_FILE}",
            f"+++ {CONFIG_FILE}",
            "@@ -1,2 +1,2 @@",
            "-COLLECTOR_HOST = old.example.org",
            "+COLLECTOR_HOST = cm.example.org",
            " DAEMON_LIST = MASTER, STARTD",
        ]

    @pytest.mark.parametrize("found", [TEXT[:-1], TEXT + "\n", TEXT.replace("\n", "\r\n"), TEXT.replace("\n", "\x0c")])
    def test_no_difference_in_content_has_an_empty_diff(self, machine: Machine, live: LiveTree, found: str) -> None:
        live.holds(CONFIG_FILE).write_bytes(found.encode())
        assert summary(WRITE, machine) == "changed content (0644)"
        assert detail(WRITE, machine)

    def test_a_file_that_is_not_text_is_replaced(self, machine: Machine, live: LiveTree) -> None:
        live.holds(CONFIG_FILE).write_bytes(b"\xff\0\n")
        assert "-\ufffd" in detail(WRITE, machine)
        assert "\0" not in detail(WRITE, machine)
        WRITE.perform(machine, no_one)
        assert WRITE.pending(machine) is None

    @pytest.mark.parametrize("mode", [0o600, 0o666, 0o4644])
    def test_a_mode_alone_is_a_change(self, machine: Machine, live: LiveTree, mode: int) -> None:
        path = live.holds(CONFIG_FILE, TEXT, mode)
        assert summary(WRITE, machine) == f"changed mode {mode:04o} (0644)"
        assert detail(WRITE, machine) == ""
        WRITE.perform(machine, no_one)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert WRITE.pending(machine) is None

    def test_an_owner_alone_is_a_change(self, machine: Machine, live: LiveTree) -> None:
        path = live.holds(CONFIG_FILE, TEXT)
        if os.geteuid() != 0:
            pytest.skip("only root can give a file to someone else")
        os.chown(path, 1, 2)
        assert summary(WRITE, machine) == "changed owner 1:2 (0644)"
        WRITE.perform(machine, no_one)
        assert (path.stat().st_uid, path.stat().st_gid) == live.owner
        assert WRITE.pending(machine) is None

    def test_everything_that_differs_is_said(self, machine: Machine, live: LiveTree) -> None:
        live.holds(CONFIG_FILE, "", 0o600)
        assert summary(WRITE, machine) == "changed content, changed mode 0600 (0644)"

    def test_the_remains_of_an_interrupted_write_are_healed(self, machine: Machine, live: LiveTree) -> None:
        path = live.holds(CONFIG_FILE, TEXT)
        live.holds(f"{Path(CONFIG_FILE).parent}/.{path.name}.annex-agent-new", "half of the te", 0o600)
        assert summary(WRITE, machine) == "remains of an interrupted write (0644)"
        WRITE.perform(machine, no_one)
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        assert WRITE.pending(machine) is None

    def test_a_link_out_of_the_tree_is_not_the_trees_own_file(self, tree: System, tmp_path: Path) -> None:
        # The link would lead nowhere, or elsewhere, on the machine that the tree is prepared for.
        (tmp_path / "outside").write_text(TEXT)
        (tmp_path / "outside").chmod(0o644)
        (tree.root / CONFIG_FILE[1:]).parent.mkdir(parents=True)
        (tree.root / CONFIG_FILE[1:]).symlink_to(tmp_path / "outside")
        assert WRITE.pending(Machine(tree, HTCondor(tree), FixedDaemons(), Systemd(tree))) is not None

    def test_the_purpose_is_told(self) -> None:
        assert WRITE.description == f"write {CONFIG_FILE} (HTCondor's configuration)"


class TestRemoveFile:
    REMOVE = RemoveFile("cloud-init", "/etc/cloud/99.cfg", "the host name is cloud-init's again")

    def test_a_second_run_finds_nothing_to_do(self, machine: Machine, live: LiveTree) -> None:
        path = live.holds("/etc/cloud/99.cfg")
        assert summary(self.REMOVE, machine) == "it is there"
        assert self.REMOVE.perform(machine, no_one) == "removed /etc/cloud/99.cfg"
        assert not path.exists()
        assert self.REMOVE.pending(machine) is None

    def test_an_empty_file_is_there_too(self, machine: Machine, live: LiveTree) -> None:
        live.holds("/etc/cloud/99.cfg", "")
        assert self.REMOVE.pending(machine) is not None

    def test_remains_of_a_write_go_with_it(self, machine: Machine, live: LiveTree) -> None:
        remains = live.holds("/etc/cloud/.99.cfg.annex-agent-new")
        assert summary(self.REMOVE, machine) == "remains of an interrupted write"
        self.REMOVE.perform(machine, no_one)
        assert not remains.exists()

    def test_a_file_that_somebody_else_has_changed_stays(self, machine: Machine, live: LiveTree) -> None:
        step = self.REMOVE._replace(only="ours\n")
        live.holds("/etc/cloud/99.cfg", "theirs\n")
        assert step.pending(machine) is None
        live.holds("/etc/cloud/99.cfg", "ours\n")
        assert summary(step, machine) == "it is there"


class TestRemoveDirectory:
    REMOVE = RemoveDirectory("x", "/var/lib/annex-agent", "whose disk this is")

    def test_a_second_run_finds_nothing_to_do(self, machine: Machine, live: LiveTree) -> None:
        live.holds("/var/lib/annex-agent/a/b")
        assert summary(self.REMOVE, machine) == "a"
        self.REMOVE.perform(machine, no_one)
        assert not (live.root / "var/lib/annex-agent").exists()
        assert self.REMOVE.pending(machine) is None

    def test_an_empty_one_goes_too(self, machine: Machine, live: LiveTree) -> None:
        (live.root / "var/lib/annex-agent").mkdir(parents=True)
        assert summary(self.REMOVE, machine) == "it is empty"

    def test_a_link_in_its_place_is_not_followed(self, machine: Machine, live: LiveTree) -> None:
        kept = live.holds("/home/kept")
        (live.root / "var/lib").mkdir(parents=True)
        (live.root / "var/lib/annex-agent").symlink_to(live.root / "home")
        with pytest.raises(AnnexError, match="/var/lib/annex-agent cannot be removed"):
            self.REMOVE.perform(machine, no_one)
        assert kept.exists()


class TestEmptyDirectory:
    OWNER = pwd.getpwuid(os.geteuid()).pw_name
    EMPTY = EmptyDirectory("x", "/var/log/condor", OWNER, "logs")

    def test_a_second_run_finds_nothing_to_do(self, machine: Machine, live: LiveTree) -> None:
        for name in ("a/b", "c", "d", "e", "f", ".hidden"):
            live.holds(f"/var/log/condor/{name}")
        assert summary(self.EMPTY, machine) == ".hidden, a, c, d, e and 1 more"
        assert self.EMPTY.perform(machine, no_one) == "emptied /var/log/condor"
        assert list((live.root / "var/log/condor").iterdir()) == []
        assert self.EMPTY.pending(machine) is None

    def test_where_there_is_none_there_is_nothing_to_do(self, machine: Machine) -> None:
        assert self.EMPTY.pending(machine) is None

    def test_links_go_and_what_they_lead_to_stays(self, machine: Machine, live: LiveTree) -> None:
        kept = live.holds("/home/kept")
        (live.root / "var/log/condor").mkdir(parents=True)
        (live.root / "var/log/condor/link").symlink_to(live.root / "home")
        (live.root / "var/log/condor/dangling").symlink_to("nowhere")
        self.EMPTY.perform(machine, no_one)
        assert kept.exists()
        assert self.EMPTY.pending(machine) is None

    def test_another_users_directory_is_left_alone(self, machine: Machine, live: LiveTree) -> None:
        kept = live.holds("/var/log/condor/kept")
        told: List[str] = []
        step = self.EMPTY._replace(owner="condor-of-elsewhere")
        assert f"/var/log/condor belongs to {self.OWNER}, not to condor-of-elsewhere" in summary(step, machine)
        assert step.perform(machine, told.append) == "left /var/log/condor alone"
        assert "look at it yourself" in told[0]
        assert kept.exists()


class TestSetHostName:
    def test_a_second_run_finds_nothing_to_do(self, machine: Machine, live: LiveTree) -> None:
        step = SetHostName("ec2-67-202-60-66.compute-1.amazonaws.com")
        assert summary(step, machine) == "it is ip-10-253-191-243"
        assert step.perform(machine, no_one) == "the host name is ec2-67-202-60-66.compute-1.amazonaws.com"
        assert live.named == "ec2-67-202-60-66.compute-1.amazonaws.com"
        assert step.pending(machine) is None


class TestReadBack:
    STEP = ReadBack(TEXT, (Knob("COLLECTOR_HOST", "cm.example.org"), Knob("Mixed", "$(OTHER) x")))

    def test_what_htcondor_will_see_is_as_it_shall_be(self, machine: Machine, live: LiveTree) -> None:
        live.configured(COLLECTOR_HOST="cm.example.org", MIXED="expanded x")
        assert self.STEP.pending(machine) is None

    def test_a_file_that_overrules_ours_is_named(self, machine: Machine, live: LiveTree) -> None:
        live.configured(COLLECTOR_HOST="other.example.org")
        told: List[str] = []
        sentence = summary(self.STEP, machine)
        assert sentence.startswith("COLLECTOR_HOST shall be cm.example.org, but HTCondor will see other.example.org ")
        assert "(/etc/condor/x, line 1)" in sentence
        self.STEP.perform(machine, told.append)
        assert told == [sentence]

    def test_a_knob_that_vanishes_is_named(self, machine: Machine, live: LiveTree) -> None:
        live.configured()
        assert "but HTCondor will see  (nowhere)" in summary(self.STEP, machine)

    def test_a_configuration_that_htcondor_refuses_is_an_error_while_looking(
        self, machine: Machine, live: LiveTree
    ) -> None:
        live.command("condor_config_val", 'test "$1" = -config || { echo "Syntax error" >&2; exit 1; }')
        with pytest.raises(ConfigError, match="HTCondor refuses the configuration: Syntax error"):
            self.STEP.pending(machine)


class TestMakeDirectories:
    def test_only_those_that_are_missing_are_named(self, machine: Machine, live: LiveTree) -> None:
        (live.root / "var/log/condor").mkdir(parents=True)
        step = MakeDirectories(("/run/condor", "/var/log/condor", "/scratch"))
        assert summary(step, machine) == "missing: /run/condor, /scratch"

    def test_a_second_run_finds_nothing_to_do(self, machine: Machine, live: LiveTree) -> None:
        (live.root / "var/log/condor").mkdir(parents=True)
        assert MakeDirectories(("/var/log/condor",)).pending(machine) is None


class TestStartDaemons:
    STEP = StartDaemons("f1", RUNGS)

    @pytest.fixture(autouse=True)
    def mark(self, live: LiveTree) -> Path:
        return live.holds(CONFIGURED, "ANNEX_AGENT_CONFIG=f1\n")

    def with_master(self, live: LiveTree, *names: str, fingerprint: "str | None" = "") -> Machine:
        return Machine(live, HTCondor(live), FixedDaemons(*names, fingerprint=fingerprint), Systemd(live))

    def test_a_peaceful_stop_that_was_interrupted_is_taken_back(self, live: LiveTree) -> None:
        stopping = live.holds(STOPPING_FILE, peaceful.TEXT)
        live.holds(ADDRESS_FILE, "<10.0.0.1:9618?sock=startd>\n")
        machine = self.with_master(live, "condor_master", fingerprint="f1")
        step = self.STEP._replace(startd_address_file=ADDRESS_FILE)
        assert summary(step, machine) == "it runs, and takes no job: a peaceful stop was interrupted"
        assert step.perform(machine, no_one) == "condor_master takes jobs again"
        assert isinstance(machine.daemons, FixedDaemons)
        assert (stopping.exists(), machine.daemons.reports) == (False, 1)
        assert step.pending(machine) is None

    def test_what_a_peaceful_stop_has_left_is_gone_before_the_master_starts(
        self, machine: Machine, live: LiveTree
    ) -> None:
        stopping = live.holds(STOPPING_FILE, peaceful.TEXT)
        live.command("condor_master", f"test ! -e {stopping}")
        assert self.STEP.perform(machine, no_one) == "condor_master started"

    def test_daemons_that_run_with_this_configuration_stay(self, live: LiveTree) -> None:
        assert self.STEP.pending(self.with_master(live, "condor_master", fingerprint="f1")) is None

    @pytest.mark.parametrize(
        ("names", "fingerprint", "words"),
        [
            ((), None, "it does not run"),
            (("condor_startd",), None, "it does not run"),
            (("condor_master",), "f0", "it runs (pid 100) with another configuration: stop it, then start it again"),
            (("condor_master",), "", "it runs (pid 100) with another configuration: stop it, then start it again"),
            (("condor_master",), None, "it runs (pid 100); only root can see with which configuration"),
        ],
    )
    def test_what_would_change(self, live: LiveTree, names: Tuple[str, ...], fingerprint: str, words: str) -> None:
        assert summary(self.STEP, self.with_master(live, *names, fingerprint=fingerprint)) == words

    def test_the_master_is_started_with_the_fingerprint_in_its_environment(
        self, machine: Machine, live: LiveTree, tmp_path: Path
    ) -> None:
        live.command("condor_master", f"env > {tmp_path}/environment")
        assert self.STEP.perform(machine, no_one) == "condor_master started"
        assert "ANNEX_AGENT_CONFIG=f1" in (tmp_path / "environment").read_text().split("\n")

    def test_the_address_of_an_earlier_life_is_gone_before_the_master_starts(
        self, machine: Machine, live: LiveTree
    ) -> None:
        address_file = live.holds("/var/log/condor/.startd_address", "<10.0.0.1:9618?sock=old>\n")
        live.command("condor_master", f"test ! -e {address_file}")
        step = StartDaemons("f1", RUNGS, startd_address_file="/var/log/condor/.startd_address")
        assert step.perform(machine, no_one) == "condor_master started"

    def test_a_master_that_ends_at_once_is_an_error_with_its_words(self, machine: Machine, live: LiveTree) -> None:
        live.configured(MASTER_LOG="/var/log/condor/MasterLog")
        live.command("condor_master", "echo 'no log directory' >&2; exit 4")
        with pytest.raises(DaemonError, match=r"ended at once with 4: no log directory; see /var/log/condor/MasterLog"):
            self.STEP.perform(machine, no_one)

    def test_a_master_that_ends_at_once_is_told_of_even_where_the_configuration_cannot_be_read(
        self, machine: Machine, live: LiveTree
    ) -> None:
        live.command("condor_config_val", "echo 'Syntax error' >&2; exit 1")
        live.command("condor_master", "echo 'no log directory' >&2; exit 4")
        with pytest.raises(DaemonError, match="no log directory"):
            self.STEP.perform(machine, no_one)

    def test_the_kernel_is_tuned_beside_it(self, machine: Machine, live: LiveTree) -> None:
        live.command("condor_master", "")
        live.command("tune", "")
        StartDaemons("f1", RUNGS, "/tune").perform(machine, no_one)
        starting, tuning = live.ran
        assert str(live.commands / "condor_master") in starting
        assert tuning == ("/tune",)

    @pytest.mark.parametrize(
        ("script", "words"),
        [("echo 'not permitted' >&2; exit 1", "/tune ended with 1: not permitted"), (None, "the kernel is not tuned")],
    )
    def test_a_kernel_that_cannot_be_tuned_is_worth_a_sentence(
        self, machine: Machine, live: LiveTree, script: "str | None", words: str
    ) -> None:
        live.command("condor_master", "")
        if script:
            live.command("tune", script)
        told: List[str] = []
        assert StartDaemons("f1", RUNGS, "/tune").perform(machine, told.append) == "condor_master started"
        assert len(told) == 1
        assert told[0].startswith(words)


def answers(live: LiveTree, *lists: str) -> None:
    """The collector's answers, one after the other; the last one stays. It lists nothing of an earlier life."""
    for number, answer in enumerate(lists):
        live.holds(f"/answers/{number}", answer)
    turn, last = f"{live.root}/turn", len(lists) - 1
    live.command(
        "condor_status",
        f"case \"$*\" in *=!=*) echo '[]'; exit;; esac\n"
        f"n=$(cat {turn} 2>/dev/null || echo 0)\ncat {live.root}/answers/$n\n"
        f"test $n -ge {last} || echo $((n+1)) > {turn}",
    )


SLOT = (
    '[{"Name": "slot1@w", "Machine": "w", "State": "Unclaimed", "Activity": "Idle",'
    ' "MyAddress": "<67.202.60.66:9618?noUDP&sock=startd_7_ab>"}]'
)
DAEMONS = FixedDaemons("condor_master", "condor_startd")


@pytest.fixture
def worker(live: LiveTree) -> Machine:
    """A machine with running daemons, whose startd has written its address."""
    live.configured(MASTER_LOG="/var/log/condor/MasterLog")
    live.holds(ADDRESS_FILE, "<67.202.60.66:9618?noUDP&sock=startd_7_ab>\n$CondorVersion$\n")
    return Machine(live, HTCondor(live), DAEMONS, Systemd(live))


class TestWaitForSlot:
    STEP = WaitForSlot("i-10a64379", ADDRESS_FILE, 30.0)

    def test_a_slot_that_is_listed_already_is_not_waited_for(self, worker: Machine, live: LiveTree) -> None:
        answers(live, SLOT)
        assert self.STEP.pending(worker) is None

    def test_the_wait_ends_when_the_collector_lists_the_slot(self, worker: Machine, live: LiveTree) -> None:
        answers(live, "[]", "[]", SLOT)
        assert self.STEP.perform(worker, no_one) == "in the pool as slot1@w"

    def test_a_collector_that_gives_no_answer_at_first_is_asked_again(self, worker: Machine, live: LiveTree) -> None:
        answers(live, SLOT)
        good = (live.commands / "condor_status").read_text().partition("\n")[2]
        live.command("condor_status", f"test -e {live.root}/up || {{ touch {live.root}/up; exit 1; }}\n{good}")
        assert self.STEP.perform(worker, no_one) == "in the pool as slot1@w"

    def test_another_daemons_slot_is_not_ours(self, worker: Machine, live: LiveTree) -> None:
        answers(live, SLOT.replace("startd_7_ab", "startd_6_aa"))
        with pytest.raises(DaemonError, match=r"does not list this machine after 0\.2 s: it lists no slot"):
            WaitForSlot("i-10a64379", ADDRESS_FILE, 0.2).perform(worker, no_one)

    def test_when_the_time_is_up_the_last_trouble_and_the_log_are_told(self, worker: Machine, live: LiveTree) -> None:
        live.command("condor_status", "echo 'Error: connect to cm failed' >&2; exit 1")
        live.holds("/var/log/condor/MasterLog", "fine\n12/01 DENIED by cm\nfine again\n")
        with pytest.raises(DaemonError) as caught:
            WaitForSlot("i-10a64379", ADDRESS_FILE, 0.2).perform(worker, no_one)
        assert "after 0.2 s: the collector gave no answer: Error: connect to cm failed; " in str(caught.value)
        assert "/var/log/condor/MasterLog says: '12/01 DENIED by cm'" in str(caught.value)

    def test_daemons_that_do_not_report_by_themselves_are_asked_to(self, live: LiveTree, worker: Machine) -> None:
        answers(live, "[]")

        class Reporting(FixedDaemons):
            def report_again(self) -> None:
                super().report_again()
                answers(live, *(["[]"] if self.reports < 2 else [SLOT]))

        daemons = Reporting("condor_master", "condor_startd")
        asked = Machine(live, worker.htcondor, daemons, worker.systemd)
        assert self.STEP._replace(patience_s=0.1).perform(asked, no_one) == "in the pool as slot1@w"
        assert daemons.reports == 2

    def test_daemons_that_are_not_up_yet_are_left_alone(self, live: LiveTree, worker: Machine) -> None:
        (live.root / ADDRESS_FILE.lstrip("/")).unlink()
        daemons = FixedDaemons("condor_master")
        with pytest.raises(DaemonError):
            self.STEP._replace(patience_s=0.0, deadline_s=0.3).perform(
                Machine(live, worker.htcondor, daemons, worker.systemd), no_one
            )
        assert daemons.reports == 0

    def test_a_collector_that_refuses_is_named_with_the_method_its_words_and_what_to_look_at(
        self, worker: Machine, live: LiveTree
    ) -> None:
        live.command("condor_status", "echo 'Error: communication error' >&2; exit 1")
        live.command("condor_ping", "echo 'ADVERTISE_STARTD failed!'; echo 'AUTHENTICATE:1003:No method' >&2; exit 1")
        step = self.STEP._replace(deadline_s=0.2, trust=Trust("cm.example.org", "idtokens", "is it the right token?"))
        with pytest.raises(DaemonError) as caught:
            step.perform(worker, no_one)
        assert str(caught.value) == (
            "the collector cm.example.org refuses this worker (security.method idtokens: AUTHENTICATE:1003:No method): "
            "is it the right token?"
        )

    def test_a_master_that_ends_meanwhile_ends_the_wait(self, worker: Machine, live: LiveTree) -> None:
        answers(live, "[]")
        with pytest.raises(DaemonError, match="condor_master ended before it had joined the pool"):
            self.STEP.perform(Machine(live, worker.htcondor, FixedDaemons(), Systemd(live)), no_one)

    def test_to_look_is_possible_without_a_collector(self, worker: Machine, live: LiveTree) -> None:
        live.command("condor_status", "echo 'no route' >&2; exit 1")
        assert summary(self.STEP, worker) == "at most 30 s; now the collector gave no answer: no route"

    def test_to_look_is_possible_while_no_daemon_runs(self, machine: Machine) -> None:
        assert summary(self.STEP, machine) == "at most 30 s; it lists none now"

    @pytest.mark.parametrize(
        ("contact", "relayed", "told"),
        [("", True, 1), ("", False, 0), ("CCBID=198.51.100.10:9618%3fnoUDP#1&", True, 0)],
    )
    def test_a_slot_that_nobody_outside_can_reach_is_told(
        self, worker: Machine, live: LiveTree, contact: str, relayed: bool, told: int
    ) -> None:
        answers(live, SLOT.replace(":9618?", f":9618?{contact}"))
        said: List[str] = []
        assert self.STEP._replace(relayed=relayed).perform(worker, said.append) == "in the pool as slot1@w"
        assert len(said) == told
        assert ["CCB" in sentence and "SHARED_PORT_LOG" in sentence for sentence in said] == [True] * told

    def with_an_earlier_life(self, live: LiveTree) -> None:
        old = SLOT.replace("slot1@w", "slot1@old").replace('"Machine": "w"', '"Machine": "old"')
        live.holds("/answers/all", SLOT)
        live.holds("/answers/stale", old)
        live.command(
            "condor_status",
            f'case "$*" in *=!=*) cat {live.root}/answers/stale;; *) cat {live.root}/answers/all;; esac',
        )

    def test_what_an_earlier_life_left_behind_is_forgotten(self, worker: Machine, live: LiveTree) -> None:
        self.with_an_earlier_life(live)
        live.command("condor_advertise", f"cat >> {live.root}/query; echo '[]' > {live.root}/answers/stale")
        assert "slot1@old" in summary(self.STEP, worker)
        told: List[str] = []
        assert self.STEP.perform(worker, told.append) == "in the pool as slot1@w"
        assert 'Machine =!= "w"' in (live.root / "query").read_text()
        assert len(told) == 1
        assert "slot1@old" in told[0]
        assert self.STEP.pending(worker) is None

    def test_a_collector_that_does_not_forget_it_keeps_no_machine_out_of_the_pool(
        self, worker: Machine, live: LiveTree
    ) -> None:
        self.with_an_earlier_life(live)
        live.command("condor_advertise", "echo 'DENIED' >&2; exit 1")
        told: List[str] = []
        assert self.STEP.perform(worker, told.append) == "in the pool as slot1@w"
        assert "DENIED" in told[0]

    def test_a_collector_that_falls_silent_once_the_slot_is_listed_keeps_no_machine_out_of_the_pool(
        self, worker: Machine, live: LiveTree
    ) -> None:
        self.with_an_earlier_life(live)
        good = (live.commands / "condor_status").read_text().partition("\n")[2]
        live.command("condor_status", f'case "$*" in *=!=*) echo "no route" >&2; exit 1;; esac\n{good}')
        told: List[str] = []
        assert self.STEP.perform(worker, told.append) == "in the pool as slot1@w"
        assert len(told) == 1
        assert "no route" in told[0]


class TestStopDaemons:
    STEP = StopDaemons(RUNGS)

    def test_where_nothing_runs_there_is_nothing_to_do(self, machine: Machine) -> None:
        assert self.STEP.pending(machine) is None

    def test_the_daemons_that_would_end_are_named(self, worker: Machine) -> None:
        assert summary(self.STEP, worker) == "condor_master (pid 100), condor_startd (pid 101)"

    def test_a_supervisor_that_waits_to_start_it_again_is_ended(self, machine: Machine, live: LiveTree) -> None:
        claim = (
            "import sys; from pathlib import Path; from annex_agent.system import System\n"
            "print(System(Path(sys.argv[1])).claim(sys.argv[2]), flush=True); sys.stdin.read()"
        )
        argv = [PYTHON, "-c", claim, str(live.root), supervisor.LOCK]
        with started(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watching:
            assert watching.stdout is not None
            assert watching.stdout.readline() == "True\n"
            assert summary(self.STEP, machine) == f"their supervisor (pid {watching.pid})"
            self.STEP.perform(machine, no_one)
            assert watching.wait() == -signal.SIGTERM
        assert self.STEP.pending(machine) is None

    def test_the_ladder_is_told(self) -> None:
        step = StopDaemons((*RUNGS, Rung("kill", signal.SIGKILL, 10.0)))
        assert step.description == "end HTCondor's daemons: graceful (1 s), then kill (10 s)"

    def test_the_next_daemons_take_jobs_again(self, machine: Machine, live: LiveTree) -> None:
        stopping = live.holds(STOPPING_FILE, peaceful.TEXT)
        self.STEP.perform(machine, no_one)
        assert not stopping.exists()

    def test_with_an_end_the_ladder_is_what_there_is_time_for_now(self) -> None:
        step = StopDaemons(ladder("graceful", 600), time.monotonic() - 3600)
        assert step.description == "end HTCondor's daemons: kill (2 s)"
        assert StopDaemons(ladder("fast", 5), time.monotonic() + 60).description.endswith(
            "fast (5 s), then kill (10 s)"
        )

    def test_daemons_that_end_between_the_look_and_the_deed_are_no_trouble(self, machine: Machine) -> None:
        assert self.STEP.perform(machine, no_one) == "they had ended already"


@pytest.fixture
def late(live: LiveTree) -> Machine:
    """A machine whose stop is at its end: for nothing may be waited any more."""
    live.ends_at = time.monotonic() - 1
    return Machine(live, HTCondor(live), FixedDaemons(), Systemd(live))


class TestWithdrawSlot:
    STEP = WithdrawSlot('CloudInstanceID == "i-10a64379"')

    def test_a_second_run_finds_nothing_to_do(self, machine: Machine, live: LiveTree) -> None:
        answers(live, SLOT, SLOT, "[]")
        assert summary(self.STEP, machine) == "it lists slot1@w"
        assert self.STEP.perform(machine, no_one) == "gone from the collector"
        assert self.STEP.pending(machine) is None

    def test_a_collector_that_still_lists_it_is_asked_to_forget_it(self, machine: Machine, live: LiveTree) -> None:
        answers(live, SLOT)
        live.command("condor_advertise", f"echo '[]' > {live.root}/answers/0")
        told: List[str] = []
        assert self.STEP.perform(machine, told.append) == "withdrawn from the collector"
        assert told == ["the collector still lists this machine's slot: asking it to forget it"]

    def test_a_collector_that_gives_no_answer_does_not_hold_up_a_stop(self, machine: Machine, live: LiveTree) -> None:
        live.command("condor_status", "echo 'no route' >&2; exit 1")
        told: List[str] = []
        assert summary(self.STEP, machine) == "the collector gave no answer: no route"
        assert self.STEP.perform(machine, told.append) == "the collector could not be asked"
        assert told[0].startswith("the collector gave no answer: no route: a slot that is still listed goes")

    @pytest.mark.parametrize("tool", ["condor_status", "condor_advertise"])
    def test_a_tool_that_is_not_there_does_not_hold_up_a_stop(
        self, machine: Machine, live: LiveTree, tool: str
    ) -> None:
        answers(live, SLOT)
        live.command("condor_advertise", "")
        (live.commands / tool).unlink()
        told: List[str] = []
        assert self.STEP.perform(machine, told.append) == "the collector could not be asked"
        assert f"{tool} cannot be run" in told[-1]

    def test_a_collector_that_does_not_forget_it_is_told_where_there_is_time_to_see(
        self, machine: Machine, live: LiveTree, monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        monkeypatch.setattr(stop_steps, "_GONE_BY_REQUEST_S", 0.1)
        answers(live, SLOT)
        live.command("condor_advertise", "")
        with pytest.raises(DaemonError, match="does it allow this worker ADVERTISE_STARTD"):
            self.STEP.perform(machine, lambda sentence: None)

    def test_where_no_time_is_left_it_is_asked_and_not_blamed(self, late: Machine, live: LiveTree) -> None:
        answers(live, SLOT)
        live.command("condor_advertise", "echo asked >> $(dirname $0)/../asked")
        told: List[str] = []
        assert self.STEP.perform(late, told.append) == "asked the collector to forget it"
        assert (live.root / "asked").read_text() == "asked\n" * 2
        assert told[-1].startswith("the collector has not forgotten this machine's slot in the time that was left")

    def test_where_no_time_is_left_a_silent_collector_costs_a_moment(self, late: Machine, live: LiveTree) -> None:
        live.command("condor_status", "sleep 30")
        assert "condor_status did not end within 0.5 s" in summary(self.STEP, late)
        assert self.STEP.perform(late, lambda sentence: None) == "the collector could not be asked"


@pytest.mark.parametrize(
    "step", [WRITE, ReadBack(TEXT, ()), MakeDirectories(("/run/condor",)), StartDaemons("f", RUNGS)]
)
def test_a_description_is_one_line(step: Step) -> None:
    assert step.description
    assert "\n" not in step.description
