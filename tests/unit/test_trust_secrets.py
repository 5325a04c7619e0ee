"""What a token and a pool password have to look like, and that no sentence about them shows any part."""

import base64
import json
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.secret import Secret, Secrets
from annex_agent.trust_secrets import Token, doubts, judged, password_text, token_file, tokens_in

NOW = 1_800_000_000
ORIGIN = "ssm:/annex/secret"


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def a_token(header: object = None, **claims: Any) -> bytes:
    head = {"alg": "HS256", "kid": "POOL"} if header is None else header
    return b".".join([part(head), part({"iss": "example.org", "sub": "condor@example.org", **claims}), b"c2lnbmF0dXJl"])


GOOD = a_token()


def a_secret(value: bytes) -> Secret:
    return Secret(value, ORIGIN)


def flaw_of(**secrets: bytes) -> str:
    found = judged(Secrets(**{field: a_secret(value) for field, value in secrets.items()}))
    assert [getattr(found.secrets, field) is None for field in secrets] == [bool(found.failures)] * len(secrets)
    return "; ".join(str(failure) for failure in found.failures)


@pytest.mark.parametrize(
    "content",
    [GOOD, b"  " + GOOD + b"\r\n\n", GOOD + b"\n" + a_token(exp=NOW), b"# of spring\n\n" + GOOD + b"\n"],
)
def test_a_token_is_stored_as_it_was_given_with_one_line_feed(content: bytes) -> None:
    assert flaw_of(token=content) == ""
    assert token_file(a_secret(content)) == content.strip() + b"\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"# only a comment\n", "is no token"),
        (b"tiger tiger", "is no token"),
        (b"a.b.c", "is no token"),
        (GOOD + b".d", "is no token"),
        (GOOD.rpartition(b".")[0] + b".", "is no token"),
        (a_token({"alg": "HS256"}), "is no token"),
        (a_token({"kid": "POOL", "alg": ""}), "is no token"),
        (a_token(["alg", "kid"]), "is no token"),
        (a_token(exp="soon"), "is no token"),
        (a_token(exp=10**400), "is no token"),
        (b"\xff\xfe", "is no token"),
        (GOOD + b"\nand a word", "holds lines that are no token"),
        (b'{"token": "' + GOOD + b'"}', "JSON"),
    ],
)
def test_what_is_no_token_is_told_without_any_of_it(content: bytes, words: str) -> None:
    said = flaw_of(token=content)
    assert said.startswith(f"the secret {ORIGIN} ")
    assert words in said
    for piece in content.decode("ascii", "replace").split():
        assert len(piece) < 4 or piece not in said


@given(st.binary(max_size=80))
def test_no_content_is_too_odd_for_a_token(content: bytes) -> None:
    flaw_of(token=content)


@pytest.mark.parametrize("content", [b"tiger", b"tiger\n", b"tiger\r\n", b"tiger\n\n"])
def test_a_password_is_kept_without_the_line_feed_behind_it(content: bytes) -> None:
    assert flaw_of(pool_password=content) == ""
    assert password_text(a_secret(content)) == "tiger"


@pytest.mark.parametrize("content", [b" tiger ", "tígér".encode(), b"x" * 255, b"a" * 255 + b"\n"])
def test_blanks_letters_of_all_kinds_and_255_bytes_are_a_password(content: bytes) -> None:
    assert flaw_of(pool_password=content) == ""
    assert password_text(a_secret(content)).encode() == content.rstrip(b"\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"tiger\nlion", "more than one line"),
        (b"tiger\x00lion", "cannot be typed"),
        (b"tiger\x1b[31m", "cannot be typed"),
        (b"tiger\xff", "not text"),
        (b"tiger" * 52, "255 bytes"),
        ("é".encode() * 128, "255 bytes"),
    ],
)
def test_what_htcondor_would_not_take_for_a_password(content: bytes, words: str) -> None:
    said = flaw_of(pool_password=content)
    assert words in said
    assert "tiger" not in said


@given(st.binary(max_size=300))
def test_a_password_that_is_judged_fit_can_be_handed_to_htcondor(content: bytes) -> None:
    if not flaw_of(pool_password=content):
        text = password_text(a_secret(content))
        assert text
        assert len(text.encode()) <= 255
        assert "\0" not in text


def test_both_are_told_together_and_what_is_fit_is_kept() -> None:
    assert flaw_of(token=b"x", pool_password=b"").count(ORIGIN) == 2
    found = judged(Secrets(token=a_secret(GOOD), pool_password=a_secret(b"")))
    assert found.secrets == Secrets(token=a_secret(GOOD))
    assert judged(Secrets()) == (Secrets(), ())


@pytest.mark.parametrize(
    ("token", "domain", "words"),
    [
        (a_token(), None, ""),
        (a_token(exp=NOW + 1), "example.org", ""),
        (a_token(exp=NOW), None, "has expired (2027-01-15 08:00 UTC)"),
        (a_token(exp=-1e300), None, "has expired (before 1970)"),
        (a_token(iss="other.org"), "example.org", "of the trust domain 'other.org'"),
        (a_token(iss="other.org"), None, ""),
    ],
)
def test_a_token_that_the_pool_may_refuse_is_doubted(token: bytes, domain: Optional[str], words: str) -> None:
    said = " ".join(doubts(Secrets(token=a_secret(token)), domain, NOW))
    assert bool(said) == bool(words)
    assert words in said


def test_without_a_token_there_is_nothing_to_doubt() -> None:
    assert list(doubts(Secrets(), "example.org", NOW)) == []


def test_expiry_and_issuer_are_read() -> None:
    assert tokens_in(a_token(exp=NOW)) == (Token(NOW, "example.org"),)
    assert tokens_in(b"\n# \n") == ()
