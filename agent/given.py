"""The files that the command line names."""

import sys
from pathlib import Path

from .errors import UsageError
from .grammar import printable

STDIN = Path("-")
_LIMIT = 1024 * 1024


def read_given(path: Path) -> bytes:
    """What is in a file of settings, or of user-data; ``-`` is standard input."""
    name = name_given(path)
    try:
        content = _read(path)
    except OSError as err:
        raise UsageError(f"{name} cannot be read ({err.strerror}): check the path that was given") from err
    if len(content) > _LIMIT:
        raise UsageError(f"{name} is larger than {_LIMIT // 1024} KiB, which no settings file is")
    return content


def name_given(path: Path) -> str:
    """What a file is called in messages."""
    return "standard input" if path == STDIN else printable(str(path))


def _read(path: Path) -> bytes:
    if path != STDIN:
        with path.open("rb") as file:
            return file.read(_LIMIT + 1)
    if sys.stdin is None:  # closed by our caller (<&-)
        return b""
    return sys.stdin.buffer.read(_LIMIT + 1)
