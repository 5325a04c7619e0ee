"""A profile's file as the control surface of a running emulator."""

import logging
import time
from pathlib import Path
from typing import Optional, Tuple

LOG = logging.getLogger("annex_agent.emulator")

_RACY_NS = 50_000_000  # two writes within one tick of a file system's clock have the same mtime


class Watch:
    """A profile's file, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._signature: Tuple[int, ...] = ()
        self._content: Optional[bytes] = None

    def changed(self) -> Optional[bytes]:
        """The content if it is new, else None; that the file cannot be read is logged once."""
        try:
            stat = self.path.stat()
            signature: Tuple[int, ...] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            content = self._content if signature == self._signature else self.path.read_bytes()
        except OSError as err:
            if self._signature != (err.errno,):
                LOG.warning("%s cannot be read (%s); the last profile stays in use", self.path, err.strerror)
            self._signature = (err.errno or 0,)
            return None
        settled = time.time_ns() - stat.st_mtime_ns > _RACY_NS
        self._signature = signature if settled else ()
        before, self._content = self._content, content
        return content if content != before else None
