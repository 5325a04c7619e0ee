"""YAML: plain values, mistakes with their line, and no document that costs more than it may."""

import re
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.budget import LONGEST, Budget
from annex_agent.settings import from_yaml
from annex_agent.yaml_document import DocumentError, lines, load, load_value


def mistake(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        load(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: {b: [1, 2.5, true, null, text]}", {"a": {"b": [1, 2.5, True, None, "text"]}}),
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: 2024-05-01\nb: =\n", {"a": "2024-05-01", "b": "="}),
        ("a: !!binary aGVsbG8=", {"a": b"hello"}),
        (r'a: "\ud83d\ude00"', {"a": "\U0001f600"}),
        ("'1': one\n1: two\n", {"1": "one", 1: "two"}),
    ],
)
def test_a_document_is_plain_values(text: str, value: Any) -> None:
    assert load(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is given twice, first in line 1"),
        ("a: 1\nannex: a: b\n", "line 2: this is not YAML: .*put a value with a colon in it into quotes"),
        ("a:\n\tb: 1\n", "line 2: this is not YAML: .*indent with spaces"),
        ("a: 1\nb: @x\n", "line 2: this is not YAML: .*into quotes"),
        ("a: 1\nb: *x\n", r"line 2: this is not YAML: found undefined alias.*into quotes"),
        ('a: 1\nb: "x\nc: 1\n', "line 2: this is not YAML: .*close the quotes"),
        ("a: 1\nb: [x,\nc\n", "line 2: this is not YAML: .*close the brackets"),
        ("a: 1\n---\nb: 2\n", "line 2: this is not YAML: .*leave out the second ---"),
        ("a: 1\nb: \x00\n", r"line 2: this is not YAML: .*U\+0000"),
        ("a: 1\nb: !x 1\n", "line 2: the tag '!x' is not read here: leave it out"),
        ("a: !!set {b}\n", "line 1: the tag '!!set' is not read here"),
        ("a: !!python/name:os.system x\n", "line 1: the tag '!!python/name:os.system' is not read here"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "line 3: '<<' is not read here: write out the keys"),
        ("? [a, b]\n: c\n", "line 1: a key must be one word"),
        ("a: !!bool x\n", "line 1: 'x' cannot be read as !!bool"),
        ("a: !!binary caf\u00e9\n", "line 1: .* cannot be read as !!binary"),
        (r'a: "\ud83d"', "line 1: there is half a character in it"),
        ("a: 0x" + "f" * 6000, "line 1: a number of more than 64 digits"),
        ("a: 1" + ":59" * 400 + ":1.5", "line 1: a number of more than 64 digits"),
        ("- &a x\n- &a y\n", "line 2: this is not YAML: found duplicate anchor"),
    ],
)
def test_a_mistake_is_one_line_with_its_place_and_a_remedy(text: str, told: str) -> None:
    said = mistake(text)
    assert re.match(told, said), said
    assert said.isprintable()


def test_a_mistake_does_not_quote_the_secret_beside_it() -> None:
    assert "hunter2" not in mistake("security:\n  token: inline:hunter2: x\n")


def test_others_keys_are_parsed_and_not_judged() -> None:
    text = "x: 1\nx: 2\ny: !unknown {a: 1, a: 2}\nz: !!int zz\nours: {a: 1}\n"
    assert load_value(text, "ours") == {"a": 1}
    assert load_value(text, "theirs") is None
    with pytest.raises(DocumentError, match="line 2: the key 'a' is given twice, first in line 1"):
        load_value("a: 1\na: 2\n", "a")


@pytest.mark.parametrize(
    ("text", "key", "places"),
    [
        ("a: 1\nsec:\n  tok: x\n  b: {A: 1,\n  B: 2}\n", None, "a1 sec2 sec.tok3 sec.b4 sec.b.A4 sec.b.B5"),
        ("x: 1\nours:\n\n  a: 1\n", "ours", "a4"),
        ('{\n\t"ours": {"a":1,\n\t"b": {"c": 2}}}', "ours", "a2 b3 b.c3"),
        ("a: 1\na: 2\n7: x\n", None, "a1 '7'3"),
        ("a: &a\n  b: *a\n", None, None),
        ("? [a]\n: b\nc: 1\n", None, "c3"),
        ("[1, 2]", None, ""),
        ("a: 1", "b", ""),
        ("a: [", None, ""),
        ("a: 1\n" * 3000, None, ""),
        ("[" * 100_000, None, ""),
        ("x" * (LONGEST + 1), None, ""),
    ],
)
def test_each_key_has_its_line(text: str, key: Any, places: Any) -> None:
    found = lines(text, key)
    if places is None:
        assert len(found) < 1000
    else:
        assert [f"{path}{line}" for path, line in sorted(found.items(), key=lambda item: item[1])] == places.split()


