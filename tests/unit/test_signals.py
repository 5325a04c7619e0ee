"""What EC2 writes of its plans with an instance."""

import calendar
import json
import time
from typing import Any, Callable, Dict, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.watch import signals
from annex_agent.watch.model import Announcement

# The examples of the EC2 user guide and the EC2 Auto Scaling user guide.
SPOT = b'{"action": "terminate", "time": "2017-09-18T08:22:00Z"}'
REBALANCE = b'{"noticeTime": "2020-10-27T08:22:00Z"}'
EVENT: Dict[str, Any] = {
    "NotBefore": "21 Jan 2019 09:00:43 GMT",
    "Code": "system-reboot",
    "Description": "scheduled reboot",
    "EventId": "instance-event-0d59937288b749b32",
    "NotAfter": "21 Jan 2019 09:17:23 GMT",
    "State": "active",
}
IDENTITY = b'{"instanceId": "i-1234567890abcdef0", "pendingTime": "2016-11-19T16:32:11Z", "version": "2017-09-30"}'

Parse = Callable[[bytes], Tuple[Announcement, ...]]
PARSERS: Tuple[Parse, ...] = (signals.spot, signals.rebalance, signals.maintenance, signals.autoscaling)


def utc(*parts: int) -> float:
    return float(calendar.timegm((*parts, 0, 0, 0)))


def events(*changes: Dict[str, Any]) -> bytes:
    return json.dumps([{**EVENT, **change} for change in changes]).encode()


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_a_spot_notice_has_its_action_and_its_time(action: str) -> None:
    (found,) = signals.spot(SPOT.replace(b"terminate", action.encode()))
    at = utc(2017, 9, 18, 8, 22, 0)
    assert found == Announcement("spot", action, f"spot {action} 2017-09-18T08:22:00Z", at)


