"""The pre-flight on a worker with real HTCondor: what it finds, and that it leaves no trace."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .machine import Machine
from .region import Region
from .test_agent import CONFIG, agent, whole_disk
from .topology import CM, PUBLIC, public_name

TOKEN = "/etc/condor/tokens.d/pool"
# The kernel's clock is the host's, and no systemd runs here.
OF_THE_HOST = {"clock", "units"}
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")


def check(machine: Machine, code: int = 0, before: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
    """The answer's lines by name; of several lines of one look, the last."""
    done = machine.run([*before, "annex-agent", "check", "--json"], check=False, timeout=120, **options)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    answer = json.loads(done.stdout)
    assert (answer["overall"] == "problem") == (code == 1)
    return {finding["name"]: finding for finding in answer["findings"]}


def not_ok(found: dict[str, Any]) -> set[str]:
    return {name for name, finding in found.items() if finding["verdict"] != "ok"} - OF_THE_HOST


def problems(machine: Machine, *names: str) -> dict[str, Any]:
    """The answer, whose problems are these."""
    found = check(machine, code=1)
    assert {name for name, finding in found.items() if finding["verdict"] == "problem"} == set(names)
    return found


def test_a_fresh_image_has_all_that_it_takes_and_is_left_as_it_is(worker: Machine) -> None:
    before = whole_disk(worker)
    found = check(worker)
    assert whole_disk(worker) == before
    assert not_ok(found) == set(), found
    assert "23.9" in found["htcondor"]["words"]
    assert CM.hostname in found["central-manager"]["words"]
    assert "slot" not in found


def test_a_worker_at_work_is_well_and_is_left_as_it_is(worker: Machine) -> None:
    agent(worker, "start")
    worker.run(["rm", "-f", "/etc/condor/known_hosts"])  # a tool that asks the collector would make it anew
    before = worker.run(["stat", "--format=%n %i %Z", "/etc/condor", "/etc", "/run/annex-agent", CONFIG]).stdout
    found = check(worker)
    assert worker.run(["stat", "--format=%n %i %Z", "/etc/condor", "/etc", "/run/annex-agent", CONFIG]).stdout == before
    assert not_ok(found) == set(), found
    assert f"slot1@{public_name(PUBLIC)}" in found["slot"]["words"]
    assert "condor_startd" in found["daemons"]["words"]


def test_as_text_it_is_a_line_a_finding(worker: Machine) -> None:
    lines = worker.run(["annex-agent", "check"]).stdout.splitlines()
    assert lines[0].split()[:2] == ["ok", "htcondor"]
    assert lines[-1].endswith("0 problems")


def test_anybody_may_ask_and_is_told_what_only_root_can_see(worker: Machine) -> None:
    agent(worker, "start")
    found = check(worker, before=NOBODY)
    behind_the_fence = {"metadata", "settings", "secrets", "signals", "trust", "way-in", "central-manager", "leftovers"}
    unseen = {"firewall", "slot", *behind_the_fence}
    assert not_ok(found) == unseen, found
    for name in unseen:
        assert "only root can see" in found[name]["words"]
        assert ("fenced off" in found[name]["words"]) == (name in behind_the_fence)
        assert "sudo" in found[name]["remedy"]


def test_off_ec2_it_is_judged_as_an_image(region: Region, worker: Machine) -> None:
    region.imds.stop()
    try:
        found = check(worker)
    finally:
        region.imds.start()
    assert not_ok(found) == {"metadata", "central-manager"}, found
    assert "user-data is to name it" in found["settings"]["words"]


def test_a_central_manager_whose_port_is_closed(region: Region, worker: Machine) -> None:
    region.imds.update({"user-data": f"{CM.hostname}:9619"})
    assert "9619" in problems(worker, "central-manager")["central-manager"]["words"]


@pytest.fixture
def filtered(region: Region, worker: Machine) -> Iterator[Machine]:
    """A worker whose packets to the central manager are dropped on the way."""
    rule = f"table inet filtered {{ chain out {{ type filter hook output priority 0; ip daddr {CM.address} drop; }}; }}"
    worker.run(["nft", "-f", "-"], input=rule)
    yield worker
    worker.run(["nft", "delete", "table", "inet", "filtered"])


def test_a_central_manager_behind_a_firewall(filtered: Machine) -> None:
    found = problems(filtered, "central-manager")["central-manager"]
    assert "cannot be reached" in found["words"]
    assert "security group" in found["remedy"]


