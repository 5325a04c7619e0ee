"""A server of AWS's API on the loopback interface, and clients that know no other."""

import urllib.request
from typing import Any, Iterator

import pytest

boto3 = pytest.importorskip("boto3", reason="pip install 'annex-agent[test]' brings boto3")
validate = pytest.importorskip("botocore.validate", reason="pip install 'annex-agent[test]' brings it with boto3")
moto_server = pytest.importorskip("moto.server", reason="pip install 'annex-agent[test]' brings moto")

from .server import Server  # noqa: E402 - it needs what may be missing

REGION = "us-east-1"


@pytest.fixture
def endpoint(monkeypatch: "pytest.MonkeyPatch", tmp_path_factory: "pytest.TempPathFactory") -> Iterator[str]:
    """The server's URL.  Whatever account the caller has is out of reach."""
    nowhere = tmp_path_factory.mktemp("aws")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        address, port = server.get_host_and_port()
        url = f"http://{address}:{port}"
        # What an earlier server of this process was told is remembered.
        urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=60).close()
        yield url
    finally:
        server.stop()


@pytest.fixture
def ec2(endpoint: str) -> Any:
    return boto3.client("ec2", region_name=REGION, endpoint_url=endpoint)


@pytest.fixture
def iam(endpoint: str) -> Any:
    return boto3.client("iam", region_name=REGION, endpoint_url=endpoint)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The APIs that a worker asks, which hold its role to a policy; one for all tests of a module."""
    with Server() as running:
        yield running


@pytest.fixture
def aws(server: Server) -> Server:
    """The server, with nothing in it, in the region of the spot profile."""
    server.reset()
    server.region = "us-west-2"
    return server
