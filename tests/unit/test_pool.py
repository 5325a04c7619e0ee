"""This machine as its pool sees it."""

import json

import pytest

from annex_agent import pool
from annex_agent.htcondor import HTCondor, Slot
from annex_agent.machine import Machine
from annex_agent.systemd import Systemd

from .conftest import FixedDaemons, LiveTree

ADDRESS_FILE = "/var/log/condor/.startd_address"
OURS = "<10.253.191.243:9618?addrs=10.253.191.243-9618&alias=w&noUDP&sock=startd_7_ab>"
# As a startd writes it that is reached through the collector: the broker's address has a socket's name, too.
_BROKER = "CCBID=198.51.100.10:9618%3faddrs%3d198.51.100.10-9618%26noUDP%26sock%3dcollector#1"
_PRIVATE = "PrivAddr=%3c10.0.0.1:9618%3fsock%3dstartd_7_ab%3e&PrivNet=n"
CCB = f"<10.0.0.1:9618?{_BROKER}&{_PRIVATE}&noUDP&sock=startd_7_ab>"
CCB_PORT = f"<10.0.0.1:40001?{_BROKER}&PrivAddr=%3c10.0.0.1:40001%3e&PrivNet=n>"


@pytest.fixture
def worker(live: LiveTree) -> Machine:
    """A machine whose startd runs and has written its address."""
    live.configured(STARTD_LOG="/log/StartLog", MASTER_LOG="/log/MasterLog")
    live.holds(ADDRESS_FILE, f"{OURS}\n$CondorVersion: 23.9.6 $\n$CondorPlatform: x $\n")
    return Machine(live, HTCondor(live), FixedDaemons("condor_master", "condor_startd"), Systemd(live))


def lists(live: LiveTree, *addresses: str) -> None:
    """What the collector lists."""
    ads = [{"Name": f"slot{number}@w", "MyAddress": address} for number, address in enumerate(addresses, start=1)]
    live.holds("/ads", json.dumps(ads))
    live.command("condor_status", f"cat {live.root}/ads")


def names(machine: Machine) -> "list[str]":
    return [slot.name for slot in pool.listed_slots(machine, "i-10a64379", ADDRESS_FILE)]


class TestListedSlots:
    def test_every_slot_of_the_startd_that_runs(self, worker: Machine, live: LiveTree) -> None:
        lists(live, "<67.202.60.66:9618?noUDP&sock=startd_7_ab>", "<67.202.60.66:9618?noUDP&sock=startd_7_ab>")
        assert names(worker) == ["slot1@w", "slot2@w"]

    def test_not_the_ads_of_an_earlier_life(self, worker: Machine, live: LiveTree) -> None:
        lists(live, "<67.202.60.66:9618?noUDP&sock=startd_6_aa>", OURS)
        assert names(worker) == ["slot2@w"]

    def test_only_this_instances_are_asked_for(self, worker: Machine, live: LiveTree) -> None:
        lists(live)
        assert names(worker) == []
        assert 'CloudInstanceID == "i-10a64379"' in live.ran[-1]

    def test_none_while_no_startd_runs(self, worker: Machine, live: LiveTree) -> None:
        lists(live, OURS)
        assert names(Machine(live, worker.htcondor, FixedDaemons("condor_master"), Systemd(live))) == []

    def test_none_before_the_startd_has_written_its_address(self, worker: Machine, live: LiveTree) -> None:
        lists(live, OURS)
        (live.root / ADDRESS_FILE[1:]).unlink()
        assert names(worker) == []

    def test_none_where_no_address_file_is_configured(self, worker: Machine, live: LiveTree) -> None:
        lists(live, OURS)
        assert pool.listed_slots(worker, "i-10a64379", "") == ()

    @pytest.mark.parametrize(
        ("mine", "theirs", "same"),
        [
            ("<10.0.0.1:9618?sock=a>", "<67.0.0.1:9618?noUDP&sock=a>", True),
            ("<10.0.0.1:9618?sock=a&alias=w>", "<10.0.0.1:9618?alias=w&sock=a>", True),
            ("<10.0.0.1:9618?sock=a>", "<10.0.0.1:9618?sock=ab>", False),
            ("<10.0.0.1:40001>", "<67.0.0.1:40001?noUDP>", True),
            ("<10.0.0.1:40001>", "<10.0.0.1:40002>", False),
            ("<[fd00::1]:40001>", "<67.0.0.1:40001>", True),
            ("<[fd00::1]:40001>", "<[fd00::40001]:40002>", False),
            (CCB, CCB.replace("10.0.0.1:9618?", "10.0.0.1:9618?noUDP&"), True),
            ("<10.0.0.1:9618?sock=startd_7_ab>", CCB, True),
            (CCB, CCB.replace("startd_7_ab>", "startd_6_aa>"), False),
            (CCB_PORT, CCB_PORT, True),
            (CCB_PORT, CCB_PORT.replace(":40001", ":40002"), False),
            ("", "<10.0.0.1:40001>", False),
            ("", "", False),
            ("garbage", "garbage", False),
        ],
    )
    def test_an_address_is_the_same_daemons_by_its_socket_or_its_port(
        self, worker: Machine, live: LiveTree, mine: str, theirs: str, same: bool
    ) -> None:
        live.holds(ADDRESS_FILE, f"{mine}\n")
        lists(live, theirs)
        assert bool(names(worker)) is same


