"""When EC2 acts on what a profile announces: made up, where its author leaves it out, from when it is first heard.

A profile is written once and served at any time: a time that stood in it would be past.
"""

import json
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

from .tree import Tree, find, with_value

_NOTICE_S = 120  # EC2's own, for a spot instance
_EVENT_IN_S = 15 * 60  # EC2 gives days; here somebody wants to see something
_EVENT_TAKES_S = 2 * 3600
_SPOT = ("spot", "instance-action")
_REBALANCE = ("events", "recommendations", "rebalance")
_SCHEDULED = ("events", "maintenance", "scheduled")


class Appearances:
    """When each announcement was first served; ``clock`` gives the seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: Dict[Tuple[str, ...], float] = {}
        self.started = clock()

    def first(self, *what: str) -> float:
        """When this was asked for the first time."""
        return self._first.setdefault(what, self._clock())


def completed(meta_data: Tree, appearances: Appearances) -> Tree:
    """The announcements in ``meta_data`` with the times that they lack."""
    for path in (_SPOT, _REBALANCE, _SCHEDULED):
        text = find(meta_data, list(path))
        if isinstance(text, str):
            meta_data = with_value(meta_data, list(path), _with_times(path, text, appearances))
    return meta_data


def _with_times(path: Tuple[str, ...], text: str, appearances: Appearances) -> str:
    """The document as it stands, where it lacks none, or is not one."""
    try:
        document = json.loads(text)
    except ValueError:
        return text
    lacking = [entry for entry in _entries(path, document) if _lacks(path, entry)]
    if not lacking:
        return text
    times = _times(path, appearances.first(*path, text))
    for entry in lacking:
        entry.update({**times, **entry})
    return json.dumps(document)


def _entries(path: Tuple[str, ...], document: Any) -> Iterator[Dict[str, Any]]:
    given: List[Any] = [document]
    if path == _SCHEDULED:
        given = document if isinstance(document, list) else []
    return (entry for entry in given if isinstance(entry, dict))


def _lacks(path: Tuple[str, ...], entry: Mapping[str, Any]) -> bool:
    return any(name not in entry for name in _times(path, 0.0))


def _times(path: Tuple[str, ...], first: float) -> Mapping[str, str]:
    """Each in the form that EC2 gives it."""
    if path == _SPOT:
        return {"time": timestamp(first + _NOTICE_S)}
    if path == _REBALANCE:
        return {"noticeTime": timestamp(first)}
    begin = first + _EVENT_IN_S
    return {"NotBefore": _day(begin), "NotAfter": _day(begin + _EVENT_TAKES_S)}


def timestamp(seconds: float) -> str:
    """As the service writes it: 2017-09-18T08:22:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _day(seconds: float) -> str:
    return time.strftime("%d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
