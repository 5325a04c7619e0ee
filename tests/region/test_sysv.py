"""The init script, on a worker whose process 1 is not systemd, and the supervisor that it leaves behind."""

import json
import re
from pathlib import Path
from typing import Dict, List

import pytest

from .agent import CHECKOUT
from .machine import Machine
from .region import Region
from .topology import PUBLIC, public_name
from .wait import wait_until

SCRIPT = "/etc/init.d/annex-agent"
AGENT = "/usr/local/bin/annex-agent"
SLOT = [f"slot1@{public_name(PUBLIC)}"]
# As in the other tests, deadlines are shortened from outside: there is no setting for them.
HASTY = """#!/usr/bin/python3
import sys
from annex_agent import cli, supervisor
supervisor.PACING = supervisor.PACING._replace(pause_s=1.0)
sys.exit(cli.main())
"""
KEEPS_WATCH = re.compile(r"annex-agent watch|^logger -t annex-agent|^sleep 1$")
SYSLOG = """
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("/dev/log")
print("ready", flush=True)
while True:
    print(receiver.recv(65536).decode(), flush=True)
"""


@pytest.fixture
def init(worker: Machine) -> Machine:
    worker.write(SCRIPT, (CHECKOUT / "init/sysv/annex-agent").read_text(encoding="utf-8"), 0o755)
    return worker


def service(machine: Machine, action: str, code: int = 0) -> str:
    """Call the script as init does; what it says."""
    done = machine.run([SCRIPT, *action.split()], check=False, timeout=200)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def masters(machine: Machine) -> List[int]:
    return [pid for pid, command in machine.processes().items() if command.startswith("condor_master")]


def supervisors(machine: Machine) -> Dict[int, str]:
    return {pid: command for pid, command in machine.processes().items() if "annex-agent-supervisor" in command}


def crash(machine: Machine) -> int:
    """Kill the master, and wait until there is another one; returns the old one's id."""
    (master,) = masters(machine)
    machine.run(["kill", "-9", str(master)])
    wait_until(lambda: set(masters(machine)) - {master}, "another master", 60)
    return master


def watches(machine: Machine) -> List[int]:
    return [pid for pid, command in machine.processes().items() if command.endswith("/annex-agent watch")]


def worker_processes(machine: Machine) -> Dict[int, str]:
    """Without the watch and those who see to it that there is one."""
    return {pid: command for pid, command in machine.processes().items() if not KEEPS_WATCH.search(command)}


def names(region: Region) -> List[str]:
    return [slot["Name"] for slot in region.pool.slots("Name")]


def listed(machine: Machine) -> bool:
    """Whether the collector lists the slot of the startd that runs now."""
    return bool(json.loads(machine.run(["annex-agent", "status", "--json"], check=False).stdout)["slots"])


def test_from_start_to_stop(region: Region, init: Machine) -> None:
    assert service(init, "status", 3).startswith("annex-agent: not running")
    assert f"in the pool as {SLOT[0]}" in service(init, "start")
    assert names(region) == SLOT
    said = service(init, "status")
    assert said.startswith("annex-agent: running: condor_master (pid ")
    assert said.count("\n") == 1

    before = worker_processes(init)
    for action in ("start", "reload", "force-reload"):
        assert "nothing to do" in service(init, action)
    assert worker_processes(init) == before

    first = masters(init)
    for action in ("restart", "try-restart", "condrestart"):
        service(init, action)
        assert names(region) == SLOT
        assert not set(masters(init)) & set(first)
        first += masters(init)

    service(init, "stop")
    assert names(region) == []
    assert worker_processes(init) == {}
    service(init, "status", 3)
    assert "nothing to do" in service(init, "stop")
    service(init, "try-restart")
    service(init, "reload", 7)
    assert worker_processes(init) == {}


def test_the_watch_is_kept_whatever_becomes_of_the_worker(region: Region, init: Machine) -> None:
    service(init, "start")
    wait_until(lambda: len(watches(init)) == 1, "there is a watch", 20)
    (watch,) = watches(init)
    session, terminal = init.run(["ps", "-o", "sid=,tty=", "-p", str(watch)]).stdout.split()
    assert (session == str(init.leader), terminal) == (False, "?")
    assert f"; watch: pid {watch}" in service(init, "status")
    for action in ("start", "reload", "restart", "stop", "stop"):
        service(init, action)
        assert watches(init) == [watch], action
    service(init, "status", 3)
    init.run(["kill", "-9", str(watch)])
    wait_until(lambda: set(watches(init)) - {watch}, "there is another one", 20)
    init.run(["annex-agent", "clean"])
    wait_until(lambda: init.processes() == {}, "nobody keeps a watch any more", 20)
    assert init.run(["test", "-e", "/run/annex-agent"], check=False).returncode == 1


def test_a_master_that_crashes_is_back_by_itself_and_so_is_the_slot(region: Region, init: Machine) -> None:
    init.write(AGENT, HASTY, 0o755)
    service(init, "start")
    ((supervisor, _),) = supervisors(init).items()
    for _ in range(2):
        before = worker_processes(init)
        crash(init)
        wait_until(lambda: listed(init), "its slot", 120)
        assert set(supervisors(init)) == {supervisor}
        assert set(worker_processes(init)) & set(before) == {supervisor}, "nothing of the dead master's is left"
    service(init, "status")
    service(init, "stop")
    assert worker_processes(init) == {}
    assert names(region) == []


