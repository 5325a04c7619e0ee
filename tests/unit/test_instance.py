"""From the service's keys to an Instance: complete, validated, in few requests."""

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Iterator, Optional

import pytest

from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import Fault, bundled
from annex_agent.errors import MetadataError
from annex_agent.imds import Access, Imds, Reading, read_instance

REMOVED = {"instance-identity": None}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(bundled("wiki")) as running:
        yield running


def read(emulator: Emulator, deadline_s: float = 20.0) -> Reading:
    imds = Imds(Access((emulator.url,), deadline_s))
    try:
        return read_instance(imds)
    finally:
        imds.close()


def without_document(emulator: Emulator) -> None:
    emulator.profile = replace(emulator.profile, dynamic=REMOVED)


def test_the_wikis_instance_is_read_whole(emulator: Emulator) -> None:
    reading = read(emulator)
    instance = reading.instance
    assert instance.instance_id == "i-10a64379"
    assert instance.instance_type == "m1.large"
    assert instance.ami_id == "ami-2b5fba42"
    assert instance.region == "us-east-1"
    assert instance.availability_zone == "us-east-1c"
    assert instance.vpc_id == "vpc-1a2b3c4d"
    assert instance.public_ipv4 == ip_address("67.202.60.66")
    assert instance.local_ipv4 == ip_address("10.253.191.243")
    assert instance.public_hostname == "ec2-67-202-60-66.compute-1.amazonaws.com"
    assert instance.local_hostname == "domU-12-31-38-01-B8-05.compute-1.internal"
    assert instance.life_cycle == "on-demand"
    assert not instance.is_spot
    assert instance.tags == {}
    assert reading.user_data == b"cm.example.org"


def test_the_same_is_read_where_there_is_no_identity_document(emulator: Emulator) -> None:
    with_document = read(emulator).instance
    without_document(emulator)
    # Only that document says whose account it is.
    assert read(emulator).instance == with_document._replace(account_id=None)


@pytest.mark.parametrize("remove_document", [False, True])
def test_a_boot_takes_at_most_16_requests_however_many_tags_there_are(
    emulator: Emulator, remove_document: bool
) -> None:
    if remove_document:
        without_document(emulator)
    for number in range(40):
        emulator.set(f"tags/instance/key-{number}", f"value {number}")
    reading = read(emulator)
    assert len(emulator.requests) <= 16
    if reading.tags_left_out is None:  # nothing was left even to ask for their names
        assert reading.instance.tags == {}
    else:
        assert len(reading.instance.tags) + reading.tags_left_out == 40
    assert (reading.tags_left_out is None) == remove_document


def test_the_role_is_read_and_its_credentials_are_not_asked_for() -> None:
    with Emulator(bundled("spot")) as running:
        assert read(running).instance.iam_role == "annex-worker"
        (asked,) = [request for request in running.requests if "iam" in request.path]
    assert asked.path == "/latest/meta-data/iam/security-credentials/"


def test_no_role_is_a_fact(emulator: Emulator) -> None:
    assert read(emulator).instance.iam_role is None


def test_of_several_roles_the_first_is_read(emulator: Emulator) -> None:
    emulator.set("iam/security-credentials", "first=role,1@x+y.z-_\nsecond")
    assert read(emulator).instance.iam_role == "first=role,1@x+y.z-_"


@pytest.mark.parametrize("value", ["<html>", "a b", "$(LOG)", "x" * 65, "caf\u00e9", "a/b", "\nrole", "role\r"])
def test_no_hostile_value_is_taken_for_a_role(emulator: Emulator, value: str) -> None:
    emulator.set("iam/security-credentials", value)
    assert "meta-data/iam/security-credentials/: " in refusal(emulator)


def test_tags_are_read_where_the_instance_offers_them(emulator: Emulator) -> None:
    emulator.set("tags/instance/Name", "worker 1")
    emulator.set("tags/instance/owner:team", "caf\u00e9")
    assert read(emulator).instance.tags == {"Name": "worker 1", "owner:team": "caf\u00e9"}


def test_a_spot_instance_is_known_as_one() -> None:
    with Emulator(bundled("spot")) as running:
        assert read(running).instance.is_spot


def test_no_public_address_is_a_fact(emulator: Emulator) -> None:
    with Emulator(bundled("no-public-address")) as running:
        instance = read(running).instance
    assert instance.public_ipv4 is None
    assert instance.public_hostname is None  # the key is there, and empty
    assert instance.local_hostname


def test_no_user_data_is_a_fact(emulator: Emulator) -> None:
    emulator.set("user-data", None)
    assert read(emulator).user_data is None


