"""Whether the pool's collector lists this instance: asked by HTCondor's own tool, which nobody waits for."""

import signal
import time
from typing import Callable, Optional

from ..errors import CommandError
from ..pool import instance_constraint
from ..processes import Child
from ..system import System

_PAUSE_S = 60.0
_PATIENCE_S = 30.0
_MARK = "listed: "
# A tool that meets a collector by SSL would note it down in /etc/condor; looking must not write.
_ENVIRON = {"_CONDOR_SEC_SYSTEM_KNOWN_HOSTS": "/dev/null"}


class Listing:
    """The latest answer; a collector that gives none lists nothing."""

    def __init__(self, system: System, clock: Callable[[], float] = time.monotonic) -> None:
        self._system, self._clock = system, clock
        self._child: Optional[Child] = None
        self._asked: Optional[float] = None
        self._answer: Optional[bool] = None

    def look(self, instance_id: str) -> Optional[bool]:
        """None while there is no answer yet."""
        if self._child is not None:
            self._hear(self._child)
        elif self._asked is None or self._clock() - self._asked >= _PAUSE_S:
            self._ask(instance_id)
        return self._answer

    def forget(self) -> Optional[bool]:
        """Nobody wants to know: there is no answer."""
        if self._child is not None:
            self._hear(self._child)
        self._answer = None
        return None

    def _ask(self, instance_id: str) -> None:
        self._asked = self._clock()
        tool = self._system.which("condor_status")
        argv = ("-constraint", instance_constraint(instance_id), "-format", f"{_MARK}%s\n", "Name")
        try:
            self._child = self._system.start_child((tool or "condor_status", *argv), _ENVIRON)
        except CommandError:
            self._answer = False

    def _hear(self, child: Child) -> None:
        code = child.ended()
        if code is not None:
            said = child.last_words()
            self._child, self._answer = None, code == 0 and _MARK in said
        elif self._asked is not None and self._clock() - self._asked > _PATIENCE_S:
            child.send(signal.SIGKILL)
