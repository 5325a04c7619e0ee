"""One schema: the parsers, the JSON Schema and the documentation agree."""

import json
import math
from pathlib import Path
from typing import Any, Dict, List

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from annex_agent import json_schema, values
from annex_agent.key import Key
from annex_agent.mapping import read
from annex_agent.model import Settings
from annex_agent.schema import BY_PATH, CONDOR, KEYS, ROWS, SECTIONS, SHORT_FORMS, WRAPPER
from annex_agent.settings import from_document
from tests.regenerate import GENERATED

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json_schema.document()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
EXACT = [row for row in ROWS if not row.kind.beyond]

# Texts that come near to what the grammar knows, beside any others.
PIECES = st.sampled_from(
    [
        *("a", "B", "9", "0", "-", ".", "_", ":", "/", ",", "[", "]", "{", "}", "@", "$", "~", "\\", " "),
        *("\0", "\n", "\x7f", "\u2028", "é", "\ufeff"),
        *("10m", "90s", "0s", "0090", "1024", "65535", "40000-40050", "7-3", "shared", "public", "keep", "auto"),
        *(
            "image",
            "host",
            "file:",
            "s3://",
            "ssm:",
            "inline:",
            "http://",
            "https://",
            "cm.example.org",
            "::1",
            "fd00::1",
        ),
        *("10.0.0.1", ":9618", "{region}", "{vpc_id}", "{region!r}", "{region:9}", "true", "use", "LOCAL_CONFIG_FILE"),
    ]
)
TEXTS = st.one_of(st.text(max_size=12), st.lists(PIECES, max_size=5).map("".join))
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([10**9 - 1, 10**9, 2**63, -(2**63), 60.0]))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
)


def is_valid(value: Any, schema: Any) -> bool:
    return bool(jsonschema.Draft7Validator(schema).is_valid(value))


def is_read(row: Key, value: Any) -> bool:
    return not read({"condor": value}).problems if row is CONDOR else _parses(row, value)


def _parses(row: Key, value: Any) -> bool:
    try:
        row.kind.parse(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.path))
@given(value=VALUES)
def test_what_the_json_schema_refuses_the_parser_refuses(row: Key, value: Any) -> None:
    if is_read(row, value):
        assert is_valid(value, row.kind.schema), value


@pytest.mark.parametrize("row", EXACT, ids=lambda row: str(row.path))
@given(data=st.data())
def test_what_the_json_schema_accepts_is_read(row: Key, data: Any) -> None:
    near = [st.from_regex(part["pattern"]) for part in alternatives(row.kind.schema) if "pattern" in part]
    chosen = [st.sampled_from(part["enum"]) for part in alternatives(row.kind.schema) if "enum" in part]
    value = data.draw(st.one_of(*near, *chosen, VALUES))
    # In Python's patterns $ may stand before a last line feed, in those of ECMA 262 (and so of JSON Schema) it may not.
    if is_valid(value, row.kind.schema) and not str(value).endswith("\n"):
        assert is_read(row, value), value


def alternatives(schema: Any) -> List[Dict[str, Any]]:
    return list(schema.get("anyOf") or schema.get("oneOf") or [schema])


# What JSON Schema cannot say, or could only say in patterns that nobody can read; `beyond` says so for each kind.
BEYOND = [
    ("central_manager", "1.2.3.4.5"),
    ("central_manager", "cm:99999"),
    ("central_manager", [":::"]),
    ("annex.bundle", "s3://no-key"),
    ("security.token", "file:relative"),
    ("network.private_network_name", "x" * 129),
    ("network.ports", "50000-40000"),
    ("network.ports", "1000-2000"),
    ("network.ports", "40000-40001"),
    ("network.ports", "60000-70000"),
    ("aws.proxy", "http://1.2.3"),
    ("stop.timeout", 60.0),
    ("lifetime.lease", "59s"),
    ("interruption.poll", "2m"),
    ("interruption.vacate", "19s"),
    ("condor", {"use": "x"}),
    ("condor", {"LOCAL_CONFIG_FILE": "x"}),
    ("condor", {"A": math.nan}),
]


@pytest.mark.parametrize(("path", "value"), BEYOND)
def test_what_only_the_parser_sees_is_listed(path: str, value: Any) -> None:
    row = next(row for row in ROWS if row.path == path)
    assert row.kind.beyond
    assert is_valid(value, row.kind.schema)
    assert not is_read(row, value)


def test_the_list_of_what_only_the_parser_sees_is_whole() -> None:
    listed = [row.kind for row in ROWS for path, _ in BEYOND if row.path == path]
    assert {row.kind.beyond for row in ROWS if row.kind.beyond} == {kind.beyond for kind in listed}


