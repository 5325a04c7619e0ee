"""Secrets, fetched as the instance's role from a real API on loopback: what is got, and each way to be refused."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest

from annex_agent.check.finding import OK, PROBLEM, Judgement
from annex_agent.check.scene import Scene
from annex_agent.check.secrets import secrets
from annex_agent.cli import main
from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import Fault, bundled
from annex_agent.entrusted import Patience, Way
from annex_agent.errors import SecretDenied, SecretError
from annex_agent.fetching import fetch
from annex_agent.gather import Wanted, gather
from annex_agent.iam_policy import least_policy
from annex_agent.imds import Access, Imds, read_instance
from annex_agent.logs import LOG
from annex_agent.machine import local_machine
from annex_agent.model import Instance, Settings
from annex_agent.secret import Secrets, reference
from annex_agent.secret_sources import Obtained
from annex_agent.system import System

from ..bundles import packed
from .conftest import boto3  # noqa: F401 - skips where it is missing
from .server import ACCOUNT, S3_ERROR, Server

REGION = "us-west-2"  # of the spot profile
ROLE = "annex-worker"
TOKEN = "eyJhbGciOiJIUzI1NiIsImtpZCI6IlBPT0wifQ.eyJpc3MiOiJwb29sIn0.c2lnbmF0dXJl"
SECRET, PARAMETER, OBJECT = "secretsmanager:annex/token", "ssm:/annex/password", "s3://bucket/config-x.tar.gz"
QUICK = Patience(secrets_s=20.0, propagation_s=0.0)


@pytest.fixture
def imds() -> Iterator[Emulator]:
    with Emulator(bundled("spot")) as running:
        yield running


def settings_of(**places: str) -> Settings:
    references: Dict[str, Any] = {field: reference(text) for field, text in places.items()}
    return Settings(**references)


class Worker:
    """An instance that fetches what is asked of it."""

    def __init__(self, imds: Emulator, root: Path, environ: Dict[str, str]) -> None:
        self.imds, self.system, self.environ = imds, System(root), environ
        self.instance: Optional[Instance] = None

    def fetch(self, patience: Patience = QUICK, aws: Optional[Dict[str, Any]] = None, **places: str) -> Obtained:
        settings = settings_of(**places)._replace(**(aws or {}))
        client = Imds(Access((self.imds.url,), 10.0))
        try:
            instance = self.instance or read_instance(client).instance
            _, obtained = fetch(settings, instance, self.system, Way(client, self.environ, patience))
        finally:
            client.close()
        return obtained

    def token(self, place: str = SECRET, **options: Any) -> bytes:
        obtained = self.fetch(token=place, **options)
        assert obtained.failures == ()
        assert obtained.secrets.token is not None
        return obtained.secrets.token.reveal()

    def refusal(self, place: str = SECRET, **options: Any) -> SecretError:
        obtained = self.fetch(token=place, **options)
        assert obtained.secrets == Secrets()
        (failure,) = obtained.failures
        assert failure.exit_code == 6
        assert str(failure).startswith(f"the secret {place}")
        assert "\n" not in str(failure)
        assert TOKEN not in "".join(traceback.format_exception(type(failure), failure, failure.__traceback__))
        return failure


@pytest.fixture
def worker(aws: Server, imds: Emulator, tmp_path: Path) -> Worker:
    return Worker(imds, tmp_path, {"AWS_ENDPOINT_URL": aws.url})


def json_error(code: str, message: str = "", status: int = 400) -> Dict[str, Any]:
    return {"status": status, "body": json.dumps({"__type": code, "Message": message, "message": message})}


def s3_error(code: str, status: int, message: str = "") -> Dict[str, Any]:
    body = S3_ERROR.format(code=code, message=message)
    return {"status": status, "body": body, "headers": {"Content-Type": "application/xml"}}


def put(aws: Server) -> None:
    """One secret of each kind, where the instance is."""
    aws.region = REGION
    aws.call("secretsmanager", "create_secret", Name="annex/token", SecretString=TOKEN)
    aws.call("ssm", "put_parameter", Name="/annex/password", Value=TOKEN, Type="SecureString")
    place = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    aws.call("s3", "create_bucket", Bucket="bucket", **place)
    aws.call("s3", "put_object", Bucket="bucket", Key="config-x.tar.gz", Body=TOKEN.encode())


class TestWhatIsGot:
    def test_each_kind(self, aws: Server, worker: Worker) -> None:
        put(aws)
        obtained = worker.fetch(token=SECRET, pool_password=PARAMETER, bundle=OBJECT)
        assert obtained.failures == ()
        assert [secret and secret.reveal() for secret in obtained.secrets] == [TOKEN.encode()] * 3
        assert [secret and secret.origin for secret in obtained.secrets] == [SECRET, PARAMETER, OBJECT]
        assert sorted(aws.requests) == [
            "GET /bucket/config-x.tar.gz 200",
            "secretsmanager.GetSecretValue 200",
            "ssm.GetParameter 200",
        ]
        assert TOKEN not in repr(obtained)

    def test_a_binary_secret(self, aws: Server, worker: Worker) -> None:
        aws.region = REGION
        aws.call("secretsmanager", "create_secret", Name="annex/token", SecretBinary=b"\x00\xff\x80")
        assert worker.token() == b"\x00\xff\x80"

    def test_by_an_arn_in_another_region(self, aws: Server, worker: Worker) -> None:
        aws.region = "eu-west-1"
        arn = aws.call("secretsmanager", "create_secret", Name="annex/token", SecretString=TOKEN)["ARN"]
        aws.call("ssm", "put_parameter", Name="/annex/password", Value=TOKEN, Type="SecureString")
        assert worker.token(f"secretsmanager:{arn}") == TOKEN.encode()
        assert "does not exist in us-west-2" in str(worker.refusal())

    def test_the_environment_names_the_region_where_the_metadata_service_does_not(
        self, aws: Server, worker: Worker
    ) -> None:
        put(aws)
        worker.instance = instance_of(worker)._replace(region=None)
        assert "names no region" in str(worker.refusal())
        worker.environ["AWS_REGION"] = REGION
        assert worker.token() == TOKEN.encode()

    def test_each_service_may_have_an_endpoint_of_its_own(self, aws: Server, worker: Worker) -> None:
        put(aws)
        nowhere = "http://127.0.0.1:1"
        own = {"SECRETS_MANAGER": SECRET, "SSM": PARAMETER, "S3": OBJECT}
        for name, place in own.items():
            worker.environ = {"AWS_ENDPOINT_URL": nowhere, f"AWS_ENDPOINT_URL_{name}": aws.url}
            assert worker.token(place) == TOKEN.encode()

    def test_the_least_policy_is_enough_and_no_more_is_needed(self, aws: Server, worker: Worker) -> None:
        put(aws)
        places: Dict[str, Any] = {"token": SECRET, "pool_password": PARAMETER, "bundle": OBJECT}
        policy = least_policy(settings_of(**places), REGION, ACCOUNT)
        aws.grant(policy)
        assert worker.fetch(**places).failures == ()
        for left_out in policy["Statement"]:
            aws.grant({"Statement": [found for found in policy["Statement"] if found != left_out]})
            (failure,) = worker.fetch(**places).failures
            assert isinstance(failure, SecretDenied)
            assert f"it may not {left_out['Action']} on {left_out['Resource']}" in str(failure)

    def test_files_and_what_is_given_in_the_open(self, worker: Worker) -> None:
        path = worker.system.root / "token"
        path.write_bytes(TOKEN.encode())
        assert worker.token("file:/token") == TOKEN.encode()
        obtained = worker.fetch(pool_password="inline:hunter2")
        assert obtained.secrets.pool_password is not None
        assert obtained.secrets.pool_password.reveal() == b"hunter2"
        assert "hunter2" not in repr(obtained)
        assert worker.imds.requests == [] or "iam" not in worker.imds.requests[-1].path.rpartition("/")[2]


def instance_of(worker: Worker) -> Instance:
    client = Imds(Access((worker.imds.url,), 10.0))
    try:
        return read_instance(client).instance
    finally:
        client.close()


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("place", "fault", "says"),
        [
            (SECRET, json_error("ResourceNotFoundException", "can't find the specified secret."), "does not exist in"),
            (
                SECRET,
                json_error("ResourceNotFoundException", "can't find ... for staging label: AWSCURRENT"),
                "has no value yet",
            ),
            (
                SECRET,
                json_error("InvalidRequestException", "because it was marked for deletion."),
                "is scheduled for deletion; .*restore-secret",
            ),
            (PARAMETER, json_error("ParameterNotFound"), "does not exist in us-west-2; make it"),
            (OBJECT, s3_error("NoSuchKey", 404), "does not exist; put the object there"),
            (OBJECT, s3_error("NoSuchBucket", 404), "correct the bucket's name"),
            (SECRET, json_error("DecryptionFailure"), "KMS key is disabled"),
            (OBJECT, s3_error("KMS.DisabledException", 400), "KMS key is disabled"),
            (SECRET, json_error("ExpiredTokenException"), "credentials of the role annex-worker have expired"),
            (OBJECT, s3_error("ExpiredToken", 400), "have expired; check this machine's clock"),
            (SECRET, json_error("UnrecognizedClientException"), "does not know the credentials of the role"),
            (OBJECT, s3_error("InvalidAccessKeyId", 403), "does not know the credentials of the role"),
            (SECRET, json_error("InvalidSignatureException", f"Signature expired {TOKEN}"), "check the clock"),
            (OBJECT, s3_error("RequestTimeTooSkewed", 403), "check the clock .*169.254.169.123"),
            (OBJECT, s3_error("SignatureDoesNotMatch", 403, TOKEN), "check the clock"),
            (SECRET, json_error("Surprise", TOKEN), "was not given: .* answered Surprise; .*GetSecretValue"),
            (SECRET, json_error(f"Bad thing {TOKEN}"), "what is no error of AWS's"),
            (SECRET, {"status": 200, "body": f"<html>{TOKEN}"}, "was not given"),
            (SECRET, {"status": 200, "body": "{}"}, "was not given"),
        ],
    )
    def test_each_refusal_is_told_at_once_in_a_sentence_of_its_own(
        self, aws: Server, worker: Worker, place: str, fault: Dict[str, Any], says: str
    ) -> None:
        put(aws)
        aws.fail("e", times=100, **fault)
        failure = worker.refusal(place)
        assert_matches(says, str(failure))
        assert not isinstance(failure, SecretDenied)
        assert len(aws.requests) == 1

    @pytest.mark.parametrize(
        ("place", "action", "resource"),
        [
            (SECRET, "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:annex/token"),
            (PARAMETER, "ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/annex/password"),
            (OBJECT, "s3:GetObject", "arn:aws:s3:::bucket/config-x.tar.gz"),
        ],
    )
    def test_a_denial_names_role_action_and_resource(
        self, aws: Server, worker: Worker, place: str, action: str, resource: str
    ) -> None:
        aws.grant({"Statement": []})
        failure = worker.refusal(place)
        assert isinstance(failure, SecretDenied)
        assert not failure.own_key
        assert f"refused to the role annex-worker: it may not {action} on {resource}" in str(failure)
        assert "annex-agent check" in str(failure)

    @pytest.mark.parametrize(
        ("place", "fault"),
        [
            (SECRET, json_error("AccessDeniedException", "Access to KMS is not allowed")),
            (PARAMETER, json_error("AccessDeniedException", "The ciphertext refers to a customer master key that ...")),
            (OBJECT, s3_error("AccessDenied", 403, "not authorized to perform: kms:Decrypt on resource")),
        ],
    )
    def test_a_key_of_ones_own_needs_a_right_of_its_own(
        self, aws: Server, worker: Worker, place: str, fault: Dict[str, Any]
    ) -> None:
        aws.fail("", **fault)
        failure = worker.refusal(place)
        assert isinstance(failure, SecretDenied)
        assert failure.own_key
        assert "kms:Decrypt" in str(failure)

    def test_a_bucket_in_another_region_is_followed_to_where_s3_leads(self, aws: Server, worker: Worker) -> None:
        put(aws)
        elsewhere = s3_error("PermanentRedirect", 301)
        elsewhere["headers"]["x-amz-bucket-region"] = "eu-west-1"
        aws.fail("GET ", **elsewhere)
        assert worker.token(OBJECT) == TOKEN.encode()
        aws.fail("GET ", times=100, **elsewhere)
        assert "is not in us-west-2" in str(worker.refusal(OBJECT))

    def test_an_explicit_denial_is_told_from_a_missing_permission(self, aws: Server, worker: Worker) -> None:
        aws.fail("", **json_error("AccessDeniedException", "with an explicit deny in a service control policy"))
        assert "a policy denies it" in str(worker.refusal())

    @pytest.mark.parametrize("value", ["", " \n\t"])
    def test_an_empty_one(self, aws: Server, worker: Worker, value: str) -> None:
        aws.fail("", status=200, body=json.dumps({"Name": "annex/token", "SecretString": value}))
        assert "is empty" in str(worker.refusal())
        (worker.system.root / "token").write_text(value)
        assert "is empty" in str(worker.refusal("file:/token"))

    def test_one_of_64_kib(self, aws: Server, worker: Worker) -> None:
        aws.region = REGION
        aws.call("secretsmanager", "create_secret", Name="annex/token", SecretString="x" * 65536)
        assert "is larger than 16 KiB, which is not a token" in str(worker.refusal())

    def test_no_more_is_read_of_an_object_or_a_file_than_may_be(self, worker: Worker) -> None:
        with Endless() as endless:
            worker.environ = {"AWS_ENDPOINT_URL": endless.url}
            assert "is larger than 16 KiB" in str(worker.refusal(OBJECT))
            (failure,) = worker.fetch(bundle=OBJECT).failures
        assert "is larger than 16384 KiB" in str(failure)
        assert endless.sent < 64 * 1024 * 1024
        with (worker.system.root / "sparse").open("wb") as file:
            file.truncate(2**33)
        assert "is larger than 16 KiB" in str(worker.refusal("file:/sparse"))

    def test_a_file_that_is_not_there_or_none(self, worker: Worker) -> None:
        assert "is not there; put the file into the image" in str(worker.refusal("file:/token"))
        (worker.system.root / "directory").mkdir()
        assert "cannot be read" in str(worker.refusal("file:/directory"))

    def test_all_failures_are_told_together(self, aws: Server, worker: Worker) -> None:
        aws.grant({"Statement": []})
        obtained = worker.fetch(token=SECRET, pool_password=PARAMETER, bundle="file:/nowhere")
        assert [str(failure).split()[2] for failure in obtained.failures] == [SECRET, PARAMETER, "file:/nowhere"]


def assert_matches(pattern: str, text: str) -> None:
    with pytest.raises(SecretError, match=pattern):
        raise SecretError(text)


class Endless:
    """An S3 whose objects have no end."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Endless":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with connection:
                connection.recv(65536)
                head = "HTTP/1.1 200 OK\r\nContent-Type: binary/octet-stream\r\nConnection: close\r\n\r\n"
                try:
                    connection.sendall(head.encode())
                    while True:
                        self.sent += connection.send(b"x" * 65536)
                except OSError:
                    pass


