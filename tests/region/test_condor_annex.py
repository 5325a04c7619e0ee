"""Workers launched as condor_annex does it, from an image with annex-agent in the place of condor-annex-ec2."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ..bundles import packed
from .aws import ROLE
from .machine import Machine
from .pool import Pool
from .region import Region
from .test_agent import COMPLETED, agent, condor, condor_processes, stat, words
from .topology import CM, PUBLIC
from .wait import wait_until

ANNEX, BUCKET, KEY = "my_annex", "htcondor-annex-b9a1", "config-my_annex.tar.gz"
TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
# What condor_annex writes, line by line as it means them: today's for a pool that takes tokens, and that of before.
COMMON = f"""\
use security:host_based
LOCAL_HOSTS = $(FULL_HOSTNAME) $(IP_ADDRESS) 127.0.0.1 $(TCP_FORWARDING_HOST)
CONDOR_HOST = condor_pool@*/* $(LOCAL_HOSTS)
COLLECTOR_HOST = {CM.hostname}
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_DEFAULT_ENCRYPTION = REQUIRED
ALLOW_WRITE = condor_pool@*/* $(LOCAL_HOSTS)
AnnexName = "{ANNEX}"
IsAnnex = TRUE
STARTD_NOCLAIM_SHUTDOWN = 3000
START = MY.AnnexName == TARGET.TargetAnnexName
START = $(START) && stringListMember( Owner, "alice" )
"""
TODAYS = f"""{COMMON}
hpc_annex_request_id = ""
STARTD_ATTRS = $(STARTD_ATTRS) AnnexName IsAnnex hpc_annex_request_id
MASTER_ATTRS = $(MASTER_ATTRS) AnnexName IsAnnex hpc_annex_request_id.
COLLECTOR_HOST = <{CM.address}:9618>
ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR) $(whoami)@$(hostname)
ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR) condor_pool@*
SEC_DEFAULT_AUTHENTICATION_METHODS = FS IDTOKENS PASSWORD
SEC_PASSWORD_DIRECTORY = $(ETC)/passwords.d
SEC_TOKEN_SYSTEM_DIRECTORY = $(ETC)/tokens.d
SEC_TOKEN_DIRECTORY = $(ETC)/tokens.d
UPDATE_INTERVAL = 137
UPDATE_INTERVAL = 5
"""
BEFORE = f"""{COMMON}
STARTD_ATTRS = $(STARTD_ATTRS) AnnexName IsAnnex
MASTER_ATTRS = $(MASTER_ATTRS) AnnexName IsAnnex
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, PASSWORD
SEC_PASSWORD_FILE = /etc/condor/config.d/password_file.pl
"""
DYNAMIC = "/etc/condor/config.d/00ec2-dynamic.config"
ITS_TOKEN, ITS_KEY = "/etc/condor/tokens.d/my_annex.alice@example.org", "/etc/condor/passwords.d/POOL"
ITS_PASSWORD = "/etc/condor/config.d/password_file.pl"
KNOWN_TO_ALL = "the site's password"
OURS = {"+TargetAnnexName": f'"{ANNEX}"'}


@pytest.fixture
def bare(region: Region, worker: Machine) -> Machine:
    """A worker whose image knows no pool, and whose launch said nothing but which role it has."""
    worker.run(["rm", "-r", "/etc/condor/tokens.d", "/etc/condor/config.d/50-pool.config"])
    region.imds.attach_role()
    region.imds.update({"user-data": None})
    return worker


@pytest.fixture
def site(region: Region) -> Iterator[Pool]:
    """A pool that a test may have trust by something else; afterwards it is as it was."""
    yield region.pool
    region.reset_worker()
    region.pool.demand("idtokens")


def launch(region: Region) -> str:
    """As ``condor_annex -annex-name my_annex`` does it, in an account that ``condor_annex -setup`` has prepared."""
    options = {"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1, "ClientToken": f"{ANNEX}_{TOKEN}"}
    (instance,) = region.aws.call("ec2", "run_instances", **options)["Instances"]
    region.imds.update({"meta-data": {"instance-id": instance["InstanceId"]}})
    region.aws.call("iam", "create_role", RoleName=ROLE, AssumeRolePolicyDocument="{}")
    read = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{BUCKET}/config-*.tar.gz"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [read]})
    region.aws.call("iam", "put_role_policy", RoleName=ROLE, PolicyName="Configuration", PolicyDocument=document)
    return str(instance["InstanceId"])


def start(region: Region, code: int = 0) -> str:
    return agent(region.worker, "start", env=region.aws.environment, code=code)


def file(machine: Machine, path: str) -> bytes:
    return base64.b64decode(machine.run(["base64", path]).stdout)


def is_there(machine: Machine, path: str) -> bool:
    return machine.run(["test", "-e", path], check=False).returncode == 0


def run_a_job(region: Region, **commands: Any) -> None:
    cluster = region.jobs.submit(inputs={"input.txt": "hello from the site\n"}, commands={**OURS, **commands})
    region.jobs.wait_for(cluster, COMPLETED)
    assert region.jobs.file(cluster) == "HELLO FROM THE SITE\n"


def masters(region: Region) -> list[str]:
    """The instances of the annex whose master the collector knows."""
    return [ad["EC2InstanceID"] for ad in region.pool.ads("-master", "-constraint", f'AnnexName == "{ANNEX}"')]


def test_an_annexs_instance_that_was_told_nothing(region: Region, bare: Machine) -> None:
    instance = launch(region)
    token = region.pool.token(("READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER", "WRITE"))
    archive = {
        "config.d": b"",
        "config.d/00ec2-dynamic.config": TODAYS.encode(),
        "passwords.d": b"",
        "passwords.d/POOL": b"\x8b\x00\xfefor the remote control of this annex",
        "tokens.d": b"",
        "tokens.d/my_annex.alice@example.org": token.encode(),
    }
    region.aws.object(BUCKET, KEY, packed(archive))
    before = bare.run(["find", "/etc/condor"]).stdout
    said = agent(bare, "--dry-run", env=region.aws.environment)
    assert ["annex.bundle", f"s3://{BUCKET}/{KEY}", "(condor_annex)"] in words(said)
    assert f"~ write {DYNAMIC}" in said
    assert token.strip() not in said
    assert bare.run(["find", "/etc/condor"]).stdout == before
    start(region)
    (slot,) = region.pool.slots()
    assert (slot["AnnexName"], slot["IsAnnex"], slot["EC2InstanceID"]) == (ANNEX, True, instance)
    assert slot["QuotedEC2PublicIP"] == PUBLIC
    assert (slot["AuthenticatedIdentity"], slot["AuthenticationMethod"]) == ("condor@example.org", "IDTOKENS")
    assert [ad["Name"] for ad in region.pool.ads("-annex", "-annex-name", ANNEX)] == [slot["Name"]]
    for name, value in {"DAEMON_LIST": "MASTER, STARTD", "TCP_FORWARDING_HOST": PUBLIC, "UPDATE_INTERVAL": "5"}.items():
        assert condor(bare, name) == value
    modes = stat(bare, DYNAMIC, ITS_TOKEN, ITS_KEY).splitlines()
    assert [line.split()[1:3] for line in modes] == [["644", "root:root"], ["600", "root:root"], ["600", "root:root"]]
    run_a_job(region)
    wait_until(lambda: masters(region) == [instance], "the master has reported, too", 30)
    running = condor_processes(bare)
    assert "nothing to do" in start(region)
    assert condor_processes(bare) == running
    agent(bare, "stop")
    assert region.pool.slots("Name") == []
    agent(bare, "clean")
    assert not any(is_there(bare, path) for path in (DYNAMIC, ITS_TOKEN, ITS_KEY))


def test_an_archive_of_before_that_the_settings_name(region: Region, bare: Machine, site: Pool) -> None:
    site.demand("password", KNOWN_TO_ALL)
    password = file(region.cm, "/etc/condor/passwords.d/site")
    archive = packed({"00ec2-dynamic.config": BEFORE.encode(), "password_file.pl": password})
    region.imds.update({"user-data": f"#annex-agent\nannex: {{bundle: s3://{BUCKET}/{KEY}}}\n"})
    region.aws.object(BUCKET, KEY, archive[:-30])
    before = bare.run(["find", "/etc/condor", "-ls"]).stdout
    assert f"the secret s3://{BUCKET}/{KEY} is no archive of condor_annex's: it is damaged" in start(region, code=6)
    assert bare.run(["find", "/etc/condor", "-ls"]).stdout == before
    region.aws.object(BUCKET, KEY, archive)
    start(region)
    (slot,) = region.pool.slots()
    assert (slot["AuthenticatedIdentity"], slot["AuthenticationMethod"]) == ("condor@password", "PASSWORD")
    assert file(bare, ITS_PASSWORD) == password
    assert stat(bare, ITS_PASSWORD).split()[1:3] == ["600", "root:root"]
    run_a_job(region)
    agent(bare, "stop")
    region.imds.update({"user-data": CM.hostname})
    agent(bare, "configure")
    assert not any(is_there(bare, path) for path in (DYNAMIC, ITS_PASSWORD))
    assert condor(bare, "START") == "True"
