"""What holds for every document of user-data, generated or broken: see also tests/fuzz, which tries many more."""

import base64
import gzip
import json
import random
import re
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any, Callable, Dict, List, Tuple

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annex_agent.errors import ConfigError
from annex_agent.model import Settings
from annex_agent.settings import merge
from annex_agent.userdata import parse
from tests import cases

LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
HOSTS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{1,10}", fullmatch=True).filter(
    lambda name: (
        not name.startswith(("LOCAL_CONFIG_", "REQUIRE_LOCAL_CONFIG_"))
        and name.lower() not in ("use", "include", "if", "elif", "else", "endif", "error", "warning")
    )
)
VALUES = (
    st.text(
        st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")),
        max_size=20,
    )
    .map(str.strip)
    .filter(lambda value: not value.endswith("\\"))
)
KNOBS = st.dictionaries(NAMES, VALUES, max_size=4)
SETTINGS = st.fixed_dictionaries(
    {"central_manager": HOSTS},
    optional={
        "annex": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True),
        "hostname": st.sampled_from(["public", "private", "keep"]),
        "stop": st.fixed_dictionaries(
            {}, optional={"mode": st.sampled_from(["fast", "peaceful"]), "timeout": st.just("8h")}
        ),
        "metadata": st.fixed_dictionaries({}, optional={"restrict_to_root": st.booleans()}),
        "condor": KNOBS,
    },
)
OURS = "text/x-annex-agent"


def in_message(data: bytes, content_type: str, encode: bool) -> bytes:
    head = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=//\n\n"
    script = b"--//\nContent-Type: text/x-shellscript\n\n#!/bin/sh\nA=1\n"
    encoding = b"Content-Transfer-Encoding: base64\n" if encode else b""
    body = base64.encodebytes(data) if encode else data
    part = b"--//\nContent-Type: %s; charset=utf-8\n%s\n%s\n" % (content_type.encode(), encoding, body)
    return head + script + part + b"--//--\n"


def in_archive(data: bytes, content_type: str) -> bytes:
    entries = ["#!/bin/sh\nA=1\n", {"type": content_type, "content": data}]
    return b"#cloud-config-archive\n" + yaml.safe_dump(entries).encode()


WRAPPERS: Dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: data,
    "gzip": gzip.compress,
    "base64": base64.b64encode,
    "lines of base64": base64.encodebytes,
    "a part in base64": lambda data: in_message(data, "text/plain", encode=True),
    "a part": lambda data: in_message(data, "text/plain", encode=False),
    "an archive": lambda data: in_archive(data, "text/plain"),
    "Windows": lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n") if not data.startswith(b"\x1f") else data,
}
PACKINGS = st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=3)


def packed(data: bytes, packings: List[str]) -> bytes:
    """``data`` in its wrappers; those that are for text leave out what is none any more."""
    for name in packings:
        is_binary = b"\x1f\x8b" in data[:4]
        if not (is_binary and name in ("a part", "Windows")) and not data.startswith(b"\xef\xbb\xbf"):
            data = WRAPPERS[name](data)
    return data


def flat(given_settings: Dict[str, Any]) -> Tuple[Dict[str, Any], List[Tuple[str, str]]]:
    fields: Dict[str, Any] = {"central_manager": (given_settings["central_manager"],)}
    for key, field in (("annex", "annex"), ("hostname", "hostname")):
        if key in given_settings:
            fields[field] = given_settings[key]
    stop, metadata = given_settings.get("stop", {}), given_settings.get("metadata", {})
    if "mode" in stop:
        fields["stop_mode"] = stop["mode"]
    if "timeout" in stop:
        fields["stop_timeout_s"] = 8 * 3600
    fields.update(metadata)
    return fields, [(name, value) for name, value in given_settings.get("condor", {}).items()]


FORMS: Dict[str, Callable[[Dict[str, Any]], str]] = {
    "#annex-agent": lambda document: "#annex-agent\n" + yaml.safe_dump(document, sort_keys=False),
    "#annex-agent, in JSON's way": lambda document: "#annex-agent\n" + json.dumps(document),
    "wrapped": lambda document: (
        "#annex-agent\n" + yaml.safe_dump({"annex_agent": document}, allow_unicode=True, sort_keys=False)
    ),
    "cloud-config": lambda document: (
        "#cloud-config\n" + yaml.safe_dump({"packages": ["x"], "annex_agent": document}, sort_keys=False)
    ),
    "JSON": lambda document: json.dumps({"other": [1, {"a": None}], "annex_agent": document}, indent=1),
}


