"""How the machine is, looked at in a tree that passes for one."""

import json
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Optional

import pytest

from annex_agent import hold, process_names
from annex_agent.htcondor import HTCondor
from annex_agent.model import Settings
from annex_agent.status import PATH as RECORD
from annex_agent.system import CONFIGURED
from annex_agent.terms import Terms
from annex_agent.watch import condition as condition_module
from annex_agent.watch.condition import Lookout
from annex_agent.watch.ended import Ended
from annex_agent.watch.listing import Listing
from annex_agent.watch.model import SPOT, Announcement, Condition, Heard, Leaving, Memory

from .conftest import LiveTree, eventually

NOW = 1795273200.0
UP_S = 1000.0
NAMES = {100: "condor_master", 101: "condor_startd", 102: "condor_shared_p"}
LEAVING = Memory(leaving=Leaving("lease", "the lease is over", NOW))
WORK: FrozenSet[str] = frozenset({"stop"})


@dataclass
class Scene:
    """A machine, its processes, and who looks at it."""

    live: LiveTree
    names: Dict[int, str] = field(default_factory=lambda: dict(NAMES))
    children: Dict[int, "tuple[int, ...]"] = field(default_factory=dict)
    arguments: Dict[int, "tuple[str, ...]"] = field(default_factory=dict)
    now: float = 1000.0
    scans: int = 0

    def __post_init__(self) -> None:
        self.lookout = Lookout(self.live, HTCondor(self.live), self.find, clock=lambda: self.now)

    def find(self, begins: str) -> Dict[int, str]:
        self.scans += 1
        return {pid: name for pid, name in self.names.items() if name.startswith(begins)}

    def look(
        self,
        settings: Settings = Settings(),  # noqa: B008 - it cannot be changed
        heard: Heard = Heard(),  # noqa: B008
        memory: Memory = Memory(),  # noqa: B008
        working: FrozenSet[str] = frozenset(),
        instance_id: Optional[str] = "i-1",
    ) -> Condition:
        return self.lookout.look(NOW, Terms(settings, instance_id), heard, memory, working)

    def ran(self, **run: Any) -> None:
        """status.json has such a run as its last one."""
        self.live.holds(RECORD, json.dumps({"runs": [{"command": "start", "state": "done"}, run]}))


@pytest.fixture
def scene(live: LiveTree, monkeypatch: "pytest.MonkeyPatch") -> Scene:
    made = Scene(live)
    monkeypatch.setattr(process_names, "name", lambda pid: made.names.get(pid, ""))
    monkeypatch.setattr(process_names, "children", lambda pid: made.children.get(pid, ()))
    monkeypatch.setattr(process_names, "arguments", lambda pid: made.arguments.get(pid, ("condor_starter", "-f")))
    monkeypatch.setattr(condition_module, "_up_s", lambda: UP_S)
    return made


def test_a_machine_on_which_nothing_was_done(scene: Scene) -> None:
    scene.names.clear()
    assert scene.look() == Condition(boot_id="", booted=NOW - UP_S)


def test_a_worker_with_a_job(scene: Scene) -> None:
    scene.live.holds(CONFIGURED)
    scene.live.holds("/proc/sys/kernel/random/boot_id", "5a7b\n")
    scene.lookout = Lookout(scene.live, HTCondor(scene.live), scene.find)
    scene.ran(command="start", state="done", began=NOW - 900.0, seconds=20.5)
    scene.names[200] = "condor_starter"
    assert scene.look(working=WORK) == Condition(
        boot_id="5a7b",
        booted=NOW - UP_S,
        bootstrap="done",
        is_wanted=True,
        runs=True,
        has_jobs=True,
        working=WORK,
    )


@pytest.mark.parametrize(
    ("run", "bootstrap"),
    [
        ({"command": "start", "state": "failed", "began": 1.5, "seconds": 1.5}, "failed"),
        ({"command": "stop", "state": "done", "began": 1.5, "seconds": 1.5}, "stopped"),
        ({"command": "stop", "state": "failed"}, "done"),
        ({"command": "configure", "state": "failed"}, "done"),
        ({"command": "start", "state": "running", "began": 1.5}, "failed"),  # it was killed
        ({"command": "start", "state": "failed", "began": "x", "seconds": None}, "failed"),
    ],
)
def test_the_last_start_counts(scene: Scene, run: Dict[str, Any], bootstrap: str) -> None:
    scene.ran(**run)
    assert scene.look().bootstrap == bootstrap


