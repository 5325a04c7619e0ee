"""annex-agent on a worker: into the pool, and out of it, seen by HTCondor's own tools."""

import json
from typing import Any, Dict, List

import pytest

from .machine import Machine
from .region import Region
from .topology import CM, PUBLIC, WORKER, public_name
from .wait import wait_until

CONFIG = "/etc/condor/config.d/60-annex-agent.config"
PRIVATE_NETWORK = "amazon-ec2-us-east-1c"
INSTANCE = "i-0a64379b1c2d3e4f5"
FILES = (
    CONFIG,
    "/etc/hostname",
    "/etc/cloud/cloud.cfg.d/99-annex-agent.cfg",
    "/run/annex-agent/configured",
    "/run/annex-agent/fence",
    "/run/annex-agent/terms.json",
    "/var/lib/annex-agent/instance.json",
)
IDLE, RUNNING, COMPLETED = 1, 2, 4
PATIENT_JOB = "#!/bin/sh\ntouch output.txt\ntrap '' TERM\nwhile :; do sleep 1; done\n"
RUNAWAY_JOB = PATIENT_JOB.replace("while", "setsid --fork sleep 4321\nwhile")
POLITE_JOB = "#!/bin/sh\ntr a-z A-Z <input.txt >output.txt\nsleep 300 & wait\n"


def agent(machine: Machine, *arguments: str, code: int = 0, **options: Any) -> str:
    """Run annex-agent; its answer and its log, in that order."""
    done = machine.run(["annex-agent", *arguments], check=False, timeout=200, **options)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def words(text: str) -> List[List[str]]:
    """Those of each line: how wide columns are is no matter."""
    return [line.split() for line in text.splitlines()]


def condor(machine: Machine, knob: str) -> str:
    """A knob's value, as HTCondor on the worker sees it."""
    return machine.run(["condor_config_val", knob], check=False).stdout.strip()


def stat(machine: Machine, *paths: str) -> str:
    return machine.run(["stat", "--format=%n %a %U:%G %i %Y %s", *paths]).stdout


def condor_processes(machine: Machine) -> Dict[int, str]:
    return {pid: command for pid, command in machine.processes().items() if "condor" in command}


def whole_disk(machine: Machine) -> str:
    """Name, type, mode, owner, size, change time and content of all that is on the worker's disk and in /run."""
    script = (
        "find / /run /tmp -xdev ! -path '/run/host*' ! -path '/proc*' -printf '%p %y %m %U:%G %s %C@ %T@ %l\\n' | sort;"
        "find / /run /tmp -xdev -type f ! -path '/run/host*' -print0 | sort -z | xargs -0 sha256sum"
    )
    return machine.run(["sh", "-c", f"({script}) | sha256sum"]).stdout


