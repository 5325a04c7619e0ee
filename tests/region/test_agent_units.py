"""annex-agent's units on a booted instance: restarts, failures, another instance's disk."""

import json

import pytest

from .booted import BootedMachine
from .region import Region
from .test_agent_boot import IDLE, RUNNING, UNIT, start_long_job
from .topology import CM, PUBLIC, public_name
from .wait import wait_until

CONDOR = "condor.service"
WATCH = "annex-agent-watch.service"
SLOT = f"slot1@{public_name(PUBLIC)}"


def slots(region: Region) -> "list[str]":
    return [slot["Name"] for slot in region.pool.slots("Name")]


def agent(machine: BootedMachine, *arguments: str, code: int = 0) -> str:
    """Run annex-agent as a person would, over SSH; its answer and its log."""
    done = machine.run(["annex-agent", *arguments], check=False, timeout=200)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def wait_for_state(machine: BootedMachine, unit: str, state: str) -> None:
    wait_until(
        lambda: machine.state(unit) == state, f"{unit} is {state}", 60, evidence=lambda: machine.journal(unit)[-4000:]
    )


def condor_processes(machine: BootedMachine) -> "list[str]":
    return [command for command in machine.processes().values() if command.startswith("condor_")]


def last_words(machine: BootedMachine) -> str:
    """The message of the last line at error level that the unit logged."""
    entries = [json.loads(line) for line in machine.journal(UNIT, output="json").splitlines()]
    messages: list[str] = [
        entry["MESSAGE"] for entry in entries if entry.get("PRIORITY") == "3" and entry["_COMM"] != "systemd"
    ]
    return messages[-1]


def test_htcondor_runs_in_its_own_unit_with_the_mark_of_its_configuration(booted: BootedMachine) -> None:
    assert booted.state(CONDOR) == "active"
    master = int(booted.show(CONDOR, "MainPID"))
    assert "condor_master" in booted.processes()[master]
    environ = booted.read(f"/proc/{master}/environ").split("\0")
    assert f"ANNEX_AGENT_BOOT_ID={booted.boot_id()}" in environ
    assert [line for line in environ if line.startswith("ANNEX_AGENT_CONFIG=")]


def test_an_operator_who_restarts_htcondor_gets_the_slot_back(region: Region, booted: BootedMachine) -> None:
    before, boot = booted.show(CONDOR, "MainPID"), booted.boot_id()
    booted.systemctl("restart", CONDOR)
    wait_for_state(booted, UNIT, "active")
    assert booted.show(CONDOR, "MainPID") not in (before, "0")
    assert slots(region) == [SLOT]
    assert booted.boot_id() == boot


def test_a_restart_of_the_agent_brings_the_slot_back(region: Region, booted: BootedMachine) -> None:
    booted.systemctl("restart", UNIT)
    assert booted.state(UNIT) == "active"
    assert slots(region) == [SLOT]


def test_whoever_stops_htcondor_has_taken_the_machine_out_of_the_pool(region: Region, booted: BootedMachine) -> None:
    booted.systemctl("stop", CONDOR)
    wait_for_state(booted, UNIT, "inactive")
    assert slots(region) == []
    booted.systemctl("start", CONDOR)  # its condition does not hold, but it wants the agent
    wait_for_state(booted, UNIT, "active")
    assert slots(region) == [SLOT]


def test_the_unit_follows_what_a_person_does_by_hand(region: Region, booted: BootedMachine) -> None:
    agent(booted, "stop")
    wait_for_state(booted, UNIT, "inactive")
    assert slots(region) == []
    agent(booted, "start")
    wait_for_state(booted, UNIT, "active")
    assert slots(region) == [SLOT]
    assert "nothing to do" in agent(booted, "start")


def test_daemons_that_crash_are_started_again_and_so_is_the_agent(region: Region, booted: BootedMachine) -> None:
    booted.write("/etc/systemd/system/condor.service.d/99-soon.conf", "[Service]\nRestartSec=1\n")
    booted.systemctl("daemon-reload")
    booted.run(["pkill", "-KILL", "condor_master"])
    wait_until(lambda: "Scheduled restart job" in booted.journal(CONDOR), "systemd restarts HTCondor", 30)
    wait_until(lambda: booted.journal(UNIT).count("in the pool as") > 2, "the agent has run again", 60)
    wait_for_state(booted, UNIT, "active")
    assert slots(region) == [SLOT]
    assert "nothing to do" in agent(booted, "start")


def test_daemons_that_crashed_do_not_come_back_after_a_stop(region: Region, booted: BootedMachine) -> None:
    booted.run(["pkill", "-KILL", "condor_master"])
    wait_for_state(booted, CONDOR, "activating")  # for a minute, then it would start it again
    agent(booted, "stop")
    wait_until(lambda: booted.show(CONDOR, "SubState") == "dead", "systemd forgets to start it again", 30)
    assert condor_processes(booted) == []
    assert slots(region) == []


def test_a_power_off_just_after_a_crash_is_not_held_up(region: Region, booted: BootedMachine) -> None:
    booted.run(["pkill", "-KILL", "condor_master"])
    wait_for_state(booted, CONDOR, "activating")
    booted.stop(grace=60)
    assert slots(region) == []


