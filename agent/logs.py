"""The log on stderr: one line an event, for people, for the journal, or as JSON."""

import json
import logging
import os
import sys
import time
from typing import Dict

from .journal import JournalHandler, priority

LOG = logging.getLogger("annex_agent")
_EXTRAS = ("step", "result", "seconds")  # what a record may carry beside its message
_LAST_WORDS = frozenset({"watch"})  # the commands whose warnings may be the last that the machine says
_KNOWN: Dict[str, str] = {}


def set_up(log_format: str, verbosity: int, command: str = "") -> None:
    """Send our log to stderr; ``verbosity`` is -1 (warnings), 0 (a line a step) or 1 (everything).

    Where stderr is the journal, an event goes there with fields: ANNEX_AGENT_STEP, _RESULT, _SECONDS, and what ``know``
    was told of.  What the watch warns of there is written to the machine's console, too.
    """
    for earlier in LOG.handlers:
        earlier.close()
    LOG.handlers[:] = [_handler(log_format)]
    if command in _LAST_WORDS and _to_journal():
        from .console import ConsoleHandler  # noqa: PLC0415 - no boot needs it

        LOG.addHandler(ConsoleHandler())
    LOG.propagate = False
    LOG.setLevel({-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG))
    _KNOWN.clear()
    know(command=command)


def know(**known: str) -> None:
    """What all later events are about: ``command``, ``instance_id``."""
    _KNOWN.update({name: value for name, value in known.items() if value})


def _handler(log_format: str) -> logging.Handler:
    lines = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        lines.setFormatter(_Json())
    elif _to_journal():
        lines.setFormatter(_Journal())
        return JournalHandler(lines, _fields)
    else:
        lines.setFormatter(_Text())
    return lines


def _fields(record: logging.LogRecord) -> Dict[str, str]:
    extras = {name: str(getattr(record, name)) for name in _EXTRAS if hasattr(record, name)}
    return {f"ANNEX_AGENT_{name.upper()}": value for name, value in {**_KNOWN, **extras}.items()}


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
    """sd-daemon(3): the journal takes a line's priority from a prefix, and drops the prefix."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{priority(record)}>"
        return prefix + record.getMessage().replace("\n", f"\n{prefix}")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        for name in _EXTRAS:
            if hasattr(record, name):
                line[name] = getattr(record, name)
        return json.dumps(line)
