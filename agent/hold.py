"""Whether somebody keeps this machine on while they look at it, whatever its lease, its idleness or a failure says.

A file at ``PATH`` holds it until the next boot, one at ``IMAGE_PATH`` until it is removed.  ``annex-agent hold``
writes JSON with ``until`` and ``since`` (seconds since the epoch, by this machine's clock; ``until`` null: for ever)
and ``by``; anything else, be it nothing or what cannot be read, holds for ever: somebody wanted the machine to stay.
"""

import json
import math
import time
from typing import Any, Iterator, NamedTuple, Optional

from .errors import AnnexError
from .system import STATE_DIR, System

PATH = f"{STATE_DIR}/hold"
IMAGE_PATH = "/etc/annex-agent/hold"
_LONGEST = 4096  # bytes of it that are looked at
_LONGEST_NAME = 64


class Hold(NamedTuple):
    """Until when the machine stays on (None: until it is released), since when, and who said so."""

    until: Optional[float] = None
    since: Optional[float] = None
    by: str = ""
    path: str = PATH


def is_held(system: System, now: float) -> bool:
    """Whether one is in force; ``now`` is by this machine's clock."""
    return current(system, now) is not None


def current(system: System, now: float) -> Optional[Hold]:
    """The one that is in force longest; None where there is none."""
    in_force = (hold for hold in found(system) if hold.until is None or hold.until > now)
    return max(in_force, key=lambda hold: math.inf if hold.until is None else hold.until, default=None)


def found(system: System) -> Iterator[Hold]:
    """All that there are, also those whose time is over."""
    for path in (PATH, IMAGE_PATH):
        try:
            file = system.read_file(path, _LONGEST)
        except AnnexError:
            yield Hold(path=path)
        else:
            if file:
                yield _read(file.content, path)


def wanted(system: System, seconds: Optional[float], now: float, by: str) -> Hold:
    """The one to write at ``PATH``: for so long (None: for ever) from now on, or what is there, if that says so."""
    if seconds is not None:
        return Hold(now + seconds, now, by)
    there = (hold for hold in found(system) if hold.path == PATH and hold.until is None)
    return next(there, Hold(None, now, by))


def content(hold: Hold) -> str:
    """The file's."""
    return json.dumps({"until": hold.until, "since": hold.since, "by": hold.by}) + "\n"


def in_words(hold: Hold) -> str:
    """A sentence's end: how long it lasts, and who said so."""
    end = "until it is released" if hold.until is None else f"until {_moment(hold.until)}"
    says = hold.by if hold.path == PATH else hold.path
    return f"{end}{f' ({says})' if says else ''}"


def told(held: Optional[Hold], was_held: bool) -> str:
    """What it means that the machine is held now, or is not."""
    if held:
        reboot = "and so does a reboot" if held.path == PATH else "a reboot does not"
        return (
            f"this machine stays on {in_words(held)}, whatever its lease, idleness or a failure says: annex-agent hold "
            f"--release ends that, {reboot}; EC2 still takes a spot instance back"
        )
    if was_held:
        return "this machine is held no more: what has come due meanwhile (lease, idleness, a failure) is done now"
    return "nothing to do: this machine is not held"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds))


def _read(text: bytes, path: str) -> Hold:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):  # of a file of brackets
        record = None
    if not isinstance(record, dict):
        return Hold(path=path)
    by = record.get("by")
    name = "".join(char for char in by if char.isprintable())[:_LONGEST_NAME] if isinstance(by, str) else ""
    return Hold(_seconds(record.get("until")), _seconds(record.get("since")), name, path)


def _seconds(value: Any) -> Optional[float]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 2**53 else None
