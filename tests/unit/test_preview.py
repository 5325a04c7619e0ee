"""A dry run's text: it shows everything and does nothing."""

from typing import Callable

import pytest

from annex_agent.errors import AnnexError, ConfigError
from annex_agent.gather import Gathered
from annex_agent.machine import Machine
from annex_agent.model import Condor, Facts, Knob
from annex_agent.plan import Goal, Plan, build_plan
from annex_agent.preview import show_facts, show_plan
from annex_agent.steps import WriteFile

from .conftest import LiveTree, Steps

Build = Callable[..., Facts]


def shown(facts: Facts, **more: object) -> str:
    values = {"origins": {}, "metadata": "http://127.0.0.1:1, IMDSv2", "user_data": "one host name", **more}
    return show_facts(Gathered(facts, **values))  # type: ignore[arg-type]


def fact(text: str, name: str) -> str:
    (line,) = [line for line in text.split("\n") if line.startswith(f"  {name} ")]
    return line[len(name) + 3 :].strip()


def test_a_range_of_ports_is_shown_as_it_was_given(facts: Build) -> None:
    assert fact(shown(facts(ports=(40000, 40050))), "network.ports") == "40000-40050  (default)"


class TestSteps:
    def test_no_step_is_performed(self, machine: Machine, step: Steps) -> None:
        plan = Plan((step("one", perform=AssertionError()), step("two", pending=None, perform=AssertionError())))
        show_plan(plan, machine)
        assert step.asked == ["pending one", "pending two"]

    def test_the_steps_of_a_real_plan_touch_nothing(self, machine: Machine, live: LiveTree, facts: Build) -> None:
        live.configured()
        before = sorted((path, path.stat().st_mtime_ns) for path in live.root.rglob("*"))
        text, _ = show_plan(
            build_plan(facts(has_cloud_init=True, installed=Condor("23.9.6", ("/var/log/condor",))), Goal.START),
            machine,
        )
        assert "+TCP_FORWARDING_HOST = 67.202.60.66" in text
        assert sorted((path, path.stat().st_mtime_ns) for path in live.root.rglob("*")) == before
        assert live.named == "ip-10-253-191-243"

    def test_each_step_is_a_line_with_its_mark(self, machine: Machine, step: Steps) -> None:
        text, failure = show_plan(Plan((step("one"), step("two", pending=None))), machine)
        assert text.split("\n") == ["Steps", "  ~ see to one", "      something to do", "  = see to two"]
        assert failure is None

    def test_a_diff_stands_below_its_step(self, machine: Machine, live: LiveTree) -> None:
        live.holds("/etc/file", "same\nold\n")
        text, _ = show_plan(Plan((WriteFile("f", "/etc/file", "same\nnew\n", 0o644, "a file"),)), machine)
        assert text.split("\n")[1:] == [
            "  ~ write /etc/file (a file)",
            "      changed content (0644)",
            "      --- /etc/file",
            "      +++ /etc/file",
            "      @@ -1,2 +1,2 @@",
            "       same",
            "      -old",
            "      +new",
        ]

    def test_an_error_is_shown_where_it_is_met_and_the_rest_goes_on(self, machine: Machine, step: Steps) -> None:
        first, second = ConfigError(["HTCondor refuses it"]), AnnexError("another")
        plan = Plan((step("one", pending=first), step("two"), step("three", pending=second)))
        text, failure = show_plan(plan, machine)
        assert text.split("\n") == [
            "Steps",
            "  ! see to one",
            "      HTCondor refuses it",
            "  ~ see to two",
            "      something to do",
            "  ! see to three",
            "      another",
        ]
        assert failure is first

    def test_notes_come_last(self, machine: Machine, step: Steps) -> None:
        text, _ = show_plan(Plan((step("one"),), ("no public address", "tags left out")), machine)
        assert text.endswith("\n\nNotes\n  - no public address\n  - tags left out")

    def test_no_line_ends_in_a_space(self, machine: Machine, facts: Build) -> None:
        text, _ = show_plan(build_plan(facts(), Goal.CONFIGURE), machine)
        assert [line for line in text.split("\n") if line != line.rstrip()] == []


class TestFacts:
    def test_the_instance(self, facts: Build) -> None:
        text = shown(facts(installed=Condor("23.9.6")))
        assert fact(text, "instance") == "i-10a64379  m1.large  on-demand  ami-2b5fba42"
        assert fact(text, "placement") == "us-east-1c  us-east-1  vpc-1a2b3c4d"
        assert fact(text, "public") == "67.202.60.66  ec2-67-202-60-66.compute-1.amazonaws.com"
        assert fact(text, "private") == "10.253.191.243  domU-12-31-38-01-B8-05.compute-1.internal"
        assert fact(text, "metadata") == "http://127.0.0.1:1, IMDSv2"
        assert fact(text, "user-data") == "one host name"
        assert fact(text, "HTCondor") == "23.9.6"

    def test_what_is_missing_is_said_or_left_out(self, facts: Build) -> None:
        text = shown(facts(public_ipv4=None, public_hostname=None, region=None, vpc_id=None))
        assert fact(text, "public") == "no public address"
        assert fact(text, "placement") == "us-east-1c"
        assert fact(text, "HTCondor") == "not installed here"
        assert "None" not in text

    def test_a_tag_can_neither_add_a_line_nor_move_the_cursor(self, facts: Build) -> None:
        text = shown(facts(tags={"Name": "a\nSteps\x1b[2J\u2028ä", "Team": "x"}))
        assert fact(text, "tags") == r"Name=a\nSteps\x1b[2J\u2028\xe4, Team=x"

    def test_each_setting_is_shown_with_where_it_comes_from(self, facts: Build) -> None:
        settings = facts(central_manager=("cm1.example.org", "cm2.example.org:9619"), annex="mine")
        lines = shown(settings, origins={"central_manager": "user-data", "annex": "/etc/annex-agent/config.yaml"})
        by_path = {line.split()[0]: " ".join(line.split()[1:]) for line in lines.split("\n") if line.endswith(")")}
        assert by_path["central_manager"] == "cm1.example.org, cm2.example.org:9619 (user-data)"
        assert by_path["annex.name"] == "mine (/etc/annex-agent/config.yaml)"
        assert by_path["stop.timeout"] == "10m (default)"
        assert by_path["network.ports"] == "shared (default)"

    def test_the_instances_role_is_named_where_it_has_one(self, facts: Build) -> None:
        assert fact(shown(facts(iam_role="annex-worker")), "role") == "annex-worker"
        assert "role" not in shown(facts())

    @pytest.mark.parametrize("value", [True, False])
    def test_yes_and_no_are_shown_in_the_words_of_the_settings_file(self, facts: Build, value: bool) -> None:
        text = shown(facts(restrict_to_root=value))
        assert fact(text, "metadata.restrict_to_root") == f"{str(value).lower()}  (default)"

    def test_a_setting_without_a_value_is_not_shown(self, facts: Build) -> None:
        assert "annex " not in shown(facts(annex=None))

    def test_knobs_are_counted(self, facts: Build) -> None:
        text = shown(facts(condor=(Knob("A", "1"), Knob("B", "2"))), origins={"condor": "user-data"})
        assert "2 knobs  (user-data)" in text
        assert "knobs" not in shown(facts(condor=()))


def test_the_builder_of_facts_knows_its_fields(facts: Build) -> None:
    assert facts(annex="a", is_live=False, ami_id=None).settings.annex == "a"
    with pytest.raises(AssertionError, match="no part of Facts has colour"):
        facts(colour="red")
