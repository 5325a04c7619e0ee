"""By what pool and worker trust each other: a table over the methods, and what contradicts them."""

import re
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.model import Settings
from annex_agent.secret import reference
from annex_agent.security import MORE_PRECISE, contradictions, doubt, knobs, method, notes, why

TOKEN, PASSWORD = reference("ssm:/annex/token"), reference("ssm:/annex/password")
BUNDLE = reference("s3://annex/config-spring.tar.gz")
METHODS = ("image", "idtokens", "password", "host")
WRITING = METHODS[1:]
FEATURES = ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")
LEVELS = ("CLIENT", "READ", "WRITE", "DAEMON", "NEGOTIATOR", "ADMINISTRATOR", "CONFIG", "ADVERTISE_STARTD")
LOCAL, ROOT = "condor@$(UID_DOMAIN)", "root@$(UID_DOMAIN)"


def told(named: str, *image: str) -> Dict[str, str]:
    return {knob.name: knob.value for knob in knobs(Settings(security_method=named), image)}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), "image"),
        (Settings(token=TOKEN), "idtokens"),
        (Settings(pool_password=PASSWORD), "password"),
        (Settings(bundle=BUNDLE), "image"),
        *((Settings(security_method=named), named) for named in METHODS),
        (Settings(security_method="image", token=TOKEN), "image"),
    ],
)
def test_the_method_is_the_one_that_is_named_or_that_the_secret_is_for(settings: Settings, expected: str) -> None:
    assert method(settings) == expected


def test_an_image_is_left_as_its_builder_made_it() -> None:
    assert knobs(Settings(), ["SEC_DAEMON_AUTHENTICATION"]) == ()


@pytest.mark.parametrize(
    ("named", "shown", "demand"),
    [("idtokens", "IDTOKENS", "REQUIRED"), ("password", "PASSWORD", "REQUIRED"), ("host", "", "OPTIONAL")],
)
def test_what_a_worker_shows_to_its_pool(named: str, shown: str, demand: str) -> None:
    seen = told(named)
    assert {seen[f"SEC_CLIENT_{feature}"] for feature in FEATURES} == {demand}
    assert {seen[f"SEC_{level}_AUTHENTICATION_METHODS"] for level in ("DEFAULT", "CLIENT")} == {
        ", ".join(filter(None, ["FS", shown]))
    }


@pytest.mark.parametrize(
    ("named", "daemons"),
    [
        ("idtokens", "condor@*, condor_pool@*"),
        ("password", f"condor@password, condor_pool@*, {LOCAL}"),
        ("host", LOCAL),
    ],
)
def test_whom_a_worker_lets_do_what(named: str, daemons: str) -> None:
    seen = told(named)
    assert {seen[f"SEC_DEFAULT_{feature}"] for feature in FEATURES} == {"REQUIRED"}
    assert {seen[f"SEC_READ_{feature}"] for feature in FEATURES} == {"OPTIONAL"}
    assert seen["ALLOW_READ"] == "*"
    assert {seen[f"ALLOW_{level}"] for level in ("WRITE", "DAEMON", "NEGOTIATOR")} == {daemons}
    assert {seen[f"ALLOW_{level}"] for level in ("ADMINISTRATOR", "CONFIG")} == {f"{ROOT}, {LOCAL}"}


@pytest.mark.parametrize("named", WRITING)
def test_no_address_is_let_in_for_itself(named: str) -> None:
    entries = [entry for name, value in told(named).items() if name.startswith("ALLOW_") for entry in value.split(", ")]
    assert all("@" in entry for entry in entries if entry != "*")


def test_a_pool_password_has_a_file_of_its_own_and_signs_no_token() -> None:
    seen = told("password")
    assert seen["SEC_PASSWORD_FILE"] == "$(SEC_PASSWORD_DIRECTORY)/annex-agent"
    assert seen["SEC_TOKEN_POOL_SIGNING_KEY_FILE"] == "$(SEC_PASSWORD_DIRECTORY)/POOL"


def test_who_holds_the_password_is_not_taken_for_this_machines_own_condor() -> None:
    assert told("password")["USE_POOL_USERNAME_EQUIVALENT"] == "False"