def slots_seen_inside(region: Region, name: str) -> List[str]:
    """The worker's slots, asked at its startd itself by a host of the same private network."""
    region.pool.enrol(region.neighbour, ["READ"])
    environ = {f"_CONDOR_SEC_CLIENT_{what}": "OPTIONAL" for what in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")}
    environ.update(_CONDOR_PRIVATE_NETWORK_NAME=PRIVATE_NETWORK, _CONDOR_COLLECTOR_HOST=CM.hostname)
    argv = ["condor_status", "-direct", name, "-autoformat", "Name"]
    return region.neighbour.run(argv, env=environ).stdout.split()


@pytest.fixture
def joined(region: Region, worker: Machine) -> Region:
    agent(worker, "start")
    return region


def test_the_worker_is_in_the_pool_when_start_returns(joined: Region) -> None:
    (slot,) = joined.pool.slots()
    assert slot["Machine"] == public_name(PUBLIC)
    assert slot["CloudInstanceID"] == INSTANCE
    assert slot["CloudZone"] == "us-east-1c"
    assert slot["CloudInterruptible"] is False
    assert slot["IsAnnex"] is True
    address = slot["MyAddress"]
    assert address.startswith(f"<{PUBLIC}:9618?")
    assert f"PrivNet={PRIVATE_NETWORK}" in address
    assert f"PrivAddr=%3c{WORKER.address}:9618" in address
    ours = ("-master", "-constraint", f'CloudInstanceID == "{INSTANCE}"')
    wait_until(lambda: joined.pool.ads(*ours), "the master's ad has the same attributes", 30)


def test_htcondor_sees_the_wikis_worker(joined: Region) -> None:
    expected = {
        "COLLECTOR_HOST": CM.hostname,
        "TCP_FORWARDING_HOST": PUBLIC,
        "PRIVATE_NETWORK_NAME": PRIVATE_NETWORK,
        "PRIVATE_NETWORK_INTERFACE": WORKER.address,
        "DAEMON_LIST": "MASTER, STARTD",
        "FULL_HOSTNAME": public_name(PUBLIC),
    }
    assert {knob: condor(joined.worker, knob) for knob in expected} == expected


def test_a_job_with_files_runs_through_the_nat(joined: Region) -> None:
    before = joined.network.connections()
    cluster = joined.jobs.submit(inputs={"input.txt": "hello from the site\n"})
    ad = joined.jobs.wait_for(cluster, COMPLETED)
    assert ad["LastRemoteHost"].endswith(f"@{public_name(PUBLIC)}")
    assert joined.jobs.file(cluster) == "HELLO FROM THE SITE\n"
    assert joined.network.connections()["inbound"] > before["inbound"]


def test_a_daemon_of_the_same_private_network_takes_the_private_address(joined: Region) -> None:
    before = joined.network.connections()
    assert slots_seen_inside(joined, public_name(PUBLIC)) == [f"slot1@{public_name(PUBLIC)}"]
    after = joined.network.connections()
    assert after["private"] == before["private"] + 1
    assert after["hairpin"] == before["hairpin"]


def test_a_second_start_rewrites_and_restarts_nothing(joined: Region) -> None:
    files, processes = stat(joined.worker, *FILES), condor_processes(joined.worker)
    assert "nothing to do" in agent(joined.worker, "start")
    assert stat(joined.worker, *FILES) == files
    assert condor_processes(joined.worker) == processes


def test_a_dry_run_changes_nothing_before_a_start(worker: Machine) -> None:
    before = whole_disk(worker)
    said = agent(worker, "--dry-run")
    assert f"+TCP_FORWARDING_HOST = {PUBLIC}" in said
    assert "/dev/null" in said
    assert whole_disk(worker) == before


def test_a_dry_run_changes_nothing_after_a_stop(worker: Machine) -> None:
    agent(worker, "start")
    agent(worker, "stop")
    before = whole_disk(worker)
    assert "it does not run" in agent(worker, "--dry-run")
    assert whole_disk(worker) == before


def test_a_dry_run_while_the_daemons_run_leaves_no_trace_in_etc(joined: Region) -> None:
    joined.worker.run(["rm", "-f", "/etc/condor/known_hosts"])  # a tool that asks the collector would make it anew
    before = stat(joined.worker, "/etc", "/etc/condor", "/run", "/run/annex-agent", *FILES)
    said = agent(joined.worker, "--dry-run")
    assert said.count("\n  ~ ") == 0, said
    assert stat(joined.worker, "/etc", "/etc/condor", "/run", "/run/annex-agent", *FILES) == before


def test_a_dry_run_needs_no_root(joined: Region) -> None:
    joined.worker.write("/etc/condor/config.d/55-secret.config", "X = 1\n", 0o600)
    joined.worker.write("/etc/annex-agent/config.yaml", "metadata: {restrict_to_root: false}\n")
    agent(joined.worker, "start")  # takes the fence away, in front of which the run would end
    argv = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "annex-agent", "--dry-run"]
    done = joined.worker.run(argv, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "only root can see" in done.stdout


def test_status_tells_the_boot_and_the_slot(joined: Region, worker: Machine) -> None:
    answer = json.loads(agent(worker, "status", "--json"))
    assert answer["running"] is True
    assert answer["slots"] == [{"name": f"slot1@{public_name(PUBLIC)}", "state": "Unclaimed", "activity": "Idle"}]
    (run,) = answer["runs"]
    unchanged = [step["name"] for step in run["steps"] if step["result"] == "unchanged"]
    assert unchanged == ["read-back", "unit"]
    assert all("seconds" in step for step in run["steps"])
    agent(worker, "stop")
    assert "start, begun" in agent(worker, "status", code=3)


def test_stop_takes_the_slot_away_at_once_and_leaves_no_process(joined: Region, worker: Machine) -> None:
    assert "graceful" in agent(worker, "stop")
    assert joined.pool.slots("Name") == []
    assert worker.processes() == {}
    assert "nothing to do" in agent(worker, "stop")


def test_a_running_job_goes_back_to_the_queue_and_runs_again(joined: Region, worker: Machine) -> None:
    cluster = joined.jobs.submit(POLITE_JOB)
    joined.jobs.wait_for(cluster, RUNNING)
    assert "graceful" in agent(worker, "stop")
    assert joined.pool.slots("Name") == []
    assert worker.processes() == {}
    joined.jobs.wait_for(cluster, IDLE)
    agent(worker, "start")
    joined.jobs.wait_for(cluster, RUNNING)
    joined.jobs.remove(cluster)


def test_a_job_that_does_not_listen_is_ended_by_a_lower_rung(joined: Region, worker: Machine) -> None:
    cluster = joined.jobs.submit(PATIENT_JOB)
    joined.jobs.wait_for(cluster, RUNNING)
    said = agent(worker, "stop", "--timeout", "1s")
    assert "ended by fast shutdown" in said
    assert "graceful shutdown" in said
    assert worker.processes() == {}
    assert joined.pool.slots("Name") == []
    joined.jobs.wait_for(cluster, IDLE)
    joined.jobs.remove(cluster)


def test_daemons_that_hang_are_killed_and_their_slot_is_withdrawn(joined: Region, worker: Machine) -> None:
    cluster = joined.jobs.submit(RUNAWAY_JOB)
    joined.jobs.wait_for(cluster, RUNNING)
    worker.run(["pkill", "-STOP", "condor_"])
    said = agent(worker, "stop", "--within", "9s")
    assert "ended by kill shutdown" in said
    assert "withdrawn from the collector" in said
    assert worker.processes() == {}, "and what the job has moved out of its tree is gone, too"
    assert joined.pool.slots("Name") == []
    joined.jobs.remove(cluster)


def test_another_public_address_after_a_stop_and_start_of_the_instance(joined: Region, worker: Machine) -> None:
    worker.stop()
    joined.associate("67.202.60.99")
    worker.start()
    agent(worker, "start")
    (slot,) = joined.pool.slots()
    assert slot["MyAddress"].startswith("<67.202.60.99:9618?")
    assert slot["Machine"] == public_name("67.202.60.99")


def test_another_public_address_under_running_daemons_restarts_them(joined: Region, worker: Machine) -> None:
    masters = condor_processes(worker)
    joined.associate("67.202.60.99")
    said = agent(worker, "start")
    assert "earlier configuration ended by graceful" in said
    assert not set(condor_processes(worker)) & set(masters)
    (slot,) = joined.pool.slots()
    assert slot["MyAddress"].startswith("<67.202.60.99:9618?")


def test_without_a_public_address_nothing_is_forwarded(region: Region, worker: Machine) -> None:
    region.associate(None)
    said = agent(worker, "configure")
    assert "gives this instance no public address" in said
    assert condor(worker, "TCP_FORWARDING_HOST") == ""
    assert "TCP_FORWARDING_HOST" not in worker.read(CONFIG)


KILL_AFTER_STEP = """
import os, signal, sys
from annex_agent import cli, progress
ends, left = progress.Several.ends, int(sys.argv[1])
def and_die(self, outcome):
    global left
    ends(self, outcome)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
progress.Several.ends = and_die
sys.exit(cli.main(["start"]))
"""
KILL_BEFORE_RENAME = """
import os, pathlib, signal, sys
from annex_agent import cli
replace = pathlib.Path.replace
def or_die(self, target):
    if str(target) == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
pathlib.Path.replace = or_die
sys.exit(cli.main(["start"]))
"""
STEPS = 13
KILLED = (-9, 137)


def final_state(region: Region) -> List[Any]:
    """All that a start leaves, but for process ids and times."""
    worker = region.worker
    (slot,) = region.pool.slots("Name", "Machine", "CloudInstanceID", "State")
    masters = [command for command in condor_processes(worker).values() if command.startswith("condor_master")]
    left_over = worker.run(["find", "/etc", "/run", "-name", ".*annex-agent-new"]).stdout
    files = worker.run(["stat", "--format=%n %a %U:%G %s", *FILES]).stdout
    boot = worker.read("/proc/sys/kernel/random/boot_id").strip()  # each power-on of a machine is another
    texts = [worker.read(path).replace(boot, "THIS BOOT") for path in FILES]
    return [slot, masters, left_over, files, *texts, worker.run(["hostname"]).stdout]


@pytest.fixture(scope="module")
def undisturbed(region: Region) -> List[Any]:
    region.reset_worker()
    agent(region.worker, "start")
    (run,) = json.loads(agent(region.worker, "status", "--json"))["runs"]
    assert len(run["steps"]) == STEPS, "each step is to be tried below"
    return final_state(region)


@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_killed_after_any_step_the_next_start_reaches_the_same_state(
    region: Region, undisturbed: List[Any], worker: Machine, number: int
) -> None:
    killed = worker.run(["python3", "-c", KILL_AFTER_STEP, str(number)], check=False, timeout=60)
    assert killed.returncode in KILLED, killed.stdout + killed.stderr
    agent(worker, "start")
    assert final_state(region) == undisturbed


@pytest.mark.parametrize("path", FILES)
def test_killed_in_the_middle_of_a_write_the_next_start_reaches_the_same_state(
    region: Region, undisturbed: List[Any], worker: Machine, path: str
) -> None:
    killed = worker.run(["python3", "-c", KILL_BEFORE_RENAME, path], check=False, timeout=60)
    assert killed.returncode in KILLED, killed.stdout + killed.stderr
    agent(worker, "start")
    assert final_state(region) == undisturbed


def test_user_datas_knobs_win_and_our_file_is_named(region: Region, worker: Machine) -> None:
    knobs = ["COLLECTOR_HOST = cm.example.org:9618?sock=collector", "RUNBENCHMARKS = True"]
    knobs += ["STARTD_ATTRS = $(STARTD_ATTRS) Colour", 'Colour = "red"']
    region.imds.update({"user-data": "\n".join(knobs)})
    agent(worker, "start")
    verbose = worker.run(["condor_config_val", "-verbose", "RUNBENCHMARKS"]).stdout
    assert "RUNBENCHMARKS = True" in verbose
    assert CONFIG in verbose
    (slot,) = region.pool.slots("Colour", "CloudZone")
    assert slot == {"Colour": "red", "CloudZone": "us-east-1c"}


def test_bad_lines_are_all_told_and_nothing_is_written(region: Region, worker: Machine) -> None:
    region.imds.update({"user-data": "COLLECTOR_HOST = cm.example.org\nuse role:execute\nA = 1\nB-C = 2\n"})
    said = agent(worker, "start", code=5)
    assert "line 2" in said
    assert "line 4" in said
    assert worker.run(["test", "-e", CONFIG], check=False).returncode == 1
    assert condor_processes(worker) == {}


def test_knobs_that_refer_to_each_other_are_refused_before_they_are_in_place(region: Region, worker: Machine) -> None:
    region.imds.update({"user-data": "COLLECTOR_HOST = cm.example.org\nA = $(B)\nB = $(A)\n"})
    assert "refer to itself" in agent(worker, "start", code=5)
    assert worker.run(["test", "-e", CONFIG], check=False).returncode == 1


def test_a_file_of_the_image_that_htcondor_cannot_read_is_named(worker: Machine) -> None:
    worker.write("/etc/condor/config.d/70-broken.config", "this is no configuration\n")
    assert "70-broken.config" in agent(worker, "start", code=1)
    assert worker.run(["test", "-e", CONFIG], check=False).returncode == 1


def test_a_file_that_overrules_ours_is_told(worker: Machine) -> None:
    worker.write("/etc/condor/config.d/70-site.config", "PRIVATE_NETWORK_NAME = ours\n")
    said = agent(worker, "configure")
    assert "PRIVATE_NETWORK_NAME shall be amazon-ec2-us-east-1c" in said
    assert "70-site.config" in said
    assert condor(worker, "PRIVATE_NETWORK_NAME") == "ours"


@pytest.mark.parametrize("value", ["<html>login</html>", "10.0.0.1\nALLOW_WRITE = *", "$(whoami)"])
def test_hostile_metadata_reaches_no_file(region: Region, worker: Machine, value: str) -> None:
    region.imds.update({"meta-data": {"public-ipv4": value}})
    assert "meta-data/public-ipv4" in agent(worker, "start", code=4)
    assert worker.run(["test", "-e", CONFIG], check=False).returncode == 1


def test_a_metadata_service_that_comes_up_late_is_waited_for(region: Region, worker: Machine) -> None:
    region.imds.stop()
    with worker.popen(["annex-agent", "-v", "start"]) as starting:
        wait_until(lambda: "annex-agent" in " ".join(worker.processes().values()), "the agent runs", 10)
        region.imds.start()
        out, err = starting.communicate(timeout=60)
    assert starting.returncode == 0, out + err
    assert region.pool.slots("Name")


def test_nothing_listening_is_told_with_the_endpoint(region: Region, worker: Machine) -> None:
    region.imds.stop()
    try:
        said = agent(worker, "--dry-run", code=4)
    finally:
        region.imds.start()
    assert "http://169.254.169.254" in said
    assert "not an EC2 instance" in said


def test_the_ipv6_endpoint_serves_as_well(worker: Machine) -> None:
    said = agent(worker, "--dry-run", env={"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"})
    assert "http://[fd00:ec2::254], IMDSv2" in said


SHORT_DEADLINE = (
    "import sys; from annex_agent import cli, plan; plan.SLOT_DEADLINE_S = 4.0; sys.exit(cli.main(['start']))"
)


def test_a_collector_that_cannot_be_reached_is_told_within_the_deadline(region: Region, worker: Machine) -> None:
    region.imds.update({"user-data": f"{CM.hostname}:9619"})  # nothing listens there
    done = worker.run(["python3", "-c", SHORT_DEADLINE], check=False, timeout=120)
    assert done.returncode == 7, done.stdout + done.stderr
    assert "does not list this machine" in done.stderr
    assert "Failed to connect" in done.stderr
    said = agent(worker, "stop")
    assert "a slot that is still listed goes with its ad's lifetime" in said
    assert condor_processes(worker) == {}


def test_a_worker_that_the_pool_does_not_trust_is_told_what_the_logs_say(region: Region, worker: Machine) -> None:
    worker.run(["rm", "/etc/condor/tokens.d/pool"])
    done = worker.run(["python3", "-c", SHORT_DEADLINE], check=False, timeout=120)
    assert done.returncode == 7, done.stdout + done.stderr
    assert f"the collector {CM.hostname} refuses this worker (security.method image: AUTHENTICATE:1003" in done.stderr


def test_a_master_that_dies_is_told_and_not_waited_for(region: Region, worker: Machine) -> None:
    worker.write("/etc/condor/config.d/40-broken.config", "LOG = /proc/sys\n")
    said = agent(worker, "start", code=7)
    assert "condor_master" in said


def test_clean_leaves_nothing_of_the_instance(joined: Region, worker: Machine) -> None:
    assert "annex-agent stop first" in agent(worker, "clean", code=7)
    agent(worker, "stop")
    before = whole_disk(worker)
    assert f"remove {CONFIG}" in agent(worker, "clean", "--dry-run")
    assert whole_disk(worker) == before
    agent(worker, "clean")
    left = worker.run(["find", *FILES, "/run/annex-agent", "/var/log/condor", "/var/lib/condor/execute"], check=False)
    assert left.stdout.split() == ["/var/log/condor", "/var/lib/condor/execute"]
    agent(worker, "clean")
    agent(worker, "start")
    assert joined.pool.slots("Name")


def test_an_image_made_of_a_worker_becomes_another_instances(joined: Region, worker: Machine) -> None:
    agent(worker, "stop")
    worker.write("/var/lib/condor/execute/left", "by a job of the other instance")
    worker.run(["chown", "condor:", "/var/lib/condor/execute/left"])
    joined.imds.update({"meta-data": {"instance-id": "i-0ffffffffffffffff"}})
    said = agent(worker, "start")
    assert f"this disk was instance {INSTANCE}'s" in said
    assert worker.run(["ls", "-A", "/var/lib/condor/execute"]).stdout == ""
    (slot,) = joined.pool.slots("CloudInstanceID")
    assert slot == {"CloudInstanceID": "i-0ffffffffffffffff"}
    assert "nothing to do" in agent(worker, "start")
