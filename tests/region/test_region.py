"""The region itself, proven without annex-agent: the worker has a static configuration, written by hand."""

import pytest

from .pool import start_daemons
from .region import Region
from .topology import CM, PUBLIC, WORKER
from .wait import wait_until

_PRIVATE_NETWORK = "amazon-ec2-us-east-1c"
_STATIC = f"""\
use role:Execute
COLLECTOR_HOST = {CM.hostname}
TCP_FORWARDING_HOST = {PUBLIC}
PRIVATE_NETWORK_NAME = {_PRIVATE_NETWORK}
PRIVATE_NETWORK_INTERFACE = {WORKER.address}
# A benchmark that runs when the test ends would delay the end by seconds.
RUNBENCHMARKS = False
"""
_ANYBODY = {f"_CONDOR_SEC_CLIENT_{what}": "OPTIONAL" for what in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")}


@pytest.fixture(scope="module")
def joined(region: Region) -> Region:
    """A worker in the pool."""
    region.reset_worker()
    region.worker.write("/etc/condor/config.d/60-static.config", _STATIC)
    start_daemons(region.worker)
    region.pool.wait_for_slot()
    return region


def test_the_slot_advertises_both_addresses(joined: Region) -> None:
    address = joined.pool.wait_for_slot()["MyAddress"]
    assert address.startswith(f"<{PUBLIC}:9618?")
    assert f"PrivNet={_PRIVATE_NETWORK}" in address
    assert f"PrivAddr=%3c{WORKER.address}:9618" in address


def test_a_job_reaches_the_worker_through_the_nat(joined: Region) -> None:
    before = joined.network.connections()
    cluster = joined.jobs.submit(inputs={"input.txt": "through the nat\n"})
    ad = joined.jobs.wait_for(cluster)
    assert ad["ExitCode"] == 0
    assert ad["LastRemoteHost"].endswith(f"@{WORKER.hostname}")
    assert joined.jobs.file(cluster) == "THROUGH THE NAT\n"
    after = joined.network.connections()
    assert after["inbound"] > before["inbound"], "the schedd reaches the startd by the public address"
    assert after["outbound"] > before["outbound"], "the starter reaches the shadow from behind the NAT"
    assert after["refused"] == before["refused"]


def test_only_the_security_groups_port_is_open(joined: Region) -> None:
    before = joined.network.connections()
    with joined.worker.popen(["python3", "-m", "http.server", "8080"]) as server:
        try:
            wait_until(lambda: joined.neighbour.connects(WORKER.address, 8080), "the server listens", 10)
            assert joined.submit.connects(PUBLIC, 9618)
            assert not joined.submit.connects(PUBLIC, 8080)
            assert joined.network.connections()["refused"] > before["refused"]
            joined.network.allow([9618, 8080])
            assert joined.submit.connects(PUBLIC, 8080)
        finally:
            joined.network.allow([9618])
            server.kill()


def test_the_site_cannot_reach_a_private_address(joined: Region) -> None:
    assert not joined.submit.connects(WORKER.address, 9618)
    assert not joined.submit.connects("169.254.169.254", 80)


def test_a_neighbour_in_the_same_private_network_takes_the_private_address(joined: Region) -> None:
    before = joined.network.connections()
    assert _ask_startd(joined, _PRIVATE_NETWORK) == [f"slot1@{WORKER.hostname}"]
    after = joined.network.connections()
    assert after["private"] == before["private"] + 1
    assert after["hairpin"] == before["hairpin"]


def test_a_neighbour_in_another_private_network_takes_the_public_address(joined: Region) -> None:
    before = joined.network.connections()
    assert _ask_startd(joined, "amazon-ec2-us-east-1d") == [f"slot1@{WORKER.hostname}"]
    after = joined.network.connections()
    assert after["private"] == before["private"]
    assert after["hairpin"] == before["hairpin"] + 1


def test_a_power_cycle_keeps_the_disk_and_the_slot_comes_back(joined: Region) -> None:
    joined.worker.write("/var/lib/kept", "still here\n")
    joined.worker.stop()
    joined.pool.wait_for_no_slot(timeout=5)
    assert joined.worker.processes() == {}
    joined.worker.start()
    assert joined.worker.read("/var/lib/kept") == "still here\n"
    start_daemons(joined.worker)
    joined.pool.wait_for_slot()


def _ask_startd(region: Region, private_network: str) -> list[str]:
    """The names of the slots, asked at the startd itself: the collector only says where it is."""
    machine = region.neighbour
    region.pool.enrol(machine, ["READ"])
    env = {"_CONDOR_PRIVATE_NETWORK_NAME": private_network, "_CONDOR_COLLECTOR_HOST": CM.hostname, **_ANYBODY}
    return machine.run(["condor_status", "-direct", WORKER.hostname, "-autoformat", "Name"], env=env).stdout.split()
