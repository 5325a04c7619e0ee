"""annex-agent stop where something stands in its way, and where everything must be ended by a certain time."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .machine import Machine
from .region import Region
from .topology import CM
from .wait import wait_until

IDLE, RUNNING, COMPLETED = 1, 2, 4
# Where a job's /tmp is its own, and gone with it, this one is not.
HEARD = "/srv/heard"
# It hears, leaves a process outside of its tree, and stays.
STUBBORN_JOB = f"""#!/bin/sh
touch output.txt
trap 'touch {HEARD}/term' TERM
setsid sleep 4321 &
while :; do sleep 0.2; done
"""
LASTING_JOB = f"#!/bin/sh\ntouch output.txt\nwhile [ ! -e {HEARD}/go ]; do sleep 0.2; done\n"


def annex(machine: Machine, *arguments: str) -> str:
    """Run annex-agent; its answer and its log, in that order."""
    done = machine.run(["annex-agent", *arguments], check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def under_way(machine: Machine, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """annex-agent, in the background."""
    with machine.popen(["annex-agent", *arguments]) as process:
        try:
            yield process
        finally:
            process.kill()


def names(machine: Machine) -> list[str]:
    return [command.split()[0] for command in machine.processes().values()]


def last_run_s(machine: Machine) -> float:
    answer = machine.run(["annex-agent", "status", "--json"], check=False).stdout
    return float(json.loads(answer)["runs"][-1]["seconds"])


@pytest.fixture
def joined(region: Region, worker: Machine) -> Region:
    worker.run(["install", "-d", "--mode=0777", HEARD])
    annex(worker, "start")
    return region


def test_all_is_ended_in_time_whatever_the_job_and_the_collector_do(joined: Region, worker: Machine) -> None:
    cluster = joined.jobs.submit(STUBBORN_JOB)
    joined.jobs.wait_for(cluster, RUNNING)
    joined.network.silence(CM)
    annex(worker, "stop", "--within", "18s")
    assert worker.processes() == {}
    assert worker.run(["test", "-e", f"{HEARD}/term"], check=False).returncode == 0, "the job was asked first"
    print(f"{last_run_s(worker):.1f} s of 18")
    assert last_run_s(worker) < 18
    joined.network.allow(joined.network.ports)
    joined.jobs.remove(cluster)


def test_peaceful_needs_no_tool_of_htcondors(joined: Region, worker: Machine) -> None:
    worker.write("/etc/condor/config.d/80-broken.config", "TOOL.SEC_CLIENT_AUTHENTICATION_METHODS = KERBEROS\n")
    assert worker.run(["condor_off", "-peaceful", "-daemon", "master"], check=False).returncode != 0
    whole_machine = {"request_cpus": worker.run(["nproc"]).stdout.strip()}
    first, second = (joined.jobs.submit(LASTING_JOB, commands=whole_machine) for _ in range(2))
    joined.jobs.wait_for(first, RUNNING)
    with under_way(worker, "stop", "--mode", "peaceful", "--within", "120s") as stopping:
        leaving = 'AnnexLeaving == "stop" && State == "Claimed" && Start =?= False'
        wait_until(lambda: joined.pool.ads("-constraint", leaving), "no new match, and the ad says why", 20)
        assert stopping.poll() is None
        worker.run(["touch", f"{HEARD}/go"])
        out, err = stopping.communicate(timeout=120)
    assert stopping.returncode == 0, out + err
    assert "ended by peaceful shutdown" in err
    assert worker.processes() == {}
    joined.jobs.wait_for(first, COMPLETED)
    # Its access point tries to hand it over with the claim that it has, and is refused.
    assert joined.jobs.wait_for(second, IDLE)["NumJobStarts"] == 0
    joined.jobs.remove(second)


def test_a_start_that_is_under_way_gives_way_to_a_stop_that_has_an_end(region: Region, worker: Machine) -> None:
    region.imds.update({"user-data": f"{CM.hostname}:9619"})  # nothing listens there, so it waits for its slot
    with under_way(worker, "start") as starting:
        wait_until(lambda: "condor_startd" in names(worker), "the daemons run", 30)
        said = annex(worker, "stop", "--within", "30s")
        assert "is at work: it is asked to end" in said
        starting.communicate(timeout=30)
    assert starting.returncode == 130
    assert worker.processes() == {}


def test_orphans_are_ended_by_two_stops_at_once(joined: Region, worker: Machine) -> None:
    worker.run(["pkill", "-KILL", "-f", "annex-agent-supervisor|condor_master"])
    wait_until(lambda: "condor_master" not in names(worker), "only orphans run", 10)
    assert "condor_startd" in names(worker)
    with under_way(worker, "stop", "--within", "40s") as one, under_way(worker, "stop", "--within", "30s") as other:
        codes = [process.communicate(timeout=60) and process.returncode for process in (one, other)]
    assert set(codes) <= {0, 130}, "the one that ends later gives way"
    assert 0 in codes
    assert worker.processes() == {}
    assert joined.pool.slots("Name") == []