def test_a_start_after_a_stop_counts(scene: Scene) -> None:
    runs = [{"command": "start", "state": "done"}, {"command": "stop", "state": "done"}]
    scene.live.holds(RECORD, json.dumps({"runs": [*runs, {"command": "start", "state": "failed"}]}))
    assert scene.look().bootstrap == "failed"
    scene.live.holds(RECORD, json.dumps({"runs": runs[1:]}))
    assert scene.look().bootstrap == ""


@pytest.mark.parametrize(("until", "is_held"), [(NOW + 30.0, True), (NOW - 90.0, False), (NOW - 30.0, True)])
def test_a_hold_counts_by_the_clock_of_this_machine(scene: Scene, until: float, is_held: bool) -> None:
    scene.live.holds(hold.PATH, json.dumps({"until": until}))
    assert scene.look(heard=Heard(ahead_s=60.0)).is_held is is_held


def test_a_start_that_is_under_way(scene: Scene) -> None:
    scene.ran(command="start", state="running", began=1.5)
    with scene.live.exclusive():
        assert scene.look().bootstrap == "running"
    assert scene.look().bootstrap == "failed"  # it was killed, and the record is as before


def test_the_record_is_read_when_it_has_changed(scene: Scene, monkeypatch: "pytest.MonkeyPatch") -> None:
    scene.ran(command="start", state="failed")
    assert scene.look().bootstrap == "failed"
    monkeypatch.setattr(condition_module, "read_runs", lambda system: pytest.fail("it is read again"))
    assert scene.look().bootstrap == "failed"
    monkeypatch.undo()
    monkeypatch.setattr(condition_module, "_up_s", lambda: UP_S)
    scene.ran(command="start", state="done")
    assert scene.look().bootstrap == "done"
    (scene.live.root / RECORD.lstrip("/")).unlink()
    assert scene.look().bootstrap == ""


@pytest.mark.parametrize("content", ["", "{", "[]", '{"runs": 3}', '{"runs": [3]}'])
def test_a_record_that_is_none(scene: Scene, content: str) -> None:
    scene.live.holds(RECORD, content)
    assert scene.look().bootstrap == ""


@pytest.mark.parametrize(
    "near",
    [
        {"memory": LEAVING},
        {"working": WORK},
        {"heard": Heard((Announcement(SPOT, "terminate", "x"),))},
        {"memory": Memory(announced=(Announcement(SPOT, "terminate", "x"),))},
    ],
)
def test_all_processes_are_looked_at_seldom_unless_something_is_near(scene: Scene, near: Dict[str, Any]) -> None:
    for _ in range(5):
        scene.look()
        scene.now += 4.0
    assert scene.scans == 2
    for _ in range(5):
        scene.look(**near)
    assert scene.scans == 7


def test_an_end_is_seen_at_once(scene: Scene) -> None:
    assert scene.look().runs
    del scene.names[100]
    assert not scene.look().runs


def test_a_job_is_seen_at_once_where_the_kernel_tells_children(scene: Scene) -> None:
    assert not scene.look().has_jobs
    scene.names.update({300: "condor_starter", 301: "condor_starter"})
    assert not scene.look().has_jobs
    scene.children[101] = (299, 300)
    assert scene.look().has_jobs
    del scene.names[300]
    scene.children.clear()
    scene.now += 15.0
    assert scene.look().has_jobs  # the other one


@pytest.mark.parametrize("arguments", [("/usr/sbin/condor_starter", "-classad"), ()], ids=["a probe", "has just ended"])
def test_a_starter_that_the_startd_only_asks_what_it_can_do_is_no_job(
    scene: Scene, arguments: "tuple[str, ...]"
) -> None:
    scene.names[300] = "condor_starter"
    scene.arguments[300] = arguments
    assert not scene.look().has_jobs
    scene.names[301] = "condor_starter"
    scene.children[101] = (300, 301)
    assert scene.look().has_jobs


