"""The metadata client against the emulated service: tokens, retries, refusals."""

import socket
from dataclasses import replace
from typing import Any, Iterator, List, Mapping

import pytest
import responses

from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import Fault, Profile, Service, bundled
from annex_agent.errors import MetadataError
from annex_agent.imds import Access, Imds
from annex_agent.imds.access import IPV4_ENDPOINT, IPV6_ENDPOINT

from .conftest import Clock

ID = "latest/meta-data/instance-id"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emulator(clock: Clock) -> Iterator[Emulator]:
    with Emulator(bundled("wiki"), clock=clock) as running:
        yield running


def access_to(url: str, **changes: Any) -> Access:
    return Access((url,), deadline_s=300.0, read_timeout_s=0.2)._replace(**changes)


@pytest.fixture
def client(emulator: Emulator, clock: Clock) -> Iterator[Imds]:
    imds = Imds(access_to(emulator.url), clock.sleep, clock)
    yield imds
    imds.close()


def failing(emulator: Emulator, *faults: Fault, **service: Any) -> None:
    emulator.profile = replace(emulator.profile, faults=faults, service=Service(**service))


def message(imds: Imds, path: str = ID) -> str:
    with pytest.raises(MetadataError) as caught:
        imds.get(path)
    return str(caught.value)


def methods(emulator: Emulator) -> List[str]:
    return [f"{request.method} {request.path}" for request in emulator.requests]


def test_a_token_is_asked_for_once_and_sent_with_every_read(emulator: Emulator, client: Imds) -> None:
    failing(emulator, v1=False)
    assert client.get(ID) == b"i-10a64379"
    assert client.get("latest/user-data") == b"cm.example.org"
    assert methods(emulator) == ["PUT /latest/api/token", f"GET /{ID}", "GET /latest/user-data"]
    assert client.requests_made == 3


def test_an_absent_key_is_a_fact_and_no_error(client: Imds) -> None:
    assert client.get("latest/meta-data/spot/instance-action") is None


def test_a_token_is_renewed_before_it_expires(emulator: Emulator, client: Imds, clock: Clock) -> None:
    failing(emulator, v1=False, max_token_ttl=100)
    client.get(ID)
    clock.now += 51
    client.get(ID)
    assert [request.status for request in emulator.requests] == [200, 200, 200, 200]
    assert methods(emulator)[2] == "PUT /latest/api/token"


def test_a_token_that_lives_for_one_second_is_enough(emulator: Emulator, client: Imds, clock: Clock) -> None:
    failing(emulator, v1=False, max_token_ttl=1)
    for _ in range(5):
        assert client.get(ID) == b"i-10a64379"
        clock.now += 0.4


def test_a_token_refused_with_401_is_renewed_once(emulator: Emulator, client: Imds, clock: Clock) -> None:
    failing(emulator, Fault(path="meta-data/*", status=401, times=1))
    assert client.get(ID) == b"i-10a64379"
    assert [request.status for request in emulator.requests] == [200, 401, 200, 200]


def test_401_again_after_a_new_token_is_told_apart_from_not_on_ec2(emulator: Emulator, client: Imds) -> None:
    failing(emulator, Fault(path="meta-data/*", status=401))
    assert "answered 401" in message(client)
    assert len(emulator.requests) == 4


def test_403_on_a_read_is_told_apart_from_not_on_ec2(emulator: Emulator, client: Imds, clock: Clock) -> None:
    failing(emulator, Fault(path="meta-data/*", status=403))
    assert "answered 403" in message(client)
    assert clock.slept == []


@pytest.mark.parametrize("status", [404, 405])
def test_v1_is_used_where_the_token_request_is_unknown(emulator: Emulator, client: Imds, status: int) -> None:
    failing(emulator, v2=False, token_status=status)
    assert client.get(ID) == b"i-10a64379"
    assert client.speaks_v1_only
    client.get(ID)
    assert methods(emulator).count("PUT /latest/api/token") == 1


