"""A worker that nobody outside can connect to, or only at a few ports: jobs run there all the same."""

import re
from collections.abc import Iterator

import pytest

from .machine import Machine
from .region import Region
from .test_agent import COMPLETED, agent, condor_processes, slots_seen_inside, words
from .topology import CM, NAT_GATEWAY, PUBLIC, WORKER
from .wait import wait_until

_COLLECTOR = f"COLLECTOR_HOST = {CM.hostname}\n"
# Real workers report every few minutes, and try a lost broker again after one: tests wait for neither.
_QUICK = "UPDATE_INTERVAL = 2\nCCB_RECONNECT_TIME = 1\n"
_VPN = "100.64.7.1"  # to HTCondor, this looks more public than the VPC's address does
_LOW, _HIGH = 40000, 40002  # master, startd, one job


@pytest.fixture(scope="module")
def private(region: Region) -> Iterator[Region]:
    """A worker without a public address, but with a VPN's interface, in the pool."""
    region.reset_worker()
    region.associate(None)
    region.imds.update({"user-data": _COLLECTOR + _QUICK})
    _in_shell(region.worker, f"ip link add vpn type bridge; ip addr add {_VPN}/16 dev vpn; ip link set vpn up")
    try:
        agent(region.worker, "start")
        yield region
    finally:
        region.reset_worker()
        _in_shell(region.worker, "ip link delete vpn")  # the namespace outlives the machine


def test_the_slot_has_a_contact_at_the_collector_and_no_way_in_of_its_own(private: Region) -> None:
    before = private.network.connections()
    (slot,) = private.pool.slots()
    assert slot["MyAddress"].startswith(f"<{WORKER.address}:9618?CCBID={CM.address}:9618"), slot["MyAddress"]
    assert _VPN not in slot["MyAddress"]
    for address in (WORKER.address, PUBLIC, NAT_GATEWAY):
        assert not private.submit.connects(address, 9618)
    assert private.network.connections()["inbound"] == before["inbound"]
    assert private.neighbour.connects(WORKER.address, 9618), "it does listen"


def test_a_job_with_files_runs_where_nobody_can_connect_to(private: Region) -> None:
    before = private.network.connections()
    cluster = private.jobs.submit(inputs={"input.txt": "hello from the site\n"})
    assert private.jobs.wait_for(cluster, COMPLETED)["LastRemoteHost"].endswith(f"@{WORKER.hostname}")
    assert private.jobs.file(cluster) == "HELLO FROM THE SITE\n"
    after = private.network.connections()
    assert after["inbound"] == before["inbound"]
    assert after["outbound"] > before["outbound"]


def test_a_daemon_of_the_same_private_network_does_not_trouble_the_collector(private: Region) -> None:
    before = private.network.connections()
    assert slots_seen_inside(private, WORKER.hostname) == [f"slot1@{WORKER.hostname}"]
    assert private.network.connections()["private"] == before["private"] + 1


def test_jobs_run_again_after_the_collector_was_restarted(private: Region) -> None:
    private.pool.restart_collector()
    wait_until(lambda: "CCBID=" in _address(private), "the slot is back", 30, evidence=private.pool.evidence)
    cluster = private.jobs.submit()
    private.jobs.wait_for(cluster, COMPLETED)


def test_a_second_start_has_nothing_to_do_and_a_stop_takes_the_slot_away_at_once(private: Region) -> None:
    assert "nothing to do" in agent(private.worker, "start")
    assert "graceful" in agent(private.worker, "stop")
    assert private.pool.slots("Name") == []
    assert private.worker.processes() == {}


def test_a_public_address_that_goes_and_comes_back(region: Region, worker: Machine) -> None:
    agent(worker, "start")
    for public in (None, PUBLIC):
        masters = condor_processes(worker)
        region.associate(public)
        agent(worker, "start")
        assert not set(condor_processes(worker)) & set(masters)
        (slot,) = region.pool.slots("MyAddress")  # and nothing stale beside it
        assert ("CCBID=" in slot["MyAddress"]) is (public is None)
        assert slot["MyAddress"].startswith(f"<{public or WORKER.address}:9618?")


def test_behind_a_closed_security_group_a_knob_brings_ccb_to_a_public_instance(region: Region, worker: Machine) -> None:
    settings = ("network: {advertise: private}", "condor: {CCB_ADDRESS: $(COLLECTOR_HOST)}")
    region.imds.update({"user-data": "\n".join(("#annex-agent", f"central_manager: {CM.hostname}", *settings))})
    region.network.allow([])
    before = region.network.connections()
    assert "only daemons that reach" not in agent(worker, "start")
    cluster = region.jobs.submit()
    region.jobs.wait_for(cluster, COMPLETED)
    assert region.network.connections()["inbound"] == before["inbound"]


def test_a_range_of_ports_is_all_that_is_let_in(region: Region, worker: Machine) -> None:
    settings = (f'network: {{ports: "{_LOW}-{_HIGH}"}}', "condor: {NUM_CPUS: 1}")
    region.imds.update({"user-data": "\n".join(("#annex-agent", f"central_manager: {CM.hostname}", *settings))})
    region.network.allow(range(_LOW, _HIGH + 1))
    assert ["network.ports", f"{_LOW}-{_HIGH}", "(user-data)"] in words(agent(worker, "--dry-run"))
    agent(worker, "start")
    address = _address(region)
    found = re.match(rf"<{re.escape(PUBLIC)}:(\d+)\?", address)
    assert found, address
    assert _LOW <= int(found[1]) <= _HIGH
    before = region.network.connections()
    cluster = region.jobs.submit(inputs={"input.txt": "through a narrow gate\n"})
    region.jobs.wait_for(cluster, COMPLETED)
    assert region.jobs.file(cluster) == "THROUGH A NARROW GATE\n"
    assert region.network.connections()["inbound"] > before["inbound"]
    assert not region.submit.connects(PUBLIC, 9618)
    assert "nothing to do" in agent(worker, "start")
    agent(worker, "stop")
    assert region.pool.slots("Name") == []


def _address(region: Region) -> str:
    """Of the one slot; empty while there is none, or no collector to ask."""
    asked = region.cm.run(["condor_status", "-autoformat", "MyAddress"], check=False)
    return asked.stdout.strip()


def _in_shell(machine: Machine, script: str) -> None:
    machine.run(["sh", "-ec", script])
