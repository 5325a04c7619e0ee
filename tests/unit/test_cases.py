"""tests/cases: every document of user-data there comes out as the file beside it says."""

from typing import Any

import pytest

from tests import cases

NAMES = cases.names()


@pytest.mark.parametrize("name", NAMES)
def test_user_data(name: str) -> None:
    made, expected = cases.outcome(cases.document(name)), cases.expected(name)
    assert made == expected, "if this is how it should be: python -m tests.cases, and look at the diff"


def test_there_are_enough_of_them_and_each_is_whole() -> None:
    assert len(NAMES) >= 60
    for name in NAMES:
        assert sorted(path.name for path in (cases.FOLDER / name).iterdir()) == ["expected.json", "user-data"]


def test_what_is_wrong_sets_nothing() -> None:
    outcomes = [cases.expected(name) for name in NAMES]
    broken = [outcome for outcome in outcomes if outcome["problems"]]
    assert len(broken) >= 30
    assert all(not outcome["settings"] and not outcome["knobs"] for outcome in broken)


def test_every_sentence_is_one_clean_line() -> None:
    def sentences(outcome: Any) -> Any:
        return [outcome["kind"], *outcome["problems"], *outcome["notices"]]

    for name in NAMES:
        assert all(sentence.isprintable() for sentence in sentences(cases.outcome(cases.document(name))))
