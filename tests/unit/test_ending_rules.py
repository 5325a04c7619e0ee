"""The settings of a worker's end: what is told of those that will hardly do what was meant."""

from typing import Any, List

import pytest

from annex_agent import ending_rules
from annex_agent.model import Facts
from annex_agent.plan import Goal, build_plan

from .conftest import WIKI

SPOT = WIKI._replace(instance=WIKI.instance._replace(life_cycle="spot"))


def told(facts: Facts = WIKI, **settings: Any) -> List[str]:
    return list(ending_rules.notes(facts._replace(settings=facts.settings._replace(**settings))))


@pytest.mark.parametrize("facts", [WIKI, SPOT])
def test_the_defaults_are_no_matter(facts: Facts) -> None:
    assert told(facts) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"lease_s": 600, "idle_s": 180, "unregistered_s": 420, "on_failure": "poweroff"},
        {"unregistered_s": 60, "on_failure": "poweroff", "on_unregistered": "keep"},
        {"poll_s": 10, "lead_s": 660},
        {"lead_s": 60, "on_maintenance": "no-new-jobs"},
        {"poll_s": 60, "on_spot": "ignore"},
        {"on_autoscaling": "ignore"},
        {"signals_autoscaling": True},
        # They may matter yet: HTCondor's own idleness, or what is laid over an image's config.yaml.
        {"on_idle": "stop", "on_lease": "stop"},
    ],
)
def test_what_does_as_it_says_is_no_matter(settings: Any) -> None:
    assert told(SPOT, **settings) == []


@pytest.mark.parametrize(
    ("settings", "beginning"),
    [
        ({"lease_s": 599}, "lifetime.lease: 599s after its launch"),
        ({"idle_s": 120}, "lifetime.idle: a negotiator that looks once a minute may not have found this machine a job"),
        ({"unregistered_s": 360, "on_failure": "stop"}, "lifetime.unregistered: 6m may end a bootstrap"),
        ({"unregistered_s": 360, "on_unregistered": "poweroff"}, "lifetime.unregistered: 6m may end a bootstrap"),
        ({"poll_s": 11}, "interruption.poll: EC2's notice may be heard 11s late"),
        ({"lead_s": 659}, "interruption.lead: 659s before a scheduled event a stop that may take 10m"),
        ({"stop_timeout_s": 3600}, "interruption.lead: 1h before a scheduled event a stop that may take 1h"),
        ({"signals_autoscaling": True, "on_autoscaling": "ignore"}, "signal.autoscaling: nobody answers"),
    ],
)
def test_what_will_hardly_do_is_told(settings: Any, beginning: str) -> None:
    (note,) = told(SPOT, **settings)
    assert note.startswith(beginning)


def test_another_instance_than_a_spot_one_gets_no_such_notice() -> None:
    assert told(WIKI, poll_s=60) == []


def test_the_plan_says_it() -> None:
    facts = WIKI._replace(settings=WIKI.settings._replace(lease_s=60))
    assert told(facts)[0] in build_plan(facts, Goal.CONFIGURE).notes