def test_without_a_token_the_pool_has_no_reason_to_trust_it(worker: Machine) -> None:
    worker.run(["rm", TOKEN])
    found = check(worker)
    assert not_ok(found) == {"trust"}
    assert "condor_token_create" in found["trust"]["remedy"]


def test_a_token_that_has_expired(region: Region, worker: Machine) -> None:
    token = region.pool.token(["ADVERTISE_STARTD"], lifetime_s=1)
    worker.write(TOKEN, token, 0o600)
    time.sleep(1.1)  # what is waited for is the time of day
    found = problems(worker, "trust")
    assert "expired" in found["trust"]["words"]
    assert not [part for part in token.strip().split(".") if part in str(found)]


REFUSED_TOKENS = {
    "others may read it": ["chmod", "0644", TOKEN],
    "its group may read it": ["chmod", "0640", TOKEN],
    "it is another user's": ["chown", "condor", TOKEN],
}


@pytest.mark.parametrize("spoil", REFUSED_TOKENS.values(), ids=REFUSED_TOKENS)
def test_a_token_that_htcondor_does_not_take(worker: Machine, spoil: list[str]) -> None:
    agent(worker, "configure")
    assert worker.run(["condor_status"], check=False).returncode == 0
    worker.run(spoil)
    assert worker.run(["condor_status"], check=False).returncode != 0, "the check would be too strict"
    assert "root's alone" in problems(worker, "trust")["trust"]["words"]


def test_a_directory_of_tokens_that_is_open(worker: Machine) -> None:
    agent(worker, "configure")
    worker.run(["chmod", "0755", "/etc/condor/tokens.d"])
    assert worker.run(["condor_status"], check=False).returncode == 0, "the check would be too lax"
    found = worker.run(["annex-agent", "check"]).stdout
    assert "others may look into /etc/condor/tokens.d" in found


def test_a_configuration_that_htcondor_cannot_read_is_named(worker: Machine) -> None:
    worker.write("/etc/condor/config.d/70-broken.config", "this is no configuration\n")
    found = problems(worker, "configuration")
    assert "70-broken.config" in found["configuration"]["words"]
    assert "see configuration" in found["trust"]["remedy"]


def test_a_file_that_overrules_ours_is_named(worker: Machine) -> None:
    agent(worker, "configure")
    worker.write("/etc/condor/config.d/70-site.config", "PRIVATE_NETWORK_NAME = ours\n")
    found = check(worker)["configuration"]
    assert found["verdict"] == "warning"
    assert "70-site.config" in found["words"]


def test_an_image_that_was_a_central_manager(worker: Machine) -> None:
    worker.write("/etc/condor/config.d/55-role.config", "use role:CentralManager\n")
    found = check(worker)["configuration"]
    assert found["verdict"] == "warning"
    assert "COLLECTOR" in found["words"]
    assert "55-role.config" in found["words"]


def test_a_name_service_that_says_try_again_later_does_not_hang_it(worker: Machine) -> None:
    worker.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")  # and no server to ask
    worker.run(["hostname", "unknown.example.net"])
    found = problems(worker, "own-name", "configuration")
    assert "unknown.example.net cannot be looked up now" in found["own-name"]["words"]
    assert "condor_config_val did not end" in found["configuration"]["words"]
    assert "own-name" in found["configuration"]["remedy"]


def test_a_name_that_nobody_knows_is_no_problem(worker: Machine) -> None:
    worker.run(["hostname", "unknown.example.net"])
    assert not_ok(check(worker)) == {"own-name"}


def test_another_instances_disk(worker: Machine) -> None:
    record = json.dumps({"instance_id": "i-00000000000000000", "boot_id": "b", "host_name": None})
    worker.write("/var/lib/annex-agent/instance.json", record)
    found = check(worker)
    assert not_ok(found) == {"leftovers"}
    assert "i-00000000000000000" in found["leftovers"]["words"]


def test_a_worker_whose_daemons_died(worker: Machine) -> None:
    agent(worker, "start")
    worker.run(["pkill", "-KILL", "condor_master"])
    worker.run(["pkill", "-KILL", "condor_"])
    found = problems(worker, "daemons", "slot")
    assert "condor_master" in found["daemons"]["words"]


def test_without_htcondor_the_other_looks_go_on(worker: Machine) -> None:
    worker.run(["sh", "-c", "chmod a-x /usr/bin/condor_config_val"])
    found = problems(worker, "htcondor")
    assert found["central-manager"]["verdict"] == "ok"
    assert found["trust"]["verdict"] == "warning"
