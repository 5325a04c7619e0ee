"""The record of what was done, and the answer to ``status``."""

import itertools
import json
import stat
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import pytest

from annex_agent import status
from annex_agent.daemons import Daemons
from annex_agent.htcondor import HTCondor
from annex_agent.machine import Machine, local_machine
from annex_agent.model import Settings
from annex_agent.progress import Outcome
from annex_agent.status import PATH, Record, as_text, current, read_runs
from annex_agent.system import System
from annex_agent.systemd import Systemd
from annex_agent.terms import PATH as TERMS
from annex_agent.terms import Terms
from annex_agent.terms import text as terms_text
from annex_agent.watch import memory, presence
from annex_agent.watch.model import SPOT, Announcement, Leaving, Memory

from .conftest import FixedDaemons, LiveTree, Steps, bearing, holding

ADDRESS = "<67.202.60.66:9618?noUDP&sock=startd_7_ab>"


def last(system: System) -> Dict[str, Any]:
    return read_runs(system)[-1]


class TestTheRecord:
    def test_a_whole_run(self, tree: System, step: Steps) -> None:
        record = Record(tree, "start")
        record.learned("i-10a64379", ("no public address",))
        for name, result in (("one", "done"), ("two", "unchanged")):
            record.begins(step(name))
            record.says(step(name), "slow today")
            record.ends(Outcome(step(name), result, "did it", 1.23456))
        record.closes()
        run = last(tree)
        assert (run["command"], run["state"], run["instance_id"]) == ("start", "done", "i-10a64379")
        assert run["notes"] == ["no public address"]
        assert run["steps"] == [
            {
                "name": name,
                "description": f"see to {name}",
                "result": result,
                "words": "did it",
                "said": ["slow today"],
                "seconds": 1.235,
            }
            for name, result in (("one", "done"), ("two", "unchanged"))
        ]
        assert run["seconds"] >= 0
        assert "error" not in run

    def test_everybody_may_read_it(self, tree: System) -> None:
        Record(tree, "start").closes()
        assert stat.S_IMODE((tree.root / PATH[1:]).stat().st_mode) == 0o644

    def test_a_crash_leaves_the_story_up_to_it(self, tree: System, step: Steps) -> None:
        record = Record(tree, "start")
        record.learned("i-10a64379", ())
        record.begins(step("one"))
        record.ends(Outcome(step("one"), "done", "did it", 1.0))
        record.begins(step("two"))
        run = last(tree)
        assert run["state"] == "running"
        assert [(entry["name"], entry["result"]) for entry in run["steps"]] == [("one", "done"), ("two", "running")]

    def test_a_failure_is_in_it_with_its_words(self, tree: System) -> None:
        Record(tree, "start").closes("condor_master ended at once")
        assert (last(tree)["state"], last(tree)["error"]) == ("failed", "condor_master ended at once")

    def test_the_first_run_and_the_latest_are_kept_in_their_order(self, tree: System) -> None:
        for number in range(30):
            record = Record(tree, f"run {number}")
            record.learned(None, ())
            record.closes()
        kept = [run["command"] for run in read_runs(tree)]
        assert kept[0] == "run 0"
        assert kept[1:] == [f"run {number}" for number in range(30 - len(kept) + 1, 30)]
        assert 2 < len(kept) < 20

    @pytest.mark.parametrize(
        "content",
        [b"", b"half of {", b"\xff", b"[]", b"null", b"{}", b'{"runs": 3}', b'{"runs": [3, null]}', b'{"runs": {}}'],
    )
    def test_a_record_that_cannot_be_read_is_none(self, tree: System, content: bytes) -> None:
        tree.write_file(PATH, content, 0o644)
        assert read_runs(tree) == []
        Record(tree, "start").closes()
        assert [run["command"] for run in read_runs(tree)] == ["start"]

    def test_where_nothing_was_done_there_is_none(self, tree: System) -> None:
        assert read_runs(tree) == []


@pytest.fixture
def worker(live: LiveTree) -> Machine:
    """A machine in the pool, which an earlier run put there."""
    live.configured(STARTD_ADDRESS_FILE="/log/.startd_address")
    live.holds("/log/.startd_address", f"{ADDRESS}\n")
    live.holds("/ads", json.dumps([{"Name": "slot1@w", "State": "Claimed", "Activity": "Busy", "MyAddress": ADDRESS}]))
    live.command("condor_status", f"cat {live.root}/ads")
    record = Record(live, "start")
    record.learned("i-10a64379", ())
    record.closes()
    return Machine(live, HTCondor(live), FixedDaemons("condor_master", "condor_startd"), Systemd(live))


