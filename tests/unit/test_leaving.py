"""What HTCondor is told while this machine leaves: the file, and the signal to read it."""

import os
import signal
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import pytest

from annex_agent import process_names
from annex_agent.system import LEAVING_FILE
from annex_agent.watch.leaving import Notice, text
from annex_agent.watch.model import Leaving

from .conftest import LiveTree

SPOT = Leaving("spot", "EC2 terminates this spot instance at 15:02:00 UTC", 1795273200.0, 1795273320.9)
ADDRESS = "/var/log/condor/.startd_address"
US = os.getpid()  # it is there, and has been for a while


class Pool:
    """A machine whose master is this process, and what it was told."""

    def __init__(self, live: LiveTree) -> None:
        self.live = live
        self.masters: Optional[Dict[int, str]] = {US: "condor_master"}
        self.told: List[Tuple[int, int]] = []

    def notice(self) -> Notice:
        return Notice(self.live, lambda begins: self.masters, lambda pid, number: self.told.append((pid, number)))

    @property
    def file(self) -> Optional[str]:
        path = self.live.root / LEAVING_FILE.lstrip("/")
        return path.read_text() if path.exists() else None


@pytest.fixture
def pool(live: LiveTree) -> Pool:
    live.holds(ADDRESS, "<10.0.0.1:9618>")
    return Pool(live)


def test_the_knobs_take_no_job_and_say_why_and_when() -> None:
    assert text(SPOT).splitlines()[1:] == [
        "STARTD.START = False",
        'AnnexLeaving = "spot"',
        "AnnexLeavingTime = 1795273320",
        "STARTD_ATTRS = $(STARTD_ATTRS) AnnexLeaving AnnexLeavingTime",
    ]


def test_without_a_time_none_is_advertised() -> None:
    assert text(SPOT._replace(at=None)).splitlines()[1:] == [
        "STARTD.START = False",
        'AnnexLeaving = "spot"',
        "STARTD_ATTRS = $(STARTD_ATTRS) AnnexLeaving",
    ]


@pytest.mark.parametrize("why", ['"', "$(START)", "a\nSTART = True", "\\", "@"])
def test_nothing_in_it_means_anything_to_htcondor(why: str) -> None:
    lines = text(SPOT._replace(why=why)).splitlines()
    assert len(lines) == 5
    assert set(lines[2].partition("= ")[2][1:-1]) <= set("-aASTRTrue =")


def test_htcondor_reads_it_when_it_comes_and_when_it_goes(pool: Pool) -> None:
    notice = pool.notice()
    notice.settle(None, ADDRESS)
    assert (pool.file, pool.told) == (None, [])
    notice.settle(SPOT, ADDRESS)
    assert pool.file == text(SPOT)
    notice.settle(SPOT, ADDRESS)
    assert pool.told == [(US, signal.SIGHUP)]
    notice.settle(None, ADDRESS)
    notice.settle(None, ADDRESS)
    assert not (pool.live.root / LEAVING_FILE.lstrip("/")).exists()
    assert pool.told == [(US, signal.SIGHUP)] * 2


def test_another_reason_is_told_too(pool: Pool) -> None:
    notice = pool.notice()
    notice.settle(SPOT._replace(why="rebalance", at=None), ADDRESS)
    notice.settle(SPOT, ADDRESS)
    notice.settle(SPOT._replace(phase="stopping"), ADDRESS)
    assert pool.file == text(SPOT)
    assert len(pool.told) == 2


def test_what_somebody_else_removes_or_changes_is_put_back(pool: Pool) -> None:
    notice = pool.notice()
    notice.settle(SPOT, ADDRESS)
    (pool.live.root / LEAVING_FILE.lstrip("/")).unlink()
    notice.settle(SPOT, ADDRESS)
    pool.live.holds(LEAVING_FILE, "START = True\n")
    notice.settle(SPOT, ADDRESS)
    assert pool.file == text(SPOT)
    assert len(pool.told) == 3