def test_a_kernel_that_hides_its_processes_shows_none(scene: Scene) -> None:
    scene.lookout = Lookout(scene.live, HTCondor(scene.live), lambda begins: None)
    assert not scene.look().runs


START = "11/21/26 14:56:12 ** condor_startd (CONDOR_STARTD) STARTING UP\n"
MASTER_START = "11/21/26 14:56:12 ** condor_master (CONDOR_MASTER) STARTING UP\n"
IDLE = "11/21/26 14:56:33 No resources have been claimed for 20 seconds\n"
ENDS = "11/21/26 14:56:33 **** condor_startd (condor_STARTD) pid 157 EXITING WITH STATUS 0\n"
MASTER_ENDS = "11/21/26 14:56:33 **** condor_master (condor_MASTER) pid 122 EXITING WITH STATUS {}\n"


def logged(live: LiveTree, master: str, startd: str) -> Ended:
    live.configured(MASTER_LOG="/var/log/condor/MasterLog", STARTD_LOG="/var/log/condor/StartLog")
    live.holds("/var/log/condor/MasterLog", master)
    live.holds("/var/log/condor/StartLog", startd)
    return Ended(live, HTCondor(live))


@pytest.mark.parametrize(
    ("master", "startd", "why"),
    [
        (MASTER_START + MASTER_ENDS.format(0), START + IDLE + ENDS, "idle"),
        (MASTER_ENDS.format(0), IDLE + ENDS, "idle"),  # the begin is far above
        (MASTER_START + MASTER_ENDS.format(0), START + ENDS, ""),  # condor_off, systemctl, a signal
        (MASTER_START + MASTER_ENDS.format(0), START + IDLE + ENDS + START + ENDS, ""),
        (MASTER_START + MASTER_ENDS.format(99), START + ENDS, "shutdown"),
        (MASTER_START + MASTER_ENDS.format(99) + MASTER_START + MASTER_ENDS.format(0), START, ""),
        (MASTER_START + MASTER_ENDS.format(4), START, ""),
        (MASTER_START + MASTER_ENDS.format(199), START, ""),
        (MASTER_START, START, ""),  # it was killed
        ("", "", ""),
    ],
)
def test_why_htcondor_ended(live: LiveTree, master: str, startd: str, why: str) -> None:
    assert logged(live, master, startd).why() == why


def test_why_is_looked_up_once_for_each_end(live: LiveTree) -> None:
    ended = logged(live, MASTER_ENDS.format(99), START)
    assert ended.why() == "shutdown"
    live.holds("/var/log/condor/MasterLog", MASTER_ENDS.format(0))
    assert ended.why() == "shutdown"
    assert ended.forget() == ""
    assert ended.why() == ""


def test_logs_that_cannot_be_found_tell_nothing(live: LiveTree) -> None:
    assert Ended(live, HTCondor(live)).why() == ""
    live.configured(MASTER_LOG="/var/log/condor/MasterLog")
    assert Ended(live, HTCondor(live)).why() == ""
    live.configured(MASTER_LOG="SYSLOG", STARTD_LOG="SYSLOG")
    assert Ended(live, HTCondor(live)).why() == ""


@pytest.mark.parametrize(
    ("is_wanted", "state", "runs", "ended"),
    [
        (True, "done", False, "shutdown"),
        (True, "done", True, ""),
        (False, "done", False, ""),  # somebody took the machine out of its pool
        (True, "running", False, ""),
        (True, "failed", False, ""),
    ],
)
def test_an_end_is_one_where_htcondor_was_wanted_and_had_come_up(
    scene: Scene, is_wanted: bool, state: str, runs: bool, ended: str
) -> None:
    logged(scene.live, MASTER_ENDS.format(99), START)
    if is_wanted:
        scene.live.holds(CONFIGURED)
    if not runs:
        scene.names.clear()
    scene.ran(command="start", state=state)
    with scene.live.exclusive():
        assert scene.look().ended == ended


