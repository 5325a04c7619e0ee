"""Why HTCondor has ended by itself, as its own logs tell it: nobody is to lose a machine by stopping HTCondor.

What somebody else ends, with condor_off, systemctl or a signal, leaves the same exit status as idleness does; the
reason is in the logs alone.  Only the last life of a daemon counts.
"""

import re
from typing import Optional

from ..errors import AnnexError
from ..htcondor import HTCondor
from ..system import System

_TAIL = 64 * 1024
_BEGIN = re.compile(r"\*\* condor_\w+ \(CONDOR_\w+\) STARTING UP")
# The startd's words at STARTD_NOCLAIM_SHUTDOWN; and the master's exit status at its own DAEMON_SHUTDOWN.
_IDLE = "No resources have been claimed for "
_SHUTDOWN = re.compile(r"condor_master \(condor_MASTER\) pid \d+ EXITING WITH STATUS 99$", re.MULTILINE)


class Ended:
    """Looked up once for each end."""

    def __init__(self, system: System, htcondor: HTCondor) -> None:
        self._system, self._htcondor = system, htcondor
        self._why: Optional[str] = None

    def why(self) -> str:
        """idle, shutdown, or empty: somebody ended it, or it failed."""
        if self._why is None:
            self._why = self._look_up()
        return self._why

    def forget(self) -> str:
        """It runs, or is not to run: there is no end to explain."""
        self._why = None
        return ""

    def _look_up(self) -> str:
        try:
            logs = self._htcondor.settings(["MASTER_LOG", "STARTD_LOG"])
            if _SHUTDOWN.search(self._last_life(logs["MASTER_LOG"].value)):
                return "shutdown"
            return "idle" if _IDLE in self._last_life(logs["STARTD_LOG"].value) else ""
        except (AnnexError, KeyError):
            return ""

    def _last_life(self, path: str) -> str:
        tail = self._system.read_end(path, _TAIL).decode("utf-8", "replace")
        return _BEGIN.split(tail)[-1]
