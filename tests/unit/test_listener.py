"""Listening to the emulated metadata service: what is asked when, and that nothing it does is an exception."""

import json
from dataclasses import replace
from typing import Iterator, List, Tuple

import pytest

from annex_agent.emulator import Emulator, Fault, Service
from annex_agent.emulator.profile import bundled
from annex_agent.model import Settings
from annex_agent.watch.listener import Listener
from annex_agent.watch.model import AUTOSCALING, MAINTENANCE, REBALANCE, SPOT, Heard

pytestmark = pytest.mark.usefixtures("listened_log")

NOTICE = '{"action": "terminate", "time": "2026-11-21T15:02:00Z"}'
AT = 1795273320.0
SPOT_PATH = "/latest/meta-data/spot/instance-action"
REBALANCE_PATH = "/latest/meta-data/events/recommendations/rebalance"
AUTOSCALING_PATH = "/latest/meta-data/autoscaling/target-lifecycle-state"
MAINTENANCE_PATH = "/latest/meta-data/events/maintenance/scheduled"
IDENTITY_PATH = "/latest/dynamic/instance-identity/document"
LIFE_CYCLE_PATH = "/latest/meta-data/instance-life-cycle"
ONCE = (LIFE_CYCLE_PATH, IDENTITY_PATH)


class Turns:
    """A listener, and a clock that goes on by four seconds a turn."""

    def __init__(self, url: str) -> None:
        self.now = 1000.0
        self.day = 0.0
        self.settings = Settings()
        self.environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}
        self.listener = Listener(self.environ, clock=lambda: self.now, now=lambda: self.day)

    def __call__(self, pause_s: float = 4.0) -> Heard:
        self.now += pause_s
        return self.listener.listen(self.settings)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(replace(bundled("spot"), launched="2008-10-01T00:00:00Z")) as running:
        running.set("spot/instance-action", None)
        running.set("events/recommendations/rebalance", None)
        running.set("events/maintenance/scheduled", None)
        yield running


@pytest.fixture
def turns(emulator: Emulator) -> Iterator[Turns]:
    made = Turns(emulator.url)
    yield made
    made.listener.close()


def failing(emulator: Emulator, *faults: Fault, **service: bool) -> None:
    emulator.profile = replace(emulator.profile, faults=faults, service=Service(**service))


def asked(emulator: Emulator) -> List[str]:
    return [request.path for request in emulator.requests_seen() if request.method == "GET"]


def logged(caplog: "pytest.LogCaptureFixture", part: str) -> int:
    return sum(part in record.getMessage() for record in caplog.records)


def test_a_spot_notice_is_heard_in_the_turn_after_it_was_given(emulator: Emulator, turns: Turns) -> None:
    assert turns().announcements == ()
    emulator.set("spot/instance-action", NOTICE)
    heard = turns()
    (announcement,) = heard.announcements
    assert (announcement.kind, announcement.what, announcement.at) == (SPOT, "terminate", AT)
    assert SPOT in heard.answered


def test_a_key_that_is_not_there_is_an_answer(turns: Turns) -> None:
    assert turns().answered | turns().answered == {SPOT, REBALANCE, AUTOSCALING, MAINTENANCE}


def test_what_is_urgent_is_asked_in_every_turn_and_the_rest_less_often(emulator: Emulator, turns: Turns) -> None:
    turns()
    turns()
    emulator.requests_seen()
    for _ in range(30):  # two minutes
        turns()
    paths = asked(emulator)
    assert paths.count(SPOT_PATH) == 30
    assert paths.count(REBALANCE_PATH) == paths.count(AUTOSCALING_PATH) == 15
    assert paths.count(MAINTENANCE_PATH) == 2
    assert set(ONCE) & set(paths) == set()


def test_two_of_the_less_urgent_are_never_asked_in_one_turn(emulator: Emulator, turns: Turns) -> None:
    for _ in range(6):
        turns()
        assert len({REBALANCE_PATH, AUTOSCALING_PATH} & set(asked(emulator))) == 1


def test_who_this_is_is_asked_once_and_told_each_time(emulator: Emulator, turns: Turns) -> None:
    identity = (bundled("spot").meta_data["instance-id"], 1222819200.0)
    assert [(heard.instance_id, heard.launched) for heard in (turns(), turns())] == [identity, identity]
    assert asked(emulator).count(IDENTITY_PATH) == 1