@pytest.mark.parametrize("environ", [{"AWS_EC2_METADATA_V1_DISABLED": "true"}, {}])
def test_v1_is_refused_where_something_forbids_it(emulator: Emulator, clock: Clock, environ: Mapping[str, str]) -> None:
    failing(emulator, v2=False)
    variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": emulator.url, **environ}
    imds = Imds(Access.from_environment(variables, 300.0, "fallback" if environ else "never"), clock.sleep, clock)
    said = message(imds)
    imds.close()
    assert "only IMDSv1" in said
    assert ("AWS_EC2_METADATA_V1_DISABLED" if environ else "metadata.v1: never") in said
    assert methods(emulator) == ["PUT /latest/api/token"]


def test_v1_reads_that_are_refused_say_so(emulator: Emulator, client: Imds) -> None:
    failing(emulator, Fault(path="meta-data/*", status=401), v2=False)
    assert "http-tokens is required" in message(client)


def test_a_token_request_answered_403_never_leads_to_v1(emulator: Emulator, client: Imds, clock: Clock) -> None:
    failing(emulator, Fault(path="api/token", status=403))
    said = message(client)
    assert "hop limit" in said
    assert "http-tokens" in said
    assert methods(emulator) == ["PUT /latest/api/token"]
    assert clock.slept == []


def test_a_token_request_that_is_never_answered_never_leads_to_v1(emulator: Emulator, clock: Clock) -> None:
    failing(emulator, Fault(path="api/token", black_hole=True))
    imds = Imds(access_to(emulator.url, deadline_s=2.0, read_timeout_s=0.05), clock.sleep, clock)
    said = message(imds)
    imds.close()
    assert "hop limit" in said
    assert "http-tokens" in said
    assert set(methods(emulator)) == {"PUT /latest/api/token"}
    assert len(emulator.requests) > 1


@pytest.mark.parametrize("body", ["", "two\nlines", "caf\u00e9"])
def test_a_token_that_cannot_be_one_is_not_sent_back(emulator: Emulator, client: Imds, body: str) -> None:
    failing(emulator, Fault(path="api/token", body=body.encode()))
    assert "cannot be one" in message(client)


def test_a_service_that_refuses_connections_for_20_seconds_is_waited_for(
    emulator: Emulator, client: Imds, clock: Clock
) -> None:
    emulator.refuse()
    clock.at(20, emulator.listen)
    assert client.get(ID) == b"i-10a64379"
    assert 20 <= sum(clock.slept) < 40


def test_pauses_grow_and_are_jittered_and_bounded(emulator: Emulator, client: Imds, clock: Clock) -> None:
    emulator.refuse()
    message(client)
    assert sum(clock.slept) == pytest.approx(300.0)
    assert max(clock.slept) <= 10.0
    assert sum(clock.slept[-10:-1]) > 10 * sum(clock.slept[:4]) / 4
    assert len({round(pause, 6) for pause in clock.slept}) > len(clock.slept) // 2


def test_nothing_listening_names_the_endpoint_and_what_to_check(clock: Clock) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        imds = Imds(access_to(url, deadline_s=5.0), clock.sleep, clock)
        said = message(imds)
        imds.close()
    assert url in said
    assert "connection refused" in said
    assert "not an EC2 instance" in said
    assert "--simulate" in said
    assert sum(clock.slept) == pytest.approx(5.0)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retry_after_is_obeyed(emulator: Emulator, client: Imds, clock: Clock, status: int) -> None:
    failing(emulator, Fault(path="meta-data/*", status=status, retry_after=7, times=10))
    assert client.get(ID) == b"i-10a64379"
    assert len(clock.slept) == 10
    assert all(pause >= 7 for pause in clock.slept)


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(emulator: Emulator, client: Imds, clock: Clock) -> None:
    failing(emulator, Fault(path="meta-data/*", status=503, retry_after=3600))
    assert "answered 503" in message(client)
    assert clock.slept == []


def test_a_reset_connection_is_tried_again(emulator: Emulator, client: Imds) -> None:
    failing(emulator, Fault(path="meta-data/*", reset=True, times=2))
    assert client.get(ID) == b"i-10a64379"


