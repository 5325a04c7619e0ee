"""One schema, several sources, every problem at once."""

import datetime
import textwrap
from typing import Any, Dict, List, Optional, Tuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.errors import ConfigError
from annex_agent.mapping import Problem
from annex_agent.model import Knob, Settings
from annex_agent.schema import KEYS
from annex_agent.settings import Merged, Source, combine, from_document, from_knobs, from_yaml, in_words, merge

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
      lifetime: {lease: 8h, on_lease: stop, on_failure: poweroff}
      interruption: {rebalance: no-new-jobs, poll: 5s}
      signal: {cloudformation: {stack: my-annex, resource: Workers}, autoscaling: true}
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
        lease_s=28_800,
        on_lease="stop",
        on_failure="poweroff",
        on_rebalance="no-new-jobs",
        poll_s=5,
        cloudformation_stack="my-annex",
        cloudformation_resource="Workers",
        signals_autoscaling=True,
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


@pytest.mark.parametrize("given", ["90", "'90'", "90s", "'0090s'", "' 90 '"])
def test_a_duration_without_a_unit_is_seconds(given: str) -> None:
    assert merged(yaml_source(f"stop: {{timeout: {given}}}"), CM).settings.stop_timeout_s == 90


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


def test_a_mapping_that_has_a_knob_twice_has_no_last_word() -> None:
    said = problems(yaml_source("condor: {START: 'True', A: 1, start: 'False', Start: x}"), CM)
    assert "condor.start: for HTCondor this is the same as START" in said
    assert "condor.Start: for HTCondor this is the same as START" in said
    assert "condor.A" not in said


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
        ("network: {private_network_name: '{region:99}'}", "{region:99} is unknown"),
        (f"central_manager: 'cm:{'9' * 9_999}'", "the port must be a number from 1 to 65535"),
        ("aws: {proxy: 'http://me:hush@proxy:3128'}", "aws.proxy: must be the URL of a proxy that wants no password"),
        ("aws: {proxy: 'proxy:3128'}", "aws.proxy: must be the URL of a proxy, http://HOST:PORT"),
        ("network: {ports: 9618}", "network.ports"),
        ("network: {ports: '40000-40001'}", "network.ports: '40000-40001' is too narrow"),
        ("network: {ports: '40050-40000'}", "network.ports: '40050-40000' is not a range"),
        ("lifetime: {on_exit: terminate}", "lifetime.on_exit: must be one of keep, stop, poweroff, not 'terminate'"),
        ("lifetime: {lease: for ever}", "lifetime.lease: 'for ever' is not a duration"),
        (
            "lifetime: {lease: 8}",
            "lifetime.lease: must be at least 1m, not '8' (a number without a unit is seconds)",
        ),
        ("lifetime: {idle: 59s}", "lifetime.idle: must be at least 1m, not '59s'"),
        ("lifetime: {unregistered: '15'}", "lifetime.unregistered: must be at least 1m, not '15' (a number"),
        ("lifetime: {unreachable: 1s}", "lifetime.unreachable: must be at least 1m"),
        ("lifetime: {grace: 0}", "lifetime.grace: '0' is not a duration"),
        ("interruption: {vacate: 121}", "interruption.vacate: must be from 20s to 2m, not '121' (a number"),
        ("interruption: {vacate: 19s}", "interruption.vacate: must be from 20s to 2m, not '19s'"),
        ("interruption: {poll: 61s}", "interruption.poll: must be from 1s to 1m, not '61s'"),
        ("lifetime: {idle: null}", "lifetime.idle: must be text, not 'None'"),
        ("interruption: {spot: stop}", "interruption.spot: must be one of drain, no-new-jobs, ignore, not 'stop'"),
        ("interruption: drain", "interruption: must be a mapping of spot, rebalance"),
        ("signal: true", "signal: must be a mapping of cloudformation, autoscaling"),
        ("signal: {cloudformation: my-annex}", "signal.cloudformation: must be a mapping of stack, resource"),
        ("signal: {cloudformation: [my-annex]}", "signal.cloudformation: must be a mapping of stack, resource"),
        (
            "signal: {cloudformation: {colour: red}}",
            "line 1: signal.cloudformation.colour: this is not a setting; known here: stack, resource",
        ),
        ("signal: {cloudformation: {stack: {name: x}}}", "signal.cloudformation.stack: must be text, not a mapping"),
        ("signal: {cloudformation: {stack: 7}}", "signal.cloudformation.stack: must be text, not '7'"),
        ("signal: {cloudformation: {resource: 'a b'}}", "signal.cloudformation.resource: 'a b'"),
        (
            "signal:\n  cloudformation:\n    stack: s\n    stack: s",
            "line 4",
        ),
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


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("trust_domain: x", "security.trust_domain"),
        ("security: {trustdomain: x}", "security.trust_domain"),
        ("security: {Token: x}", "security.token"),
        ("central-manager: x", "central_manager"),
        ("centralmanager: x", "central_manager"),
        ("timeut: 1m", "aws.timeout"),
        ("stop: {timeut: 1m}", "stop.timeout"),
        ("network: {hostname: keep}", "hostname"),
        ("metadata: {restrict-to-root: true}", "metadata.restrict_to_root"),
        ("condr: {A: 1}", "condor"),
        ("NUM_SLOTS: 1", "condor.NUM_SLOTS"),
        ("stop: {START: x}", "condor.START"),
        ("lease: 8h", "lifetime.lease"),
        ("lifetime: {on-failure: stop}", "lifetime.on_failure"),
        ("signal: {stack: x}", "signal.cloudformation.stack"),
        ("signal: {cloudformation: {stak: x}}", "signal.cloudformation.stack"),
        ("signal: {cloudformation: {Resource: x}}", "signal.cloudformation.resource"),
        ("signal: {cloudformaton: {stack: x}}", "signal.cloudformation"),
        ("cloudformation: {stack: x, resource: y}", "signal.cloudformation"),
    ],
)
def test_an_unknown_key_is_told_with_the_one_that_is_meant(text: str, meant: str) -> None:
    assert problems(yaml_source(text), CM).endswith(f"this is not a setting; did you mean {meant}?")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("signal: {cloudformation.stack: x}", "write stack below signal.cloudformation"),
        ("signal.cloudformation: {stack: x}", "write cloudformation below signal"),
        ("signal.cloudformation.stack: x", "write stack below signal.cloudformation"),
    ],
)
def test_a_key_with_a_full_stop_is_told_where_it_belongs(text: str, where: str) -> None:
    assert problems(yaml_source(text), CM).endswith(f": no key has a full stop in it: {where}")


