"""That this machine leaves its pool, as HTCondor hears of it: START is false, and the ads say why.

HTCondor reads the file whenever it starts, and when its master gets SIGHUP; neither a collector nor a right is needed.
"""

import contextlib
import os
import re
import signal
import time
from typing import Callable, Dict, Optional

from .. import process_names
from ..logs import LOG
from ..model import MASTER
from ..system import LEAVING_FILE, System
from .model import Leaving

_LISTENS_AFTER_S = 60.0  # a master as old as that has set itself up, whatever the files say


def text(leaving: Leaving) -> str:
    """The knobs of a machine that leaves; people select its slots by the attributes."""
    why = re.sub(r"[^\w .:-]", "-", leaving.why)  # no sign that means something to HTCondor
    attributes = {"AnnexLeaving": f'"{why}"'}
    if leaving.at is not None:
        attributes["AnnexLeavingTime"] = str(int(leaving.at))
    return "\n".join(
        [
            "# annex-agent takes this machine out of its pool. It goes when that is taken back, and at a reboot.",
            "STARTD.START = False",
            *(f"{name} = {value}" for name, value in attributes.items()),
            f"STARTD_ATTRS = $(STARTD_ATTRS) {' '.join(attributes)}",
            "",
        ]
    )


class Notice:
    """Keeps the file as it is to be, whoever else touches it, and has HTCondor read it when it has changed."""

    def __init__(
        self,
        system: System,
        find: Callable[[str], Optional[Dict[int, str]]] = process_names.named,
        tell: Callable[[int, int], None] = os.kill,
    ) -> None:
        self._system, self._find, self._tell = system, find, tell
        # An earlier life of ours may have ended between the file and the signal.
        self._is_new = system.stamp(LEAVING_FILE) is not None

    def settle(self, leaving: Optional[Leaving], startd_address_file: str) -> None:
        """Have the pool know that this machine leaves, or that it does not."""
        wanted = None if leaving is None else text(leaving).encode()
        file = self._system.read_file(LEAVING_FILE)
        if (file.content if file else None) != wanted:
            self._write(leaving, wanted)
            self._is_new = True
        if self._is_new:
            self._is_new = not self._is_heard(startd_address_file)

    def _write(self, leaving: Optional[Leaving], content: Optional[bytes]) -> None:
        if leaving is None or content is None:
            self._system.remove_file(LEAVING_FILE)
            LOG.warning("this machine takes jobs again")
        else:
            self._system.write_file(LEAVING_FILE, content, 0o644)
            LOG.warning("this machine takes no new jobs: %s", leaving.words)

    def _is_heard(self, startd_address_file: str) -> bool:
        """Whether HTCondor reads its configuration now, or will when it starts."""
        masters = self._find(MASTER)
        if not masters:
            return masters is not None
        (pid, *_) = [pid for pid in masters if process_names.parent(pid) not in masters] or masters
        if not self._listens(pid, startd_address_file):
            return False
        with contextlib.suppress(ProcessLookupError):
            self._tell(pid, signal.SIGHUP)
        return True

    def _listens(self, master: int, startd_address_file: str) -> bool:
        """Whether the signal is no end for a master: once it has a startd that has written down its address."""
        began_s = process_names.began_s(master)
        if began_s is None:
            return False
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - began_s
        written = self._system.stamp(startd_address_file) if startd_address_file else None
        return age_s > _LISTENS_AFTER_S or (written is not None and time.time() - written[0] / 1e9 <= age_s)
