"""What a test can do to the worker: EC2's side of the region."""

import os

from .machine import Machine
from .region import Region
from .topology import NAT_GATEWAY, PUBLIC, SUBMIT, WORKER, public_name
from .wait import wait_until


def test_a_new_instance_has_the_images_disk(region: Region, worker: Machine) -> None:
    worker.write("/var/lib/mine", "")
    region.reset_worker()
    assert worker.run(["test", "-e", "/var/lib/mine"], check=False).returncode == 1
    assert worker.run(["test", "-x", "/usr/local/bin/annex-agent"], check=False).returncode == 0
    assert region.pool.slots() == []


def test_a_machine_has_a_host_name_of_its_own(worker: Machine) -> None:
    there = os.uname().nodename
    worker.run(["hostname", "renamed.example.org"])
    assert worker.run(["hostname"]).stdout == "renamed.example.org\n"
    assert os.uname().nodename == there


def test_the_public_name_resolves_to_the_private_address_inside_the_vpc(region: Region, worker: Machine) -> None:
    lookup = ["getent", "ahostsv4", public_name(PUBLIC)]
    assert worker.run(lookup).stdout.split()[0] == WORKER.address
    assert region.submit.run(lookup).stdout.split()[0] == PUBLIC


def test_another_public_address_shows_everywhere(region: Region, worker: Machine) -> None:
    region.associate("67.202.60.67")
    assert _metadata(worker, "public-ipv4") == "67.202.60.67"
    assert _source_of(worker, region) == "67.202.60.67"
    assert not region.submit.connects(PUBLIC, 9618)
    region.associate(None)
    assert "404" in _metadata(worker, "public-ipv4")
    assert _source_of(worker, region) == NAT_GATEWAY


def test_metadata_can_be_changed_at_run_time(region: Region, worker: Machine) -> None:
    assert _metadata(worker, "instance-id", "http://[fd00:ec2::254]") == "i-0a64379b1c2d3e4f5"
    region.imds.update({"meta-data": {"instance-id": "i-other"}})
    assert _metadata(worker, "instance-id") == "i-other"


def test_a_killed_process_takes_what_it_started_with_it(worker: Machine) -> None:
    sleeper = worker.popen(["sleep", "1000"])
    wait_until(lambda: "sleep 1000" in worker.processes().values(), "it runs", 5)
    sleeper.kill()
    sleeper.communicate()
    wait_until(lambda: not worker.processes(), "it has ended", 5)


def _metadata(machine: Machine, key: str, base: str = "http://169.254.169.254") -> str:
    return machine.run(["curl", "--silent", "--globoff", f"{base}/latest/meta-data/{key}"]).stdout


def _source_of(machine: Machine, region: Region) -> str:
    """The address that the site sees ``machine`` come from."""
    listen = "import socket; s = socket.create_server(('', 7000)); print(flush=True); print(s.accept()[1][0])"
    with region.submit.popen(["python3", "-c", listen]) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert machine.connects(SUBMIT.address, 7000)
        return server.stdout.readline().strip()
