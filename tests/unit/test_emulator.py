"""The emulated metadata service, over real sockets on the loopback interface."""

import calendar
import errno
import http.client
import json
import logging
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from annex_agent.emulator import TOKEN_HEADER, TTL_HEADER, Emulator, profile
from annex_agent.errors import UsageError

FOREVER_S = 3600  # a delay that no test waits for
DOCUMENT = "/latest/dynamic/instance-identity/document"


def eventually(condition):
    """Wait until a condition holds; another thread is about to bring it about."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


def service_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("imds-")]


@pytest.fixture
def serve():
    """Start emulators, from a mapping or a Profile; close them, and see that nothing of them stays."""
    running = []

    def start(shape=None, **options):
        made = shape if isinstance(shape, profile.Profile) else profile.parse(shape or {})
        running.append(Emulator(made, **options))
        return running[-1]

    yield start
    for emulator in running:
        emulator.close()
    eventually(lambda: not service_threads())


@pytest.fixture
def wiki(serve):
    return serve(profile.bundled("wiki"))


def connection_to(emulator):
    host = urlsplit(emulator.url)
    return http.client.HTTPConnection(host.hostname, host.port, timeout=30)


def raw(emulator, request=b""):
    host = urlsplit(emulator.url)
    connection = socket.create_connection((host.hostname, host.port), timeout=30)
    connection.sendall(request)
    return connection


def ask(emulator, path, method="GET", headers=None):
    """The response, with its body as ``.text``."""
    connection = connection_to(emulator)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        response.text = response.read().decode()
        return response
    finally:
        connection.close()


def put_token(emulator, ttl="60", path="/latest/api/token", **headers):
    return ask(emulator, path, "PUT", {**({} if ttl is None else {TTL_HEADER: ttl}), **headers})


def status_of(emulator, path="/latest/meta-data/instance-id", token=None):
    return ask(emulator, path, headers={} if token is None else {TOKEN_HEADER: token}).status


class TestTokens:
    @pytest.mark.parametrize("ttl", ["1", "60", "21600"])
    def test_a_token_opens_what_is_closed_without(self, serve, ttl):
        emulator = serve(profile.bundled("spot"))
        assert status_of(emulator) == 401
        response = put_token(emulator, ttl)
        assert (response.status, response.headers[TTL_HEADER]) == (200, ttl)
        read = ask(emulator, "/latest/meta-data/instance-id", headers={TOKEN_HEADER: response.text})
        assert (read.status, read.text) == (200, "i-0f1e2d3c4b5a69788")
        assert 0 < int(read.headers[TTL_HEADER]) <= int(ttl)

    def test_every_token_is_another_one_and_all_are_good(self, wiki):
        tokens = {put_token(wiki).text for _ in range(5)}
        assert len(tokens) == 5
        assert {status_of(wiki, token=token) for token in tokens} == {200}

    @pytest.mark.parametrize("ttl", [None, "", "0", "-1", "21601", "1.5", "1_0", "+5", "sixty", "9" * 5000])
    def test_a_ttl_that_is_missing_or_wrong_is_400(self, wiki, ttl):
        assert put_token(wiki, ttl).status == 400

    def test_a_forwarded_request_is_403(self, wiki):
        assert put_token(wiki, **{"X-Forwarded-For": "192.0.2.1"}).status == 403

    def test_a_dated_path_gives_no_token(self, wiki):
        assert put_token(wiki, path="/2021-07-15/api/token").status == 403

    def test_a_slash_at_the_end_is_harmless(self, wiki):
        assert put_token(wiki, path="/latest/api/token/").status == 200

    def test_a_token_ends_with_its_ttl(self, serve):
        now = [1000.0]
        emulator = serve(profile.bundled("wiki"), clock=lambda: now[0])
        token = put_token(emulator, "60").text
        now[0] += 59.5
        assert status_of(emulator, token=token) == 200
        now[0] += 0.5
        assert status_of(emulator, token=token) == 401
        assert status_of(emulator) == 200  # a bad token is worse than none

    @pytest.mark.parametrize("token", ["", "guessed"])
    def test_a_token_that_was_never_given_out_is_401(self, wiki, token):
        assert status_of(wiki, token=token) == 401

    def test_the_profile_may_cap_the_ttl(self, serve):
        now = [0.0]
        emulator = serve({"service": {"max_token_ttl": 10}}, clock=lambda: now[0])
        response = put_token(emulator, "21600")
        assert response.headers[TTL_HEADER] == "10"
        now[0] = 10.0
        assert status_of(emulator, "/latest/", token=response.text) == 401

    @pytest.mark.parametrize(("service", "status"), [({"v2": False}, 404), ({"v2": False, "token_status": 405}, 405)])
    def test_an_older_look_alike_knows_no_tokens(self, serve, service, status):
        emulator = serve({"meta-data": {"instance-id": "i-1"}, "service": service})
        assert put_token(emulator).status == status
        assert status_of(emulator) == 200
        assert status_of(emulator, token="made up") == 200
        assert status_of(emulator, "/latest/api/token") == 404

    def test_a_service_that_is_off_forbids_everything(self, serve):
        emulator = serve({"meta-data": {"instance-id": "i-1"}, "service": {"enabled": False}})
        assert put_token(emulator).status == 403
        assert {status_of(emulator, path) for path in ("/", "/latest/meta-data/instance-id", "/nowhere")} == {403}


class TestContent:
    @pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "OPTIONS", "BREW", "PUT"])
    def test_other_methods_are_405(self, wiki, method):
        response = ask(wiki, "/latest/meta-data/instance-id", method)
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")

    def test_the_token_path_takes_put_only(self, wiki):
        assert ask(wiki, "/latest/api/token").headers["Allow"] == "OPTIONS, PUT"

    def test_head_is_get_without_the_body(self, wiki):
        with raw(wiki, b"HEAD /latest/user-data HTTP/1.0\r\n\r\n") as connection:
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nContent-Length: 14\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")

    @pytest.mark.parametrize("version", ["latest", "2021-07-15", "2009-04-04", "1999-12-31", "1.0"])
    def test_versions(self, wiki, version):
        assert status_of(wiki, f"/{version}/meta-data/instance-id") == 200
        assert {"1.0", "2009-04-04", "latest"} <= set(ask(wiki, "/").text.split("\n"))

    @pytest.mark.parametrize("version", ["newest", "2021-7-15", "20210715", "2021-07-150", "LATEST"])
    def test_what_is_not_a_version_is_404(self, wiki, version):
        assert status_of(wiki, f"/{version}/meta-data/instance-id") == 404

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_directories_list_their_keys(self, serve, slash):
        emulator = serve({"meta-data": {"b": {"x": {}, "y": "1"}, "a": "1", "gone": None}})
        assert ask(emulator, f"/latest{slash}").text == "dynamic\nmeta-data"
        assert ask(emulator, f"/latest/meta-data{slash}").text == "a\nb/"
        assert ask(emulator, f"/latest/meta-data/b{slash}").text == "x/\ny"
        assert ask(emulator, f"/latest/meta-data/b/y{slash}").text == "1"
        assert ask(emulator, f"/latest/dynamic/instance-identity{slash}").text == "document\npkcs7\nsignature"

    @pytest.mark.parametrize("path", ["gone", "nowhere", "a/b", "b/z", "b//y", "", "../meta-data/a"])
    def test_an_unknown_key_is_404_with_a_page(self, serve, path):
        emulator = serve({"meta-data": {"b": {"y": "1"}, "a": "1", "gone": None}})
        response = ask(emulator, f"/latest/meta-data//{path}" if not path else f"/latest/meta-data/{path}")
        assert (response.status, response.headers["Content-Type"]) == (404, "text/html")
        assert "<h1>404 - Not Found</h1>" in response.text
        assert 'xmlns="http://www.w3.org/1999/xhtml"' in response.text

    def test_headers(self, wiki):
        response = ask(wiki, "/latest/meta-data/instance-id")
        assert response.headers["Server"] == "EC2ws"
        assert response.headers["Content-Type"] == "text/plain"
        assert response.headers["Content-Length"] == "10"
        assert ask(wiki, "/latest/user-data").headers["Content-Type"] == "application/octet-stream"

    def test_user_data(self, serve):
        emulator = serve({"user-data": bytes(range(256))})
        with raw(emulator, b"GET /latest/user-data HTTP/1.0\r\n\r\n") as connection:
            assert connection.makefile("rb").read().endswith(b"\r\n\r\n" + bytes(range(256)))
        assert "user-data" in ask(emulator, "/latest/").text.split("\n")
        assert status_of(serve(), "/latest/user-data") == 404
        assert status_of(serve({"user-data": ""}), "/latest/user-data") == 200

    def test_the_identity_document_follows_the_meta_data(self, serve):
        wiki = serve(profile.bundled("wiki"), wall_clock=lambda: 1_222_819_200.0)
        document = json.loads(ask(wiki, DOCUMENT).text)
        assert document == {
            "accountId": "123456789012",
            "architecture": "x86_64",
            "availabilityZone": "us-east-1c",
            "billingProducts": None,
            "devpayProductCodes": None,
            "imageId": "ami-2b5fba42",
            "instanceId": "i-10a64379",
            "instanceType": "m1.large",
            "kernelId": None,
            "marketplaceProductCodes": None,
            "pendingTime": "2008-10-01T00:00:00Z",
            "privateIp": "10.253.191.243",
            "ramdiskId": None,
            "region": "us-east-1",
            "version": "2017-09-30",
        }
        wiki.set("instance-type", "c7gn.large")
        wiki.set("placement/region", None)
        wiki.set("placement/availability-zone", "us-west-2-lax-1b")
        document = json.loads(ask(wiki, DOCUMENT).text)
        assert (document["architecture"], document["region"]) == ("arm64", "us-west-2-lax-1")

    def test_the_profile_may_replace_or_remove_the_identity_document(self, serve):
        of_its_own = serve({"dynamic": {"instance-identity": {"document": {"region": "r"}}, "fws": {"x": "y"}}})
        assert json.loads(ask(of_its_own, DOCUMENT).text) == {"region": "r"}
        assert ask(of_its_own, "/latest/dynamic").text == "fws/\ninstance-identity/"
        assert status_of(of_its_own, "/latest/dynamic/instance-identity/pkcs7") == 200
        assert ask(serve({"dynamic": {"instance-identity": {"document": "{"}}}), DOCUMENT).text == "{"
        assert status_of(serve({"dynamic": {"instance-identity": None}}), DOCUMENT) == 404

    def test_a_public_key_is_listed_with_its_name_and_read_by_its_number(self, serve):
        emulator = serve({"meta-data": {"public-keys": {"0=mine": {"openssh-key": "ssh-ed25519 A"}, "a=b": "x"}}})
        assert ask(emulator, "/latest/meta-data/public-keys/").text == "0=mine\na=b"
        assert ask(emulator, "/latest/meta-data/public-keys/0/").text == "openssh-key"
        assert ask(emulator, "/latest/meta-data/public-keys/0/openssh-key").text == "ssh-ed25519 A"
        assert ask(emulator, "/latest/meta-data/public-keys/a=b").text == "x"
        assert status_of(emulator, "/latest/meta-data/public-keys/a") == 404

    def test_a_path_may_be_escaped_absolute_or_have_a_query(self, serve):
        emulator = serve({"meta-data": {"tags": {"instance": {"cost centre": "42"}}}})
        assert ask(emulator, "/latest/meta-data/tags/instance/cost%20centre").text == "42"
        assert ask(emulator, "http://169.254.169.254/latest/meta-data/tags/instance/cost%20centre?x=/").text == "42"

    @pytest.mark.parametrize("name", profile.bundled_names())
    def test_a_crawl_by_listings_finds_every_value(self, serve, name):
        source = profile.bundled(name)
        emulator = serve(replace(source, service=profile.Service()))

        def crawl(path):
            names = ask(emulator, path).text.split("\n")
            return {n.rstrip("/"): crawl(path + n) if n.endswith("/") else ask(emulator, path + n).text for n in names}

        found = crawl("/latest/meta-data/")
        for keys in found.get("iam", {}).get("security-credentials", {}).values():
            assert json.loads(keys)["Code"] == "Success"
        made_up = {"iam": None, "spot": None, "events": None}
        assert {**found, **made_up} == {**source.meta_data, **made_up}

    def test_a_roles_credentials_are_completed_where_they_say_success(self, serve):
        given = {
            "own": '{"Code": "Success", "AccessKeyId": "ASIAMINE"}',
            "failed": '{"Code": "Failed"}',
            "odd": "no JSON",
        }
        emulator = serve({"meta-data": {"iam": {"security-credentials": given}}})
        own = json.loads(ask(emulator, "/latest/meta-data/iam/security-credentials/own").text)
        assert own["AccessKeyId"] == "ASIAMINE"
        assert own["Emulated"] is True
        assert own["SecretAccessKey"]
        assert own["Token"]
        now, hour = time.time(), 3600
        (updated, expires) = (
            calendar.timegm(time.strptime(own[key], "%Y-%m-%dT%H:%M:%SZ")) for key in ("LastUpdated", "Expiration")
        )
        assert updated <= now < now + hour < expires
        for role in ("failed", "odd"):
            assert ask(emulator, f"/latest/meta-data/iam/security-credentials/{role}").text == given[role]


class TestConnections:
    def test_an_answer_is_one_segment_and_the_connection_stays(self, wiki):
        if not sys.platform.startswith("linux"):
            pytest.skip("Linux alone counts a connection's segments: run this test there")
        with raw(wiki) as connection, connection.makefile("rb") as stream:
            for count, path in enumerate(("/latest/user-data", "/latest/nowhere", "/latest/meta-data/"), start=1):
                connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
                lines = list(iter(stream.readline, b"\r\n"))
                (length,) = (int(line.split()[1]) for line in lines if line.startswith(b"Content-Length"))
                assert len(stream.read(length)) == length > 0
                # struct tcp_info, linux/tcp.h: tcpi_data_segs_in
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
                assert struct.unpack_from("I", info, 152) == (count,)

    def test_the_body_of_a_request_is_not_the_next_request(self, wiki):
        request = b"PUT /latest/meta-data/x HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET " * 2
        with raw(wiki, request + b"GET /latest/user-data HTTP/1.1\r\nConnection: Close\r\n\r\n") as connection:
            answers = connection.makefile("rb").read()
        assert answers.count(b"HTTP/1.1 405 ") == 2
        assert answers.endswith(b"\r\nConnection: close\r\n\r\ncm.example.org")

    @pytest.mark.parametrize(
        "request_line",
        [
            b"hello\r\n\r\n",
            b"GET /latest/ meta-data HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2\r\n\r\n",
            b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"PUT / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
            b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nx: " + b"x" * 70000 + b"\r\n\r\n",
        ],
    )
    def test_what_is_not_http_is_400_and_the_end(self, wiki, request_line):
        with raw(wiki, request_line) as connection:
            assert connection.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"
        assert status_of(wiki) == 200

    def test_a_client_that_leaves_in_the_middle_disturbs_nobody(self, wiki):
        raw(wiki, b"GET /latest/user-data HT").close()
        raw(wiki).close()
        assert status_of(wiki) == 200

    def test_requests_are_kept_until_they_are_seen(self, wiki):
        ask(wiki, "/latest/nowhere/?x=1", headers={"X-Test": "yes"})
        (request,) = wiki.requests
        assert (request.method, request.path, request.status) == ("GET", "/latest/nowhere/?x=1", 404)
        assert request.headers["x-test"] == "yes"
        with pytest.raises(AttributeError):
            request.status = 200
        assert wiki.requests_seen() == [request]
        assert wiki.requests == wiki.requests_seen() == []

    def test_ipv6(self, serve):
        try:
            emulator = serve({"meta-data": {"instance-id": "i-1"}}, address=("::1", 0))
        except UsageError as err:
            pytest.skip(f"{err}; enable IPv6 on the loopback interface")
        assert emulator.url.startswith("http://[::1]:")
        assert status_of(emulator) == 200

    @pytest.mark.parametrize("address", [("127.0.0.1", 70000), ("192.0.2.1", 0), ("no..such..name", 80)])
    def test_an_address_that_cannot_be_had(self, address):
        with pytest.raises(UsageError, match=r"^cannot listen on .*; use an address of this machine, and port 0"):
            Emulator(profile.Profile(), address)

    def test_a_port_that_is_taken(self, wiki):
        port = urlsplit(wiki.url).port
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1 port {port} .Address already in use"):
            Emulator(profile.Profile(), ("127.0.0.1", port))

    def test_closing_frees_the_port_and_twice_is_once(self, serve):
        emulator = serve()
        port = urlsplit(emulator.url).port
        with emulator, raw(emulator) as idle:
            assert ask(emulator, "/").status == 200
            emulator.close()
            assert idle.recv(1) == b""
        assert serve(address=("127.0.0.1", port)).url.endswith(f":{port}")
        emulator.close()
        emulator.listen()
        assert emulator.url.endswith(f":{port}")


class TestFaults:
    def test_a_status_comes_so_many_times(self, serve):
        emulator = serve({"user-data": "x", "faults": [{"path": "user-data", "status": 503, "times": 2}]})
        assert [status_of(emulator, "/latest/user-data") for _ in range(3)] == [503, 503, 200]
        assert [request.status for request in emulator.requests] == [503, 503, 200]
        emulator.set("user-data", "y")
        assert status_of(emulator, "/latest/user-data") == 200
        emulator.profile = emulator.profile
        assert status_of(emulator, "/latest/user-data") == 503

    def test_the_first_live_fault_applies_and_equal_ones_add_up(self, serve):
        once = {"status": 500, "times": 1}
        emulator = serve({"faults": [once, once, {"path": "user-*", "status": 502}, {"method": "PUT", "status": 504}]})
        assert [status_of(emulator, "/latest/user-data") for _ in range(3)] == [500, 500, 502]
        assert put_token(emulator).status == 504
        assert status_of(emulator, "/2021-07-15/user-data/") == 502
        assert status_of(emulator, "/latest/meta-data") == 200

    def test_retry_after_and_the_body_of_an_error(self, serve):
        emulator = serve({"faults": [{"path": "a", "status": 503, "retry_after": 7}, {"status": 429, "body": "slow"}]})
        response = ask(emulator, "/latest/a")
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
        assert "<h1>503 - Service Unavailable</h1>" in response.text
        assert ask(emulator, "/latest/b").text == "slow"

    def test_a_body_of_text_or_of_a_size(self, serve):
        emulator = serve({"faults": [{"path": "a", "body": "<html>"}, {"size": 3_000_000}]})
        assert (ask(emulator, "/latest/a").status, ask(emulator, "/latest/a").text) == (200, "<html>")
        assert len(ask(emulator, "/latest/b").text) == 3_000_000

    def test_a_truncated_answer_announces_its_whole_length(self, serve):
        emulator = serve({"user-data": "0123456789", "faults": [{"truncate": 4}]})
        with raw(emulator, b"GET /latest/user-data HTTP/1.1\r\n\r\n") as connection:
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        assert (b"Content-Length: 10" in head, body) == (True, b"0123")
        with pytest.raises(http.client.IncompleteRead):
            ask(emulator, "/latest/user-data")

    def test_a_reset_is_a_reset(self, serve):
        emulator = serve({"faults": [{"reset": True}]})
        for _ in range(20):
            with raw(emulator, b"GET / HTTP/1.1\r\n\r\n") as connection, pytest.raises(ConnectionResetError):
                connection.recv(1)
        assert emulator.requests[0].status is None

    def test_a_black_hole_never_answers_and_ends_with_its_client(self, serve):
        emulator = serve({"faults": [{"path": "user-data", "black_hole": True}]})
        with raw(emulator, b"GET /latest/user-data HTTP/1.1\r\n\r\n") as connection:
            eventually(lambda: emulator.requests)
            assert ask(emulator, "/").status == 200
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert select.select([connection], [], [], 0) == ([], [], [])
        eventually(lambda: [thread.name for thread in service_threads()] == ["imds-emulator"])
        assert [request.status for request in emulator.requests] == [None, 200]

    @pytest.mark.parametrize("fault", [{"delay": FOREVER_S}, {"black_hole": True}])
    def test_a_request_that_waits_blocks_nobody_and_ends_with_the_service(self, serve, fault):
        emulator = serve({"faults": [{"path": "user-data", **fault}]})
        with raw(emulator, b"GET /latest/user-data HTTP/1.1\r\n\r\n") as connection:
            eventually(lambda: emulator.requests)
            assert ask(emulator, "/").status == 200
            assert select.select([connection], [], [], 0) == ([], [], [])
            emulator.close()
            assert connection.recv(1) == b""

    def test_a_delay_comes_before_the_answer_and_goes_with_a_status(self, serve):
        emulator = serve({"user-data": "x", "faults": [{"delay": 0.01, "times": 1}, {"delay": 0.01, "status": 500}]})
        assert [status_of(emulator, "/latest/user-data") for _ in range(2)] == [200, 500]


class TestRefusing:
    @staticmethod
    def attempt(port):
        with socket.socket() as client:
            client.settimeout(30)
            return client.connect_ex(("127.0.0.1", port))

    def test_refused_and_back_on_the_same_port(self, wiki):
        port = urlsplit(wiki.url).port
        with raw(wiki, b"GET / HTTP/1.1\r\n\r\n") as before:
            assert before.recv(4096).startswith(b"HTTP/1.1 200")
            for _ in range(3):
                wiki.refuse()
                wiki.refuse()
                assert self.attempt(port) == errno.ECONNREFUSED
                with socket.socket() as other, pytest.raises(OSError, match="in use"):
                    other.bind(("127.0.0.1", port))  # the port is not for others meanwhile
                wiki.listen()
                wiki.listen()
                assert urlsplit(wiki.url).port == port
                assert status_of(wiki) == 200
            before.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert before.recv(12) == b"HTTP/1.1 200"

    def test_closing_while_refusing(self, serve):
        emulator = serve()
        port = urlsplit(emulator.url).port
        emulator.refuse()
        emulator.close()
        assert status_of(serve(address=("127.0.0.1", port)), "/") == 200

    def test_a_profile_may_refuse_at_first(self, serve):
        late = serve({"refuse_for": FOREVER_S})
        assert self.attempt(urlsplit(late.url).port) == errno.ECONNREFUSED
        late.refuse()
        late.listen()
        assert status_of(late, "/") == 200
        soon = serve({"refuse_for": 0.01})
        eventually(lambda: self.attempt(urlsplit(soon.url).port) == 0)


class TestChanging:
    def test_keys_come_and_go(self, wiki):
        path = "/latest/meta-data/spot/instance-action"
        assert status_of(wiki, path) == 404
        wiki.set("spot/instance-action", '{"action": "terminate", "time": "2026-01-01T12:02:00Z"}')
        wiki.set("spot/termination-time", "soon")
        assert ask(wiki, path).text == '{"action": "terminate", "time": "2026-01-01T12:02:00Z"}'
        wiki.set("spot/instance-action", None)
        assert (status_of(wiki, path), ask(wiki, "/latest/meta-data/spot/").text) == (404, "termination-time")
        wiki.set("spot/termination-time", None)
        wiki.set("nothing/there", None)
        assert wiki.profile == profile.bundled("wiki")
        wiki.set("user-data", b"\x00")
        assert ask(wiki, "/latest/user-data").text == "\x00"
        wiki.set("user-data", None)
        assert status_of(wiki, "/latest/user-data") == 404

    def test_tokens_outlive_a_new_profile(self, wiki):
        token = put_token(wiki).text
        wiki.profile = profile.bundled("spot")
        assert (status_of(wiki), status_of(wiki, token=token)) == (401, 200)

    def test_a_watched_file_is_the_control_surface(self, serve, tmp_path, caplog):
        file = tmp_path / "profile.yaml"
        file.write_text("{user-data: 1, service: {v1: false}}")
        emulator = serve(profile.load(file), watch=file)
        token = {TOKEN_HEADER: put_token(emulator).text}

        def read():
            return ask(emulator, "/latest/user-data", headers=token).text

        assert read() == "1"
        soon_ns = time.time_ns() + FOREVER_S * 10**9
        for text in ("2", "3"):  # of the same size, within one tick of the file system's clock
            file.write_text(f"user-data: {text}")
            os.utime(file, ns=(soon_ns, soon_ns))
            assert read() == text
        other = tmp_path / "other"
        other.write_text("user-data: renamed")
        other.replace(file)
        assert read() == "renamed"
        assert not caplog.records

    def test_an_old_file_is_read_only_once(self, serve, tmp_path):
        file = tmp_path / "profile.yaml"
        file.write_text("user-data: 1")
        os.utime(file, (1, 1))
        emulator = serve(watch=file)
        file.write_text("user-data: 2")
        os.utime(file, (1, 1))  # so that nothing shows
        assert ask(emulator, "/latest/user-data").text == "1"
        os.utime(file, (1, 2))
        assert ask(emulator, "/latest/user-data").text == "2"

    @pytest.mark.parametrize("broken", ["user-data: [", "user_data: x", None])
    def test_a_broken_edit_is_logged_once_and_changes_nothing(self, serve, tmp_path, caplog, broken):
        file = tmp_path / "profile.yaml"
        file.write_text("user-data: good")
        emulator = serve(profile.load(file), watch=file)
        if broken is None:
            file.unlink()
        else:
            file.write_text(broken)
        assert [ask(emulator, "/latest/user-data").text for _ in range(3)] == ["good"] * 3
        (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
        assert str(file) in record.getMessage()
        assert "stays in use" in record.getMessage()
        file.write_text("user-data: mended")
        assert ask(emulator, "/latest/user-data").text == "mended"

    def test_a_spent_fault_stays_spent_while_the_file_keeps_it(self, serve, tmp_path):
        file = tmp_path / "profile.yaml"
        fault = "faults: [{status: 500, times: 1}]\n"
        file.write_text(fault)
        emulator = serve(profile.load(file), watch=file)
        seen = []
        for text in (fault, fault + "user-data: x", "user-data: x", fault + "user-data: x"):
            file.write_text(text)
            seen.append(status_of(emulator, "/latest/"))
        assert seen == [500, 200, 200, 500]


class TestWaiting:
    def test_until_it_is_closed(self, serve):
        emulator = serve()
        waiting = threading.Thread(target=emulator.wait)
        waiting.start()
        emulator.close()
        waiting.join(30)
        assert not waiting.is_alive()

    def test_until_it_is_interrupted(self, serve):
        main = threading.main_thread().ident
        # At the first Ctrl-C a region that another test has made would be taken down, and hear no other.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def interrupt():
            def waits():
                frame = sys._current_frames()[main]
                while frame and frame.f_code is not Emulator.wait.__code__:
                    frame = frame.f_back
                return frame and sys._current_frames()[main].f_code.co_filename == threading.__file__

            eventually(waits)
            signal.pthread_kill(main, signal.SIGINT)

        emulator = serve()
        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        emulator.wait()
        interrupting.join()
        assert ask(emulator, "/").status == 200
