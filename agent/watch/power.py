"""The last second: the log is on the disk, and the machine goes off."""

import time
from typing import Callable, Optional, Tuple

from ..errors import CommandError
from ..logs import LOG
from ..system import System
from ..systemd import Systemd

_FLUSH_S = 2.0
_ASK_S = 10.0
_OFF_S = 60.0  # so long a power-off that was accepted may take, before it is asked for in a harder way
# systemctl(1): --force leaves the units' own stop out, twice the manager itself.
_BY_SYSTEMD = (
    ("systemctl", "poweroff"),
    ("systemctl", "poweroff", "--force"),
    ("systemctl", "poweroff", "--force", "--force"),
)
_BY_INIT = (("shutdown", "-h", "now"), ("poweroff",), ("poweroff", "-f"))


class Power:
    """Switches the running machine off; what does not do is followed by something harder."""

    def __init__(self, system: System, systemd: Systemd, clock: Callable[[], float] = time.monotonic) -> None:
        self._system, self._systemd, self._clock = system, systemd, clock
        self._accepted: Optional[float] = None
        self._tries = 0

    @property
    def is_going(self) -> bool:
        """Whether a power-off was accepted, and may still be under way."""
        return self._accepted is not None and self._clock() - self._accepted < _OFF_S

    def off(self, words: str) -> None:
        """Write the log to the disk, then have the machine go off; returns before it is."""
        if not self._system.is_live or self.is_going:
            return
        LOG.critical("this machine powers itself off: %s", words)
        self._flush()
        ways = _BY_SYSTEMD if self._systemd.runs else _BY_INIT
        for way in ways[min(self._tries, len(ways) - 1) :]:
            self._tries += 1
            if self._succeeds(way):
                self._accepted = self._clock()
                return

    def _flush(self) -> None:
        """The journal has the last line, and has it on its disk, where it keeps one."""
        if self._system.which("journalctl"):
            for option in ("--flush", "--sync"):
                self._run(("journalctl", option), _FLUSH_S)

    def _succeeds(self, argv: Tuple[str, ...]) -> bool:
        failure = self._run(argv, _ASK_S)
        if failure:
            LOG.error("%s: %s", " ".join(argv), failure)
        return not failure

    def _run(self, argv: Tuple[str, ...], timeout_s: float) -> str:
        """Why it failed; empty where it did not."""
        try:
            done = self._system.run(argv, timeout_s)
        except CommandError as err:
            return str(err)
        return " ".join(done.stderr.split())[:300] or f"exit status {done.code}" if done.code else ""
