"""What outside text may become."""

import re
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent import grammar

LABEL_63 = "a" * 63


@pytest.mark.parametrize(
    "name", ["cm", "cm.example.org", "cm.example.org.", "a-b.c1", "3com.example", LABEL_63 + ".org"]
)
def test_host_names(name: str) -> None:
    assert grammar.host_name(name) == name.rstrip(".")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a_b",
        "a b",
        "caf\u00e9",
        LABEL_63 + "a",
        "1.2.3.4",
        "x" * 254,
        "a\n",
        "$(a)",
        "a/b",
    ],
)
def test_what_is_no_host_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        grammar.host_name(name)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("cm.example.org", "cm.example.org"),
        ("cm.example.org:9620", "cm.example.org"),
        ("192.0.2.1:9618", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:9618", "2001:db8::1"),
        ("cm.example.org:9618?sock=collector", "cm.example.org"),
        ("cm.example.org?sock=collector_2", "cm.example.org"),
        ("[2001:db8::1]:9618?sock=collector", "2001:db8::1"),
    ],
)
def test_collectors(text: str, host: str) -> None:
    assert grammar.collector(text) == text
    assert grammar.collector_host(text) == host


def test_a_collectors_port_is_read_beside_its_socket() -> None:
    assert grammar.collector_port("cm.example.org:9620?sock=collector") == 9620
    assert grammar.collector_port("cm.example.org?sock=collector") is None


NO_HOST = ["", "cm:", "cm:0", "cm:65536", "cm:x", "[2001:db8::1", "[::1]x", "a b", "cm:\u0663", "?sock=collector"]
NO_SOCKET = ["cm?", "cm?sock=", "cm:9618?sock=a b", "cm?sock=a&CCBID=1", "cm?sock=../x/y", "cm?alias=a", "cm?sock=a\n"]


@pytest.mark.parametrize("text", [*NO_HOST, *NO_SOCKET])
def test_what_is_no_collector(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        grammar.collector(text)


@pytest.mark.parametrize("text", [*NO_HOST, "cm:9618?sock=collector"])
def test_what_is_no_host_and_port(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        grammar.host_and_port(text)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("8h", 28800), ("2d", 172800)])
def test_durations(text: str, seconds: int) -> None:
    assert grammar.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5h", "10 m", "m", "1w", "\u0661\u0662m", "9" * 12])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        grammar.duration_s(text)


@pytest.mark.parametrize("name", ["START", "STARTD.START", "_X", "slot_type_1", "MachineMaxVacateTime"])
def test_knob_names(name: str) -> None:
    assert grammar.knob_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1A",
        "A-B",
        "A B",
        "use",
        "INCLUDE",
        "if",
        "endif",
        "error",
        "Aé",
        "A:",
        "include command : x",
        "LOCAL_CONFIG_FILE",
        "STARTD.LOCAL_CONFIG_DIR",
        "REQUIRE_LOCAL_CONFIG_FILE",
        "local_config_file",
    ],
)
def test_what_is_no_knob_to_set(name: str) -> None:
    with pytest.raises(ValueError, match="."):
        grammar.knob_name(name)


@pytest.mark.parametrize("value", ["", "True", '"two  words"', "$(STARTD_ATTRS) A", "a # b", "caf\u00e9", "C:\\x"])
def test_knob_values(value: str) -> None:
    assert grammar.knob_value(f"  {value} ") == value


@pytest.mark.parametrize(
    "value", ["a\nb", "a\rb", "a\x00b", "a\\", "a\\  ", "a\u2028b", "a\x85b", "\x1b[2J", "a\x0bb", "a\ud800"]
)
def test_what_is_no_knob_value(value: str) -> None:
    with pytest.raises(ValueError, match="control character|backslash|half a character"):
        grammar.knob_value(value)


PARSERS = [grammar.host_name, grammar.token, grammar.mac, grammar.network_name, grammar.annex_name, grammar.collector]


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text())
def test_a_parser_gives_plain_text_or_one_line_of_complaint(parse: Callable[[str], str], text: str) -> None:
    try:
        assert re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", parse(text))
    except ValueError as err:
        assert str(err).isprintable()
        assert len(str(err)) < 400


@given(text=st.text())
def test_addresses_and_durations_and_knobs_never_fail_otherwise(text: str) -> None:
    parsers: Any = (grammar.address, grammar.ipv4, grammar.duration_s, grammar.knob_name, grammar.knob_value)
    for parse in parsers:
        try:
            parse(text)
        except ValueError as err:
            assert str(err).isprintable()
