"""Who is told of the steps: the log, a terminal, several at once."""

import io
import json
import logging
import threading
from typing import Any, Dict, List

import pytest

from annex_agent import logs
from annex_agent.progress import LiveView, LogLines, Outcome, Several
from annex_agent.steps import Step

from .conftest import Steps, eventually


class Echo:
    def __init__(self, name: str, told: List[str]) -> None:
        self._name, self._told = name, told

    def begins(self, step: Step) -> None:
        self._told.append(f"{self._name}: begins {step.name}")

    def says(self, step: Step, sentence: str) -> None:
        self._told.append(f"{self._name}: {sentence}")

    def ends(self, outcome: Outcome) -> None:
        self._told.append(f"{self._name}: {outcome.result}")


def test_several_are_told_in_their_order(step: Steps) -> None:
    told: List[str] = []
    several = Several([Echo("one", told), Echo("two", told)])
    several.begins(step("a"))
    several.says(step("a"), "well")
    several.ends(Outcome(step("a"), "done", "did it", 1.0))
    assert told == ["one: begins a", "two: begins a", "one: well", "two: well", "one: done", "two: done"]


class TestLogLines:
    @pytest.fixture
    def records(self, quiet_log: None) -> List[logging.LogRecord]:
        found: List[logging.LogRecord] = []

        class Keep(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                found.append(record)

        logs.LOG.handlers[:] = [Keep()]
        logs.LOG.setLevel(logging.DEBUG)
        return found

    @pytest.mark.parametrize(
        ("result", "level"), [("done", logging.INFO), ("unchanged", logging.INFO), ("failed", logging.ERROR)]
    )
    def test_each_step_is_one_line_at_the_level_of_its_result(
        self, records: List[logging.LogRecord], step: Steps, result: str, level: int
    ) -> None:
        LogLines().ends(Outcome(step("a"), result, "how it went", 1.23456))
        (record,) = records
        assert record.levelno == level
        assert record.getMessage().startswith("a: ")
        assert record.getMessage().endswith(" (1.23 s)")
        assert ("how it went" in record.getMessage()) is (result != "unchanged")

    def test_what_is_said_on_the_way_is_a_warning(self, records: List[logging.LogRecord], step: Steps) -> None:
        LogLines().says(step("a"), "100 % is not a format")
        assert [(record.levelno, record.getMessage()) for record in records] == [
            (logging.WARNING, "100 % is not a format")
        ]

    def test_the_beginning_is_detail(self, records: List[logging.LogRecord], step: Steps) -> None:
        LogLines().begins(step("a"))
        assert [(record.levelno, record.getMessage()) for record in records] == [(logging.DEBUG, "a: see to a")]

    def test_programs_find_step_result_and_seconds(
        self, quiet_log: None, step: Steps, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        logs.set_up("json", 0)
        LogLines().ends(Outcome(step("a"), "done", "did it", 1.23456))
        line: Dict[str, Any] = json.loads(capsys.readouterr().err)
        assert (line["step"], line["result"], line["seconds"]) == ("a", "done", 1.235)


class TestLiveView:
    def test_a_step_is_one_line_with_a_mark_and_its_time(self, step: Steps) -> None:
        stream = io.StringIO()
        view = LiveView(stream)
        for result, words in (("done", "did it"), ("unchanged", "nothing"), ("failed", "what went wrong")):
            view.begins(step("a"))
            view.ends(Outcome(step("a"), result, words, 1.234))
        done, unchanged, failed, rest = stream.getvalue().split("\n")
        assert rest == ""
        assert [part for part in ("✓", "see to a", "did it", "1.23 s") if part not in done] == []
        assert "nothing" not in unchanged
        assert "what went wrong" in failed

    def test_a_step_that_takes_its_time_shows_that_it_runs(self, step: Steps) -> None:
        stream = io.StringIO()
        view = LiveView(stream)
        view.begins(step("a"))
        eventually(lambda: stream.getvalue().count("see to a") > 2)
        view.ends(Outcome(step("a"), "done", "did it", 0.5))
        *running, last, _ = stream.getvalue().replace("\n", "\r").split("\r")
        assert len(set(running)) > 2
        assert "did it" in last

    def test_nothing_turns_once_a_step_has_ended(self, step: Steps) -> None:
        before = threading.active_count()
        view = LiveView(io.StringIO())
        view.begins(step("a"))
        assert threading.active_count() == before + 1
        view.ends(Outcome(step("a"), "failed", "no", 0.5))
        assert threading.active_count() == before

    def test_what_is_said_on_the_way_stays_on_a_line_of_its_own(self, step: Steps) -> None:
        stream = io.StringIO()
        view = LiveView(stream)
        view.begins(step("a"))
        view.says(step("a"), "slow today")
        view.ends(Outcome(step("a"), "done", "did it", 0.5))
        said = [line for line in stream.getvalue().split("\n") if "slow today" in line]
        assert len(said) == 1
        assert "see to a" not in said[0].rpartition("\r")[2]
