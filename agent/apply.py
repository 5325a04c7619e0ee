"""Apply: the only stage that changes the machine."""

import time
from typing import Callable

from .machine import Machine
from .plan import Plan
from .progress import Outcome, Progress
from .steps import Step


def apply(plan: Plan, machine: Machine, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
    """Carry out every step that has something to do; the first failure ends it and is raised again."""
    for step in plan.steps:
        began = clock()
        progress.begins(step)
        try:
            outcome = _carry_out(step, machine, progress)
        except BaseException as err:  # Ctrl-C and our own defects end a step, too
            words = "interrupted" if isinstance(err, KeyboardInterrupt) else str(err) or type(err).__name__
            progress.ends(Outcome(step, "failed", words, clock() - began))
            raise
        progress.ends(Outcome(step, *outcome, clock() - began))


def _carry_out(step: Step, machine: Machine, progress: Progress) -> "tuple[str, str]":
    if step.pending(machine) is None:
        return "unchanged", "nothing to do"
    return "done", step.perform(machine, lambda sentence: progress.says(step, sentence))
