"""The machine's console: EC2 keeps what is written there, for after the machine is gone (``get-console-output``)."""

import contextlib
import logging
import os

CONSOLE = "/dev/console"
# One that is not there is not made, one that takes nothing is not waited for, and none becomes our terminal.
_HOW = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK


class ConsoleHandler(logging.Handler):
    """Writes warnings and worse to the console, each in a line; where that is not possible, they are lost."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        text = "".join(letter if letter.isprintable() else " " for letter in record.getMessage())
        # As a terminal wants it, which may be in any mode: from the first column, and back to it.
        line = f"\r\nannex-agent: {' '.join(text.split())}\r\n"
        with contextlib.suppress(OSError):
            console = os.open(CONSOLE, _HOW)
            try:
                os.write(console, line.encode("ascii", "backslashreplace"))
            finally:
                os.close(console)
