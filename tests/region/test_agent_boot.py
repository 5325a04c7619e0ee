"""annex-agent as the service of a booted instance: boot, work, power off."""

from . import units
from .booted import BootedMachine
from .region import Region
from .topology import PUBLIC, public_name
from .wait import wait_until

UNIT = "annex-agent.service"
IDLE, RUNNING = 1, 2
# It says on the worker that it was asked to leave, before it leaves; /srv is the same inside of a job and outside.
TOLD = "/srv/told/asked-to-leave"
LONG_JOB = f"#!/bin/sh\ntrap 'touch {TOLD}; exit 1' TERM\ntouch output.txt\nsleep 300 & wait\n"


def put_gate(pending: BootedMachine) -> None:
    """It starts before annex-agent, and so is stopped after it: it holds the power-off until the test has looked."""
    stop = "/bin/sh -c 'touch /run/gate-reached; until test -e /run/gate-open; do sleep 0.05; done'"
    units.add(pending, "gate.service", stop=stop, unit=f"Before={UNIT}")


def power_off_as_far_as_the_gate(machine: BootedMachine) -> None:
    """annex-agent has been stopped, and the machine is still on."""
    machine.press_power_button()
    reached = ["test", "-e", "/run/gate-reached"]
    wait_until(lambda: machine.run(reached, check=False).returncode == 0, "annex-agent is stopped", 60)


def open_gate(machine: BootedMachine) -> None:
    """The power-off goes on."""
    machine.write("/run/gate-open", "")
    machine.wait_until_off()


def start_long_job(region: Region) -> int:
    """A job that runs on the worker until somebody ends it; returns its cluster."""
    cluster = region.jobs.submit(LONG_JOB)
    region.jobs.wait_for(cluster, RUNNING)
    return cluster


def test_a_boot_makes_a_slot(region: Region, booted: BootedMachine) -> None:
    assert booted.state(UNIT) == "active", booted.journal(UNIT)
    (slot,) = region.pool.slots()
    assert slot["Machine"] == public_name(PUBLIC)
    assert slot["CloudInstanceID"] == booted.run(["cloud-init", "query", "instance_id"]).stdout.strip()
    assert booted.systemctl("is-system-running") == "running\n"


def test_a_job_runs(region: Region, booted: BootedMachine) -> None:
    cluster = region.jobs.submit(inputs={"input.txt": "booted\n"})
    assert region.jobs.wait_for(cluster)["LastRemoteHost"].endswith(f"@{public_name(PUBLIC)}")
    assert region.jobs.file(cluster) == "BOOTED\n"


def test_a_reboot_joins_again(region: Region, booted: BootedMachine) -> None:
    booted.reboot(wait=False)
    region.pool.wait_for_no_slot(timeout=1)
    booted.wait_until_ready()
    assert booted.state(UNIT) == "active", booted.journal(UNIT)
    assert region.pool.slots("Name") == [{"Name": f"slot1@{public_name(PUBLIC)}"}]


def test_a_power_off_hands_the_job_back_and_takes_the_slot_away_first(region: Region, pending: BootedMachine) -> None:
    put_gate(pending)
    pending.start()
    pending.run(["install", "--directory", "--mode=1777", "/srv/told"])
    cluster = start_long_job(region)
    try:
        power_off_as_far_as_the_gate(pending)
        assert region.jobs.status(cluster) == IDLE
        assert region.pool.slots("Name") == []
        assert pending.run(["test", "-e", TOLD], check=False).returncode == 0, "the job had its signal"
        assert not any("condor" in command for command in pending.processes().values())
        assert pending.is_on
        open_gate(pending)
    finally:
        region.jobs.remove(cluster)
    pending.start()
    assert "Stopped annex-agent.service" in pending.journal(UNIT, boot=-1)
    assert pending.state(UNIT) == "active"
