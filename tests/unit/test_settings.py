"""One schema, several sources, every problem at once."""

import textwrap
from typing import Any, Optional, Tuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.errors import ConfigError
from annex_agent.model import Knob, Settings
from annex_agent.settings import Merged, Source, from_knobs, from_yaml, merge

CM = Source("user-data", {"central_manager": ("cm.example.org",)})


def yaml_source(text: str) -> Source:
    return from_yaml("config.yaml", textwrap.dedent(text))


def merged(*sources: Source) -> Merged:
    return merge(sources)


def problems(*sources: Source) -> str:
    with pytest.raises(ConfigError) as caught:
        merge(sources)
    assert caught.value.exit_code == 5
    return "\n".join(caught.value.problems)


EVERYTHING = """
    annex_agent:
      central_manager: [cm1.example.org, "cm2.example.org:9620"]
      annex: my_annex-1
      hostname: private
      network: {advertise: private, private_network_name: "vpc-{vpc_id}"}
      metadata: {v1: never, restrict_to_root: false}
      stop: {mode: fast, timeout: 90s}
      condor: {NUM_SLOTS: 1, START: 'TARGET.Owner == "alice"', RUNBENCHMARKS: true, X: 0.5}
"""


def test_every_key_reaches_its_field() -> None:
    assert merged(yaml_source(EVERYTHING)).settings == Settings(
        central_manager=("cm1.example.org", "cm2.example.org:9620"),
        annex="my_annex-1",
        hostname="private",
        advertise="private",
        private_network_name="vpc-{vpc_id}",
        metadata_v1="never",
        restrict_to_root=False,
        stop_mode="fast",
        stop_timeout_s=90,
        condor=(
            Knob("NUM_SLOTS", "1"),
            Knob("START", 'TARGET.Owner == "alice"'),
            Knob("RUNBENCHMARKS", "True"),
            Knob("X", "0.5"),
        ),
    )


@pytest.mark.parametrize(("text", "ports"), [("shared", None), ("'40000-40002'", (40000, 40002))])
def test_ports_are_one_or_a_range(text: str, ports: Optional[Tuple[int, int]]) -> None:
    assert merged(yaml_source(f"network: {{ports: {text}}}"), CM).settings.ports == ports


def test_the_wrapper_may_be_left_out() -> None:
    assert merged(yaml_source("central_manager: cm")).settings.central_manager == ("cm",)


@pytest.mark.parametrize("text", ["", "# only a comment", "annex_agent:", "network:"])
def test_an_empty_document_sets_nothing(text: str) -> None:
    assert merged(yaml_source(text), CM).settings == Settings(central_manager=("cm.example.org",))


def test_a_later_source_wins_and_its_name_is_kept() -> None:
    result = merged(yaml_source("{central_manager: old, hostname: keep}"), CM)
    assert result.settings.central_manager == ("cm.example.org",)
    assert result.origins == {"central_manager": "user-data", "hostname": "config.yaml"}


def test_a_later_knob_replaces_an_earlier_one_of_any_case() -> None:
    result = merged(yaml_source("condor: {Start: 'False', A: 1}"), CM, from_knobs("user-data", [Knob("START", "True")]))
    assert result.settings.condor == (Knob("A", "1"), Knob("START", "True"))


@pytest.mark.parametrize("name", ["COLLECTOR_HOST", "CONDOR_HOST", "collector_host"])
def test_a_collector_among_the_knobs_names_the_central_manager(name: str) -> None:
    assert merged(from_knobs("user-data", [Knob(name, "cm2:9620")])).settings.central_manager == ("cm2:9620",)


def test_a_collector_that_only_htcondor_can_expand_is_left_to_it() -> None:
    knobs = [Knob("COLLECTOR_HOST", "$(CONDOR_HOST):9620")]
    assert merged(from_knobs("user-data", knobs)).settings.central_manager == ()


def test_user_datas_central_manager_is_not_outvoted_by_an_earlier_knob() -> None:
    result = merged(yaml_source("condor: {COLLECTOR_HOST: old.example.org}"), CM)
    assert result.settings.central_manager == ("cm.example.org",)
    assert result.settings.condor == ()