def test_everybody_may_read_it(pool: Pool) -> None:
    pool.notice().settle(SPOT, ADDRESS)
    assert pool.live.mode(LEAVING_FILE) == 0o644


def test_a_watch_that_died_before_the_signal_is_made_good_once(pool: Pool) -> None:
    pool.live.holds(LEAVING_FILE, text(SPOT))
    notice = pool.notice()
    notice.settle(SPOT, ADDRESS)
    notice.settle(SPOT, ADDRESS)
    assert len(pool.told) == 1


def test_what_an_earlier_watch_left_goes(pool: Pool) -> None:
    pool.live.holds(LEAVING_FILE, text(SPOT))
    pool.notice().settle(None, ADDRESS)
    assert pool.file is None
    assert len(pool.told) == 1


def test_without_a_master_there_is_nobody_to_tell_now_or_later(pool: Pool) -> None:
    notice = pool.notice()
    pool.masters = {}
    notice.settle(SPOT, ADDRESS)
    pool.masters = {US: "condor_master"}
    notice.settle(SPOT, ADDRESS)
    assert pool.file == text(SPOT)
    assert pool.told == []


def test_where_processes_cannot_be_seen_it_is_tried_again(pool: Pool) -> None:
    notice = pool.notice()
    pool.masters = None
    notice.settle(SPOT, ADDRESS)
    pool.masters = {US: "condor_master"}
    notice.settle(SPOT, ADDRESS)
    assert len(pool.told) == 1


def young(monkeypatch: "pytest.MonkeyPatch", pool: Pool, age_s: float, written_s_ago: Optional[float]) -> None:
    """The master is that old, and its startd's address file."""
    monkeypatch.setattr(process_names, "began_s", lambda pid: 0.0)
    monkeypatch.setattr("annex_agent.watch.leaving.time.clock_gettime", lambda clock: age_s)
    monkeypatch.setattr("annex_agent.watch.leaving.time.time", lambda: 10_000.0)
    path = pool.live.root / ADDRESS.lstrip("/")
    if written_s_ago is None:
        path.unlink(missing_ok=True)
    else:
        os.utime(path, (0, 10_000.0 - written_s_ago))


@pytest.mark.parametrize(
    ("age_s", "written_s_ago", "is_told"),
    [(5.0, None, False), (5.0, 3600.0, False), (5.0, 2.0, True), (61.0, 3600.0, True), (61.0, None, True)],
)
def test_a_master_that_is_not_set_up_yet_is_told_later_for_now_the_signal_would_end_it(
    pool: Pool, monkeypatch: "pytest.MonkeyPatch", age_s: float, written_s_ago: Optional[float], is_told: bool
) -> None:
    notice = pool.notice()
    young(monkeypatch, pool, age_s, written_s_ago)
    notice.settle(SPOT, ADDRESS)
    assert bool(pool.told) is is_told
    pool.live.holds(ADDRESS)
    young(monkeypatch, pool, 7.0, 1.0)
    notice.settle(SPOT, ADDRESS)
    assert len(pool.told) == 1


def test_without_terms_a_master_that_is_old_enough_is_told(pool: Pool, monkeypatch: "pytest.MonkeyPatch") -> None:
    notice = pool.notice()
    young(monkeypatch, pool, 50.0, 1.0)
    notice.settle(SPOT, "")
    assert pool.told == []
    young(monkeypatch, pool, 61.0, 1.0)
    notice.settle(SPOT, "")
    assert len(pool.told) == 1


def test_a_master_that_has_just_ended_needs_no_signal(pool: Pool) -> None:
    gone = pool.notice()
    pool.masters = {2**22 + 1: "condor_master"}  # above what a process id may be
    gone.settle(SPOT, ADDRESS)
    assert pool.told == []


def test_of_two_the_upper_one_is_the_master(pool: Pool, tmp_path: Path) -> None:
    pool.masters = {US: "condor_master", os.getppid(): "condor_master"}
    pool.notice().settle(SPOT, ADDRESS)
    assert pool.told == [(os.getppid(), signal.SIGHUP)]
