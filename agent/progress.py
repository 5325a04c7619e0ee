"""Who is told of the steps while they are carried out: the log, a terminal, the record for ``status``."""

import logging
import os
import sys
import threading
import time
from typing import NamedTuple, Optional, Protocol, Sequence, TextIO

from .logs import LOG
from .steps import Step

_REFRESH_S = 0.1
_MARKS = {"done": "\033[32m✓\033[0m", "unchanged": "\033[2m=\033[0m", "failed": "\033[31m✗\033[0m"}
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Outcome(NamedTuple):
    """How a step ended: ``result`` is done, unchanged or failed."""

    step: Step
    result: str
    words: str
    seconds: float


class Progress(Protocol):
    """Told of each step as it begins and ends, and of what is worth saying in between."""

    def begins(self, step: Step) -> None: ...

    def says(self, step: Step, sentence: str) -> None: ...

    def ends(self, outcome: Outcome) -> None: ...


class Several:
    """Passes everything on to several others."""

    def __init__(self, others: Sequence[Progress]) -> None:
        self._others = others

    def begins(self, step: Step) -> None:
        for other in self._others:
            other.begins(step)

    def says(self, step: Step, sentence: str) -> None:
        for other in self._others:
            other.says(step, sentence)

    def ends(self, outcome: Outcome) -> None:
        for other in self._others:
            other.ends(outcome)


class LogLines:
    """One line a step, for the journal and for files."""

    def begins(self, step: Step) -> None:
        LOG.debug("%s: %s", step.name, step.description, extra={"step": step.name})

    def says(self, step: Step, sentence: str) -> None:
        LOG.warning("%s", sentence, extra={"step": step.name})

    def ends(self, outcome: Outcome) -> None:
        level = logging.ERROR if outcome.result == "failed" else logging.INFO
        fields = {"step": outcome.step.name, "result": outcome.result, "seconds": round(outcome.seconds, 3)}
        words = outcome.words if outcome.result != "unchanged" else f"{outcome.step.description}: ok"
        LOG.log(level, "%s: %s (%.2f s)", outcome.step.name, words, outcome.seconds, extra=fields)


class LiveView:
    """For a person at a terminal: a mark and a duration for each step, running while the step runs."""

    def __init__(self, stream: Optional[TextIO] = None) -> None:
        self._stream = stream or sys.stderr
        self._ticker: Optional[threading.Thread] = None
        self._over = threading.Event()

    def begins(self, step: Step) -> None:
        self._over.clear()
        self._ticker = threading.Thread(target=self._tick, args=(step.description, time.monotonic()), daemon=True)
        self._ticker.start()

    def says(self, step: Step, sentence: str) -> None:  # noqa: ARG002
        self._line(f"  \033[33m!\033[0m {sentence}\n")

    def ends(self, outcome: Outcome) -> None:
        self._over.set()
        if self._ticker:
            self._ticker.join()
        words = outcome.step.description if outcome.result != "failed" else outcome.words
        done = f"  {outcome.words}" if outcome.result == "done" else ""
        self._line(f"{_MARKS[outcome.result]} {words}{done}  \033[2m{outcome.seconds:.2f} s\033[0m\n")

    def _tick(self, words: str, began: float) -> None:
        frame = 0
        while not self._over.wait(_REFRESH_S):
            frame += 1
            seconds = f"{time.monotonic() - began:.1f} s"
            # Cut to the width: what wraps could not be overwritten.
            shown = words[: max(10, self._width() - len(seconds) - 5)]
            self._line(f"{_FRAMES[frame % len(_FRAMES)]} {shown}  \033[2m{seconds}\033[0m")

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _line(self, text: str) -> None:
        self._stream.write(f"\r\033[K{text}")
        self._stream.flush()