def test_without_a_central_manager_nothing_works_and_the_sentence_says_where_to_name_it() -> None:
    said = problems(yaml_source("hostname: keep"), Source("user-data"))
    assert "user-data" in said
    assert "config.yaml" in said


def test_every_problem_of_every_source_is_told_at_once() -> None:
    said = problems(
        yaml_source("{central_manager: 'a b', colour: red, network: {advertise: maybe}, stop: {timeout: soon}}"),
        from_knobs("user-data", [Knob("COLLECTOR_HOST", "x y")], ["line 3: no"]),
    )
    for part in (
        "config.yaml: line 1: central_manager",
        "colour",
        "network.advertise",
        "stop.timeout",
        "COLLECTOR_HOST",
        "line 3",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("colour: red", "line 1: colour: this is not a setting; known here: central_manager, annex"),
        ("network: {colour: red}", "network.colour: this is not a setting; known here: advertise"),
        ("network: public", "network: must be a mapping"),
        ("hostname: no", "hostname: must be text"),
        ("hostname: 'a b'", "hostname: 'a b' is not a host name"),
        ("annex: 'a b'", "annex"),
        ("annex: 7", "annex: must be text"),
        ("central_manager: []", "central_manager: must be a host name"),
        ("central_manager: {a: b}", "central_manager: must be a host name"),
        ("central_manager: [1]", "central_manager: must be a host name"),
        ("metadata: {v1: always}", "metadata.v1: must be one of fallback, never"),
        ("metadata: {restrict_to_root: 'true'}", "metadata.restrict_to_root: must be true or false, not 'true'"),
        ("metadata: {restrict_to_root: 1}", "metadata.restrict_to_root: must be true or false, not '1'"),
        ("metadata: {restrict_to_root: }", "metadata.restrict_to_root: must be true or false, not 'None'"),
        ("stop: {mode: slow}", "stop.mode: must be one of"),
        ("stop: {timeout: -3}", "stop.timeout"),
        ("stop: {timeout: 1.5}", "stop.timeout"),
        ("network: {private_network_name: 'x-{zone}'}", "{zone} is unknown"),
        ("network: {private_network_name: 'x-{'}", "network.private_network_name"),
        ("network: {private_network_name: 'x {region}'}", "network.private_network_name"),
        ("network: {private_network_name: '{region!r}'}", "network.private_network_name"),
        ("network: {private_network_name: '{}'}", "network.private_network_name"),
        ("network: {ports: 9618}", "network.ports"),
        ("network: {ports: '40000-40001'}", "network.ports: '40000-40001' is too narrow"),
        ("network: {ports: '40050-40000'}", "network.ports: '40050-40000' is not a range"),
        ("condor: {use: x}", "directive"),
        ("condor: {A: [1]}", "condor.A"),
        ("condor: {A: null}", "condor.A"),
        ('condor: {A: "one\\ntwo"}', "line break"),
        ("condor: {A: 'one\\'}", "backslash"),
        ("condor: {LOCAL_CONFIG_FILE: 'touch /tmp/x |'}", "LOCAL_CONFIG_FILE"),
        ("condor: x", "condor: must be a mapping"),
        ("a: b: c", "not YAML"),
        ("[1, 2]", "must be a mapping"),
        ("just text", "must be a mapping"),
        ("hostname: keep\nhostname: public", "given twice"),
        ("? [a, b]\n: c", "line 1: a key must be one word"),
        ("!!python/object/apply:os.system ['true']", "line 1: the tag"),
    ],
)
def test_what_is_wrong_is_named(text: str, part: str) -> None:
    assert part in problems(yaml_source(text), CM)


def test_a_knob_may_be_empty() -> None:
    assert merged(yaml_source("condor: {A: ''}"), CM).settings.condor == (Knob("A", ""),)


SCALARS: Any = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
DOCUMENTS: Any = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
)


@given(document=DOCUMENTS)
def test_no_document_is_a_traceback(document: Any) -> None:
    try:
        merge([from_yaml("x", yaml.safe_dump(document)), CM])
    except ConfigError as err:
        assert err.problems
        assert all(problem.isprintable() for problem in err.problems)