def test_a_local_host_name_with_several_domains_gives_the_first(emulator: Emulator) -> None:
    emulator.set("local-hostname", "ip-10-0-0-1.example.org example.net")
    assert read(emulator).instance.local_hostname == "ip-10-0-0-1.example.org"


def test_a_look_alike_without_region_type_or_image_is_read(emulator: Emulator) -> None:
    without_document(emulator)
    for key in ("placement/region", "instance-type", "ami-id", "mac", "instance-life-cycle"):
        emulator.set(key, None)
    instance = read(emulator).instance
    assert (instance.region, instance.instance_type, instance.ami_id, instance.vpc_id) == (None, None, None, None)
    assert instance.life_cycle == "on-demand"


def refusal(emulator: Emulator) -> str:
    with pytest.raises(MetadataError) as caught:
        read(emulator)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_every_missing_key_is_named_at_once(emulator: Emulator) -> None:
    without_document(emulator)
    for key in ("instance-id", "placement/availability-zone", "local-ipv4"):
        emulator.set(key, None)
    said = refusal(emulator)
    for key in ("meta-data/instance-id", "meta-data/placement/availability-zone", "meta-data/local-ipv4"):
        assert f"{key} is missing" in said


HOSTILE = [
    "10.0.0.1\nALLOW_WRITE = *",
    "$(whoami)",
    "$(LOG)",
    "include command : touch /tmp/owned",
    "a" * 300,
    "a" * 300 + ".example.org",
    "caf\u00e9.example.org",
    "<html><body>Bad Gateway</body></html>",
    "x\\",
    "x\x00y",
    " cm.example.org",
    "-a.example.org",
    "..",
]
KEYS = [
    "instance-id",
    "placement/availability-zone",
    "local-ipv4",
    "instance-type",
    "ami-id",
    "placement/region",
    "public-ipv4",
    "public-hostname",
    "local-hostname",
    "instance-life-cycle",
    "mac",
    "network/interfaces/macs/12:31:38:01:b8:05/vpc-id",
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[1:20])
def test_no_hostile_value_is_taken_from_any_key(emulator: Emulator, value: str) -> None:
    without_document(emulator)
    wiki = emulator.profile
    for key in KEYS:
        emulator.profile = wiki
        emulator.set(key, value)
        said = refusal(emulator)
        assert key.split("/")[0] in said
        assert "\n" not in said
        assert "\x00" not in said


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[1:20])
def test_no_hostile_value_is_taken_from_the_identity_document(emulator: Emulator, value: str) -> None:
    for key in ("instanceId", "availabilityZone", "privateIp", "instanceType", "imageId", "region"):
        emulator.profile = replace(bundled("wiki"), dynamic={"instance-identity": {"document": _document(key, value)}})
        assert key in refusal(emulator)


def _document(key: str, value: Any) -> str:
    document = {"instanceId": "i-1", "availabilityZone": "us-east-1c", "privateIp": "10.0.0.1"}
    return json.dumps({**document, key: value})


@pytest.mark.parametrize("body", ["<html>", "[]", "null", "{", '"x"', "[" * 60_000])
def test_a_document_that_is_no_json_object_is_named(emulator: Emulator, body: str) -> None:
    emulator.profile = replace(
        emulator.profile, faults=(Fault(path="dynamic/instance-identity/document", body=body.encode()),)
    )
    assert "is not a JSON object" in refusal(emulator)


def test_bytes_that_are_no_text_are_named(emulator: Emulator) -> None:
    emulator.set("public-hostname", b"\xff\xfe")
    assert "public-hostname is not UTF-8" in refusal(emulator)


def test_all_that_is_wrong_is_told_at_once(emulator: Emulator) -> None:
    emulator.set("public-ipv4", "<html>")
    emulator.set("public-hostname", "a b")
    said = refusal(emulator)
    assert "meta-data/public-ipv4" in said
    assert "meta-data/public-hostname" in said


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::1", "2001:db8::1"])
def test_an_address_that_no_instance_has_is_refused(emulator: Emulator, address: str) -> None:
    emulator.set("public-ipv4", address)
    assert "meta-data/public-ipv4" in refusal(emulator)


def test_an_html_page_in_every_key_leaves_nothing(emulator: Emulator) -> None:
    page: Optional[bytes] = b"<html><h1>Please log in</h1></html>"
    emulator.profile = replace(emulator.profile, faults=(Fault(path="meta-data/*", body=page),))
    assert "says what cannot be true" in refusal(emulator)
