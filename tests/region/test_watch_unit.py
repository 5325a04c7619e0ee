"""The watch's unit: when it is there, and what of its work outlives it.  What the work is, other tests show."""

import json

from . import workload
from .booted import BootedMachine
from .jobs import IDLE, RUNNING
from .region import Region
from .test_agent_boot import TOLD, UNIT, open_gate, power_off_as_far_as_the_gate, put_gate
from .test_agent_units import CONDOR, WATCH, slots
from .wait import wait_until

# Between being told to leave and leaving there is time for others to interfere.
_SLOW = f"#!/bin/sh\ntrap 'touch {TOLD}; sleep 8; date >checkpoint; exit 1' TERM\nsleep 600 & wait\n"
_DRAIN = {"interruption": {"rebalance": "drain", "poll": "1s"}}


def started(machine: BootedMachine, unit: str) -> int:
    """When systemd began to start it."""
    return int(machine.show(unit, "InactiveExitTimestampMonotonic"))


def drain(region: Region, machine: BootedMachine) -> int:
    """The watch stops HTCondor, and a job that takes its time is being told to leave; returns its cluster."""
    machine.run(["install", "--directory", "--mode=1777", TOLD.rpartition("/")[0]])
    cluster = region.jobs.submit(_SLOW, outputs="checkpoint", commands={"when_to_transfer_output": "on_exit_or_evict"})
    region.jobs.wait_for(cluster, RUNNING)
    region.imds.recommend_rebalance()
    told = ["test", "-e", TOLD]
    wait_until(
        lambda: machine.run(told, check=False).returncode == 0,
        "the job is told",
        60,
        evidence=lambda: machine.journal(WATCH),
    )
    return cluster


def kill(machine: BootedMachine) -> None:
    """And wait until it is back."""
    pid = machine.show(WATCH, "MainPID")
    machine.run(["kill", "-9", pid])
    wait_until(lambda: machine.show(WATCH, "MainPID") not in (pid, "0"), "it is back", 20)


def stops(machine: BootedMachine) -> "set[int]":
    return {pid for pid, command in machine.processes().items() if "/annex-agent stop " in command}


def expect_checkpoint(region: Region, cluster: int) -> None:
    region.jobs.wait_for(cluster, IDLE)
    assert region.jobs.spooled(cluster, "checkpoint"), "it had its time"
    region.jobs.remove(cluster)


def test_it_is_there_before_the_bootstrap_and_whatever_ends_it(booted: BootedMachine) -> None:
    assert booted.state(WATCH) == "active"
    assert started(booted, WATCH) < started(booted, UNIT)
    assert booted.show(WATCH, "OOMScoreAdjust") == "-900"
    before = {unit: booted.show(unit, "InvocationID") for unit in (UNIT, CONDOR)}
    for number in (1, 2):
        kill(booted)
        assert booted.show(WATCH, "NRestarts") == str(number)
    assert {unit: booted.show(unit, "InvocationID") for unit in before} == before
    assert booted.systemctl("is-system-running") == "running\n"


def test_one_that_hangs_is_replaced_and_the_journal_has_where_it_hung(booted: BootedMachine) -> None:
    assert booted.show(WATCH, "WatchdogUSec") == "1min"
    booted.write(f"/run/systemd/system/{WATCH}.d/impatient.conf", "[Service]\nWatchdogSec=8s\n")
    booted.systemctl("daemon-reload")
    booted.systemctl("restart", WATCH)
    pid = booted.show(WATCH, "MainPID")
    begun = booted.show(WATCH, "WatchdogTimestampMonotonic")
    wait_until(lambda: booted.show(WATCH, "WatchdogTimestampMonotonic") != begun, "it says that it is well", 20)
    booted.run(["kill", "-STOP", pid])
    wait_until(
        lambda: booted.show(WATCH, "MainPID") not in (pid, "0"),
        "another one is there",
        60,
        evidence=lambda: booted.journal(WATCH),
    )
    said = booted.journal(WATCH)
    assert "Watchdog timeout" in said
    assert 'watch/loop.py", line ' in said, "the line at which it was"


def test_everybody_may_ask_how_it_will_end(booted: BootedMachine) -> None:
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    answer = {"pid": int(booted.show(WATCH, "MainPID")), "running": True}
    wait_until(lambda: json.loads(booted.run(["annex-agent", "status", "--json"]).stdout)["watch"] == answer, "", 20)
    done = booted.run([*nobody, "annex-agent", "status", "--json"])
    said = json.loads(done.stdout)
    assert said["watch"] == answer
    assert (said["ending"]["leaving"], said["ending"]["by_settings"]) == (None, True)


def test_a_power_off_does_not_cut_its_stop_short(region: Region, pending: BootedMachine) -> None:
    region.imds.become_spot()  # others get no such recommendation
    region.imds.update(workload.user_data(**_DRAIN))
    put_gate(pending)
    pending.start()
    cluster = drain(region, pending)
    power_off_as_far_as_the_gate(pending)
    journal = pending.journal(UNIT)
    assert "this stop waits until that one is done" in journal, journal
    assert slots(region) == []
    open_gate(pending)
    expect_checkpoint(region, cluster)


def test_a_stop_that_it_has_begun_outlives_it(region: Region, pending: BootedMachine) -> None:
    region.imds.become_spot()  # others get no such recommendation
    region.imds.update(workload.user_data(**_DRAIN))
    pending.start()
    cluster = drain(region, pending)
    begun = stops(pending)
    kill(pending)
    assert begun & stops(pending), "and the stop is still at work"
    pending.wait_until_off()
    expect_checkpoint(region, cluster)
    assert slots(region) == []


def test_a_fence_that_somebody_flushes_is_back_within_a_minute(booted: BootedMachine) -> None:
    booted.run(["nft", "flush", "ruleset"])

    def stands() -> bool:
        return booted.run(["nft", "list", "table", "inet", "annex_agent"], check=False).returncode == 0

    wait_until(stands, "the fence is back", 90, evidence=lambda: booted.journal(WATCH))
    wait_until(lambda: "is up again (nft)" in booted.journal(WATCH), "the journal says so", 30)
