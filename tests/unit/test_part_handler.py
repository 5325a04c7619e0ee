"""cloud-init's part handler for our user-data: what it keeps quiet about is what annex-agent answers for."""

import ast
import base64
import gzip
import importlib.util
import logging
from email import message_from_bytes
from pathlib import Path
from typing import Any, List

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annex_agent.userdata import parse

FOLDER = Path(__file__).resolve().parents[2] / "init/cloud-init"
FILE = FOLDER / "annex_agent_part_handler.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


HANDLER = load()
OURS = (
    "cm.example.org",
    "cm1, cm2.example.org:9620",
    "# our pool\n  cm\r\n",
    "198.51.100.10:9618",
    "[2001:db8::1]:9618",
    "2001:db8::1",
    "A = 1",
    "# mine\nCOLLECTOR_HOST = cm:9620\r\n\n  START=TRUE\nEMPTY =\n",
    "#annex-agent\ncentral_manager: cm\n",
    '{"annex_agent": {"central_manager": "cm"}}',
    *map(packed, (b"cm.example.org", b"CONDOR_HOST = cm\nSTART = TRUE\n", b"#annex-agent\ncentral_manager: cm\n")),
    packed(gzip.compress(b'{"annex_agent": {"central_manager": "cm"}}')),
    packed(packed(b"# ours\nCOLLECTOR_HOST = cm\n").encode()),
    base64.encodebytes(b"COLLECTOR_HOST = cm\nSTART = TRUE\n" * 9).decode("ascii"),
    "cm\n\0\0\0",
)
OTHERS = (
    "hello world",
    "<html>\n<h1>Bad Gateway</h1>\n</html>",
    "COLLECTOR_HOST = cm\nuse role:execute",
    "COLLECTOR_HOST: cm",
    "-cm-",
    "# nothing but a comment",
    '{"ignition": {"version": "3.0.0"}}',
    '{"annex_agent"',
    "{" * 100_000,
    packed(b"#!/bin/sh\n"),
    packed(b"#cloud-config\npackages: [git]\n"),
    packed(gzip.compress(b"hello world")),
    "[2001:db8:" + ":1:" * 300_000,
    "caf\u00e9",
)


def warnings(caplog: "pytest.LogCaptureFixture", content_type: str, payload: Any) -> List[str]:
    caplog.clear()
    HANDLER.handle_part(None, content_type, "part-001", payload, "always")
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("content_type", ["text/x-not-multipart", "text/plain"])
def test_only_what_annex_agent_reads_is_accepted(caplog: "pytest.LogCaptureFixture", content_type: str) -> None:
    for text in OURS:
        for payload in (text, text.encode()):
            assert warnings(caplog, content_type, payload) == []
    for text in OTHERS:
        (warning,) = warnings(caplog, content_type, text)
        assert warning.startswith("Unhandled ")
        assert f"({content_type})" in warning
        assert len(warning) < 200


def test_a_part_that_is_addressed_to_us_is_ours_and_so_is_nothing_at_all(caplog: "pytest.LogCaptureFixture") -> None:
    for content_type, payload in (
        *(("text/x-annex-agent", "anything"), ("__begin__", None), ("__end__", None)),
        *(("text/plain", None), ("text/plain", b""), ("text/x-not-multipart", "")),
    ):
        assert warnings(caplog, content_type, payload) == []


@pytest.mark.parametrize("text", OURS)
def test_annex_agent_reads_all_that_is_accepted(text: str) -> None:
    source = parse(text.encode()).source
    assert source.fields or source.knobs
    assert source.problems == ()


@given(text=st.text(alphabet=st.sampled_from("aZ09_=.:,-[] \n\r\t#{}\"'\x00\x85\u2028\ud800")))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_cloud_init_and_annex_agent_agree(text: str) -> None:
    try:
        source = parse(text.encode()).source
    except UnicodeEncodeError:  # half a character: cloud-init can come to it, EC2 cannot
        HANDLER.is_ours(text)
        return
    answers = bool(source.fields or source.knobs or source.problems)
    if HANDLER.is_ours(text) and "annex" not in text:
        assert answers, "nobody would say a word about it"
    if (source.fields or source.knobs) and not source.problems:
        assert HANDLER.is_ours(text)


@given(content_type=st.text(), payload=st.one_of(st.none(), st.text(), st.binary(), st.integers()))
def test_nothing_is_a_traceback(content_type: str, payload: Any) -> None:
    HANDLER.handle_part(None, content_type, None, payload, "always")


def test_it_is_a_handler_for_the_oldest_cloud_init() -> None:
    ast.parse(FILE.read_text(encoding="utf-8"), feature_version=(3, 6))
    assert HANDLER.handler_version == 2
    assert HANDLER.frequency == "always"
    untyped = message_from_bytes(b"\n\nx").get_content_type()
    assert {"text/x-annex-agent", "text/x-not-multipart", untyped} == set(HANDLER.list_types())


@pytest.mark.parametrize("name", ["annex-agent.tmpfiles", "annex-agent-invoke.tmpfiles"])
def test_what_is_linked_is_there(name: str) -> None:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if not line.startswith("#")]
    kind, link, *_, target = line.split()
    assert kind == "L+"
    assert link.startswith("/var/lib/cloud/")
    assert Path(target).parent == Path("/usr/share/annex-agent/init/cloud-init")
    linked = FOLDER / Path(target).name
    assert linked.is_file()
    assert bool(linked.stat().st_mode & 0o111) is linked.read_bytes().startswith(b"#!")
