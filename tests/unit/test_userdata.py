"""User-data: what form it has, and what it says."""

import base64
import gzip
import re
import subprocess
import sys
import tracemalloc
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.model import Knob
from annex_agent.settings import Source
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
    ("data", "kind"),
    [
        (b"#cloud-config\npackages: [x]\nannex_agent:\n  central_manager: cm\n", "cloud-config with settings"),
        (b"\n#Cloud-Config\r\nannex_agent:\r\n  central_manager: cm\r\n", "cloud-config with settings"),
        (b"#cloud-config\nx: &x {central_manager: cm}\nannex_agent: *x\n", "cloud-config with settings"),
        (b"#annex-agent\ncentral_manager: cm\n", "an annex-agent document"),
        (b"#annex-agent\nannex_agent: {central_manager: [cm]}\n", "an annex-agent document"),
        (b'{"annex_agent": {"central_manager": "cm"}, "other": 1}', "JSON with settings"),
        (gzip.compress(b"cm\n"), "gzip, in it one host name"),
        (gzip.compress(b"#annex-agent\ncentral_manager: cm\n"), "gzip, in it an annex-agent document"),
    ],
)
def test_marked_documents_hold_settings(data: bytes, kind: str) -> None:
    user_data = parse(data)
    assert user_data.source.problems == ()
    assert user_data.source.fields == {"central_manager": ("cm",)}
    assert user_data.kind.startswith(kind)


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"#cloud-config\nannex_agent: {hostnam: x, stop: {timeout: 1y}}\n", ["hostnam: ", "stop.timeout: "]),
        (b"#cloud-config\nannex_agent: cm\n", ["must be a mapping"]),
        (b"#cloud-config\nannex_agent: {annex: a, annex: b}\n", ["'annex' is given twice"]),
        (b"#cloud-config\nannex_agent: {}\nannex_agent: {}\n", ["'annex_agent' is given twice"]),
        (b"#cloud-config\nannex_agent:\n  a: [\n", ["^line [34]: this is not YAML"]),
        (b"#annex-agent\ncentral_manager: cm\nannex: a: b\n", ["line 3: this is not YAML"]),
        (b"#annex-agent\nhostname: 7\nannex: [a]\n", ["hostname: must be text, not '7'", "annex: .* not a list"]),
        (b'{"annex_agent": {"annex": "a",}}', ["^line 1: this is not JSON: .*column"]),
        (b'{"annex_agent": {"annex": "a", "annex": "b"}}', ["'annex' is given twice"]),
        (
            b'#cloud-config-archive\n- {type: text/x-annex-agent, content: "annexe: a"}\n',
            ["within part 1: line 1: annexe: "],
        ),
        (b"## template: jinja\n#cloud-config\nannex_agent: {}\n", ["a part of their own"]),
        (b'#annex-agent\ncondor: {"a\\ab": 1}\n', [r"^line 2: 'condor.a\\x07b': "]),
    ],
)
def test_every_mistake_in_a_marked_document_is_told_with_its_place(data: bytes, problems: List[str]) -> None:
    told = parse(data).source.problems
    assert len(told) == len(problems)
    for problem, pattern in zip(told, problems):
        assert re.search(pattern, problem)


def test_a_number_that_python_will_not_write_out_is_a_problem_and_no_traceback() -> None:
    (problem,) = parse(b"#annex-agent\n? 0x" + b"f" * 6000 + b"\n: 1\n").source.problems
    assert "more than 64 digits" in problem


def test_a_bomb_of_gzip_does_not_go_off() -> None:
    bomb = gzip.compress(b"\0" * 64 * 1024 * 1024)
    tracemalloc.start()
    try:
        assert "more than 1024 KiB" in parse(bomb).source.problems[0]
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"#cloud-config\nhostname: x\nhostname: y\nz: !unknown {}\nwrite_files: [{content: 'annex_agent: 1'}]\n",
        b"#cloud-config\nwrite_files:\n- content: |\n    annex_agent:\n  bad\n",
        b"#cloud-config\n- annex_agent\n",
        b"#cloud-config\nannex_agent:\n",
        b'{"other": "annex_agent"}',
        b"#!/bin/sh\ncat >/etc/annex-agent/config.yaml <<E\nannex_agent:\n  central_manager: cm\nE\n",
        gzip.compress(b"#!/bin/sh\n"),
        gzip.compress(b"#!/bin/sh\n")[:-9],
    ],
)
def test_what_belongs_to_others_is_not_judged(data: bytes) -> None:
    user_data = parse(data)
    assert (user_data.source.fields, user_data.source.knobs, user_data.source.problems) == ({}, (), ())
    assert user_data.kind.endswith("left to others")


