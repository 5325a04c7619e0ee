"""Apply: the steps in their order, each told of, and the first failure ends it."""

from itertools import count
from typing import List

import pytest

from annex_agent.apply import apply
from annex_agent.errors import AnnexError, DaemonError
from annex_agent.machine import Machine
from annex_agent.plan import Plan
from annex_agent.progress import Outcome
from annex_agent.steps import Step, WriteFile

from .conftest import LiveTree, Steps


class Notes:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.told: List[str] = []
        self.outcomes: List[Outcome] = []

    def begins(self, step: Step) -> None:
        self.told.append(f"begins {step.name}")

    def says(self, step: Step, sentence: str) -> None:
        self.told.append(f"{step.name} says {sentence}")

    def ends(self, outcome: Outcome) -> None:
        self.told.append(f"ends {outcome.step.name}")
        self.outcomes.append(outcome)

    @property
    def results(self) -> "list[tuple[str, str, str]]":
        return [(outcome.step.name, outcome.result, outcome.words) for outcome in self.outcomes]


def test_steps_are_carried_out_one_after_the_other(machine: Machine, step: Steps) -> None:
    notes = Notes()
    apply(Plan((step("one"), step("two"))), machine, notes)
    assert step.asked == ["pending one", "perform one", "pending two", "perform two"]
    assert notes.told == ["begins one", "ends one", "begins two", "ends two"]
    assert notes.results == [("one", "done", "did it"), ("two", "done", "did it")]


def test_a_step_with_nothing_to_do_is_not_performed(machine: Machine, step: Steps) -> None:
    notes = Notes()
    apply(Plan((step("one", pending=None, perform=AssertionError()), step("two"))), machine, notes)
    assert step.asked == ["pending one", "pending two", "perform two"]
    assert [result for _, result, _ in notes.results] == ["unchanged", "done"]


def test_what_a_step_says_on_its_way_is_passed_on(machine: Machine, step: Steps) -> None:
    notes = Notes()
    apply(Plan((step("one", says=["slow today", "still there"]),)), machine, notes)
    assert notes.told == ["begins one", "one says slow today", "one says still there", "ends one"]


@pytest.mark.parametrize("where", ["pending", "perform"])
def test_the_first_failure_ends_it_and_is_raised_as_it_was(machine: Machine, step: Steps, where: str) -> None:
    notes, failure = Notes(), DaemonError("condor_master ended at once")
    broken = step("two", pending=failure) if where == "pending" else step("two", perform=failure)
    with pytest.raises(DaemonError) as caught:
        apply(Plan((step("one"), broken, step("three"))), machine, notes)
    assert caught.value is failure
    assert notes.results == [("one", "done", "did it"), ("two", "failed", "condor_master ended at once")]
    assert "pending three" not in step.asked


def test_an_interruption_ends_the_step_as_failed(machine: Machine, step: Steps) -> None:
    notes = Notes()
    with pytest.raises(KeyboardInterrupt):
        apply(Plan((step("one", perform=KeyboardInterrupt()), step("two"))), machine, notes)
    assert notes.results == [("one", "failed", "interrupted")]
    assert step.asked == ["pending one", "perform one"]


def test_a_defect_of_ours_ends_the_step_as_failed_too(machine: Machine, step: Steps) -> None:
    # Otherwise the record says for ever that the step is running, and the live view goes on turning.
    notes = Notes()
    with pytest.raises(ZeroDivisionError):
        apply(Plan((step("one", perform=ZeroDivisionError("a defect")),)), machine, notes)
    assert [result for _, result, _ in notes.results] == ["failed"]


def test_each_step_is_told_with_its_own_time(machine: Machine, step: Steps) -> None:
    notes, seconds = Notes(), count(100.0, 2.5)
    apply(Plan((step("one"), step("two", pending=None))), machine, notes, clock=lambda: next(seconds))
    assert [outcome.seconds for outcome in notes.outcomes] == [2.5, 2.5]


def test_an_empty_plan_is_done(machine: Machine) -> None:
    notes = Notes()
    apply(Plan(()), machine, notes)
    assert notes.told == []


def test_applied_twice_is_applied_once(machine: Machine, live: LiveTree) -> None:
    plan = Plan((WriteFile("file", "/etc/file", "text\n", 0o644, "a file"),))
    apply(plan, machine, Notes())
    before = (live.root / "etc/file").stat()
    notes = Notes()
    apply(plan, machine, notes)
    assert [result for _, result, _ in notes.results] == ["unchanged"]
    assert (live.root / "etc/file").stat() == before


def test_a_run_that_failed_half_way_is_finished_by_the_next(machine: Machine, live: LiveTree, step: Steps) -> None:
    first = WriteFile("one", "/etc/one", "1", 0o644, "")
    last = WriteFile("three", "/etc/three", "3", 0o644, "")
    with pytest.raises(AnnexError):
        apply(Plan((first, step("two", perform=AnnexError("no")), last)), machine, Notes())
    assert not (live.root / "etc/three").exists()
    notes = Notes()
    apply(Plan((first, step("two"), last)), machine, notes)
    assert [result for _, result, _ in notes.results] == ["unchanged", "done", "done"]
    assert (live.root / "etc/three").read_text() == "3"
