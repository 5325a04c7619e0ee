"""The role's credentials: one request, never shown, and a little patience just after a launch."""

import json
import threading
from typing import Iterator

import pytest

from annex_agent.aws import Deadline
from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import Fault, Profile, bundled
from annex_agent.errors import MetadataError
from annex_agent.imds import Access, Imds, NotYet, read_credentials, read_instance, read_role
from annex_agent.role_session import await_role

from .conftest import Clock

ROLE = "annex-worker"
PATH = f"iam/security-credentials/{ROLE}"
KEYS = {"Code": "Success", "AccessKeyId": "ASIAKEY", "SecretAccessKey": "hush", "Token": "hush-hush"}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(bundled("spot")) as running:
        yield running


@pytest.fixture
def imds(emulator: Emulator) -> Iterator[Imds]:
    client = Imds(Access((emulator.url,), 20.0))
    yield client
    client.close()


def running_out(clock: Clock, seconds: float, propagation_s: float = 15.0) -> Deadline:
    found = Deadline(seconds, propagation_s, clock, clock.sleep)
    found.begin()
    return found


def test_they_are_read_in_one_request_and_are_not_shown(emulator: Emulator, imds: Imds) -> None:
    emulator.set(PATH, json.dumps(KEYS))
    read_instance(imds)
    before = imds.requests_made
    found = read_credentials(imds, ROLE)
    assert imds.requests_made == before + 1
    assert (found.role, found.access_key_id, found.secret_access_key, found.token) == (
        *(ROLE, "ASIAKEY", "hush", "hush-hush"),
    )
    assert "hush" not in repr(found)
    assert "ASIA" not in repr(found)
    assert found.are_made_up


def test_real_ones_are_not_taken_for_made_up(emulator: Emulator, imds: Imds) -> None:
    emulator.set(PATH, json.dumps({**KEYS, "Emulated": "yes"}))
    assert not read_credentials(imds, ROLE).are_made_up


def test_with_them_a_boot_still_takes_at_most_16_requests(emulator: Emulator, imds: Imds) -> None:
    for number in range(40):
        emulator.set(f"tags/instance/key-{number}", "value")
    reading = read_instance(imds)
    read_credentials(imds, ROLE)
    assert len(emulator.requests) == 16
    assert len(reading.instance.tags) > 0


@pytest.mark.parametrize("document", [None, '{"Code": "AssumeRoleUnauthorizedAccess"}', "{}"])
def test_they_may_not_be_there_yet(emulator: Emulator, imds: Imds, document: str) -> None:
    emulator.set(PATH, document)
    with pytest.raises(NotYet):
        read_credentials(imds, ROLE)


@pytest.mark.parametrize(
    "document",
    [
        "hush",
        '["hush"]',
        json.dumps({**KEYS, "Token": 7, "Emulated": None}),
        json.dumps({**KEYS, "SecretAccessKey": "hush\nhush"}),
        json.dumps({**KEYS, "AccessKeyId": ""}),
    ],
)
def test_what_cannot_be_credentials_is_refused_and_not_repeated(emulator: Emulator, imds: Imds, document: str) -> None:
    # A fault, as the emulator would complete a document that says Success.
    faults = (Fault(path=f"meta-data/{PATH}", body=document.encode()),)
    emulator.profile = Profile(emulator.profile.meta_data, faults=faults)
    with pytest.raises(MetadataError, match="what cannot be true") as caught:
        read_credentials(imds, ROLE)
    assert "hush" not in str(caught.value)


def test_a_role_that_comes_late_is_waited_for(emulator: Emulator, imds: Imds) -> None:
    clock = Clock()
    instance = read_instance(imds).instance._replace(iam_role=None)
    found = await_role(instance, imds, running_out(clock, 120.0))
    assert found.iam_role == ROLE
    assert len(clock.slept) == 1


def test_a_role_that_never_comes_is_not_waited_for_long(emulator: Emulator, imds: Imds) -> None:
    instance = read_instance(imds).instance._replace(iam_role=None)
    emulator.set("iam", None)
    clock = Clock()
    assert await_role(instance, imds, running_out(clock, 120.0)).iam_role is None
    assert 10.0 < sum(clock.slept) <= 15.0
    clock = Clock()
    assert await_role(instance, imds, running_out(clock, 120.0, 0.0)).iam_role is None
    assert clock.slept == []


def test_a_role_that_is_known_is_not_asked_for_again(emulator: Emulator, imds: Imds) -> None:
    instance = read_instance(imds).instance
    before = len(emulator.requests)
    assert await_role(instance, imds, running_out(Clock(), 120.0)) == instance
    assert len(emulator.requests) == before
    assert read_role(imds) == ROLE


class TestDeadline:
    def test_pauses_grow_and_end_with_it(self) -> None:
        clock = Clock()
        deadline = running_out(clock, 60.0)
        attempts = 0
        while deadline.pauses(attempts):
            attempts += 1
        assert 50.0 < sum(clock.slept) < 60.0
        assert 10 < attempts < 40
        assert max(clock.slept) <= 5.0
        assert clock.slept[0] <= 0.2

    def test_it_runs_from_its_beginning_alone(self) -> None:
        clock = Clock()
        deadline = Deadline(10.0, 5.0, clock, clock.sleep)
        clock.now = 100.0
        assert deadline.remaining_s == 10.0
        deadline.begin()
        clock.now = 104.0
        deadline.begin()
        assert deadline.remaining_s == 6.0
        assert not deadline.pauses(0, 4.0)
        clock.now = 200.0
        assert deadline.remaining_s == 0.0
        assert not deadline.pauses(0)

    def test_nobody_sleeps_once_it_is_given_up(self) -> None:
        deadline = Deadline(3600.0)
        deadline.begin()
        threading.Timer(0.05, deadline.give_up).start()
        assert not deadline.pauses(10)
        assert not deadline.pauses(0)