def test_others_keys_beside_ours_are_not_judged() -> None:
    text = b"#cloud-config\nx: 1\nx: 2\ny: !unknown {a: 1, a: 2}\nannex_agent: {annex: a}\n"
    assert parse(text).source == Source("user-data", {"annex": "a"})


def multipart(*parts: Tuple[str, str], encode: bool = False) -> bytes:
    message = MIMEMultipart()
    for content_type, text in parts:
        main, sub = content_type.split("/")
        part = MIMEText(text, sub, "utf-8" if encode else "us-ascii") if main == "text" else MIMEBase(main, sub)
        if main != "text":
            part.set_payload(text)
        message.attach(part)
    return message.as_bytes()


OURS = "text/x-annex-agent"


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        (OURS, "cm"),
        (OURS, "COLLECTOR_HOST = cm"),
        (OURS, "central_manager: cm\n"),
        (OURS, "# ours\nannex_agent:\n  central_manager: cm\n"),
        (OURS, "#annex-agent\n{central_manager: cm}\n"),
        (OURS, '{"annex_agent": {"central_manager": "cm"}}'),
        (OURS, '{"central_manager": "cm"}'),
        ("text/cloud-config", "#cloud-config\nannex_agent: {central_manager: cm}\n"),
        ("text/cloud-config", "annex_agent: {central_manager: cm}\n"),
        ("text/plain", "#annex-agent\ncentral_manager: cm\n"),
        ("text/plain", "#cloud-config\nannex_agent: {central_manager: cm}\n"),
        ("text/plain", "COLLECTOR_HOST = cm\n"),
        ("text/plain", "cm\n"),
        ("application/json", '{"annex_agent": {"central_manager": "cm"}}'),
    ],
)
@pytest.mark.parametrize("encode", [False, True], ids=["plain", "base64"])
def test_a_part_of_multipart_is_read(content_type: str, text: str, encode: bool) -> None:
    data = multipart(("text/x-shellscript", "#!/bin/sh\nA=1\n"), (content_type, text), encode=encode)
    assert (b"base64" in data) is encode
    for packed in (data, gzip.compress(data), data.replace(b"\n", b"\r\n"), b"\n\n" + data):
        user_data = parse(packed)
        assert user_data.source.problems == ()
        assert user_data.source.fields == {"central_manager": ("cm",)}
        assert "MIME multipart, in it part 2: " in user_data.kind


def test_parts_are_laid_over_one_another_in_their_order() -> None:
    source = parse(
        multipart(
            (OURS, "COLLECTOR_HOST = first\nA = 1\nB = 1\n"),
            ("text/cloud-config", "annex_agent: {annex: x, stop: {mode: fast}, condor: {a: 2}}"),
            (OURS, "central_manager: last\nannex: y\n"),
        )
    ).source
    assert source.fields == {"central_manager": ("last",), "annex": "y", "stop_mode": "fast"}
    assert source.knobs == (Knob("B", "1"), Knob("a", "2"))


def test_mistakes_in_parts_are_told_with_the_part() -> None:
    problems = parse(
        multipart(
            (OURS, "A = 1\nuse role:execute\n"),
            ("text/x-shellscript", "#!/bin/sh\n"),
            (OURS, "annexe: x\n"),
            ("text/cloud-config", "annex_agent: {annex: 7}"),
        )
    ).source.problems
    assert [problem[: len("within part 1: line 2")] for problem in problems] == [
        "within part 1: line 2",
        "within part 3: line 1",
        "within part 4: line 1",
    ]


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("text/x-shellscript", "#!/bin/sh\necho annex_agent: {}\n"),
        ("text/cloud-config", "#cloud-config\nhostname: x\n"),
        ("text/plain", "Whom it may concern:\nnothing to see here\n"),
        ("text/plain", "two words"),
        ("text/html", "A = 1"),
        ("application/octet-stream", "A = 1"),
        ("text/jinja2", "## template: jinja\n#cloud-config\nhostname: x\n"),
    ],
)
def test_other_parts_are_left_alone(content_type: str, text: str) -> None:
    user_data = parse(multipart((content_type, text)))
    assert (user_data.source, user_data.kind) == (Source("user-data"), "MIME multipart, left to others")