class TestTheAnswer:
    def test_a_machine_in_the_pool(self, worker: Machine, live: LiveTree) -> None:
        answer = current(worker)
        assert answer["running"] is True
        assert answer["daemons"] == [{"name": "condor_master", "pid": 100}, {"name": "condor_startd", "pid": 101}]
        assert answer["slots"] == [{"name": "slot1@w", "state": "Claimed", "activity": "Busy"}]
        assert answer["runs"] == read_runs(live)
        assert json.loads(json.dumps(answer)) == answer

    def test_a_collector_that_gives_no_answer_is_part_of_the_answer(self, worker: Machine, live: LiveTree) -> None:
        live.command("condor_status", "echo 'no route' >&2; exit 1")
        answer = current(worker)
        assert answer["running"] is True
        assert answer["slots_unknown"] == "the collector gave no answer: no route"
        assert "no route" in as_text(answer)

    def test_a_configuration_that_cannot_be_read_is_part_of_the_answer(self, worker: Machine, live: LiveTree) -> None:
        live.command("condor_config_val", "echo 'Syntax error' >&2; exit 1")
        assert "Syntax error" in current(worker)["slots_unknown"]

    def test_the_collector_is_not_asked_for_a_machine_that_was_never_configured(self, live: LiveTree) -> None:
        live.configured()
        assert current(Machine(live, HTCondor(live), FixedDaemons(), Systemd(live)))["slots"] == []
        assert live.ran == []

    def test_the_daemons_of_this_machine_are_not_those_of_a_tree(self, tree: System, tmp_path: Path) -> None:
        with bearing("condor_master", tmp_path) as master, bearing("condor_startd", tmp_path) as startd:
            assert {master.pid, startd.pid} <= {daemon.pid for daemon in Daemons().running()}
            assert current(local_machine(tree))["running"] is False

    def test_where_nothing_was_done(self, machine: Machine) -> None:
        answer = current(machine)
        assert answer["running"] is False
        assert (answer["daemons"], answer["slots"], answer["runs"]) == ([], [], [])
        assert "none since this machine booted" in as_text(answer)


class TestTheText:
    def test_it_shows_daemons_slots_and_what_was_done(self, worker: Machine, live: LiveTree, step: Steps) -> None:
        record = Record(live, "configure")
        record.learned("i-10a64379", ("no public address",))
        record.begins(step("one"))
        record.says(step("one"), "slow today")
        record.ends(Outcome(step("one"), "failed", "no", 12.3456))
        record.closes("it cannot be")
        text = as_text(current(worker))
        lines = text.split("\n")
        assert lines[0].split(None, 1) == ["daemons", "condor_master (pid 100), condor_startd (pid 101)"]
        assert lines[1].split(None, 1) == ["slots", "slot1@w Claimed/Busy"]
        assert text.index("start, begun ") < text.index("configure, begun ")
        assert any(line.split() == ["12.35", "s", "failed", "see", "to", "one"] for line in lines)
        for words in ("slow today", "no public address", "it cannot be"):
            assert words in text

    def test_a_run_that_goes_on_is_shown_too(self, live: LiveTree, step: Steps) -> None:
        record = Record(live, "start")
        record.learned(None, ())
        record.begins(step("one"))
        text = as_text(current(Machine(live, HTCondor(live), FixedDaemons(), Systemd(live))))
        assert any(line.split() == ["running", "see", "to", "one"] for line in text.split("\n"))

    @pytest.mark.parametrize(
        "run", [{}, {"steps": [{}]}, {"began": 0, "command": "start", "steps": [], "notes": [], "state": "done"}]
    )
    def test_a_record_of_another_version_is_shown_as_far_as_it_goes(
        self, machine: Machine, tree: System, run: Dict[str, Any]
    ) -> None:
        machine.system.write_file(status.PATH, json.dumps({"runs": [run]}).encode(), 0o644)
        assert as_text(current(machine))


NOW = 1_800_000_000.0
NOTICE = Announcement(SPOT, "terminate", "spot terminate x", NOW + 100)
LEAVING = Leaving(SPOT, "EC2 terminates this spot instance", NOW - 20, NOW + 100, key="spot terminate x")


