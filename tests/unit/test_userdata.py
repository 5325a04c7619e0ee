"""User-data: what form it has, and what it says."""

from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.model import Knob
from annex_agent.userdata import parse


@pytest.mark.parametrize(
    "data", [b"cm.example.org", b"cm.example.org\n", b"  cm.example.org  \r\n", b"\xef\xbb\xbfcm.example.org"]
)
def test_one_bare_host_name_is_the_central_manager(data: bytes) -> None:
    user_data = parse(data)
    assert user_data.source.fields == {"central_manager": ("cm.example.org",)}
    assert user_data.kind == "one host name: the central manager"


def test_several_host_names_are_separated_by_commas() -> None:
    assert parse(b"cm1.example.org, cm2.example.org:9620").source.fields == {
        "central_manager": ("cm1.example.org", "cm2.example.org:9620")
    }


def test_a_comment_above_the_host_name_is_allowed() -> None:
    assert parse(b"# our pool\ncm\n").source.fields == {"central_manager": ("cm",)}


def test_lines_key_value_are_knobs() -> None:
    source = parse(b'# mine\nCOLLECTOR_HOST = cm:9620\r\n\n  START=TARGET.Owner == "alice"\nEMPTY =\n').source
    assert source.knobs == (
        Knob("COLLECTOR_HOST", "cm:9620"),
        Knob("START", 'TARGET.Owner == "alice"'),
        Knob("EMPTY", ""),
    )
    assert source.fields == {"central_manager": ("cm:9620",)}
    assert source.problems == ()


def test_every_bad_line_is_told_with_its_number() -> None:
    lines = [
        b"COLLECTOR_HOST = cm",
        b"collector_host: cm",
        b"use role:execute",
        b"A-B = 1",
        b"include command : echo A = 1",
        b"X = one\\",
        b"LOCAL_CONFIG_FILE = /bin/sh |",
        b"Y = a\x0cb",
        b"START = True",
    ]
    problems = parse(b"\n".join(lines)).source.problems
    assert [problem.partition(":")[0] for problem in problems] == [f"line {number}" for number in range(2, 9)]


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b" \n",
        b"# only comments\n",
        b"#!/bin/sh\nA=1\n",
        b"#include\nhttp://example.org/x\n",
        b"#cloud-config\nhostname: x\n",
        b"#cloud-boothook\n",
        b"## template: jinja\n#cloud-config\n",
        b"Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x--\n",
        b"MIME-Version: 1.0\n",
        b'{"some": "json"}',
        b"\x1f\x8b\x08\x00rest",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_not_ours_sets_nothing_and_is_no_error(data: bytes) -> None:
    source = parse(data).source
    assert (source.fields, source.knobs, source.problems) == ({}, (), ())


@pytest.mark.parametrize(
    "data",
    [
        b"#cloud-config\nannex_agent:\n  central_manager: cm\n",
        b"#annex-agent\ncentral_manager: cm\n",
        b'{"annex_agent": {"central_manager": "cm"}}',
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=1\n\n--1\nContent-Type: text/x-annex-agent\n\na:",
    ],
)
def test_settings_in_a_form_that_is_not_read_are_not_lost_in_silence(data: bytes) -> None:
    (problem,) = parse(data).source.problems
    assert "does not read" in problem


@pytest.mark.parametrize("data", [b"hello world", b"cm1 cm2", b"<html>", b"cm:99999", b"x" * 300, "caf\u00e9".encode()])
def test_one_line_that_is_nothing_known_says_what_would_be(data: bytes) -> None:
    (problem,) = parse(data).source.problems
    assert "central manager" in problem


def test_a_web_page_is_told_line_by_line() -> None:
    problems: List[str] = list(parse(b"<html>\n<h1>Bad Gateway</h1>\n</html>\n").source.problems)
    assert len(problems) == 3


@given(data=st.binary())
def test_no_bytes_are_a_traceback(data: bytes) -> None:
    assert all(problem.isprintable() for problem in parse(data).source.problems)


@given(text=st.text(alphabet=st.sampled_from("aB_=.:, \\\n\r\t#$()\"'{}<>\x00\x85\u2028")))
def test_what_is_accepted_is_one_clean_line_each(text: str) -> None:
    source = parse(text.encode()).source
    for knob in source.knobs:
        assert knob.value == knob.value.strip()
        assert len((knob.name + knob.value).splitlines()) <= 1
        assert not knob.value.endswith("\\")