class TestPatience:
    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 503},
            {"status": 500, "body": "<html>"},
            json_error("ThrottlingException"),
            json_error("InternalServiceError", status=500),
            json_error("TooManyRequestsException", status=429),
        ],
    )
    def test_what_passes_is_tried_again(self, aws: Server, worker: Worker, fault: Dict[str, Any]) -> None:
        put(aws)
        aws.fail("", times=2, **fault)
        assert worker.token() == TOKEN.encode()
        assert len(aws.requests) == 3

    def test_trying_again_is_logged_once(
        self, aws: Server, worker: Worker, caplog: "pytest.LogCaptureFixture", monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        put(aws)
        aws.fail("", times=2, **json_error("ThrottlingException", TOKEN))
        monkeypatch.setattr(LOG, "propagate", True)
        with caplog.at_level(logging.INFO):
            worker.token()
        (line,) = caplog.messages
        assert_matches(rf"^the secret {SECRET}: 127.0.0.1:\d+ answered ThrottlingException, trying again$", line)

    def test_an_interruption_ends_it(self, worker: Worker, tmp_path: Path) -> None:
        code = (
            "import os, signal, sys, threading\n"
            "from annex_agent.cli import main\n"
            "threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
            "sys.exit(main(['configure', '--simulate', '--profile', 'spot', *sys.argv[1:]]))\n"
        )
        user_data = tmp_path / "user-data"
        settings = {"central_manager": "cm.example.org", "security": {"token": SECRET}, "aws": {"timeout": "1h"}}
        user_data.write_text(f"#annex-agent\n{json.dumps(settings)}")
        (tmp_path / "root").mkdir()
        arguments = ["--user-data", str(user_data), "--root", str(tmp_path / "root")]
        environ = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
        done = subprocess.run([sys.executable, "-c", code, *arguments], env=environ, check=False, timeout=60)
        assert done.returncode == 130

    def test_what_does_not_pass_ends_with_the_deadline(self, aws: Server, worker: Worker) -> None:
        aws.fail("", times=1000, **json_error("ThrottlingException"))
        short = Patience(secrets_s=1.0, propagation_s=0.0)
        assert "answered ThrottlingException for " in str(worker.refusal(patience=short))
        assert 1 <= len(aws.requests) <= 20
        aws.reset()
        aws.fail("", times=1000, status=503)
        assert "the service's own trouble" in str(worker.refusal(patience=short))

    def test_where_nothing_listens(self, worker: Worker) -> None:
        worker.environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
        short = Patience(secrets_s=0.5, propagation_s=0.0)
        said = str(worker.refusal(patience=short))
        assert_matches(r"127.0.0.1:1 gave no answer .*NAT gateway.*VPC endpoint for secretsmanager.*aws.proxy", said)

    @pytest.mark.timeout(60)
    def test_where_nothing_is_ever_answered(self, worker: Worker) -> None:
        with socket.create_server(("127.0.0.1", 0)) as hole:
            worker.environ = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{hole.getsockname()[1]}"}
            short = Patience(secrets_s=0.5, propagation_s=0.0)
            obtained = worker.fetch(patience=short, token=SECRET, pool_password=PARAMETER, bundle=OBJECT)
        assert len(obtained.failures) == 3
        assert all("gave no answer" in str(failure) for failure in obtained.failures)

    @pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"])
    def test_at_boot_a_role_that_was_just_made_is_given_time(self, aws: Server, worker: Worker, code: str) -> None:
        put(aws)
        aws.fail("", times=2, **json_error(code))
        assert worker.token(patience=Patience(secrets_s=60.0, propagation_s=30.0)) == TOKEN.encode()
        credentials = [request for request in worker.imds.requests if request.path.endswith(ROLE)]
        assert len(credentials) == (3 if code.startswith("Expired") else 1)

    def test_credentials_that_are_not_there_yet_are_waited_for(self, aws: Server, worker: Worker) -> None:
        put(aws)
        worker.imds.set(f"iam/security-credentials/{ROLE}", '{"Code": "AssumeRoleUnauthorizedAccess"}')
        threading.Timer(0.5, worker.imds.set, (f"iam/security-credentials/{ROLE}", '{"Code": "Success"}')).start()
        assert worker.token(patience=Patience(secrets_s=60.0, propagation_s=30.0)) == TOKEN.encode()

    def test_credentials_that_never_come_are_told_at_once_to_a_person(self, aws: Server, worker: Worker) -> None:
        worker.imds.set(f"iam/security-credentials/{ROLE}", '{"Code": "AssumeRoleUnauthorizedAccess"}')
        assert_matches(
            r"no credentials of the role .*AssumeRoleUnauthorizedAccess.*trust policy", str(worker.refusal())
        )
        assert aws.requests == []

    def test_without_a_role_nothing_is_asked(self, aws: Server, worker: Worker) -> None:
        worker.imds.set("iam", None)
        failure = worker.refusal()
        assert isinstance(failure, SecretDenied)
        assert "this instance has no role" in str(failure)
        assert aws.requests == []

    def test_a_role_that_comes_late_is_part_of_the_facts(self, aws: Server, worker: Worker) -> None:
        put(aws)
        late = Fault(path="meta-data/iam/security-credentials", status=404, times=1)
        settings = {"central_manager": "cm.example.org", "security": {"token": SECRET}}
        user_data = f"#annex-agent\n{json.dumps(settings)}".encode()
        worker.imds.profile = replace(worker.imds.profile, faults=(late,), user_data=user_data)
        environ = {**worker.environ, "AWS_EC2_METADATA_SERVICE_ENDPOINT": worker.imds.url}
        facts = gather(local_machine(worker.system), Wanted(), environ).facts
        assert facts.instance.iam_role == ROLE  # or the fence would not know that there is something to guard
        assert facts.secrets.token is not None


class TestTheCallersEnvironment:
    def test_neither_its_account_nor_its_files_nor_its_proxy_matter(
        self, aws: Server, worker: Worker, monkeypatch: "pytest.MonkeyPatch", tmp_path: Path
    ) -> None:
        put(aws)
        (tmp_path / "config").write_text("what botocore cannot read")
        wrong = {
            "AWS_ACCESS_KEY_ID": "AKIAOFTHECALLER",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_PROFILE": "nonsense",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_MAX_ATTEMPTS": "many",
            "HTTP_PROXY": "http://127.0.0.1:1",
            "http_proxy": "http://127.0.0.1:1",
            "HTTPS_PROXY": "http://127.0.0.1:1",
        }
        for name, value in wrong.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("NO_PROXY", raising=False)
        seen = aws.signers()
        assert worker.token() == TOKEN.encode()
        assert [signer for signer in aws.signers() if signer not in seen] == ["ASIAMADEUPBYEMULATOR"]

    def test_the_proxy_of_the_settings_is_used_and_never_for_the_metadata_service(
        self, aws: Server, worker: Worker
    ) -> None:
        put(aws)
        worker.environ = {"AWS_ENDPOINT_URL": "http://secretsmanager.example.org"}  # only a proxy knows where that is
        assert worker.token(aws={"aws_proxy": aws.url}) == TOKEN.encode()
        short = Patience(secrets_s=0.5, propagation_s=0.0)
        said = str(worker.refusal(aws={"aws_proxy": "http://127.0.0.1:1"}, patience=short))
        assert "proxy" in said

    def test_what_cannot_even_be_asked_is_not_tried_for_long(self, worker: Worker) -> None:
        worker.instance = instance_of(worker)._replace(region="not a region")
        worker.environ = {}
        worker.imds.set(f"iam/security-credentials/{ROLE}", '{"Code": "Success", "Emulated": false}')
        assert "cannot be asked for in not a region" in str(worker.refusal())

    def test_made_up_credentials_are_not_sent_to_the_real_aws(self, worker: Worker) -> None:
        worker.environ = {}
        assert "AWS knows nothing of them" in str(worker.refusal())

    def test_without_boto3_it_says_how_to_install_it(self, worker: Worker, monkeypatch: "pytest.MonkeyPatch") -> None:
        monkeypatch.setitem(sys.modules, "botocore.session", None)
        assert "dnf install python3-boto3" in str(worker.refusal())

    def test_nothing_of_it_is_logged(
        self, aws: Server, worker: Worker, caplog: "pytest.LogCaptureFixture", capfd: "pytest.CaptureFixture[str]"
    ) -> None:
        put(aws)
        with caplog.at_level(logging.DEBUG):
            worker.token()
        said = caplog.text + "".join(capfd.readouterr())
        assert TOKEN not in said
        assert "made up by the emulator" not in said
        assert "botocore" not in said


class TestTheCommands:
    @pytest.fixture
    def run(self, aws: Server, imds: Emulator, tmp_path: Path, monkeypatch: "pytest.MonkeyPatch") -> Any:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        root = tmp_path / "root"
        root.mkdir()

        def run(*arguments: str, **places: str) -> int:
            annex = {"bundle": places.pop("bundle")} if "bundle" in places else {}
            document = {"central_manager": "cm.example.org", "annex": annex, "security": places}
            imds.set("user-data", f"#annex-agent\n{json.dumps(document)}")
            return main([*arguments, "--root", str(root)])

        return run

    def test_a_dry_run_checks_that_it_can_be_had_and_does_not_show_it(
        self, run: Any, aws: Server, capfd: "pytest.CaptureFixture[str]"
    ) -> None:
        put(aws)
        assert run("--dry-run", "-v", token=SECRET) == 0
        said = "".join(capfd.readouterr())
        assert f"secrets      {SECRET} can be had" in said
        assert TOKEN not in said
        assert aws.requests == ["secretsmanager.GetSecretValue 200"]

    def test_a_dry_run_shows_its_plan_and_then_what_cannot_be_had(
        self, run: Any, aws: Server, capfd: "pytest.CaptureFixture[str]"
    ) -> None:
        aws.grant({"Statement": []})
        assert run("--dry-run", token=SECRET, bundle="file:/nowhere") == 6
        out, err = capfd.readouterr()
        assert "COLLECTOR_HOST = cm.example.org" in out
        assert "may not secretsmanager:GetSecretValue" in err
        assert "file:/nowhere is not there" in err

    @pytest.mark.parametrize("place", [SECRET, "file:/nowhere"])
    def test_a_real_run_writes_nothing_without_its_secret(
        self, run: Any, aws: Server, tmp_path: Path, place: str, capfd: "pytest.CaptureFixture[str]"
    ) -> None:
        assert run("configure", token=place) == 6
        written = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
        assert [path for path in written if "run/annex-agent" not in str(path)] == []
        assert f"the secret {place}" in capfd.readouterr().err

    def test_check_prints_the_policy_that_is_missing_and_with_it_finds_all_well(
        self, aws: Server, imds: Emulator, tmp_path: Path
    ) -> None:
        put(aws)
        archive = packed({"00ec2-dynamic.config": b"COLLECTOR_HOST = cm.example.org\n"})
        aws.call("s3", "put_object", Bucket="bucket", Key="config-x.tar.gz", Body=archive)
        settings = {"central_manager": "cm.example.org", "security": {"token": SECRET}, "annex": {"bundle": OBJECT}}
        imds.set("user-data", f"#annex-agent\n{json.dumps(settings)}")
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url, "AWS_ENDPOINT_URL": aws.url}

        def found() -> List[Judgement]:
            return list(secrets(Scene(local_machine(System(tmp_path)), environ, Wanted(deadline_s=10.0))))

        aws.grant({"Statement": []})
        for judgement in found():
            assert judgement.verdict == PROBLEM
            assert "is refused to the role annex-worker" in judgement.words
            policy = json.loads(judgement.remedy[judgement.remedy.index("{") :])
            assert "kms" not in judgement.remedy
        assert len(policy["Statement"]) == 2
        aws.grant(policy)
        (judgement,) = found()
        assert (judgement.verdict, judgement.words) == (OK, f"can be had: {SECRET}, {OBJECT}")
        aws.fail("GetSecretValue", **json_error("AccessDeniedException", "Access to KMS is not allowed"))
        (judgement,) = found()
        assert '"kms:Decrypt"' in judgement.remedy

    def test_what_is_given_in_the_open_is_warned_about(self, run: Any, capfd: "pytest.CaptureFixture[str]") -> None:
        assert run("--dry-run", token=f"inline:{TOKEN}") == 0
        said = "".join(capfd.readouterr())
        assert "security.token is given in the open, by user-data" in said
        assert TOKEN not in said

    def test_the_example_of_an_instance_says_that_its_credentials_are_none(
        self, run: Any, tmp_path: Path, monkeypatch: "pytest.MonkeyPatch", capfd: "pytest.CaptureFixture[str]"
    ) -> None:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        user_data = tmp_path / "user-data"
        user_data.write_text(
            "#annex-agent\n" + json.dumps({"central_manager": "cm.example.org", "security": {"token": SECRET}})
        )
        arguments: List[str] = ["--dry-run", "--simulate", "--profile", "spot", "--user-data", str(user_data)]
        assert run(*arguments) == 6
        assert "AWS knows nothing of them" in capfd.readouterr().err