def test_the_lines_of_a_bomb_are_few_and_short() -> None:
    key = "k" * 200
    bomb = "".join(f"{' ' * depth}{key}:\n" for depth in range(30)) + "".join(f"{' ' * 30}a{n}:\n" for n in range(2000))
    assert sum(len(path) for path in lines(bomb)) < 2**20


def test_the_problems_of_settings_name_their_line() -> None:
    text = "# ours\nannex_agent:\n  annex: 7\n  stop:\n    timeout: 1y\n  condor:\n    A-B: 1\n  colour: red\n"
    found = [problem.partition(": ")[0] for problem in from_yaml("x", text).problems]
    assert sorted(found) == ["line 3", "line 5", "line 7", "line 8"]


BOMBS: Dict[str, str] = {
    "aliases": "\n".join(["a0: &a0 x", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]),
    "merges": "\n".join(["a0: &a0 {x: 1}", *(f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]),
    "keys": "\n".join(
        f"{name}0: &{name}0 [x]\n"
        + "\n".join(f"{name}{n}: &{name}{n} [*{name}{n - 1}, *{name}{n - 1}]" for n in range(1, 40))
        for name in "ab"
    )
    + "\nz: {? *a39 : 1, ? *b39 : 2}",
    "itself": "a: &a [*a, *a]",
    "square brackets": "[" * LONGEST,
    "curly brackets": "{" * LONGEST,
    "nested pairs": "{a: " * (LONGEST // 4),
    "hyphens": "- " * (LONGEST // 2),
    "question marks": "? " * (LONGEST // 2),
    "indentation": "".join(" " * depth + "a:\n" for depth in range(400)),
    "list": "-\n" * (LONGEST // 2),
    "pairs": "a:\n" * (LONGEST // 3),
    "flow pairs": "[" + "a:," * (LONGEST // 3 - 1) + "]",
    "words": "a\n" * (LONGEST // 2),
    "quoted words": "'" + "a\n" * (LONGEST // 2 - 1) + "'",
    "empty lines": "|\n" + "\n" * (LONGEST - 2),
    "directives": "".join(f"%TAG !{n}! x\n" for n in range(LONGEST // 20)),
    "one word": "a" * LONGEST,
    "one word more": "a" * (LONGEST + 1),
    "digits": "9" * LONGEST,
    "sixtieths": "1" + ":59" * (LONGEST // 4),
}


@pytest.mark.timeout(30)  # without its bound a bomb takes minutes, or for ever
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_does_not_go_off(name: str) -> None:
    try:
        value = load(BOMBS[name])
    except DocumentError as err:
        assert len(str(err)) < 400
    else:
        assert isinstance(value, str), "only words come out whole"
    assert sum(len(path) for path in lines(BOMBS[name])) < 2**20


def test_several_documents_share_a_budget() -> None:
    budget = Budget()
    for _ in range(3):
        load("a: [" + "x, " * 1500 + "]", budget)
    with pytest.raises(DocumentError, match="more than 5000 keys and values"):
        load("a: [" + "x, " * 1500 + "]", budget)


PIECES: List[str] = [
    *(
        "a",
        "b: ",
        ": ",
        ":",
        "\n",
        "\n ",
        "\n  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "? ",
        "~",
        "|",
        ">",
    ),
    *(
        "!!binary ",
        "!!set ",
        "!!int ",
        "!!float ",
        "!!bool ",
        "!!null ",
        "!!timestamp ",
        "!!omap ",
        "!!str ",
        "!x ",
        "!",
    ),
    *("0x1F", "1:30", "1:30.5", "1e999", ".nan", ".inf", "0b_", "-_", "+", "2001-99-99", "0001-01-01T00:00:00+23:59"),
    *(
        "'",
        '"',
        "\\",
        "#",
        " #",
        "%",
        "@",
        "`",
        "\t",
        "\x00",
        "\x85",
        "\u2028",
        "\ud800",
        "\ufeff",
        "---",
        "...",
        "%YAML 1.1",
    ),
]


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
def test_no_document_is_a_traceback(pieces: List[str]) -> None:
    text = "".join(pieces)
    assert all(isinstance(path, str) and line >= 1 for path, line in lines(text).items())
    for read in (load, lambda text: load_value(text, "a")):
        try:
            read(text)
        except DocumentError as err:
            assert str(err).isprintable()
            assert len(str(err)) < 400
