"""The peaceful end: what HTCondor is told, and when it is better told nothing."""

from pathlib import Path

import pytest

from annex_agent import peaceful
from annex_agent.errors import AnnexError, DaemonError
from annex_agent.htcondor import HTCondor
from annex_agent.machine import Machine
from annex_agent.system import STOPPING_FILE
from annex_agent.systemd import Systemd

from .conftest import FixedDaemons, LiveTree

ADDRESS_FILE = "/var/log/condor/.startd_address"


@pytest.fixture
def daemons() -> FixedDaemons:
    return FixedDaemons("condor_master", "condor_startd")


@pytest.fixture
def worker(live: LiveTree, daemons: FixedDaemons) -> Machine:
    live.holds(ADDRESS_FILE, "<10.0.0.1:9618?sock=startd>\n")
    return Machine(live, HTCondor(live), daemons, Systemd(live))


@pytest.fixture
def file(live: LiveTree) -> Path:
    return live.root / STOPPING_FILE[1:]


def test_htcondor_reads_that_it_is_to_start_no_job(
    worker: Machine, live: LiveTree, daemons: FixedDaemons, file: Path
) -> None:
    live.configured(AnnexLeaving='"stop"', STARTD_ADDRESS_FILE=ADDRESS_FILE)
    peaceful.take_no_more_jobs(worker)
    assert "\nSTARTD.START = False\n" in file.read_text()
    assert daemons.reports == 1
    assert peaceful.is_under_way(live)


def test_a_configuration_that_does_not_include_the_file_is_an_error(
    worker: Machine, live: LiveTree, daemons: FixedDaemons, file: Path
) -> None:
    live.configured(STARTD_ADDRESS_FILE=ADDRESS_FILE)
    with pytest.raises(DaemonError, match=f"does not include {STOPPING_FILE}: .* annex-agent configure"):
        peaceful.take_no_more_jobs(worker)
    assert (file.exists(), daemons.reports) == (False, 0)


def test_daemons_are_not_told_to_read_what_cannot_be_read(
    worker: Machine, live: LiveTree, daemons: FixedDaemons, file: Path
) -> None:
    live.command("condor_config_val", "echo 'Syntax error' >&2; exit 1")
    with pytest.raises(AnnexError, match="Syntax error"):
        peaceful.take_no_more_jobs(worker)
    assert (file.exists(), daemons.reports) == (False, 0)


@pytest.mark.parametrize("knobs", [{"STARTD_ADDRESS_FILE": "/var/log/condor/none"}, {}])
def test_daemons_that_are_not_up_yet_are_not_told_they_will_read_it(
    worker: Machine, live: LiveTree, daemons: FixedDaemons, file: Path, knobs: "dict[str, str]"
) -> None:
    live.configured(AnnexLeaving='"stop"', **knobs)
    peaceful.take_no_more_jobs(worker)
    assert (file.exists(), daemons.reports) == (True, 0)


def test_what_is_taken_back_is_told_as_well(worker: Machine, live: LiveTree, daemons: FixedDaemons, file: Path) -> None:
    live.holds(STOPPING_FILE, peaceful.TEXT)
    peaceful.take_back(worker, ADDRESS_FILE)
    assert (file.exists(), daemons.reports) == (False, 1)
    assert not peaceful.is_under_way(live)