class Watched(NamedTuple):
    """A machine whose watch has written down what it knows."""

    live: LiveTree
    machine: Machine

    def knows(self, **known: Any) -> None:
        memory.write(self.live, Memory("i-10a64379", "b1", **known))

    def settings(self, **settings: Any) -> None:
        terms = Terms(Settings()._replace(**settings), "i-10a64379")
        self.live.write_file(TERMS, terms_text(terms).encode(), 0o644)

    def end(self) -> Dict[str, Any]:
        return dict(current(self.machine)["ending"])

    def lines(self) -> List[str]:
        """Of the text, those of the end."""
        lines = as_text(current(self.machine)).split("\n")
        (first,) = [number for number, line in enumerate(lines) if line.startswith("end       ")]
        return [line[10:] for line in itertools.takewhile(lambda line: line[:3] in ("end", "   "), lines[first:])]


@pytest.fixture
def watched(live: LiveTree, machine: Machine, monkeypatch: "pytest.MonkeyPatch") -> Watched:
    monkeypatch.setattr(time, "time", lambda: NOW)
    live.holds("/proc/sys/kernel/random/boot_id", "b1\n")
    return Watched(live, machine)


class TestTheEnd:
    def test_whether_a_watch_runs(self, live: LiveTree, machine: Machine) -> None:
        assert current(machine)["watch"] == {"running": False, "pid": None}
        assert "\nwatch     none runs\n" in as_text(current(machine))
        with holding(live, presence.LOCK) as process:
            assert current(machine)["watch"] == {"running": True, "pid": process.pid}
            assert f"\nwatch     pid {process.pid}\n" in as_text(current(machine))

    def test_this_machines_watch_is_none_of_a_trees(self, tree: System) -> None:
        with holding(tree, presence.LOCK):
            machine = Machine(tree, HTCondor(tree), FixedDaemons(), Systemd(tree))
            assert current(machine)["watch"]["running"] is False

    def test_what_is_announced_and_done_about_it(self, watched: Watched) -> None:
        watched.settings()
        watched.knows(announced=(NOTICE,), leaving=LEAVING)
        end = watched.end()
        assert [found["what"] for found in end["announced"]] == ["terminate"]
        assert (end["leaving"]["why"], end["leaving"]["at"], end["by_settings"]) == (SPOT, NOW + 100, True)
        assert json.loads(json.dumps(end)) == end
        lines = watched.lines()
        assert lines[0].startswith("EC2 terminates this spot instance at ")
        assert any(line.startswith("draining since ") for line in lines)
        assert not any("not known" in line for line in lines)

    def test_the_lease(self, watched: Watched) -> None:
        watched.settings(lease_s=3600)
        watched.knows(launched=NOW - 600)
        assert watched.end()["lease_ends"] == NOW + 3000
        assert any("the lease ends at" in line for line in watched.lines())

    def test_a_hold(self, watched: Watched) -> None:
        assert watched.end()["held"] is False
        watched.live.holds("/run/annex-agent/hold")
        assert watched.end()["held"] is True
        assert any(line.startswith("held: ") for line in watched.lines())

    def test_what_was_known_before_this_boot_is_not_told(self, watched: Watched) -> None:
        watched.settings(lease_s=3600)
        watched.knows(announced=(NOTICE,), leaving=LEAVING, launched=NOW - 600)
        watched.live.holds("/proc/sys/kernel/random/boot_id", "b2\n")
        end = watched.end()
        assert (end["announced"], end["leaving"], end["lease_ends"]) == ([], None, None)

    def test_without_a_start_what_the_settings_say_is_not_known(self, watched: Watched) -> None:
        watched.knows(announced=(NOTICE,), launched=NOW - 600)
        end = watched.end()
        assert (len(end["announced"]), end["lease_ends"], end["by_settings"]) == (1, None, False)
        assert watched.lines()[-1].startswith("(what the settings say of it is not known")


def test_a_run_that_was_killed_does_not_look_as_if_it_went_on(live: LiveTree) -> None:
    machine = Machine(live, HTCondor(live), FixedDaemons(), Systemd(live))
    Record(live, "start").opens()
    with live.exclusive():
        assert current(machine)["runs"][-1]["state"] == "running"
    (run,) = current(machine)["runs"]
    assert run["state"] == "failed"
    assert "killed" in as_text(current(machine))
