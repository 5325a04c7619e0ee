"""What EC2 writes of its plans with an instance, parsed; whatever else is there is a ``ValueError`` with words.

Sources: EC2 user guide, "Spot Instance interruption notices", "EC2 instance rebalance recommendations", "Scheduled
events for your instances", "Instance identity documents"; EC2 Auto Scaling user guide, "Retrieve the target lifecycle
state through instance metadata".
"""

import json
import re
from datetime import datetime, timezone
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from .model import AUTOSCALING, MAINTENANCE, REBALANCE, SPOT, Announcement

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?Z")
_LONG_DATE = re.compile(r"([0-9]{1,2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_STATE = re.compile(r"[A-Z][A-Za-z]{0,31}(?::[A-Z][A-Za-z]{0,31})?")
_EVENT_ID = re.compile(r"[A-Za-z0-9-]{0,64}")
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{4,40}")
# Of an event that is over, the description may say so earlier than the state.
_OVER = ("[Completed]", "[Canceled]")
_SHOWN = 60


class Identity(NamedTuple):
    """Who this instance is, and when it was launched, or last started; None: not known."""

    instance_id: Optional[str] = None
    launched: Optional[float] = None


def spot(body: bytes) -> Tuple[Announcement, ...]:
    """``spot/instance-action``: ``{"action": "terminate", "time": "2017-09-18T08:22:00Z"}``."""
    document = _mapping(_json(body))
    action, time = _match(_WORD, document, "action"), _text(document, "time")
    return (Announcement(SPOT, action, f"{SPOT} {action} {time}", _moment("time", time)),)


def rebalance(body: bytes) -> Tuple[Announcement, ...]:
    """``events/recommendations/rebalance``: ``{"noticeTime": "2020-10-27T08:22:00Z"}``."""
    time = _text(_mapping(_json(body)), "noticeTime")
    _moment("noticeTime", time)
    return (Announcement(REBALANCE, "rebalance", f"{REBALANCE} {time}"),)


def maintenance(body: bytes) -> Tuple[Announcement, ...]:
    """``events/maintenance/scheduled``: a list of events, of which only the active ones count; ``NotAfter`` may be
    missing.
    """
    document = _json(body)
    if not isinstance(document, list):
        raise ValueError(f"it is not a list of events: {_shown(document)}")  # noqa: TRY004 - of what comes from outside
    events = [_mapping(event) for event in document]
    return tuple(_event(event) for event in events if _is_active(event))


def autoscaling(body: bytes) -> Tuple[Announcement, ...]:
    """``autoscaling/target-lifecycle-state``: one word, such as ``InService``; only an end is an announcement, and the
    way into a warm pool.
    """
    state = body.decode("ascii", "replace").strip()
    if not _STATE.fullmatch(state):
        raise ValueError(f"it is not a state of Auto Scaling: {_shown(state)}")
    is_leaving = state == "Terminated" or state.startswith("Warmed:")
    return (Announcement(AUTOSCALING, state, f"{AUTOSCALING} {state}"),) if is_leaving else ()


def identity(body: bytes) -> Identity:
    """``dynamic/instance-identity/document``, of which two keys count."""
    document = _mapping(_json(body))
    instance_id = _match(_INSTANCE_ID, document, "instanceId")
    if document.get("pendingTime") is None:
        return Identity(instance_id)
    return Identity(instance_id, _moment("pendingTime", _text(document, "pendingTime")))


def _is_active(event: Mapping[str, Any]) -> bool:
    return _text(event, "State") == "active" and not str(event.get("Description")).startswith(_OVER)


def _event(event: Mapping[str, Any]) -> Announcement:
    code, begin = _match(_WORD, event, "Code"), _text(event, "NotBefore")
    event_id = _match(_EVENT_ID, event, "EventId") if event.get("EventId") is not None else ""
    until = _moment("NotAfter", _text(event, "NotAfter")) if event.get("NotAfter") else None
    key = f"{MAINTENANCE} {event_id or code} {begin}"
    return Announcement(MAINTENANCE, code, key, _moment("NotBefore", begin), until)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"))
    except RecursionError as err:
        raise ValueError("it is nested too deep") from err
    except UnicodeDecodeError as err:
        raise ValueError(f"it is not UTF-8: {_shown(body)}") from err
    except ValueError as err:
        raise ValueError(f"it is not JSON: {_shown(body.decode('utf-8'))}") from err


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"it is not a mapping: {_shown(value)}")  # noqa: TRY004
    return value


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise ValueError(f"its {key} is not a text: {_shown(value)}")  # noqa: TRY004
    return value.strip()


def _match(pattern: "re.Pattern[str]", document: Mapping[str, Any], key: str) -> str:
    text = _text(document, key)
    if not pattern.fullmatch(text):
        raise ValueError(f"its {key} is not to be understood: {_shown(text)}")
    return text


def _moment(key: str, text: str) -> float:
    """Seconds since the epoch; EC2 has two ways to write a time, both in UTC."""
    date, long_date = _DATE.fullmatch(text), _LONG_DATE.fullmatch(text)
    try:
        if date:
            return _utc(*(int(number) for number in date.groups()))
        if long_date:
            day, month, year, *time = long_date.groups()
            return _utc(int(year), _MONTHS.index(month) + 1, int(day), *(int(number) for number in time))
    except ValueError:
        pass  # no such day
    raise ValueError(f"its {key} is not a time: {_shown(text)}")


def _utc(*numbers: int) -> float:
    year, month, day, hour, minute, second = numbers
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()


def _shown(value: Any) -> str:
    try:
        return repr(value)[:_SHOWN]
    except RecursionError:
        return "nested too deep"
