"""A document of user-data: its text on the way in, and what it says on the way out."""

from typing import NamedTuple, Tuple

from .budget import Budget
from .settings import Source

NONE = "none"
_LEFT = ", left to others"


class UserData(NamedTuple):
    """What a document is, in words, and the settings it holds."""

    kind: str
    source: Source
    notices: Tuple[str, ...] = ()  # what is no mistake, and yet worth a line in the log

    @property
    def is_ours(self) -> bool:
        """Whether it says anything to annex-agent, right or wrong."""
        return bool(self.source.fields or self.source.knobs or self.source.problems)

    @property
    def is_left(self) -> bool:
        """Whether it is another program's, or empty."""
        return self.kind.endswith(_LEFT) or self.kind == NONE


class Text(NamedTuple):
    """A document as text: what it is called in messages, and what reading it may cost."""

    name: str
    text: str
    budget: Budget
    lines_budget: Budget  # for finding the lines of its mistakes


def nothing(kind: str, name: str) -> UserData:
    """A document without settings, and without mistakes."""
    return UserData(kind, Source(name))


def left_to_others(kind: str, document: Text) -> UserData:
    """Not for us: no settings, and no error."""
    return nothing(f"{kind}{_LEFT}", document.name)


def wrong(kind: str, name: str, problem: str) -> UserData:
    """A document of which nothing is used."""
    return UserData(kind, Source(name, problems=(problem,)))
