"""The RPM's life on a worker that works: upgraded under a job, and erased; and whom it keeps from the metadata."""

import json
from pathlib import Path

import pytest

from . import ami, rpm
from .booted import BootedMachine
from .region import Region
from .test_agent_boot import UNIT, start_long_job
from .test_agent_units import CONDOR, SLOT, WATCH, condor_processes, slots, wait_for_state
from .topology import METADATA_IPV4, METADATA_IPV6, PUBLIC, public_name
from .wait import wait_until

COMPLETED = 4
WANTS = "multi-user.target.wants/"
MEMORY = "/var/lib/annex-agent/watch.json"
# Of the package and of all that it and HTCondor's tools write; what the system itself writes all the time is left out.
LISTING = (
    "find /etc /usr /var/lib /run -xdev \\( -path /var/lib/rpm -o -path /var/lib/systemd -o -path '/run/systemd' "
    "-o -path /run/udev -o -path /run/log -o -path '/run/host*' -o -path /var/lib/cloud -o -path /run/cloud-init \\) "
    "-prune -o -printf '%y %m %U:%G %p %l\\n' | sort"
)


def newer(directory: Path) -> Path:
    """The next release's package."""
    checkout = rpm.copy(directory / "newer")
    spec = checkout / rpm.SPEC
    spec.write_text(spec.read_text(encoding="utf-8").replace("Release:        1\n", "Release:        2\n"))
    unit = checkout / "init/systemd/annex-agent.service"
    unit.write_text(unit.read_text(encoding="utf-8").replace("execute node on", "execute node, release 2, on"))
    return rpm.build(checkout).binary


def test_an_upgrade_lets_the_job_finish(region: Region, booted: BootedMachine, tmp_path: Path) -> None:
    cluster = region.jobs.submit("#!/bin/sh\ntouch output.txt\nwhile [ ! -e /tmp/go ]; do sleep 0.2; done\n")
    region.jobs.wait_for(cluster, 2)
    before, watch = condor_processes(booted), booted.show(WATCH, "MainPID")
    ami.send(booted, newer(tmp_path))
    booted.run(["rpm", "--upgrade", "--nodeps", ami.PACKAGE])
    assert "release 2" in booted.show(UNIT, "Description")
    assert booted.state(UNIT) == booted.state(CONDOR) == "active"
    assert condor_processes(booted) == before
    wait_for_state(booted, WATCH, "active")
    assert booted.show(WATCH, "MainPID") not in (watch, "0"), "it remembers, so the new version is at work at once"
    booted.run(["sh", "-c", "for d in /proc/[0-9]*/root/tmp; do touch $d/go; done"])
    region.jobs.wait_for(cluster, COMPLETED)
    booted.systemctl("restart", UNIT)
    assert slots(region) == [SLOT]


def test_erased_from_a_worker_it_leaves_the_pool_and_no_trace(region: Region, pending: BootedMachine) -> None:
    masks = [f"/etc/systemd/system/{unit}" for unit in (UNIT, WATCH)]
    for mask in masks:
        pending.disk.link(mask, "/dev/null")  # a first boot without it: what is there without it?
    pending.start()
    pending.run(["sh", "-c", f"{LISTING} >/root/before"])
    pending.run(["rm", *masks])
    pending.systemctl("daemon-reload")
    pending.systemctl("start", UNIT)
    assert slots(region) == [SLOT]
    wait_until(lambda: pending.run(["test", "-e", MEMORY], check=False).returncode == 0, "the watch remembers", 30)
    assert "inet annex_agent" in pending.run(["nft", "list", "tables"]).stdout
    packaged = set(pending.run(["rpm", "-ql", "annex-agent"]).stdout.split())
    erased = pending.run(["rpm", "--erase", "--nodeps", "annex-agent"])
    assert erased.stdout + erased.stderr == ""
    assert slots(region) == []
    assert condor_processes(pending) == []
    assert pending.run(["nft", "list", "ruleset"]).stdout == ""
    changes = pending.run(["sh", "-c", f"{LISTING} | diff /root/before - | grep '^[<>]'"], check=False).stdout
    expect_no_trace(changes, packaged)


def expect_no_trace(changes: str, packaged: "set[str]") -> None:
    """``changes`` are lines of a diff: what the package brought is gone, what is new HTCondor itself has written."""
    paths: dict[str, set[str]] = {"<": set(), ">": set()}
    for line in changes.splitlines():
        paths[line[0]].add(line.split()[4])
    changed_links = paths["<"] & paths[">"]
    gone, new = paths["<"] - paths[">"], paths[">"] - paths["<"]
    links = {f"/etc/systemd/system/{place}{unit}" for place in ("", WANTS) for unit in (UNIT, WATCH)}
    compiled = {path for path in gone if "__pycache__" in path}
    assert gone - packaged - links - compiled == {"/etc/hostname"}, gone
    htcondors = ("/etc/condor/known_hosts", "/etc/sysctl.d/99-htcondor.conf", "/run/condor", "/run/lock/condor")
    assert {path for path in new if not path.startswith(htcondors)} == set()
    assert not [path for path in changed_links if "annex" in path]


