"""Secrets from AWS on a worker, and where they must not be seen."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from . import aws
from .booted import BootedMachine
from .machine import Machine
from .region import Region
from .test_agent import agent
from .topology import CM, PUBLIC, public_name

SECRET = "secretsmanager:annex/token"
# Where the token may be kept: HTCondor's own place, root's alone.
KEPT = "/etc/condor/tokens.d/annex-agent"
SECRET_KEY, SESSION_TOKEN = "the-secret-key-of-the-role", "the-session-token-of-the-role"


def user_data(timeout: str = "1m") -> str:
    settings = {"central_manager": CM.hostname, "security": {"token": SECRET}, "aws": {"timeout": timeout}}
    return f"#annex-agent\n{json.dumps(settings)}"


@pytest.fixture
def token(region: Region, worker: Machine) -> str:
    """What Secrets Manager holds for a worker that was launched with a role and is told to fetch it."""
    made = region.pool.token(["ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"]).strip()
    offer(region, made)
    return made


def offer(region: Region, token: str) -> None:
    region.aws.secret("annex/token", token)
    region.imds.attach_role()
    region.imds.update({"user-data": user_data()})


class Watched:
    """What the command lines and environments of all processes held, looked at as often as there is time for.

    ``found`` is called once, as soon as a process has been seen with ``awaited`` in them.
    """

    def __init__(self, awaited: str = "", found: Callable[[], object] = bool) -> None:
        self.seen: set[bytes] = set()
        self._ended = threading.Event()
        self._awaited, self._found = awaited, found

    def look(self) -> None:
        while not self._ended.is_set():
            for name in ("cmdline", "environ"):
                for path in Path("/proc").glob(f"[0-9]*/{name}"):
                    with suppress(OSError):
                        self.seen.add(path.read_bytes())
            if self._awaited and self.holds(self._awaited):
                self._awaited = ""
                self._found()

    def end(self) -> None:
        self._ended.set()

    def holds(self, text: str) -> bool:
        return any(text.encode() in found for found in self.seen)


@contextmanager
def watched(awaited: str = "", found: Callable[[], object] = bool) -> Iterator[Watched]:
    watch = Watched(awaited, found)
    thread = threading.Thread(target=watch.look)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def files_with(machine: Machine, text: str) -> list[str]:
    """Every file of the machine that holds it; the text is on no command line, and grep's list is not searched."""
    places = "/etc /var /run /tmp /root /home /usr/local /opt"
    script = f"cat >/dev/shm/needle; grep -rIlF -f /dev/shm/needle {places} 2>/dev/null; rm /dev/shm/needle"
    return sorted(machine.run(["sh", "-c", script], input=text).stdout.split())


def test_a_secret_is_seen_nowhere_while_it_is_fetched_and_afterwards(
    region: Region, worker: Machine, token: str
) -> None:
    signature = token.rpartition(".")[2]
    region.aws.fail("GetSecretValue", status=0, delay=0.5)
    with watched() as watch:
        said = agent(worker, "-v", "--dry-run", env=region.aws.environment)
        said += agent(worker, "-v", "start", env=region.aws.environment)
    said += agent(worker, "status") + agent(worker, "status", "--json")
    assert watch.holds("annex-agent\0-v\0start"), "the watch was too slow to see anything"
    assert watch.holds(f"AWS_ENDPOINT_URL={region.aws.url}")
    for part in (signature, SECRET_KEY, SESSION_TOKEN):
        assert not watch.holds(part)
        assert part not in said
    assert set(files_with(worker, signature)) <= {KEPT}
    assert files_with(worker, SECRET_KEY) == files_with(worker, SESSION_TOKEN) == []
    for path in files_with(worker, signature):
        assert worker.run(["stat", "--format=%a %U:%G", path]).stdout == "600 root:root\n"
    assert f"secrets      {SECRET} can be had" in said
    assert region.aws.requests == ["secretsmanager.GetSecretValue 200"] * 2
    (slot,) = region.pool.slots()
    assert slot["Machine"] == public_name(PUBLIC)


def test_a_refused_worker_says_why_writes_nothing_and_check_prints_the_policy_that_mends_it(
    region: Region, worker: Machine, token: str
) -> None:
    region.aws.grant({"Statement": []})
    region.imds.update({"user-data": user_data(timeout="3s")})
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:annex/token"
    configuration = worker.run(["ls", "-l", "/etc/condor/config.d", "/etc/condor/tokens.d"]).stdout
    said = agent(worker, "start", code=6, env=region.aws.environment)
    assert f"the role annex-worker: it may not secretsmanager:GetSecretValue on {arn}" in said
    assert worker.run(["ls", "-l", "/etc/condor/config.d", "/etc/condor/tokens.d"]).stdout == configuration
    assert "condor_master" not in str(worker.processes())
    said = agent(worker, "check", code=1, env=region.aws.environment)
    policy = re.search(r"give the instance's role this policy: (\{.*\})$", said, re.MULTILINE)
    assert policy, said
    region.aws.grant(json.loads(policy.group(1)))
    assert f"can be had: {SECRET}" in agent(worker, "check", code=1, env=region.aws.environment)
    region.aws.stop()
    said = agent(worker, "--dry-run", code=6, env=region.aws.environment)
    assert f"{region.aws.url.partition('//')[2]} gave no answer within" in said
    assert "COLLECTOR_HOST" in said


def test_a_booted_worker_fetches_its_secret_and_its_journal_does_not_hold_it(
    region: Region, pending: BootedMachine
) -> None:
    made = region.pool.token(["ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"]).strip()
    offer(region, made)
    aws.at_boot(pending)
    pending.start()
    assert pending.state("annex-agent.service") == "active", pending.journal("annex-agent.service")
    assert region.aws.requests == ["secretsmanager.GetSecretValue 200"]
    everything = pending.journal(output="export")
    assert "annex-agent" in everything
    for part in (made.rpartition(".")[2], SECRET_KEY, SESSION_TOKEN):
        assert part not in everything
        assert set(files_with(pending, part)) <= {KEPT}