def test_a_part_of_ours_that_is_no_text_is_an_error() -> None:
    data = b"MIME-Version: 1.0\nContent-Type: text/x-annex-agent\n\ncentral_manager: \xff\n"
    assert parse(data).source.problems == ("within part 1: line 1: this is not UTF-8 text: save it as UTF-8",)


@pytest.mark.parametrize(
    ("data", "module"), [(b"cm.example.org", "yaml json email.parser gzip"), (b"#cloud-config\nx: 1\n", "yaml")]
)
def test_user_data_of_the_usual_kinds_loads_no_parser(data: bytes, module: str) -> None:
    code = f"import sys, annex_agent.userdata as u; u.parse({data!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert set(module.split()) & set(loaded) == set()


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


BEGINNINGS = (
    *(b"", b"#cloud-config\n", b"#cloud-config\nannex_agent:", b"#annex-agent\n", b"#annex-agent\ncondor: {"),
    *(b'{"annex_agent": ', b"MIME-Version: 1.0\n", b"MIME-Version: 1.0\nContent-Type: text/x-annex-agent\n\n"),
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=-\n\n---\nContent-Type: text/x-annex-agent\n",
)
PIECES = st.sampled_from(
    [
        *("annex_agent", "central_manager", "condor", "network", ": ", ":", "\n", "\n ", "- ", "[", "]", "{", "}", ","),
        *("&a ", "*a", "<<", "!!binary ", "!!set ", "!x ", "|", ">", "'", '"', "? ", "~", "0x" + "f" * 6000, "1e999"),
        *("2001-99-99", "\x00", "\x85", "\u2028", "\ud7ff", "---", "\n---\n", "Content-Type: ", "text/x-annex-agent"),
        *(
            "Content-Transfer-Encoding: base64\n\n",
            "boundary=",
            "charset=x;",
            "=?utf-8?q?=?=",
            "A = 1",
            "\\",
            "#",
            "\t",
        ),
    ]
)


@given(beginning=st.sampled_from(BEGINNINGS), pieces=st.lists(PIECES, max_size=30), rest=st.binary(max_size=20))
def test_no_document_is_a_traceback(beginning: bytes, pieces: List[str], rest: bytes) -> None:
    data = beginning + "".join(pieces).encode() + rest
    for packed in (data, gzip.compress(data)):
        user_data = parse(packed)
        assert user_data.kind.isprintable()
        assert all(problem.isprintable() for problem in user_data.source.problems)


@pytest.mark.parametrize("depth", [100, 100_000])
def test_nesting_without_end_is_a_problem_and_no_traceback(depth: int) -> None:
    for opening in (
        b'{"annex_agent":' + b"[" * depth,
        b"#annex-agent\n" + b"[" * depth,
        b"#cloud-config\nannex_agent: " + b"[" * depth,
    ):
        (problem,) = parse(opening).source.problems
        assert len(problem) < 1000


def test_aliases_cannot_make_a_message_endless() -> None:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    text = "\n".join(["#cloud-config", "a0: &a0 x", *lines, "annex_agent: {annex: *a29, condor: {A: *a29}}"])
    (problem,) = parse(text.encode()).source.problems
    assert "more than 5000 keys and values" in problem


@given(text=st.text(alphabet=st.sampled_from("aB_=.:, \\\n\r\t#$()\"'{}<>\x00\x85\u2028")))
def test_what_is_accepted_is_one_clean_line_each(text: str) -> None:
    source = parse(text.encode()).source
    for knob in source.knobs:
        assert knob.value == knob.value.strip()
        assert len((knob.name + knob.value).splitlines()) <= 1
        assert not knob.value.endswith("\\")