@pytest.mark.parametrize("address", [METADATA_IPV4, f"[{METADATA_IPV6}]"])
def test_only_root_reaches_the_metadata_service(booted: BootedMachine, address: str) -> None:
    curl = ["curl", "--globoff", "--silent", "--show-error", "--max-time", "5", f"http://{address}/latest/meta-data/"]
    token = ["--header", "X-aws-ec2-metadata-token-ttl-seconds: 60", "--request", "PUT"]
    put = [*curl[:-1], *token, f"http://{address}/latest/api/token"]
    assert booted.run(put).stdout
    fenced = booted.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *put], check=False)
    assert fenced.returncode == 7, fenced.stderr  # refused; 28 would be a time-out


def test_whoever_logs_in_without_root_is_told_of_the_fence(booted: BootedMachine) -> None:
    switch = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    done = booted.run([*switch, "annex-agent", "--dry-run"], check=False)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "fenced off" in done.stderr
    assert "sudo annex-agent --dry-run" in done.stderr


def test_nothing_that_is_wrong_is_said_by_either_reader_of_user_data(region: Region, pending: BootedMachine) -> None:
    document = (
        'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n'
        "--==\nContent-Type: text/cloud-config\n\n"
        "#cloud-config\nwrite_files: [{path: /root/from-cloud-init, content: x}]\n"
        "--==\nContent-Type: text/x-annex-agent\n\n"
        "central_manager: cm.example.org\nannex: side-by-side\n--==--\n"
    )
    region.imds.update({"user-data": document})
    pending.start()
    expect_content(pending)
    (slot,) = region.pool.slots("AnnexName")
    assert slot == {"AnnexName": "side-by-side"}
    assert pending.read("/root/from-cloud-init") == "x"


def test_a_bare_host_name_is_no_warning_to_cloud_init(booted: BootedMachine) -> None:
    expect_content(booted)


def expect_content(machine: BootedMachine) -> None:
    status = json.loads(machine.run(["cloud-init", "status", "--format", "json"], check=False).stdout)
    assert status["extended_status"] == "done", status
    assert status["recoverable_errors"] == {}
    assert machine.state(UNIT) == "active", machine.journal(UNIT)
    assert "warning" not in machine.journal(UNIT).lower()


def test_presets_that_disable_what_they_do_not_name_leave_it_enabled(booted: BootedMachine) -> None:
    booted.write("/etc/systemd/system-preset/85-none.preset", "disable *\n")  # as Enterprise Linux has it
    booted.systemctl("preset", CONDOR, UNIT, WATCH)
    assert booted.systemctl("is-enabled", CONDOR, check=False) == "disabled\n"
    assert booted.systemctl("is-enabled", UNIT, WATCH) == "enabled\nenabled\n"


def test_cloud_init_may_be_the_one_that_starts_the_service(region: Region, pending: BootedMachine) -> None:
    pending.start()
    pending.systemctl("disable", UNIT)
    share = "/usr/share/annex-agent/init/cloud-init"
    pending.run(["cp", f"{share}/annex-agent-invoke.tmpfiles", "/etc/tmpfiles.d/annex-agent-invoke.conf"])
    pending.reboot()
    expect_content(pending)
    cluster = start_long_job(region)
    pending.stop()
    assert slots(region) == []
    region.jobs.remove(cluster)


def test_the_journal_can_be_asked_by_field(booted: BootedMachine) -> None:
    query = ["journalctl", "--no-pager", "--output=json", "ANNEX_AGENT_STEP=slot"]
    (entry,) = [json.loads(line) for line in booted.run(query).stdout.splitlines()]
    assert entry["MESSAGE"].startswith(f"slot: in the pool as slot1@{public_name(PUBLIC)}")
    assert entry["_SYSTEMD_UNIT"] == UNIT
    assert entry["ANNEX_AGENT_INSTANCE_ID"] == "i-0a64379b1c2d3e4f5"


def test_the_units_give_away_no_more_than_the_work_needs(booted: BootedMachine) -> None:
    for unit, most in ((UNIT, 4.5), (WATCH, 3.8)):
        exposure = booted.run(["systemd-analyze", "--no-pager", "security", unit]).stdout.splitlines()[-1]
        print(exposure)
        assert float(exposure.split(":")[1].split()[0]) < most, exposure
