"""systemd's journal, spoken to in its own protocol: a datagram an event, each with fields of its own.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL: a field is ``NAME=value`` and a line feed; a value that has line feeds goes
as ``NAME``, a line feed, its length in 64 bits, little-endian, itself, and a line feed.  The kernel keeps a datagram
for the journal once it is sent, so what a failing process has said last is not lost with it.
"""

import logging
import socket
import struct
from typing import Callable, Mapping

SOCKET = "/run/systemd/journal/socket"
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_LONGEST = 16 * 1024  # bytes of a value; far below what a socket takes in one piece
_PATIENCE_S = 5.0  # for a journal that is too busy to take anything


def priority(record: logging.LogRecord) -> int:
    """syslog's number for how bad it is."""
    return PRIORITIES.get(record.levelno, 6)


class JournalHandler(logging.Handler):
    """Sends records to the journal; where it cannot be reached, ``fallback`` has them.

    ``fields`` says what is to be sent with a record beside its message, and may say more as more is known.
    """

    def __init__(self, fallback: logging.Handler, fields: Callable[[logging.LogRecord], Mapping[str, str]]) -> None:
        super().__init__()
        self._fallback, self._fields = fallback, fields
        self._path = SOCKET
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_PATIENCE_S)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        fields = {
            "MESSAGE": record.getMessage(),
            "PRIORITY": str(priority(record)),
            "SYSLOG_IDENTIFIER": "annex-agent",
            **self._fields(record),
        }
        try:
            # To its address each time: a journal that is started anew has a new socket there.
            self._socket.sendto(datagram(fields), self._path)
        except OSError:
            self._fallback.handle(record)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
        super().close()


def datagram(fields: Mapping[str, str]) -> bytes:
    """The fields as the journal reads them; no value, whatever is in it, can end its field or begin another one."""
    return b"".join(_field(name.encode("ascii"), _value(value)) for name, value in fields.items())


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return name + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name + b"=" + value + b"\n"


def _value(text: str) -> bytes:
    value = text.encode("utf-8", "backslashreplace")
    if len(value) <= _LONGEST:
        return value
    return value[:_LONGEST].decode("utf-8", "ignore").encode("utf-8") + b" [cut]"
