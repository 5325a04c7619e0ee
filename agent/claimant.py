"""The process that holds a lock for as long as it lives, asked to end."""

import contextlib
import os
import signal
import time
from typing import Optional

from .system import System

_PATIENCE_S = 10.0  # for each way of asking
_MOMENT_S = 0.5  # what it takes one that does not hang, however little time there is
_PAUSE_S = 0.02


def end(system: System, lock: str) -> Optional[int]:
    """Have the process that has claimed ``lock`` end, if there is one; its id if it could not even be killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        pid = system.holder(lock)
        if pid is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + min(_PATIENCE_S, max(system.left_s, _MOMENT_S))
        while system.holder(lock) == pid and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
    return system.holder(lock)