def test_a_body_that_is_cut_short_is_read_again(emulator: Emulator, client: Imds) -> None:
    failing(emulator, Fault(path="meta-data/*", truncate=3, times=1))
    assert client.get(ID) == b"i-10a64379"


def test_a_body_that_is_always_cut_short_is_never_taken(emulator: Emulator, clock: Clock) -> None:
    failing(emulator, Fault(path="meta-data/*", truncate=3))
    imds = Imds(access_to(emulator.url, deadline_s=1.0), clock.sleep, clock)
    said = message(imds)
    imds.close()
    assert "gave no usable answer" in said
    assert ID in said


def test_a_body_of_three_megabytes_is_refused_without_another_try(emulator: Emulator, client: Imds) -> None:
    failing(emulator, Fault(path="user-data", size=3_000_000))
    assert "larger than 64 KiB" in message(client, "latest/user-data")
    assert methods(emulator).count("GET /latest/user-data") == 1


def test_an_endless_body_without_a_length_is_refused(clock: Clock) -> None:
    with responses.RequestsMock() as service:
        service.add("PUT", "http://imds.test/latest/api/token", body="token")
        service.add("GET", f"http://imds.test/{ID}", body="x" * 100_000)
        imds = Imds(access_to("http://imds.test"), clock.sleep, clock)
        assert "larger than 64 KiB" in message(imds)
        imds.close()


def test_a_redirect_is_not_followed(clock: Clock) -> None:
    with responses.RequestsMock() as service:
        service.add("PUT", "http://imds.test/latest/api/token", status=302, headers={"Location": "http://evil.test/"})
        imds = Imds(access_to("http://imds.test"), clock.sleep, clock)
        assert "answered 302" in message(imds)
        imds.close()


def test_proxies_are_never_used(emulator: Emulator, client: Imds, monkeypatch: "pytest.MonkeyPatch") -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: a proxied request would fail
    monkeypatch.setenv("no_proxy", "")
    assert client.get(ID) == b"i-10a64379"


def test_the_next_address_is_tried_where_nothing_answers_at_the_first(emulator: Emulator, clock: Clock) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        imds = Imds(access_to("", endpoints=(dead, emulator.url)), clock.sleep, clock)
        assert imds.get(ID) == b"i-10a64379"
        imds.close()
    assert imds.endpoint == emulator.url
    assert clock.slept == []


def test_ipv6_is_spoken(clock: Clock) -> None:
    try:
        running = Emulator(bundled("wiki"), ("::1", 0))
    except Exception as err:
        pytest.skip(f"no IPv6 loopback on this machine ({err}): enable net.ipv6 for lo")
    with running:
        imds = Imds(access_to(running.url), clock.sleep, clock)
        assert imds.get(ID) == b"i-10a64379"
        imds.close()


@pytest.mark.parametrize(
    ("environ", "endpoints"),
    [
        ({}, (IPV4_ENDPOINT, IPV6_ENDPOINT)),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv4"}, (IPV4_ENDPOINT,)),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv6"}, (IPV6_ENDPOINT,)),
        (
            {
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1338/",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6",
            },
            ("http://127.0.0.1:1338",),
        ),
    ],
)
def test_the_sdks_variables_choose_the_endpoint(environ: Mapping[str, str], endpoints: Any) -> None:
    assert Access.from_environment(environ, 5.0).endpoints == endpoints


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "169.254.169.254"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://[fd00"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "file:///etc/passwd"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipx"},
    ],
)
def test_a_variable_that_makes_no_sense_is_named(environ: Mapping[str, str]) -> None:
    with pytest.raises(MetadataError, match=next(iter(environ))):
        Access.from_environment(environ, 5.0)


def test_profiles_without_user_data_answer_404(clock: Clock) -> None:
    with Emulator(Profile()) as running:
        imds = Imds(access_to(running.url), clock.sleep, clock)
        assert imds.get("latest/user-data") is None
        imds.close()