def test_an_instance_that_is_not_spot_is_not_taken_back(emulator: Emulator, turns: Turns) -> None:
    emulator.set("instance-life-cycle", "on-demand")
    emulator.set("spot/instance-action", NOTICE)
    assert SPOT in turns().answered  # not known yet
    emulator.requests_seen()
    turns()
    turns()
    assert {SPOT_PATH, REBALANCE_PATH, *ONCE} & set(asked(emulator)) == set()


def test_without_a_life_cycle_it_may_be_spot(emulator: Emulator, turns: Turns) -> None:
    emulator.set("instance-life-cycle", None)
    for _ in range(10):
        turns()
    paths = asked(emulator)
    assert paths.count(SPOT_PATH) == 10
    assert paths.count(LIFE_CYCLE_PATH) == 1
    turns(60.0)
    assert LIFE_CYCLE_PATH in asked(emulator)


@pytest.mark.parametrize(("signals", "is_asked"), [(False, False), (True, True)])
def test_the_group_is_asked_for_only_where_that_matters(
    emulator: Emulator, turns: Turns, signals: bool, is_asked: bool
) -> None:
    turns.settings = Settings(on_autoscaling="ignore", signals_autoscaling=signals)
    turns()
    turns()
    assert (AUTOSCALING_PATH in asked(emulator)) is is_asked


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="meta-data/spot/*", status=401),
        Fault(path="meta-data/spot/*", status=403),
        Fault(path="meta-data/spot/*", status=503, retry_after=60),
        Fault(path="meta-data/spot/*", status=200, body=b"\xff{garbage"),
        Fault(path="meta-data/spot/*", status=200, body=b"[" * 5000),
        Fault(path="meta-data/spot/*", status=200, size=70000),
        Fault(path="meta-data/spot/*", reset=True),
    ],
)
def test_a_bad_answer_about_one_kind_leaves_the_others_heard(
    emulator: Emulator, turns: Turns, fault: Fault, caplog: "pytest.LogCaptureFixture"
) -> None:
    emulator.set("spot/instance-action", NOTICE)
    failing(emulator, fault)
    heard = turns()
    assert SPOT not in heard.answered
    assert {REBALANCE, MAINTENANCE} <= heard.answered
    assert heard.announcements == ()
    assert heard.instance_id
    assert heard.trouble
    failing(emulator)
    heard = turns()
    assert [announcement.at for announcement in heard.announcements] == [AT]
    assert heard.trouble is None


def test_one_key_is_asked_once_a_turn(emulator: Emulator, turns: Turns) -> None:
    failing(emulator, Fault(path="meta-data/*", status=503))
    turns()
    assert asked(emulator).count(SPOT_PATH) == 1


def test_a_service_that_is_away_and_comes_back(emulator: Emulator, turns: Turns) -> None:
    emulator.refuse()
    heard = turns()
    assert heard == Heard(trouble=heard.trouble)
    assert "no metadata service answers" in str(heard.trouble)
    emulator.listen()
    assert SPOT in turns().answered
    assert turns().instance_id


def test_a_service_that_restarts_with_other_tokens(emulator: Emulator, turns: Turns) -> None:
    turns()
    emulator.set("spot/instance-action", NOTICE)
    for connection in list(emulator._connections):
        connection.close()
    emulator._tokens._expiry.clear()
    assert SPOT in turns().answered


def test_for_a_moment_it_seems_to_know_only_version_1(emulator: Emulator, turns: Turns) -> None:
    failing(emulator, Fault(path="api/token", status=404), v1=False)
    assert turns().answered == frozenset()
    failing(emulator, v1=False)
    assert SPOT in turns().answered


def test_version_1_is_spoken_only_where_the_settings_let_it(emulator: Emulator, turns: Turns) -> None:
    failing(emulator, v2=False)
    turns.settings = Settings(metadata_v1="never")
    assert "knows only IMDSv1" in str(turns().trouble)
    turns.settings = Settings()
    assert SPOT in turns().answered
    turns.settings = Settings(metadata_v1="never")
    assert turns().answered == frozenset()


def test_a_token_is_renewed_before_it_expires(emulator: Emulator, turns: Turns) -> None:
    for _ in range(400):
        turns()
    assert {request.status for request in emulator.requests} <= {200, 404}
    assert [request.method for request in emulator.requests].count("PUT") == 3


def test_when_the_time_of_a_turn_is_over_the_rest_is_asked_in_the_next_one(emulator: Emulator) -> None:
    turn = [1]
    is_slow = [True]

    def clock() -> float:  # a token and one key have taken all the time
        return 4.0 * turn[0] + (2.0 if is_slow[0] and len(emulator.requests) >= 2 else 0.0)

    listener = Listener({"AWS_EC2_METADATA_SERVICE_ENDPOINT": emulator.url}, clock=clock)
    listener.listen(Settings())
    assert len(emulator.requests_seen()) == 2
    turn[0], is_slow[0] = 2, False
    assert MAINTENANCE in listener.listen(Settings()).answered
    listener.close()


