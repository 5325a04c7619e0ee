"""The fence around the metadata service, looked after: whoever flushes the machine's firewall takes it down, too."""

import time
from typing import Callable

from ..errors import CommandError
from ..fence_steps import fence_is_up, load_and_try, rules_lacking
from ..logs import LOG
from ..model import Settings
from ..system import System

_PAUSE_S = 60.0


class Fencing:
    """Puts our rules back into the kernel where they are missing."""

    def __init__(self, system: System, clock: Callable[[], float] = time.monotonic) -> None:
        self._system, self._clock = system, clock
        self._due = 0.0
        self._has_failed = False

    def look(self, settings: Settings) -> None:
        """Once a minute; only of a fence that ``start`` has raised, and while no other annex-agent is at work."""
        if self._clock() < self._due or not (settings.restrict_to_root and self._system.is_live):
            return
        self._due = self._clock() + _PAUSE_S
        is_wanted = self._has_failed or fence_is_up(self._system)  # one that could not be put back has no mark any more
        if is_wanted and self._system.may_filter and not self._system.is_busy():
            self._mend()

    def _mend(self) -> None:
        try:
            lacking = rules_lacking(self._system)
            if lacking:
                with self._system.exclusive(0.0):
                    tool = load_and_try(self._system)
                LOG.warning(
                    "the fence around the metadata service was down (%s), and is up again (%s)", lacking, tool.name
                )
            self._has_failed = False
        except CommandError as err:
            if not self._has_failed:
                LOG.error("jobs may be able to read the instance metadata service: %s", err)
            self._has_failed = True