MIB = 1024 * 1024
HEAD = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=X\n"
PART = b"--X\nContent-Type: text/x-annex-agent\n\n"
BOMBS = {
    "a list of hosts": b"a," * (MIB // 2),
    "one long label": b"a" * MIB,
    "knobs": b"A=1\n" * (MIB // 4),
    "lines": b"a\n" * (MIB // 2),
    "base64 of zeros": base64.b64encode(bytes(MIB * 3 // 4)),
    "base64 three times over": base64.b64encode(base64.b64encode(base64.b64encode(b"A=1\n" * 100_000))),
    "blanks before base64": b" " * (MIB - 1) + b"!",
    "gzip in gzip": gzip.compress(gzip.compress(bytes(64 * MIB))),
    "gzip members": gzip.compress(b"") * (MIB // 20),
    "gzip in every part": HEAD + b"\n" + (PART + gzip.compress(bytes(900_000)) + b"\n") * 99,
    "a mention in a long cloud-config": b"#cloud-config\nx: 1\n" + b"# annex_agent\n" * (MIB // 14),
    "brackets in JSON": b'{"annex_agent": ' + b"[" * 100_000,
    "digits in JSON": b'{"annex_agent": ' + b"9" * 100_000 + b"}",
    "keys in JSON": b'{"annex_agent": {' + b",".join(b'"k%d":1' % n for n in range(9000)) + b"}}",
    "settings in every part": HEAD + b"\n" + (PART + b"a: [" + b"x:," * 300 + b"]\n") * 99,
    "brackets in every part": HEAD + b"\n" + (PART + b"a: " + b"[" * 1000 + b"\n") * 99,
    "parts": HEAD + b"\n" + PART * 20_000,
    "boundaries": HEAD + b"\n" + b"--X\n" * (MIB // 4),
    "nested parts": b"".join(b"Content-Type: multipart/mixed; boundary=B%d\n\n--B%d\n" % (n, n) for n in range(10_000)),
    "headers": b"MIME-Version: 1.0\n" + b"X-A: b\n" * (MIB // 7),
    "parameters": b"MIME-Version: 1.0\nContent-Type: multipart/mixed" + b';a="' * (MIB // 4),
    "entries": b"#cloud-config-archive\n" + b"- a\n" * 30_000,
}


@pytest.mark.timeout(30)  # without its bound a bomb takes minutes, or for ever
@pytest.mark.parametrize("name", BOMBS)
def test_no_document_takes_much_time_or_memory(name: str) -> None:
    tracemalloc.start()
    try:
        source = parse(BOMBS[name][:MIB]).source
        assert tracemalloc.get_traced_memory()[1] < 40 * MIB
    finally:
        tracemalloc.stop()
    assert len(source.problems) <= 51
    assert source.fields == {}
    assert sum(map(len, source.problems)) < 100_000


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (base64.b64encode(base64.b64encode(b"A = 1\n" * 90_000)), "unpacks to more than 1024 KiB"),
        (b"".join(b"A%d=\n" % n for n in range(5001)), "line 5001: these are more than 5000"),
    ],
)
def test_a_bound_is_told(data: bytes, problem: str) -> None:
    assert problem in "".join(parse(data).source.problems)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"\n--X\nContent-Type: text/x-" + b"ann-" * 2000 + b"\nannex: a\n\n\n--X--\n",
        b'#cloud-config-archive\n- {type: "a/\\x9b31m", launch-index: 1, content: {annex: a}}\n',
        b'#cloud-config-archive\n- {type: "annex/\\x9b31m", content: {annex: a}}\n'
        b"- {type: text/x-annex-agent, content: 1}",
    ],
)
def test_a_type_is_not_repeated_as_it_stands(data: bytes) -> None:
    found = parse(data)
    for sentence in (found.kind, *found.source.problems, *found.notices):
        assert sentence.isprintable()
        assert len(sentence) < 500


def test_the_parts_of_all_messages_are_counted_together() -> None:
    inner = b"--X\nContent-Type: multipart/mixed; boundary=Y\n\n" + PART.replace(b"X", b"Y") * 20 + b"--Y--\n"
    (problem,) = parse(HEAD + b"\n" + inner * 6 + b"--X--\n").source.problems
    assert "more than 100 parts" in problem


def test_what_was_noticed_reaches_the_log() -> None:
    notices = parse(multipart(("text/html", "<p>"), (OURS, "annex: a"))).notices
    assert notices == ("user-data: part 1: its type 'text/html' is known neither to annex-agent nor to cloud-init",)
