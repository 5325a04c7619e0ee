"""Pools that trust by token, by password, by address: workers that know nothing but what the settings give them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .jobs import Jobs
from .machine import Machine
from .pool import Pool
from .region import Region
from .test_agent import COMPLETED, RUNNING, SHORT_DEADLINE, agent, condor, condor_processes, stat
from .test_agent_secrets import files_with, watched
from .topology import CM

TOKEN, PASSWORD = "/etc/condor/tokens.d/annex-agent", "/etc/condor/passwords.d/annex-agent"
TOKEN_PLACE, PASSWORD_PLACE = "secretsmanager:annex/token", "ssm:/annex/password"
STORE, SEEN = "/usr/sbin/condor_store_cred", "/run/seen"
CONFIG = "/etc/condor/config.d/60-annex-agent.config"
LEAST = ("ADVERTISE_STARTD", "ADVERTISE_MASTER")
KNOWN_TO_ALL = "the site's password"
WAITING = "#!/bin/sh\ntouch output.txt\nwhile [ ! -e /tmp/go ]; do sleep 0.2; done\n"
ROOTS_ALONE = "600 root:root\n"


@pytest.fixture
def bare(region: Region, worker: Machine) -> Machine:
    """A worker whose image holds nothing by which a pool could trust it, and whose role may fetch secrets."""
    worker.run(["rm", "-r", "/etc/condor/tokens.d", "/etc/condor/config.d/50-pool.config"])
    region.imds.attach_role()
    return worker


@pytest.fixture(scope="module")
def site(region: Region) -> Iterator[Pool]:
    """A pool that a test may have trust by something else; for the tests of other modules it is as it was."""
    yield region.pool
    region.reset_worker()
    region.pool.demand("idtokens")


def tell(region: Region, **security: Any) -> None:
    settings = {"central_manager": CM.hostname, "security": security}
    region.imds.update({"user-data": f"#annex-agent\n{json.dumps(settings)}"})


def start(region: Region, code: int = 0) -> str:
    return agent(region.worker, "start", env=region.aws.environment, code=code)


def start_in_vain(region: Region) -> str:
    """A start that is not given two minutes for what will not happen."""
    done = region.worker.run(["python3", "-c", SHORT_DEADLINE], check=False, timeout=120, env=region.aws.environment)
    assert done.returncode == 7, done.stdout + done.stderr
    return done.stderr


def owner_and_mode(machine: Machine, path: str) -> str:
    return machine.run(["stat", "--format=%a %U:%G", path]).stdout


def is_there(machine: Machine, path: str) -> bool:
    return machine.run(["test", "-e", path], check=False).returncode == 0


def identity(pool: Pool) -> "tuple[str, str]":
    """As whom the collector has let the slot's startd in, and how it knows."""
    slots = pool.slots("AuthenticatedIdentity", "AuthenticationMethod")
    (seen,) = {(slot.get("AuthenticatedIdentity", ""), slot.get("AuthenticationMethod", "")) for slot in slots}
    return seen


def again_and_away(region: Region, machine: Machine, path: str) -> None:
    """Another start changes nothing, a stop takes the slot away, and clean the secret's file."""
    before = stat(machine, path, CONFIG)
    assert "nothing to do" in start(region)
    assert stat(machine, path, CONFIG) == before
    agent(machine, "stop")
    assert region.pool.slots("Name") == []
    agent(machine, "clean")
    assert not is_there(machine, path)


def run_a_job(jobs: Jobs) -> None:
    cluster = jobs.submit(inputs={"input.txt": "hello from the site\n"})
    jobs.wait_for(cluster, COMPLETED)
    assert jobs.file(cluster) == "HELLO FROM THE SITE\n"