@pytest.mark.parametrize("form", FORMS)
@given(document=SETTINGS, packings=PACKINGS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
def test_settings_come_out_as_they_went_in(form: str, document: Dict[str, Any], packings: List[str]) -> None:
    found = parse(packed(FORMS[form](document).encode("utf-8"), packings))
    fields, knobs = flat(document)
    assert found.source.problems == ()
    assert found.source.fields == {**found.source.fields, **fields}
    assert [tuple(knob) for knob in found.source.knobs] == knobs


@given(knobs=KNOBS, packings=PACKINGS, equals=st.sampled_from(["=", " = ", "\t= "]))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_knobs_come_out_as_they_went_in(knobs: Dict[str, str], packings: List[str], equals: str) -> None:
    lines = ["# ours", *(f"{name}{equals}{value}" for name, value in knobs.items()), "COLLECTOR_HOST = cm"]
    found = parse(packed("\n".join(lines).encode("utf-8"), packings))
    assert found.source.problems == ()
    expected = [pair for pair in knobs.items() if pair[0] not in ("COLLECTOR_HOST", "CONDOR_HOST")]
    assert [
        tuple(knob) for knob in found.source.knobs if knob.name not in ("COLLECTOR_HOST", "CONDOR_HOST")
    ] == expected
    assert found.source.fields == {"central_manager": ("cm",)}


@given(hosts=st.lists(HOSTS, min_size=1, max_size=3))
def test_host_names_stay_host_names(hosts: List[str]) -> None:
    found = parse(", ".join(hosts).encode())
    assert found.source.problems == ()
    assert found.source.fields == {"central_manager": tuple(hosts)}


def check(data: bytes) -> None:
    """Every promise that does not depend on what the document says."""
    found = parse(data)
    assert all(sentence.isprintable() for sentence in (found.kind, *found.source.problems, *found.notices))
    try:
        given_settings = merge([cases.BAKED, found.source]).settings
    except ConfigError as err:
        assert found.source.problems, err
        return
    assert not found.source.problems, "applied although something is wrong"
    if not found.is_ours:
        assert given_settings == Settings()._replace(central_manager=("baked.example.org",))
    for knob in given_settings.condor:
        line = f"{knob.name} = {knob.value}"
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]* = [^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*(?<!\\)", line)
        assert line.rstrip(" ") == line or not knob.value


@given(data=st.binary(), packings=PACKINGS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_bytes_are_a_traceback_or_half_a_setting(data: bytes, packings: List[str]) -> None:
    check(packed(data, packings))


@given(seed=st.integers(0, 2**32), packings=PACKINGS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_mutation_is_a_traceback_or_half_a_setting(seed: int, packings: List[str]) -> None:
    chance = random.Random(seed)
    data = bytearray(cases.document(chance.choice(cases.names()))[:5000])
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(data) + 1)
        data[place : place + chance.randrange(4)] = chance.choice(
            [b"", b"\n", b": ", b"\xff", b"\\", b"=", b"\0", b"--X\n"]
        )
    check(packed(bytes(data), packings))


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["text/plain", OURS, "text/cloud-config", "text/html"]), st.text(max_size=60), st.booleans()
    ),
    max_size=4,
)


@given(parts=MESSAGES)
@settings(deadline=None)
def test_a_message_has_the_parts_that_pythons_own_parser_finds(parts: List[Tuple[str, str, bool]]) -> None:
    from email import message_from_bytes  # noqa: PLC0415 - the other opinion

    from annex_agent import multipart  # noqa: PLC0415
    from annex_agent.budget import Budget  # noqa: PLC0415
    from annex_agent.unpacking import from_transfer  # noqa: PLC0415

    message = MIMEMultipart()
    for content_type, text, nest in parts:
        part = MIMEText(text.encode("utf-8", "replace").decode(), content_type.partition("/")[2], "utf-8")
        if nest:
            inner = MIMEMultipart()
            inner.attach(part)
            message.attach(inner)
        else:
            message.attach(part)
    data = message.as_bytes()
    theirs = [part for part in message_from_bytes(data).walk() if not part.is_multipart()]
    try:
        ours = multipart.parts(data, Budget())
    except multipart.MessageError:
        assert not parts
        return
    assert [part.content_type for part in ours] == [part.get_content_type() for part in theirs]
    assert [from_transfer(part.content, part.encoding).content for part in ours] == [
        part.get_payload(decode=True) for part in theirs
    ]