KNOWN = [*(name for names in SECTIONS.values() for name in names), *SECTIONS]
NAMES = st.sampled_from([*KNOWN, "colour", "network.ports", "A"])
INNERMOST = st.dictionaries(NAMES, VALUES, max_size=3)
INNER = st.dictionaries(NAMES, st.one_of(INNERMOST, VALUES), max_size=3)
DOCUMENTS = st.dictionaries(NAMES, st.one_of(INNER, VALUES), max_size=3)


@given(document=DOCUMENTS)
@example(document={"network.advertise": "auto"})
@example(document={"annex": None, "network": None, "condor": None})
@example(document={"annex": {"annex": "x"}})
@example(document={"signal": {"cloudformation": {"stack": "x", "resource": "y"}, "autoscaling": True}})
@example(document={"signal": {"cloudformation": None}})
@example(document={"signal": {"cloudformation.stack": "x"}})
@example(document={"signal": {"cloudformation": {"stack": {"stack": "x"}}}})
@example(document={WRAPPER: {}})
def test_a_document_that_is_read_without_problems_is_valid(document: Any) -> None:
    if not from_document("x", document).problems:
        assert VALIDATOR.is_valid(document)
        assert VALIDATOR.is_valid({WRAPPER: document})


@pytest.mark.parametrize(
    "document",
    [
        *({"colour": 1}, {"network": {"colour": 1}}, {"annex": {"colour": 1}}, [], "x", 1),
        *(
            {"signal": {"cloudformation": {"colour": 1}}},
            {"signal": {"stack": "x"}},
            {"signal": {"cloudformation": "x"}},
        ),
        *({"signal.cloudformation": {"stack": "x"}}, {"signal": {"cloudformation.stack": "x"}}),
    ],
)
def test_an_unknown_key_is_not_valid(document: Any) -> None:
    assert not VALIDATOR.is_valid(document)
    assert not VALIDATOR.is_valid({WRAPPER: document})


def test_it_is_a_schema_that_old_libraries_know() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert "$id" not in json.dumps(SCHEMA)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.path))
class TestARow:
    def test_its_default_or_its_example_is_valid_and_read(self, row: Key) -> None:
        assert (row.default is None) == (row.example is not None), "an example stands where there is no default"
        given = row.example if row.default is None else row.default
        assert is_valid(given, row.kind.schema)
        assert is_read(row, given)

    def test_its_default_is_the_worker_s(self, row: Key) -> None:
        if row.default is not None:
            assert row.kind.parse(row.default) == getattr(Settings(), row.field)

    def test_it_is_in_the_json_schema_with_what_there_is_to_know(self, row: Key) -> None:
        found = SCHEMA["definitions"]["settings"]
        for name in row.path.split("."):
            found = next(part for part in alternatives(found) if "properties" in part)["properties"][name]
        assert found["title"]
        assert found["description"].endswith(".")
        assert found.get("default", found.get("examples")) == (row.default if row.example is None else [row.example])
        assert "`" not in found["title"] + found["description"]

    def test_its_phrase_can_be_continued(self, row: Key) -> None:
        assert not row.does.endswith(".")
        assert row.does[0] == row.does[0].lower()
        assert not row.more.endswith(".")


@pytest.mark.parametrize("seconds", [1, 59, 60, 90, 120, 600, 3600, 5400, 86400, 90000])
def test_a_duration_is_written_as_it_can_be_read(seconds: int) -> None:
    assert values.DURATION.parse(values.DURATION.write(seconds)) == seconds


def test_every_field_of_the_settings_has_its_row() -> None:
    assert sorted(row.field for row in ROWS) == sorted(Settings._fields)
    assert set(SHORT_FORMS) <= set(BY_PATH)
    assert len({key.path for key in KEYS}) == len(KEYS)


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_made_from_the_schema_is_as_it_would_be_made(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == GENERATED[name](text), f"{name} is not what agent/schema.py says: run python -m tests.regenerate"


@pytest.mark.parametrize(
    ("path", "lowest", "highest"),
    [
        *((f"lifetime.{name}", 60, 999_999_999) for name in ("lease", "idle", "unregistered", "unreachable")),
        ("lifetime.grace", 1, 999_999_999),
        ("interruption.vacate", 20, 120),
        ("interruption.lead", 1, 999_999_999),
        ("interruption.poll", 1, 60),
    ],
)
def test_a_duration_of_a_worker_s_end_has_these_bounds(path: str, lowest: int, highest: int) -> None:
    row = BY_PATH[path]
    for seconds in (lowest, highest):
        assert is_valid(seconds, row.kind.schema)
        assert row.kind.parse(seconds) == row.kind.parse(f"{seconds}s") == seconds
    for seconds in (lowest - 1, highest + 1):
        assert not is_valid(seconds, row.kind.schema)
        assert not is_read(row, seconds)
