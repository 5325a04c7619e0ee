"""The log on stderr: one line an event, for people, for the journal, or as JSON."""

import json
import logging
import os
import sys
import time

LOG = logging.getLogger("annex_agent")
# sd-daemon(3): the journal takes a line's priority from a prefix, and drops the prefix.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def set_up(log_format: str, verbosity: int) -> None:
    """Send our log to stderr; ``verbosity`` is -1 (warnings), 0 (a line a step) or 1 (everything)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Journal() if _to_journal() else _Text())
    LOG.handlers[:] = [handler]
    LOG.propagate = False
    LOG.setLevel({-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG))


def _to_journal() -> bool:
    """Whether stderr is the journal's own socket (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        info = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(info.st_dev), str(info.st_ino))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        word = {logging.WARNING: "warning: ", logging.ERROR: "error: "}.get(record.levelno, "")
        return f"annex-agent: {word}{record.getMessage()}"


class _Journal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{record.getMessage()}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        for name in ("step", "result", "seconds"):
            if hasattr(record, name):
                line[name] = getattr(record, name)
        return json.dumps(line)