@pytest.mark.parametrize(
    "text", ["colour: x", "security: {colour: x}", f"{'token' * 9}: x", "'A\u00c4': x", "x: 1", "'': 1"]
)
def test_where_none_is_near_those_that_are_known_are_named(text: str) -> None:
    assert "this is not a setting; known here: " in problems(yaml_source(text), CM)


@pytest.mark.parametrize("name", ["annex", "security", "network", "aws", "metadata", "stop", "signal", "condor"])
def test_a_section_may_be_empty(name: str) -> None:
    assert from_document("x", {name: None}) == Source("x")


def test_so_may_one_within_another() -> None:
    assert from_document("x", {"signal": {"cloudformation": None}}) == Source("x")


class TestCloudFormationIsToldOfAResourceOfAStack:
    HALF = "signal: {cloudformation: {stack: my-annex}}"

    @pytest.mark.parametrize(("given", "missing"), [("stack", "resource"), ("resource", "stack")])
    def test_one_without_the_other_is_told(self, given: str, missing: str) -> None:
        told = problems(yaml_source(f"signal: {{cloudformation: {{{given}: x}}}}"), CM)
        assert told.startswith(f"signal.cloudformation.{missing} is missing: ")
        assert told.endswith("name both, or neither")

    def test_each_may_come_from_a_source_of_its_own(self) -> None:
        found = merged(yaml_source("signal: {cloudformation: {resource: Workers}}"), CM, yaml_source(self.HALF))
        assert (found.settings.cloudformation_stack, found.settings.cloudformation_resource) == ("my-annex", "Workers")

    def test_a_file_alone_may_hold_half(self) -> None:
        found = merge([yaml_source(self.HALF), CM], are_all=False)
        assert [sentence.partition(":")[0] for sentence in found.unsettled] == [
            "signal.cloudformation.resource is missing"
        ]

    @pytest.mark.parametrize("wrong", ["resource: a b", "resorce: Workers"])
    def test_not_where_the_other_is_there_and_wrong(self, wrong: str) -> None:
        text = f"signal: {{cloudformation: {{stack: my-annex, {wrong}}}}}"
        assert "is missing" not in problems(yaml_source(text), CM)
        assert "is missing" not in problems(yaml_source(self.HALF), CM, yaml_source("signal: {cloudformation: x}"))
        assert "is missing" in problems(yaml_source(self.HALF), CM, yaml_source("hostname: a b"))


