"""Tells systemd that this process is not stuck, where its unit has a WatchdogSec (sd_watchdog_enabled(3))."""

import os
import socket
import time
from typing import Callable, Mapping, Optional


class Watchdog:
    """What ends this process if it is not told often enough that all is well."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._told_at: Optional[float] = None
        self.pause_s = float("inf")
        """So often systemd is told, a quarter of the time that it waits; for ever, if it does not."""
        usec = environ.get("WATCHDOG_USEC", "")
        if self._address and usec.isdecimal() and environ.get("WATCHDOG_PID") in (None, str(os.getpid())):
            self.pause_s = int(usec) / 4e6

    @property
    def is_on(self) -> bool:
        """Whether systemd waits for a word of this very process."""
        return self.pause_s < float("inf")

    def tell(self) -> None:
        """All is well; no more often than it takes."""
        now = self._clock()
        if not self.is_on or (self._told_at is not None and now < self._told_at + self.pause_s):
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto(b"WATCHDOG=1", address)
        except OSError:
            return  # its queue is full, or it is being replaced: the next turn tells it again
        self._told_at = now

    def sleep(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Rest on purpose, which is no reason for alarm."""
        until = self._clock() + seconds
        while True:
            self.tell()
            left_s = until - self._clock()
            if left_s <= 0:
                return
            sleep(min(left_s, self.pause_s))
