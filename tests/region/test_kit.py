"""``kit``'s answers on the site's real machines: they let the workers of the same settings in, and nobody else."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import pytest

from .command import CommandFailed
from .machine import Machine
from .pool import start_daemons
from .region import Region
from .topology import CM, PUBLIC
from .wait import wait_until

POOL = "/etc/condor/config.d/50-pool.config"
KIT = "/etc/condor/config.d/70-annex-workers.config"
SETTINGS = "/root/settings.yaml"
COMPLETED = 4
GENERAL = ("--region", "us-east-1", "--account", "123456789012")
BASE = {"central_manager": CM.hostname, "annex": "spring", "condor": {"NUM_CPUS": "1"}}
IDTOKENS = {**BASE, "security": {"token": "secretsmanager:annex/token", "trust_domain": "example.net"}}
PASSWORD = {**BASE, "security": {"pool_password": "ssm:/annex/password"}}
HOST = {**BASE, "security": {"method": "host"}}
# What the script of `kit token` calls: keeps what comes in, for the test to put it into the region's AWS.
AWS_CLI = """#!/bin/sh
case "$*" in
    *describe-secret*) exit 254 ;;
    *file:///dev/stdin*) exec cat >/root/stored ;;
esac
exit 1
"""
# HTCondor's own files would let in whoever is condor@ anything.
ITS_OWN = "ALLOW_DAEMON = condor@family, condor@$(FULL_HOSTNAME), access-point@*\n"
PLACE = 'Machine = "intruder"\nMyAddress = "<192.0.2.1:9618>"\n'
SLOT = f'MyType = "Machine"\nTargetType = "Job"\nName = "slot1@intruder"\n{PLACE}'
SCHEDULER = f'MyType = "Scheduler"\nName = "intruder"\n{PLACE}'


class Site:
    """The central manager and the access point of a pool that has HTCondor's own files and the kit's, and no others."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.machines = (region.cm, region.submit)
        self._as_it_was = {machine: machine.read(POOL) for machine in self.machines}

    def kit(self, settings: Mapping[str, Any], *words: str) -> str:
        """``annex-agent kit`` on a machine that has nothing to do with the site."""
        worker = self.region.worker
        worker.write(SETTINGS, json.dumps(settings))
        return worker.run(["annex-agent", "kit", *words, *GENERAL, "--config", SETTINGS]).stdout

    def set_up(self, settings: Mapping[str, Any], *options: str) -> None:
        """As the kit says, from a pool that trusts nobody but itself."""
        for machine, part in zip(self.machines, ("central-manager", "submit")):
            bare = [line for line in self._as_it_was[machine].splitlines() if not line.startswith("TRUST_DOMAIN")]
            machine.write(POOL, "\n".join([*bare, ITS_OWN]))
            machine.write(KIT, self.kit(settings, part, *options))
        self._start_anew("access-point")

    def restore(self) -> None:
        for machine in self.machines:
            machine.write(POOL, self._as_it_was[machine])
            machine.run(["rm", "-f", KIT, "/etc/condor/annex-pool-password", "/etc/condor/tokens.d/access-point"])
        self._start_anew("condor")

    def _start_anew(self, identity: str) -> None:
        cm, submit = self.machines
        for machine in self.machines:
            end_daemons(machine)
        start_daemons(cm)
        wait_until(lambda: self._knows("-negotiator"), "the negotiator is back", 30, evidence=self.region.pool.evidence)
        domain = cm.run(["condor_config_val", "TRUST_DOMAIN"]).stdout.strip()
        limits = ["-authz", "ADVERTISE_SCHEDD", "-authz", "ADVERTISE_MASTER", "-authz", "READ"]
        token = cm.run(["condor_token_create", "-identity", f"{identity}@{domain}", *limits]).stdout
        submit.write("/etc/condor/tokens.d/access-point", token, 0o600)
        start_daemons(submit)
        wait_until(lambda: self._knows("-schedd"), "the schedd is back", 30, evidence=self.region.pool.evidence)

    def _knows(self, kind: str) -> bool:
        done = self.region.cm.run(["condor_status", kind, "-autoformat", "Name"], check=False)
        return done.returncode == 0 and bool(done.stdout.strip())

    def secret(self, settings: Mapping[str, Any]) -> str:
        """What the kit's script makes on the central manager, and hands to the AWS CLI."""
        cm = self.region.cm
        cm.write("/usr/local/bin/aws", AWS_CLI, 0o755)
        cm.write("/root/token.sh", self.kit(settings, "token"))
        cm.run(["sh", "/root/token.sh"])
        return cm.read("/root/stored")

    def launch(self, settings: Mapping[str, Any], *, stored: str = "", public: Optional[str] = PUBLIC) -> Machine:
        """A worker whose image knows nothing: its user-data and its role's policy are the kit's."""
        region = self.region
        user_data = self.kit(settings, "user-data")
        policy = json.loads(self.kit(settings, "iam-policy")) if stored else None
        region.reset_worker()
        if policy:
            region.aws.secret("annex/token", stored)
            region.aws.parameter("/annex/password", stored)
            region.aws.grant(policy)
            region.imds.attach_role()
        region.worker.run(["rm", "-f", POOL, "/etc/condor/tokens.d/pool"])
        region.associate(public)
        region.imds.update({"user-data": user_data})
        return region.worker

    def run_job(self, machine_name: str) -> None:
        """As the kit's own example says, on this machine."""
        requirements = 'TARGET.AnnexName == "spring"'
        assert f"requirements = {requirements}" in self.kit_of_submit
        cluster = self.region.jobs.submit(commands={"requirements": requirements})
        assert self.region.jobs.wait_for(cluster, COMPLETED)["LastRemoteHost"].endswith(f"@{machine_name}")

    @property
    def kit_of_submit(self) -> str:
        return self.region.submit.read(KIT)