def test_a_key_that_is_no_text_is_told() -> None:
    told = "\n".join(from_document("x", {True: 1, None: 2, 3: 4, "condor": {True: 1}}).problems)
    for part in ("'True': this is not", "'None': this is not", "'3': this is not", "the name of a knob must be text"):
        assert part in told


class TestWhatFollowsFromAnotherProblemIsNotTold:
    @pytest.mark.parametrize(
        "text",
        [
            "central_manager: a b",
            "centralmanager: cm",
            "condor: {COLLECTOR_HOST: a b}",
            "condor: [COLLECTOR_HOST]",
            "hostname: [",
            "[central_manager]",
        ],
    )
    def test_no_central_manager_where_one_was_meant(self, text: str) -> None:
        assert "no central manager" not in problems(yaml_source(text))

    @pytest.mark.parametrize("text", ["colour: red", "hostname: a b", "condor: {A-B: 1}", "annex: 7", "'': 1"])
    def test_but_it_is_where_the_problem_is_another(self, text: str) -> None:
        assert len(problems(yaml_source(text)).splitlines()) == 2

    def test_a_contradiction_with_a_setting_that_is_wrong(self) -> None:
        method = yaml_source("security: {method: idtokens}")
        assert "needs security.token" in problems(method, CM)
        assert "needs" not in problems(method, CM, yaml_source("security: {token: nowhere}"))
        assert "needs" not in problems(method, CM, yaml_source("security: {tokn: 'ssm:a'}"))
        assert "needs" in problems(method, CM, yaml_source("hostname: a b"))

    def test_a_source_that_could_not_be_read_may_have_said_anything(self) -> None:
        assert problems(yaml_source("hostname: keep"), Source("user-data", problems=("this is no text",))) == (
            "user-data: this is no text"
        )


class TestSomeOfTheSources:
    def test_what_another_may_settle_is_no_problem_yet(self) -> None:
        found = merge([yaml_source("security: {method: idtokens}")], are_all=False)
        assert len(found.unsettled) == 2
        assert "no central manager" in found.unsettled[0]
        assert "needs security.token" in found.unsettled[1]

    def test_what_contradicts_itself_is(self) -> None:
        with pytest.raises(ConfigError, match="security.token has no"):
            merge([yaml_source("security: {method: host, token: 'ssm:a'}")], are_all=False)

    def test_and_so_is_what_is_wrong_by_itself(self) -> None:
        with pytest.raises(ConfigError, match="colour"):
            merge([yaml_source("colour: red")], are_all=False)


def test_the_part_that_set_a_field_is_its_origin() -> None:
    one, two = Source("part 1", {"annex": "a", "hostname": "keep"}), Source("part 2", {"annex": "b"}, (Knob("A", "1"),))
    origins = merge([CM, combine("user-data", [one, two])]).origins
    assert origins == {
        "annex": "user-data, part 2",
        "hostname": "user-data, part 1",
        "central_manager": "user-data",
        "condor": "user-data",
    }


def test_all_who_gave_knobs_are_named() -> None:
    result = merge([yaml_source("condor: {A: 1}"), CM, from_knobs("user-data", [Knob("B", "2")])])
    assert result.origins["condor"] == "config.yaml, user-data"
    assert list(in_words(result))[-1].split("  ")[-2:] == ["2 knobs", "(config.yaml, user-data)"]