@pytest.mark.parametrize(
    ("address", "has"),
    [
        (CCB, True),
        (CCB_PORT, True),
        (f"<10.0.0.1:9618?noUDP&{_BROKER}>", True),
        (OURS, False),
        ("<10.0.0.1:1?CCBID=>", False),
    ],
)
def test_a_contact_at_the_collector_is_part_of_the_address(address: str, has: bool) -> None:
    assert pool.has_contact([Slot("slot1@w", "w", "", "", OURS), Slot("slot2@w", "w", "", "", address)]) is has


class TestComplaints:
    def test_the_last_one_in_the_startds_log_comes_first(self, worker: Machine, live: LiveTree) -> None:
        live.holds("/log/MasterLog", "ERROR of the master\n")
        live.holds("/log/StartLog", "fine\nfirst ERROR\nlast: DENIED by collector\nfine\n")
        assert pool.complaints(worker) == "; /log/StartLog says: 'last: DENIED by collector'"

    def test_then_the_masters(self, worker: Machine, live: LiveTree) -> None:
        live.holds("/log/StartLog", "all is fine\n")
        live.holds("/log/MasterLog", "Failed to start, connection refused\n")
        assert pool.complaints(worker) == "; /log/MasterLog says: 'Failed to start, connection refused'"

    def test_without_one_the_log_is_named(self, worker: Machine, live: LiveTree) -> None:
        live.holds("/log/MasterLog", "all is fine\n")
        assert pool.complaints(worker) == "; see /log/MasterLog"

    def test_logs_that_are_not_there_or_cannot_be_read_are_no_trouble(self, worker: Machine, live: LiveTree) -> None:
        (live.root / "log/StartLog").mkdir(parents=True)
        assert pool.complaints(worker) == "; see /log/MasterLog"

    def test_a_line_is_escaped_and_cut_short(self, worker: Machine, live: LiveTree) -> None:
        live.holds("/log/StartLog", f"ERROR \x1b[2J {'x' * 1000}\n")
        said = pool.complaints(worker)
        assert "\x1b" not in said
        assert said.endswith("x...'")
        assert len(said) < 400

    def test_only_the_end_of_a_long_log_is_searched(self, worker: Machine, live: LiveTree) -> None:
        live.holds("/log/StartLog", "ERROR of long ago\n" + "fine\n" * 20_000)
        assert pool.complaints(worker) == "; see /log/MasterLog"

    def test_a_configuration_that_names_no_log_has_none(self, worker: Machine, live: LiveTree) -> None:
        live.configured()
        assert pool.complaints(worker) == ""

    def test_a_configuration_that_cannot_be_read_takes_no_words_from_the_error_that_was(
        self, worker: Machine, live: LiveTree
    ) -> None:
        live.command("condor_config_val", "echo 'Syntax error' >&2; exit 1")
        assert isinstance(pool.complaints(worker), str)


class TestStaleSlots:
    CURRENT = (Slot("slot1@w", "w", "Unclaimed", "Idle", OURS),)

    def test_they_are_this_instances_under_another_host_name(self, worker: Machine, live: LiveTree) -> None:
        lists(live, "<67.202.60.65:9618?sock=startd_1>")
        assert [slot.name for slot in pool.stale_slots(worker, "i-10a64379", self.CURRENT)] == ["slot1@w"]
        assert 'CloudInstanceID == "i-10a64379" && Machine =!= "w"' in live.ran[-1]

    def test_without_a_slot_of_today_nothing_can_be_told(self, worker: Machine, live: LiveTree) -> None:
        assert pool.stale_slots(worker, "i-10a64379", ()) == ()
        assert live.ran == []