def test_one_key_that_is_swallowed_does_not_keep_the_next_from_being_asked(emulator: Emulator, turns: Turns) -> None:
    failing(emulator, Fault(path="meta-data/spot/*", black_hole=True))
    heard = turns()
    assert REBALANCE in heard.answered
    assert "was not answered" in str(heard.trouble)


@pytest.mark.parametrize(("behind_s", "told"), [(90.0, 90.0), (-3600.0, -3600.0), (0.9, 0.0), (-0.9, 0.0)])
def test_the_clock_of_the_service_is_told(
    emulator: Emulator, turns: Turns, behind_s: float, told: float, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    monkeypatch.setattr("annex_agent.emulator.http.formatdate", lambda usegmt: "Sat, 21 Nov 2026 15:00:00 GMT")
    turns.day = AT - 120.0 - behind_s
    assert turns().ahead_s == pytest.approx(told, abs=0.6)
    monkeypatch.setattr("annex_agent.emulator.http.formatdate", lambda usegmt: "yesterday")
    assert turns().ahead_s == pytest.approx(told, abs=0.6)
    emulator.refuse()
    assert turns().ahead_s == pytest.approx(told, abs=0.6)


def test_trouble_is_told_when_it_begins_and_when_it_is_over_for_good(
    emulator: Emulator, turns: Turns, caplog: "pytest.LogCaptureFixture"
) -> None:
    turns()
    for _ in range(5):  # it comes and goes
        failing(emulator, Fault(path="meta-data/spot/*", status=503))
        turns()
        failing(emulator)
        turns()
    assert logged(caplog, "cannot be heard") == 1
    assert logged(caplog, "can be heard again") == 0
    for _ in range(20):
        turns()
    assert logged(caplog, "can be heard again") == 1
    failing(emulator, Fault(path="meta-data/spot/*", status=503))
    turns()
    assert logged(caplog, "cannot be heard") == 2


def test_what_is_not_asked_any_more_is_no_trouble(emulator: Emulator, turns: Turns) -> None:
    failing(emulator, Fault(path="meta-data/autoscaling/*", status=503))
    assert [turns().trouble is None for _ in range(3)] == [True, False, False]
    turns.settings = Settings(on_autoscaling="ignore")
    assert turns().trouble is None


def test_what_is_asked_seldom_stays_trouble_until_it_is_well(emulator: Emulator, turns: Turns) -> None:
    failing(emulator, Fault(path="meta-data/events/maintenance/*", status=200, body=b"<html>", times=1))
    troubles = [turns().trouble for _ in range(16)]
    assert all(troubles[:15])
    assert troubles[15] is None


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://x", "https://127.0.0.1:1"])
def test_an_endpoint_that_is_none_is_trouble_and_no_end(endpoint: str) -> None:
    listener = Listener({"AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint})
    heard = listener.listen(Settings())
    assert heard.answered == frozenset()
    assert heard.trouble


def scheduled(code: str, state: str = "active") -> str:
    return json.dumps(
        [
            {
                "NotBefore": "21 Nov 2026 16:00:00 GMT",
                "NotAfter": "21 Nov 2026 18:00:00 GMT",
                "Code": code,
                "Description": "x",
                "EventId": "instance-event-0d59937288b749b32",
                "State": state,
            }
        ]
    )


@pytest.mark.parametrize(
    ("key", "value", "heard"),
    [
        ("events/recommendations/rebalance", '{"noticeTime": "2026-11-21T15:00:00Z"}', [(REBALANCE, "rebalance")]),
        ("autoscaling/target-lifecycle-state", "Terminated", [(AUTOSCALING, "Terminated")]),
        ("autoscaling/target-lifecycle-state", "InService", []),
        ("events/maintenance/scheduled", scheduled("system-reboot"), [(MAINTENANCE, "system-reboot")]),
        ("events/maintenance/scheduled", scheduled("system-reboot", "completed"), []),
    ],
)
def test_each_kind_is_heard_within_two_turns(
    emulator: Emulator, turns: Turns, key: str, value: str, heard: List[Tuple[str, str]]
) -> None:
    emulator.set(key, value)
    announcements = [*turns().announcements, *turns().announcements]
    assert [(announcement.kind, announcement.what) for announcement in announcements] == heard