def let_nobody_else_do_anything(region: Region) -> None:
    """Neither a job's owner on the worker nor whoever sits beside it, or at the site, may switch it off."""
    running = condor_processes(region.worker)
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    refused = region.worker.run([*nobody, "condor_off", "-daemon", "startd"], check=False)
    assert refused.returncode == 1
    assert "DENIED" in refused.stdout + refused.stderr
    (address,) = {slot["MyAddress"] for slot in region.pool.slots("MyAddress")}
    open_minded = {f"_CONDOR_SEC_CLIENT_{what}": "OPTIONAL" for what in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")}
    for machine in (region.submit, region.neighbour):
        ping = ["condor_ping", "-addr", address, "-table", "READ", "DAEMON", "ADMINISTRATOR"]
        said = machine.run(ping, check=False, env=open_minded).stdout
        decisions = {line.split()[0]: line.split()[4] for line in said.splitlines()[1:] if line.strip()}
        assert decisions == {"READ": "ALLOW", "DAEMON": "FAIL", "ADMINISTRATOR": "FAIL"}, said
    assert condor_processes(region.worker) == running


def test_a_token_from_secrets_manager(region: Region, bare: Machine) -> None:
    token = region.pool.token(LEAST)
    region.aws.secret("annex/token", f"  {token}\n")
    tell(region, token=TOKEN_PLACE)
    said = agent(bare, "--dry-run", env=region.aws.environment)
    assert f"~ store the token from {TOKEN_PLACE} at {TOKEN}\n      new file (0600)\n      (secret: not shown)" in said
    assert not is_there(bare, TOKEN)
    start(region)
    assert identity(region.pool) == ("condor@example.org", "IDTOKENS")
    assert owner_and_mode(bare, TOKEN) == ROOTS_ALONE
    assert owner_and_mode(bare, "/etc/condor/tokens.d") == "700 root:root\n"
    assert bare.read(TOKEN) == token
    run_a_job(region.jobs)
    let_nobody_else_do_anything(region)
    again_and_away(region, bare, TOKEN)


def test_another_token_while_a_job_runs(region: Region, bare: Machine) -> None:
    region.aws.secret("annex/token", region.pool.token(LEAST))
    tell(region, token=TOKEN_PLACE)
    start(region)
    cluster = region.jobs.submit(WAITING)
    region.jobs.wait_for(cluster, RUNNING)
    running = condor_processes(bare)
    region.aws.secret("annex/token", region.pool.token(LEAST, identity="condor@rotated"))
    assert f"stored the token at {TOKEN}" in start(region)
    region.pool.forget_sessions()
    start(region)
    assert identity(region.pool)[0] == "condor@rotated"
    assert running.items() <= condor_processes(bare).items()
    bare.run(["sh", "-c", "for d in /proc/[0-9]*/root/tmp; do touch $d/go; done; true"])
    region.jobs.wait_for(cluster, COMPLETED)


def test_a_token_that_the_pool_refuses_and_one_that_it_takes(region: Region, bare: Machine) -> None:
    region.aws.secret("annex/token", "a password, perhaps")
    tell(region, token=TOKEN_PLACE)
    assert f"the secret {TOKEN_PLACE} is no token" in start(region, code=6)
    assert not is_there(bare, TOKEN)
    assert not is_there(bare, CONFIG)
    good = region.pool.token(LEAST)
    head, _, signature = good.strip().rpartition(".")
    region.aws.secret("annex/token", f"{head}.{signature[::-1]}")
    said = start_in_vain(region)
    assert f"the collector {CM.hostname} refuses this worker (security.method idtokens: AUTHENTICATE:1003" in said
    assert f"is the token {TOKEN_PLACE} that pool's" in said
    region.aws.secret("annex/token", good)
    start(region)
    assert identity(region.pool)[1] == "IDTOKENS"
    agent(bare, "stop")
    tell(region)
    said = agent(bare, "configure")
    assert f"removed {TOKEN}" in said
    assert not is_there(bare, TOKEN)
    assert "SEC_CLIENT_AUTHENTICATION" not in bare.read(CONFIG)


def make_it_wait(machine: Machine, command: str, until: str) -> None:
    """A process that ends at once might not be seen: this one goes on until the file ``until`` is there."""
    machine.run(["mv", command, f"{command}.real"])
    script = f'#!/bin/sh\nwhile [ ! -e {until} ]; do sleep 0.1; done\nexec {command}.real "$@"\n'
    machine.write(command, script, 0o755)


def test_the_pool_password_from_the_parameter_store(region: Region, bare: Machine, site: Pool) -> None:
    site.demand("password", KNOWN_TO_ALL)
    bare.write("/etc/condor/passwords.d/POOL", "the image builder's\n", 0o600)
    bare.write("/etc/condor/config.d/50-image.config", "SEC_DAEMON_ENCRYPTION = NEVER\nALLOW_WRITE_STARTD = *\n")
    region.aws.parameter("/annex/password", "another pool's")
    tell(region, pool_password=PASSWORD_PLACE)
    said = start_in_vain(region)
    assert f"the collector {CM.hostname} refuses this worker (security.method password: AUTHENTICATE:1003" in said
    assert f"is {PASSWORD_PLACE} that pool's password" in said
    region.aws.parameter("/annex/password", KNOWN_TO_ALL)
    make_it_wait(bare, STORE, SEEN)
    with watched(f"{STORE}\0", lambda: bare.write(SEEN, "")) as watch:
        start(region)
    assert watch.holds(f"{STORE}\0"), "the watch has not seen the tool that takes the password"
    assert not watch.holds(KNOWN_TO_ALL)
    assert files_with(bare, KNOWN_TO_ALL) == []
    assert identity(region.pool) == ("condor@password", "PASSWORD")
    assert owner_and_mode(bare, PASSWORD) == ROOTS_ALONE
    assert KNOWN_TO_ALL not in bare.run(["cat", "--show-all", PASSWORD]).stdout
    assert condor(bare, "SEC_DAEMON_ENCRYPTION") == "REQUIRED"
    assert condor(bare, "ALLOW_WRITE_STARTD") == condor(bare, "ALLOW_WRITE")
    run_a_job(region.jobs)
    again_and_away(region, bare, PASSWORD)
    assert bare.read("/etc/condor/passwords.d/POOL") == "the image builder's\n"


def test_by_address_with_a_bare_host_name_as_user_data(region: Region, bare: Machine, site: Pool) -> None:
    site.demand("host")
    bare.write("/etc/annex-agent/config.yaml", "security: {method: host}\n")
    region.imds.update({"user-data": CM.hostname})
    assert "security.method is host" in start(region)
    assert identity(region.pool) == ("unauthenticated@unmapped", "")
    run_a_job(region.jobs)
    let_nobody_else_do_anything(region)
    agent(bare, "stop")
    assert region.pool.slots("Name") == []