def end_daemons(machine: Machine) -> None:
    machine.run(["condor_off", "-fast", "-master"])
    wait_until(lambda: "condor_master" not in " ".join(machine.processes().values()), "the daemons have ended", 30)


def advertise(machine: Machine, command: str = "UPDATE_STARTD_AD", ad: str = SLOT) -> str:
    """Tell the collector of something that is not there; what became of that."""
    argv = ["condor_advertise", "-debug", "-pool", CM.hostname, command]
    done = machine.run(argv, input=ad, check=False)
    return f"{done.returncode}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def site(region: Region) -> Iterator[Site]:
    region.reset_worker()
    made = Site(region)
    yield made
    region.reset_worker()
    made.restore()


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    """The site is set up for tokens; the workers' one."""
    site.set_up(IDTOKENS)
    return site.secret(IDTOKENS)


def start(site: Site) -> Mapping[str, Any]:
    """annex-agent on the worker, into the pool; its slot."""
    site.region.worker.run(["annex-agent", "start"], env=site.region.aws.environment, timeout=200)
    (slot,) = site.region.pool.slots("Machine", "MyAddress", "AuthenticatedIdentity", "AuthenticationMethod")
    return slot


def test_with_a_token_a_worker_joins_and_runs_a_job(site: Site, token: str) -> None:
    site.launch(IDTOKENS, stored=token)
    slot = start(site)
    assert slot["AuthenticatedIdentity"] == "condor@example.net"
    assert slot["AuthenticationMethod"] == "IDTOKENS"
    site.run_job(slot["Machine"])


def test_with_a_token_one_without_a_public_address_joins_through_the_collector(site: Site, token: str) -> None:
    site.launch(IDTOKENS, stored=token, public=None)
    slot = start(site)
    assert "CCBID=" in slot["MyAddress"]
    site.run_job(slot["Machine"])


def test_the_token_lets_nobody_do_more_and_without_it_nobody_gets_in(site: Site, token: str) -> None:
    site.region.reset_worker()
    stranger = site.region.worker
    stranger.run(["rm", "-f", "/etc/condor/tokens.d/pool"])
    assert "Failed to authenticate with any method" in advertise(stranger)
    stranger.write("/etc/condor/tokens.d/found", token, 0o600)
    stranger.write(POOL, "TRUST_DOMAIN = example.net\n")
    refused = advertise(stranger, "UPDATE_SCHEDD_AD", SCHEDULER)
    assert 'Received "DENIED" from server for user condor@example.net' in refused
    assert not site.region.pool.slots("Machine")
    assert advertise(stranger).startswith("0: ")
    assert [slot["Machine"] for slot in site.region.pool.slots("Machine")] == ["intruder"]


def test_with_the_password_a_worker_joins_and_without_it_nobody(site: Site) -> None:
    site.set_up(PASSWORD)
    worker = site.launch(PASSWORD, stored=site.secret(PASSWORD))
    worker.write(POOL, "SEC_DEFAULT_AUTHENTICATION_METHODS = PASSWORD\n")
    assert "Failed to authenticate with any method" in advertise(worker)
    worker.run(["rm", POOL])
    slot = start(site)
    assert slot["AuthenticatedIdentity"] == "condor@password"
    site.run_job(slot["Machine"])
    with pytest.raises(CommandFailed, match="would be lost"):
        site.secret(PASSWORD)


def test_by_address_a_worker_of_that_network_joins_and_no_other(site: Site) -> None:
    site.set_up(HOST, "--worker-cidr", "67.202.60.0/24")
    worker = site.launch(HOST)
    slot = start(site)
    assert slot["AuthenticatedIdentity"] == "unauthenticated@unmapped"
    site.run_job(slot["Machine"])
    site.region.associate("67.202.61.9")
    assert 'Received "DENIED" from server for user unauthenticated@unmapped' in advertise(worker)
