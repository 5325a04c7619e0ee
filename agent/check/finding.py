"""What a look found, how it is judged, and what to do about it."""

from typing import NamedTuple, Sequence

OK, WARNING, PROBLEM = "ok", "warning", "problem"
VERDICTS = (OK, WARNING, PROBLEM)  # the worse, the later


class Judgement(NamedTuple):
    """One verdict, what was found, and the remedy where it is not ok."""

    verdict: str
    words: str
    remedy: str = ""


class Finding(NamedTuple):
    """A judgement under its look's name: a line of the answer."""

    name: str
    verdict: str
    words: str
    remedy: str = ""


class Unseen(Exception):  # noqa: N818 - reads as what happened
    """A look is not possible here; ``remedy`` says what would make it so."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


def ok(words: str) -> Judgement:
    """As it should be."""
    return Judgement(OK, words)


def warning(words: str, remedy: str) -> Judgement:
    """It may be meant, it may heal by itself, or it cannot be told."""
    return Judgement(WARNING, words, remedy)


def problem(words: str, remedy: str) -> Judgement:
    """A worker would fail by it."""
    return Judgement(PROBLEM, words, remedy)


def overall(findings: Sequence[Finding]) -> str:
    """The worst verdict."""
    return max((finding.verdict for finding in findings), key=VERDICTS.index, default=OK)


def only_root(what: str) -> Unseen:
    """For what this user is not allowed to look at."""
    return Unseen(f"only root can see {what}", "run it with sudo")