def test_a_time_is_utc_wherever_the_machine_is(monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        (found,) = signals.spot(SPOT)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found.at == utc(2017, 9, 18, 8, 22, 0)


def test_a_rebalance_recommendation_has_no_time_at_which_anything_happens() -> None:
    assert signals.rebalance(REBALANCE) == (Announcement("rebalance", "rebalance", "rebalance 2020-10-27T08:22:00Z"),)


def test_a_scheduled_event_has_a_begin_and_an_end() -> None:
    key = "maintenance instance-event-0d59937288b749b32 21 Jan 2019 09:00:43 GMT"
    begin, end = utc(2019, 1, 21, 9, 0, 43), utc(2019, 1, 21, 9, 17, 23)
    assert signals.maintenance(events({})) == (Announcement("maintenance", "system-reboot", key, begin, end),)


@pytest.mark.parametrize("change", [{"NotAfter": ""}, {"NotAfter": None}])
def test_the_end_of_a_scheduled_event_may_not_be_known(change: Dict[str, Any]) -> None:
    (found,) = signals.maintenance(events(change))
    assert found.until is None


def test_a_day_of_the_month_may_have_one_digit() -> None:
    (found,) = signals.maintenance(events({"NotBefore": "1 Jan 2021 02:00:00 GMT"}))
    assert found.at == utc(2021, 1, 1, 2, 0, 0)


@pytest.mark.parametrize("month", range(1, 13))
def test_every_month_has_its_english_name(month: int) -> None:
    name = ("", *["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])[month]
    (found,) = signals.maintenance(events({"NotBefore": f"03 {name} 2021 02:00:00 GMT"}))
    assert found.at == utc(2021, month, 3, 2, 0, 0)


@pytest.mark.parametrize(
    "change", [{"State": "completed"}, {"State": "canceled"}, {"Description": "[Completed] scheduled reboot"}]
)
def test_an_event_that_is_over_is_none(change: Dict[str, str]) -> None:
    assert signals.maintenance(events(change)) == ()
    assert len(signals.maintenance(events(change, {}))) == 1


def test_an_event_that_is_moved_is_another_one() -> None:
    keys = {found.key for found in signals.maintenance(events({}, {"NotBefore": "22 Jan 2019 09:00:43 GMT"}))}
    assert len(keys) == 2


def test_an_event_without_an_id_is_known_by_its_code() -> None:
    (found,) = signals.maintenance(events({"EventId": None}))
    assert found.key == "maintenance system-reboot 21 Jan 2019 09:00:43 GMT"


def test_no_event_is_no_announcement() -> None:
    assert signals.maintenance(b"[]") == ()


@pytest.mark.parametrize("state", ["Terminated", "Warmed:Terminated", "Warmed:Stopped", "Warmed:Running"])
def test_the_way_out_of_a_group_is_an_announcement(state: str) -> None:
    assert signals.autoscaling(f"{state}\n".encode()) == (Announcement("autoscaling", state, f"autoscaling {state}"),)


@pytest.mark.parametrize("state", ["InService", "Detached", "Standby"])
def test_any_other_state_is_none(state: str) -> None:
    assert signals.autoscaling(state.encode()) == ()


def test_an_identity_has_a_name_and_a_begin() -> None:
    assert signals.identity(IDENTITY) == ("i-1234567890abcdef0", utc(2016, 11, 19, 16, 32, 11))
    assert signals.identity(b'{"instanceId": "i-10a64379"}') == ("i-10a64379", None)


@pytest.mark.parametrize(
    "time",
    [
        *("", "now", "2017-09-18", "2017-09-18T08:22:00", "2017-09-18T08:22Z", "2017-09-18 08:22:00Z"),
        *("2017-09-31T08:22:00Z", "2017-09-18T25:22:00Z", "2017-9-18T08:22:00Z", "2017-09-18T08:22:00+01:00"),
        *("2017-09-18T08:22:00Z2017-09-18T08:22:00Z", "٢٠١٧-09-18T08:22:00Z", "0000-09-18T08:22:00Z", "1505722920"),
        *("21 Foo 2019 09:00:43 GMT", "31 Feb 2019 09:00:43 GMT", "21 Jan 2019 09:00:43 CET", "21 Jan 19 09:00:43 GMT"),
        *("Mon, 21 Jan 2019 09:00:43 GMT", "0 Jan 2019 09:00:43 GMT", 3, None, ["2017-09-18T08:22:00Z"]),
    ],
)
def test_what_is_no_time_is_told(time: Any) -> None:
    with pytest.raises(ValueError, match="its time is not a "):
        signals.spot(json.dumps({"action": "terminate", "time": time}).encode())
    with pytest.raises(ValueError, match="its NotBefore is not a "):
        signals.maintenance(events({"NotBefore": time}))


@pytest.mark.parametrize("text", ["2017-09-18T08:22:00Z", "2017-09-18T08:22:00.000Z", "18 Sep 2017 08:22:00 GMT"])
def test_a_time_may_be_written_in_each_of_the_ways_of_ec2(text: str) -> None:
    (found,) = signals.spot(json.dumps({"action": "stop", "time": text}).encode())
    assert found.at == utc(2017, 9, 18, 8, 22, 0)


@pytest.mark.parametrize(
    ("parse", "body", "words"),
    [
        (signals.spot, b"", "not JSON"),
        (signals.spot, b"<html>503</html>", "not JSON: '<html>503"),
        (signals.spot, b"\xff\xfe", "not UTF-8"),
        (signals.spot, b"[]", "not a mapping"),
        (signals.spot, b"{}", "its action is not a text"),
        (signals.spot, b'{"action": "rm -rf /\\n", "time": "2017-09-18T08:22:00Z"}', "its action is not to be"),
        (signals.spot, b"[" * 60_000, "(nested too deep|not JSON)"),
        (signals.rebalance, b'{"time": "2020-10-27T08:22:00Z"}', "its noticeTime is not a text"),
        (signals.rebalance, b'{"noticeTime": "soon"}', "its noticeTime is not a time"),
        (signals.maintenance, b"{}", "not a list"),
        (signals.maintenance, b"[3]", "not a mapping"),
        (signals.maintenance, b"[{}]", "its State is not a text"),
        (signals.maintenance, events({"Code": "a b"}), "its Code is not to be"),
        (signals.maintenance, events({"EventId": "a\nb"}), "its EventId is not to be"),
        (signals.maintenance, events({"NotAfter": "later"}), "its NotAfter is not a time"),
        (signals.autoscaling, b"", "not a state"),
        (signals.autoscaling, b"<html>", "not a state"),
        (signals.autoscaling, b"InService InService", "not a state"),
        (signals.identity, b"{}", "its instanceId is not a text"),
        (signals.identity, b'{"instanceId": "i-10a64379", "pendingTime": "x"}', "its pendingTime is not a time"),
        (signals.identity, b'{"instanceId": "../../etc"}', "its instanceId is not to be"),
    ],
)
def test_garbage_is_told_in_words(parse: Parse, body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse(body)
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from([*EVENT, "action", "time", "noticeTime", "instanceId", "pendingTime"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.binary()
    | st.text().map(str.encode)
    | DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(EVENT, DOCUMENTS))).map(
        lambda found: json.dumps([{**EVENT, **event} for event in found]).encode()
    )
)
def test_whatever_is_there_is_announcements_or_an_error_with_words(body: bytes) -> None:
    for parse in PARSERS:
        try:
            found = parse(body)
        except ValueError as err:
            assert str(err)
        else:
            assert all(one.key.startswith(f"{one.kind} ") and one.key.isprintable() and one.what for one in found)
    try:
        signals.identity(body)
    except ValueError as err:
        assert str(err)