def test_a_secret_is_shown_by_its_place() -> None:
    shown = "\n".join(in_words(merge([CM, yaml_source("security: {token: 'ssm:/a'}\nannex: {bundle: 'inline:hush'}")])))
    assert "ssm:/a" in shown
    assert "hush" not in shown


def bomb() -> Any:
    """What a YAML document of a few lines can hold: lists of lists, written out an exabyte."""
    value: Any = ["x"]
    for _ in range(60):
        value = [value, value]
    return value


def endless() -> Dict[str, Any]:
    value: Dict[str, Any] = {}
    value.update(
        {
            "network": value,
            "condor": value,
            "annex": value,
            "stop": {"mode": value},
            "signal": {"cloudformation": value},
        }
    )
    return value


HOSTILE = [
    *(bomb(), endless(), {bomb: bomb()}, {1, 2}, b"\xff" * 9999, "x" * 99_999, 10**5_000, -(10**5_000), float("nan")),
    *(float("inf"), datetime.date(2024, 5, 1), datetime.datetime(2024, 5, 1), None, True, "{region:x<999999999}"),
    *(
        "1" * 9_999,
        f"cm:{'9' * 9_999}",
        f"http://{'9' * 9_999}:1",
        f"{'9' * 9_999}-{'9' * 9_999}",
        "a," * 9_999,
        "{" * 9_999,
    ),
]


@pytest.mark.parametrize("value", HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def test_no_value_is_looked_into_or_written_out(value: Any) -> None:
    paths = [key.path for key in KEYS] + ["condor.A", "condor", "annex", "network", "colour", "stop.colour"]
    for path in paths:
        section, dot, name = path.partition(".")
        told = from_document("x", {section: {name: value} if dot else value}).problems
        assert all(len(problem) < 500 and problem.isprintable() for problem in told), path


KEYS_OF_ALL_KINDS = [
    "x" * 99_999,
    "X" * 999,
    b"\xff" * 999,
    10**5_000,
    (1, 2),
    float("nan"),
    True,
    None,
    "\x1b[2J",
    "a.b",
]


@pytest.mark.parametrize("key", KEYS_OF_ALL_KINDS, ids=[str(number) for number in range(len(KEYS_OF_ALL_KINDS))])
def test_no_key_is_repeated_at_length(key: Any) -> None:
    for document in ({key: 1}, {"network": {key: 1}}, {"annex": {key: 1}}):
        assert [len(problem) < 500 for problem in from_document("x", document).problems] == [True]
    assert all(len(problem) < 500 for problem in from_document("x", {"condor": {key: 1}}).problems)


def test_a_wrong_document_is_not_told_key_by_key() -> None:
    many = {f"key{number}": number for number in range(5_000)}
    told: List[str] = list(from_document("x", {**many, "network": many, "hostname": 7}).problems)
    assert len(told) == 43
    assert told[-3] == "network: 4980 more keys are no settings: is this the right document?"
    assert told[-2] == "hostname: must be text, not '7' (put it in quotes)"
    assert told[-1] == "this document: 4980 more keys are no settings: is this the right document?"
    knobs = from_document("x", {"condor": {f"A-{number}": 1 for number in range(5_000)}})
    with pytest.raises(ConfigError) as caught:
        merge([knobs])
    assert len(caught.value.problems) == 201
    assert caught.value.problems[-1] == "and 4801 more problems"


def test_lines_are_asked_for_only_where_there_is_a_problem() -> None:
    def lines() -> Dict[str, int]:
        asked.append(1)
        return {"hostname": 3, "network.colour": 5}

    asked: List[int] = []
    assert from_document("x", {"hostname": "keep"}, lines).problems == ()
    assert not asked
    told = from_document("x", {"hostname": 1, "network": {"colour": 1}, "annex": 2}, lines).problems
    assert [problem.partition(": ")[0] for problem in told] == ["line 3", "line 5", "annex"]
    assert len(asked) == 1


def test_a_problem_reads_as_path_and_sentence() -> None:
    assert str(Problem("a.b", "is wrong")) == "a.b: is wrong"
    assert str(Problem("a\nb", "is wrong")) == "'a\\nb': is wrong"


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