PRECISE = st.one_of(
    st.builds("SEC_{}_{}".format, st.sampled_from(LEVELS), st.sampled_from([*FEATURES, "AUTHENTICATION_METHODS"])),
    st.builds("SEC_{}_CRYPTO_METHODS".format, st.sampled_from(LEVELS)),
    st.builds("ALLOW_{}_{}".format, st.sampled_from(LEVELS), st.sampled_from(["STARTD", "MASTER", "STARTER"])),
)


@given(st.sampled_from(WRITING), st.lists(PRECISE, max_size=6), st.booleans())
def test_whatever_an_images_files_say_more_precisely_is_overruled(named: str, image: List[str], small: bool) -> None:
    assert all(MORE_PRECISE.match(name) for name in image)
    plain, seen = told(named), told(named, *(name.lower() if small else name for name in image))
    assert {name: seen[name] for name in plain} == plain
    assert set(seen) == {*plain, *image}
    for name in image:
        assert seen[name] in {"REQUIRED", "OPTIONAL", "*"} or "$(" in seen[name] or name in plain


@given(st.sampled_from(WRITING), st.lists(PRECISE, max_size=6))
def test_no_knob_refers_to_itself_or_to_another_that_refers_back(named: str, image: List[str]) -> None:
    seen = told(named, *image)

    def expand(name: str, above: "frozenset[str]") -> None:
        assert name not in above
        for inner in re.findall(r"\$\((\w+)\)", seen.get(name, "")):
            expand(inner, above | {name})

    for name in seen:
        expand(name, frozenset())


@pytest.mark.parametrize(
    "name", ["SEC_DEFAULT_CRYPTO_METHODS", "SEC_PASSWORD_FILE", "ALLOW_READ", "DENY_DAEMON_STARTD"]
)
def test_what_is_said_of_all_levels_or_narrows_stays_the_images(name: str) -> None:
    assert not MORE_PRECISE.match(name)


@pytest.mark.parametrize("named", WRITING)
def test_the_reason_names_the_method(named: str) -> None:
    assert f"security.method: {named}" in why(Settings(security_method=named))


@pytest.mark.parametrize("named", METHODS)
def test_only_trust_by_address_is_warned_of(named: str) -> None:
    assert bool(list(notes(Settings(security_method=named)))) == (named == "host")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(token=TOKEN), "ssm:/annex/token"),
        (Settings(pool_password=PASSWORD), "ssm:/annex/password"),
        (Settings(security_method="host"), "ALLOW_ADVERTISE_STARTD"),
        (Settings(), "annex-agent check"),
    ],
)
def test_what_to_look_at_when_the_collector_refuses(settings: Settings, words: str) -> None:
    assert words in doubt(settings)


def given_settings(named: Optional[str], **fields: Any) -> Settings:
    return Settings(security_method=named, **fields)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (given_settings(None, token=TOKEN, pool_password=PASSWORD), ["are both given", "security.method"]),
        (given_settings("idtokens"), ["security.method: idtokens needs security.token"]),
        (given_settings("password"), ["security.method: password needs security.pool_password"]),
        (
            given_settings("password", token=TOKEN),
            ["security.token has no use", "needs security.pool_password"],
        ),
        (
            given_settings("idtokens", token=TOKEN, pool_password=PASSWORD),
            ["security.pool_password has no use where security.method is idtokens"],
        ),
        (given_settings("image", token=TOKEN), ["security.token has no use where security.method is image"]),
        (given_settings("host", pool_password=PASSWORD), ["security.pool_password has no use"]),
        (given_settings("host", trust_domain="example.org"), ["security.trust_domain has no use"]),
    ],
)
def test_a_contradiction_is_told_with_its_path(settings: Settings, words: List[str]) -> None:
    said = list(contradictions(settings))
    assert len(said) == (2 if len(words) == 2 and "needs" in words[1] else 1)
    assert all(word in " ".join(said) for word in words)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(token=TOKEN, trust_domain="example.org"),
        Settings(pool_password=PASSWORD),
        Settings(trust_domain="example.org"),
        *(given_settings(named, bundle=BUNDLE) for named in METHODS),
        given_settings("idtokens", token=TOKEN),
        given_settings("password", pool_password=PASSWORD),
    ],
)
def test_what_goes_together(settings: Settings) -> None:
    assert list(contradictions(settings)) == []
