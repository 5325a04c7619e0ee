"""The booted worker itself: a machine that starts, stops and is cut off as an EC2 instance is."""

import json
import time
from typing import Any, Dict

import pytest

from . import units
from .booted import BootedMachine
from .region import Region
from .topology import WORKER
from .wait import wait_until

# A unit that leaves word on the disk when it is stopped in order; a power cut gives it no time to.
WITNESS = "witness.service"


@pytest.fixture
def bare(pending: BootedMachine) -> BootedMachine:
    """Without annex-agent, still off."""
    pending.disk.link("/etc/systemd/system/annex-agent.service", "/dev/null")
    return pending


@pytest.fixture
def witnessed(bare: BootedMachine) -> BootedMachine:
    """On, and a unit of it notices how it goes off."""
    units.add(bare, WITNESS, stop="/bin/sh -c 'echo stopped >>/var/lib/witness'")
    bare.start()
    assert bare.state(WITNESS) == "active"
    return bare


def cloud_init_status(machine: BootedMachine) -> Dict[str, Any]:
    """Its exit code is 2 when there were warnings."""
    status: Dict[str, Any] = json.loads(machine.run(["cloud-init", "status", "--format=json"], check=False).stdout)
    return status


def test_it_starts_all_that_is_enabled(bare: BootedMachine) -> None:
    before = time.monotonic()
    bare.start()
    print(f"from power-on to ready: {time.monotonic() - before:.2f} s\n{bare.systemctl('status', '--no-pager')}")
    assert bare.systemctl("list-units", "--failed", "--no-legend", "--plain") == ""
    assert bare.systemctl("is-system-running") == "running\n"
    assert bare.run(["readlink", "/proc/1/exe"]).stdout == "/usr/lib/systemd/systemd\n"


def test_it_can_be_looked_at_while_it_boots(bare: BootedMachine) -> None:
    units.add(bare, "late.service", start=units.until("/run/go"))
    bare.start(wait=False)
    wait_until(lambda: bare.state("late.service") == "activating", "the late unit starts", 60)
    assert bare.systemctl("is-system-running", check=False) == "starting\n"
    bare.write("/run/go", "")
    bare.wait_until_ready()
    assert bare.systemctl("is-system-running") == "running\n"


def test_cloud_init_reads_what_the_metadata_service_says(region: Region, bare: BootedMachine) -> None:
    user_data = "#cloud-config\nruncmd: [touch /var/lib/runcmd]"
    region.imds.update({"meta-data": {"instance-id": "i-0feedc0ffee000001"}, "user-data": user_data})
    bare.start()
    status = cloud_init_status(bare)
    assert (status["datasource"], status["extended_status"]) == ("ec2", "done")
    assert (status["errors"], status["recoverable_errors"]) == ([], {})
    assert bare.run(["cloud-init", "query", "instance_id"]).stdout == "i-0feedc0ffee000001\n"
    assert bare.run(["cloud-init", "query", "userdata"]).stdout.strip() == user_data
    assert bare.run(["test", "-e", "/var/lib/runcmd"], check=False).returncode == 0
    assert bare.run(["hostname", "--fqdn"]).stdout == f"{WORKER.hostname}\n"


def test_a_bare_host_name_is_all_that_cloud_init_stumbles_over(bare: BootedMachine) -> None:
    bare.start()
    warnings = cloud_init_status(bare)["recoverable_errors"].get("WARNING", [])
    assert [warning for warning in warnings if "userdata" not in warning] == []
    assert bare.state("cloud-final.service") == "active"


def test_htcondor_is_the_distributions_and_not_configured_yet(bare: BootedMachine) -> None:
    bare.start()
    assert bare.show("condor.service", "FragmentPath") == "/usr/lib/systemd/system/condor.service"
    assert bare.show("condor.service", "UnitFileState") == "enabled"
    assert bare.show("condor.service", "ConditionResult") == "no"
    assert not any("condor" in command for command in bare.processes().values())


def test_a_pressed_power_button_stops_the_units_in_order(witnessed: BootedMachine) -> None:
    before = time.monotonic()
    witnessed.stop()
    print(f"from the button to off: {time.monotonic() - before:.2f} s")
    assert not witnessed.is_on
    witnessed.start()
    assert witnessed.read("/var/lib/witness") == "stopped\n"


def test_it_can_power_itself_off(witnessed: BootedMachine) -> None:
    witnessed.systemctl("poweroff", check=False)
    assert witnessed.wait_until_off() is False, "it does not want to come back"
    assert not witnessed.is_on
    witnessed.start()
    assert witnessed.read("/var/lib/witness") == "stopped\n"


def test_a_power_off_that_hangs_is_cut_short_and_told(bare: BootedMachine) -> None:
    units.add(bare, "stubborn.service", stop=units.until("/never"))
    bare.start()
    with pytest.raises(AssertionError, match=r"stubborn\.service"):
        bare.stop(grace=2)
    assert not bare.is_on


def test_a_power_cut_gives_no_time(witnessed: BootedMachine) -> None:
    witnessed.kill()
    assert not witnessed.is_on
    assert witnessed.processes() == {}
    witnessed.start()
    assert witnessed.run(["test", "-e", "/var/lib/witness"], check=False).returncode == 1


def test_a_reboot_is_another_boot_of_the_same_disk(witnessed: BootedMachine) -> None:
    witnessed.write("/run/mine", "")
    witnessed.run(["logger", "--tag", "diary", "this was before"])
    witnessed.run(["journalctl", "--sync"])
    before, machine_id = witnessed.boot_id(), witnessed.read("/etc/machine-id")
    witnessed.reboot()
    assert witnessed.boot_id() != before
    assert witnessed.read("/etc/machine-id") == machine_id
    assert witnessed.run(["test", "-e", "/run/mine"], check=False).returncode == 1
    assert witnessed.read("/var/lib/witness") == "stopped\n"
    assert "diary[" in witnessed.journal(boot=-1)
    assert "this was before" not in witnessed.journal()


def test_the_journal_is_kept_by_unit(witnessed: BootedMachine) -> None:
    lines = [json.loads(line) for line in witnessed.journal(WITNESS, output="json").splitlines()]
    assert {line["UNIT"] for line in lines} == {WITNESS}
    assert f"Finished {WITNESS}" in witnessed.journal(WITNESS)


def test_a_booted_kernel_knows_no_rules_of_an_earlier_boot(bare: BootedMachine) -> None:
    bare.start()
    bare.run(["nft", "add", "table", "inet", "mine"])
    bare.reboot()
    assert bare.run(["nft", "list", "ruleset"]).stdout == ""


def test_instances_of_one_image_are_strangers(region: Region, bare: BootedMachine) -> None:
    bare.start()
    bare.write("/var/lib/mine", "")
    first = bare.read("/etc/machine-id")
    other = region.booted_worker()
    other.start()
    assert other.run(["test", "-e", "/var/lib/mine"], check=False).returncode == 1
    assert other.read("/etc/machine-id") not in (first, "\n", "")


def test_only_one_worker_is_on(region: Region, bare: BootedMachine) -> None:
    bare.start()
    assert (region.worker.is_on, bare.is_on) == (False, True)
    region.reset_worker()
    assert (region.worker.is_on, bare.is_on) == (True, False)