class Collector:
    """A condor_status that answers as it is told, and notes down that it was asked."""

    def __init__(self, live: LiveTree) -> None:
        self.live = live
        self.now = 1000.0
        self.notes = live.root / "asked"
        self.listing = Listing(live, clock=lambda: self.now)

    def answers(self, script: str) -> None:
        self.live.command("condor_status", f'echo "$*" >>{self.notes}\n{script}')

    def look(self) -> Optional[bool]:
        """The answer, once the tool that is under way has ended."""
        answer = self.listing.look("i-1")
        if self.listing._child is not None:
            eventually(lambda: self.listing.look("i-1") is not None and self.listing._child is None)
        return self.listing.look("i-1") if answer is None else self.listing._answer

    @property
    def asked(self) -> int:
        return self.notes.read_text().count("-constraint") if self.notes.exists() else 0


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("echo listed: slot1@x; echo listed: slot1_1@x", True),
        ("echo Warning: something >&2; echo listed: slot1@x", True),
        (":", False),
        ("echo Error: communication error >&2; exit 1", False),
        ("echo listed: slot1@x; exit 1", False),
        ("kill -9 $$", False),
    ],
)
def test_a_collector_that_does_not_list_it_or_does_not_answer_is_the_same(
    live: LiveTree, script: str, answer: bool
) -> None:
    collector = Collector(live)
    collector.answers(script)
    assert collector.look() is answer
    assert collector.notes.read_text() == '-constraint CloudInstanceID == "i-1" -format listed: %s\n Name\n'


def test_the_collector_is_asked_once_a_minute(live: LiveTree) -> None:
    collector = Collector(live)
    collector.answers("echo listed: slot1@x")
    for _ in range(3):
        assert collector.look()
        collector.now += 29.0
    assert collector.asked == 1
    collector.answers(":")
    assert collector.look() is False
    assert collector.asked == 2


def test_nobody_waits_for_a_collector_that_hangs(live: LiveTree) -> None:
    collector = Collector(live)
    collector.answers("exec sleep 600")
    assert collector.listing.look("i-1") is None
    assert collector.listing.look("i-1") is None
    collector.now += 31.0
    collector.listing.look("i-1")
    eventually(lambda: collector.listing.look("i-1") is False)


def test_without_the_tool_nothing_is_listed(live: LiveTree) -> None:
    assert Collector(live).look() is False


def test_who_does_not_want_to_know_does_not_ask(live: LiveTree) -> None:
    collector = Collector(live)
    collector.answers("echo listed: slot1@x")
    assert collector.look()
    assert collector.listing.forget() is None
    assert collector.listing._answer is None
    assert collector.asked == 1


LATE = Settings(unregistered_s=int(UP_S) + 119)  # it is asked two minutes before


@pytest.mark.parametrize(
    ("settings", "state", "changes", "is_asked"),
    [
        (LATE, "running", {}, True),
        (LATE, "failed", {}, True),
        (LATE._replace(unregistered_s=int(UP_S) + 121), "running", {}, False),
        (LATE, "failed", {"instance_id": None}, False),
        (LATE, "failed", {"memory": Memory(has_registered=True)}, False),
        (LATE, "done", {}, False),
        (Settings(unreachable_s=3600), "done", {}, True),
    ],
)
def test_the_collector_is_asked_where_something_follows_from_it(
    scene: Scene, settings: Settings, state: str, changes: Dict[str, Any], is_asked: bool
) -> None:
    scene.live.command("condor_status", "echo listed: slot1@x")
    scene.ran(command="start", state=state)
    with scene.live.exclusive():
        names, scene.names = scene.names, {}
        assert scene.look(settings, **changes).listed is None  # HTCondor does not run
        assert scene.lookout._listing._child is None
        scene.names, scene.now = names, scene.now + 15.0
        assert scene.look(settings, **changes).listed is None  # not yet
        assert (scene.lookout._listing._child is not None) is is_asked
        if is_asked:
            eventually(lambda: scene.look(settings, **changes).listed)