def test_a_stop_ends_a_supervisor_that_waits_for_its_next_try(region: Region, init: Machine) -> None:
    service(init, "start")
    (master,) = masters(init)
    init.run(["kill", "-9", str(master)])
    wait_until(lambda: set(worker_processes(init)) == set(supervisors(init)), "the daemons are gone", 60)
    assert service(init, "status", 1).startswith("annex-agent: dead, but /run/annex-agent/configured is there")
    service(init, "stop")
    assert worker_processes(init) == {}
    assert names(region) == []
    service(init, "status", 3)


def test_the_supervisor_is_small_and_stands_apart(init: Machine) -> None:
    service(init, "start")
    ((pid, _),) = supervisors(init).items()
    (master,) = masters(init)
    parent = init.run(["ps", "-o", "ppid=,stat=", "-p", str(master)]).stdout.split()
    assert parent[0] == str(pid)
    resident, terminal, session = init.run(["ps", "-o", "rss=,tty=,sid=", "-p", str(pid)]).stdout.split()
    assert (terminal, session == str(init.leader)) == ("?", False)
    print(f"the supervisor's resident memory: {resident} KiB")
    assert int(resident) < 24 * 1024
    assert init.run(["ps", "-e", "-o", "stat="]).stdout.count("Z") == 0


def test_what_the_supervisor_does_is_in_syslog_beside_the_agents_own_log(init: Machine) -> None:
    init.write(AGENT, HASTY, 0o755)
    with init.popen(["python3", "-c", SYSLOG]) as syslog:
        assert syslog.stdout is not None
        assert syslog.stdout.readline() == "ready\n"
        assert "in the pool as" in service(init, "start")
        master = crash(init)
        service(init, "stop")
        syslog.kill()
        said = syslog.stdout.read()
    assert "annex-agent: annex-agent: daemons: condor_master started" in said
    assert f"condor_master runs (pid {master})" in said
    assert "condor_master failed (signal 9)" in said
    assert "condor_master has ended" in said


def test_on_enterprise_linux_rc_is_told_that_there_is_something_to_stop(init: Machine) -> None:
    init.run(["mkdir", "-p", "/run/lock/subsys"])
    service(init, "start")
    assert init.run(["test", "-e", "/var/lock/subsys/annex-agent"], check=False).returncode == 0
    service(init, "stop")
    assert init.run(["test", "-e", "/var/lock/subsys/annex-agent"], check=False).returncode == 1
    init.run(["touch", "/var/lock/subsys/annex-agent"])
    service(init, "status", 2)


def test_what_is_wrong_is_told_in_inits_own_exit_codes(region: Region, init: Machine) -> None:
    for wrong in ("nonsense", "", "-h"):
        assert service(init, wrong, 2).startswith("usage: ")
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    for action, code in (("start", 4), ("stop", 4), ("restart", 4), ("status", 3)):
        assert init.run([*as_nobody, SCRIPT, action], check=False).returncode == code
    region.imds.update({"user-data": "COLLECTOR_HOST = cm.example.org\nuse role:execute\n"})
    said = service(init, "start", 6)
    assert "line 2" in said
    assert "not configured" in said
    init.run(["mv", AGENT, f"{AGENT}.away"])
    for action, code in (("start", 5), ("stop", 5), ("status", 4), ("nonsense", 2)):
        service(init, action, code)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_every_exit_code_of_the_agents_has_its_meaning_for_init(init: Machine, shell: str) -> None:
    meant = {0: 0, 1: 1, 2: 2, 4: 1, 5: 6, 6: 1, 7: 1, 130: 1}
    for code, expected in meant.items():
        init.write(AGENT, f"#!/bin/sh\nexit {code}\n", 0o755)
        for action in ("start", "stop"):
            assert init.run([shell, SCRIPT, action], check=False).returncode == expected, (action, code)
    for code, expected in {0: 0, 3: 3, 1: 4, 2: 4}.items():
        init.write(AGENT, f"#!/bin/sh\nexit {code}\n", 0o755)
        assert init.run([shell, SCRIPT, "status"], check=False).returncode == expected, code


def test_its_header_is_understood(init: Machine) -> None:
    init.run(["update-rc.d", "annex-agent", "defaults"])
    links = init.run(["sh", "-c", "cd /etc && ls rc?.d/*annex-agent"]).stdout.split()
    runs = {int(link[2]) for link in links if Path(link).name.startswith("S")}
    assert runs == {2, 3, 4, 5}
    generator = "/usr/lib/systemd/system-generators/systemd-sysv-generator"
    init.run(["mkdir", "-p", "/tmp/units"])
    init.run(["env", "SYSTEMD_LOG_LEVEL=warning", generator, "/tmp/units", "/tmp/units", "/tmp/units"])
    unit = init.read("/tmp/units/annex-agent.service")
    assert "Description=LSB: HTCondor execute node on Amazon EC2" in unit
    after = " ".join(line for line in unit.splitlines() if line.startswith("After="))
    assert {"network-online.target", "remote-fs.target"} <= set(after.replace("After=", "").split())
    assert "condor" not in after