def test_without_its_mark_htcondor_is_not_started_again_after_a_crash(pending: BootedMachine) -> None:
    # annex-agent's own unit is none here, for else a crash has it run again, and there is a mark.
    pending.disk.link(f"/etc/systemd/system/{UNIT}", "/dev/null")
    pending.disk.put("/etc/systemd/system/condor.service.d/99-soon.conf", "[Service]\nRestartSec=1\n")
    pending.start()
    pending.write("/run/annex-agent/configured", "")
    pending.systemctl("start", CONDOR)
    pending.run(["rm", "/run/annex-agent/configured"])
    pending.run(["pkill", "-KILL", "condor_master"])
    skipped = "Skipped due to 'exec-condition'"
    wait_until(lambda: skipped in pending.journal(CONDOR), "systemd finds no mark", 30, evidence=pending.journal)
    assert pending.state(CONDOR) == "inactive"
    assert condor_processes(pending) == []


def test_without_metadata_htcondor_is_not_started_and_the_journal_says_why(
    region: Region, pending: BootedMachine
) -> None:
    pending.disk.put("/etc/systemd/system/annex-agent.service.d/soon.conf", SOON)
    pending.disk.put("/etc/cloud/cloud.cfg.d/95-soon.cfg", "datasource: {Ec2: {max_wait: 2, timeout: 1}}\n")
    region.imds.stop()
    try:
        pending.start()
        dry = agent(pending, "--dry-run", code=4)
    finally:
        region.imds.start()
    expect_failure(region, pending, dry)
    assert "http://169.254.169.254" in last_words(pending)
    pending.systemctl("start", UNIT)
    assert slots(region) == [SLOT]


SOON = """\
[Service]
ExecStart=
ExecStart=/usr/bin/python3 -I -c "import sys; sys.path.insert(0, '/usr/share/annex-agent'); \\
    from annex_agent import bootstrap, cli; bootstrap.IMDS_DEADLINE_S = 5.0; sys.exit(cli.main(['start']))"
"""


def test_bad_user_data_keeps_htcondor_off_and_the_journal_names_each_problem(
    region: Region, pending: BootedMachine
) -> None:
    region.imds.update({"user-data": "COLLECTOR_HOST = cm.example.org\nuse role:execute\nB-C = 2\n"})
    pending.start()
    dry = agent(pending, "--dry-run", code=5)
    expect_failure(region, pending, dry)
    journal = pending.journal(UNIT)
    assert "line 2" in journal
    assert "line 3" in journal


def expect_failure(region: Region, machine: BootedMachine, dry: str) -> None:
    assert machine.state(UNIT) == "failed"
    assert machine.state(CONDOR) == "inactive"
    assert condor_processes(machine) == []
    assert slots(region) == []
    assert last_words(machine) in dry, "a person who logs in sees what the journal says"


@pytest.fixture
def second_boot(region: Region, booted: BootedMachine) -> BootedMachine:
    """An image was made of a running worker, whose daemons had never been stopped; not booted yet."""
    booted.write("/var/log/condor/left", "")
    booted.run(["sync"])
    booted.kill()
    region.pool.forget()
    return booted


def test_an_image_made_without_clean_is_the_next_instances_own(region: Region, second_boot: BootedMachine) -> None:
    region.imds.update({"meta-data": {"instance-id": "i-0ffffffffffffffff"}})
    region.associate("67.202.60.99")
    second_boot.start()
    assert second_boot.state(UNIT) == "active", second_boot.journal(UNIT)
    (slot,) = region.pool.slots()
    assert slot["CloudInstanceID"] == "i-0ffffffffffffffff"
    assert slot["Machine"] == public_name("67.202.60.99")
    assert slot["MyAddress"].startswith("<67.202.60.99:9618?")
    assert "left" not in second_boot.run(["ls", "/var/log/condor"]).stdout.split()
    assert PUBLIC not in second_boot.run(["grep", "-rF", PUBLIC, "/etc/condor", "/etc/hostname"], check=False).stdout


def test_the_same_instance_with_another_address_after_a_power_cut(region: Region, second_boot: BootedMachine) -> None:
    region.associate("67.202.60.99")
    second_boot.start()
    assert second_boot.state(UNIT) == "active", second_boot.journal(UNIT)
    (slot,) = region.pool.slots()
    assert slot["Machine"] == public_name("67.202.60.99")
    assert "left" in second_boot.run(["ls", "/var/log/condor"]).stdout.split()


def test_a_power_off_while_the_pool_cannot_be_joined_ends_the_daemons_cleanly(
    region: Region, pending: BootedMachine
) -> None:
    region.imds.update({"user-data": f"{CM.hostname}:9619"})  # nothing listens there
    pending.start(wait=False)
    wait_until(lambda: pending.state(CONDOR) == "active", "HTCondor is started", 60)
    pending.stop()
    region.imds.reset()
    pending.start()
    said = pending.read("/var/log/condor/MasterLog")
    assert "Got SIGTERM. Performing graceful shutdown." in said, said


def test_cloud_init_leaves_the_host_name_alone_at_the_next_boot(booted: BootedMachine) -> None:
    booted.reboot()
    assert booted.run(["hostname"]).stdout.strip() == public_name(PUBLIC)
    assert booted.state(UNIT) == "active"


def test_a_job_that_runs_while_the_agent_is_stopped_is_vacated(region: Region, booted: BootedMachine) -> None:
    cluster = start_long_job(region)
    booted.systemctl("stop", UNIT)
    assert region.jobs.status(cluster) == IDLE
    booted.systemctl("start", UNIT)
    region.jobs.wait_for(cluster, RUNNING)
    region.jobs.remove(cluster)
