"""A plan shown to the person at the command line, or carried out before their eyes and kept on record."""

import contextlib
import sys
from typing import Iterator

from .apply import apply
from .machine import Machine
from .options import Options
from .plan import Plan
from .preview import show_plan
from .progress import LiveView, LogLines, Outcome, Progress, Several
from .status import Record


def preview(command: str, facts: str, plan: Plan, machine: Machine) -> int:
    """Print what would be done; raises what would fail."""
    text, failure = show_plan(plan, machine)
    print("\n\n".join(part for part in (f"annex-agent {command}, dry run: nothing is changed", facts, text) if part))
    sys.stdout.flush()
    if failure:
        raise failure
    return 0


def carry_out(options: Options, plan: Plan, machine: Machine, record: Record) -> None:
    """Apply the plan, and print what its last step with something to do has done."""
    last = _LastWords()
    apply(plan, machine, Several([shown(options), record, last]))
    print(last.words)


def shown(options: Options) -> Progress:
    """How the person is told of each step."""
    live = sys.stderr.isatty() and options.log_format == "text" and options.verbosity == 0
    return LiveView() if live else LogLines()


@contextlib.contextmanager
def on_record(record: Record) -> Iterator[None]:
    """Whatever happens within is in the record."""
    record.opens()
    try:
        yield
    except KeyboardInterrupt:
        record.closes("interrupted")
        raise
    except BaseException as err:
        record.closes(str(err) or type(err).__name__)
        raise
    record.closes()


class _LastWords:
    """The answer on stdout: what the last step that had something to do has done."""

    words = "nothing to do: everything is as it should be"

    def begins(self, step: object) -> None:
        pass

    def says(self, step: object, sentence: str) -> None:
        pass

    def ends(self, outcome: Outcome) -> None:
        if outcome.result == "done":
            self.words = outcome.words
