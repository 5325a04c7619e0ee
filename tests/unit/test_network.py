"""How daemons outside reach the worker: each public address or none x network.advertise x network.ports."""

import itertools
import os
from ipaddress import ip_address
from typing import Any, Dict, List, Optional, Tuple

import pytest

from annex_agent import network
from annex_agent.errors import ConfigError
from annex_agent.grammar import Address
from annex_agent.host import read_host
from annex_agent.machine import Machine
from annex_agent.model import Facts, Knob
from annex_agent.worker_config import worker_blocks

from .conftest import WIKI

PUBLIC = ip_address("67.202.60.66")
PRIVATE = "10.253.191.243"
RANGE = (40000, 40050)
ALWAYS = {
    "PRIVATE_NETWORK_NAME": "amazon-ec2-us-east-1c",
    "PRIVATE_NETWORK_INTERFACE": PRIVATE,
    "NETWORK_INTERFACE": PRIVATE,
}
FORWARDED = {"TCP_FORWARDING_HOST": "67.202.60.66"}
RELAYED = {"CCB_ADDRESS": "$(COLLECTOR_HOST)"}
OWN_PORTS = {"USE_SHARED_PORT": "False", "IN_LOWPORT": "40000", "IN_HIGHPORT": "40050"}
NAMES = {*ALWAYS, *FORWARDED, *RELAYED, *OWN_PORTS, "CCB_TIMEOUT", "LOWPORT", "HIGHPORT", "SHARED_PORT_PORT"}

# What there is beside ALWAYS, and the beginning of the note; None: the plan is refused.
WAYS_IN: Dict[Tuple[bool, str], Optional[Tuple[Dict[str, str], str]]] = {
    (True, "auto"): (FORWARDED, ""),
    (True, "public"): (FORWARDED, ""),
    (True, "private"): ({}, "network.advertise is private"),
    (False, "auto"): (RELAYED, "EC2 gives this instance no public address"),
    (False, "public"): None,
    (False, "private"): ({}, "network.advertise is private"),
}


def facts_of(public: Optional[Address] = PUBLIC, cores: Optional[int] = None, **settings: Any) -> Facts:
    return WIKI._replace(
        instance=WIKI.instance._replace(public_ipv4=public),
        settings=WIKI.settings._replace(**settings),
        host=WIKI.host._replace(cores=cores),
    )


def knobs(facts: Facts) -> Dict[str, str]:
    """Those that are about the network."""
    found = [knob for block in worker_blocks(facts) for knob in block.knobs if knob.name in NAMES]
    assert len({knob.name for knob in found}) == len(found)
    return {knob.name: knob.value for knob in found}


def notes(facts: Facts) -> List[str]:
    return list(network.notes(facts))


@pytest.mark.parametrize("ports", [None, RANGE])
@pytest.mark.parametrize(
    ("has_public", "advertise"), list(itertools.product((True, False), ("auto", "public", "private")))
)
def test_every_way_in(has_public: bool, advertise: str, ports: Optional[Tuple[int, int]]) -> None:
    facts = facts_of(PUBLIC if has_public else None, advertise=advertise, ports=ports)
    expected = WAYS_IN[has_public, advertise]
    if expected is None:
        with pytest.raises(ConfigError, match="network.advertise: public"):
            worker_blocks(facts)
        return
    extra, note = expected
    assert knobs(facts) == {**ALWAYS, **extra, **(OWN_PORTS if ports else {})}
    assert [said.startswith(note) for said in notes(facts)] == ([True] if note else [])
    assert network.is_relayed(facts) == ("CCB_ADDRESS" in extra)


def test_a_note_speaks_of_ccb_where_there_is_ccb() -> None:
    (relayed,) = notes(facts_of(None))
    assert "through the collector (CCB)" in relayed
    (private,) = notes(facts_of(advertise="private"))
    assert "CCB are left out" in private
    assert f"only daemons that reach {PRIVATE} themselves" in private


def test_an_owner_who_names_a_broker_is_not_told_that_there_is_none() -> None:
    assert notes(facts_of(advertise="private", condor=(Knob("ccb_address", "$(COLLECTOR_HOST)"),))) == []


@pytest.mark.parametrize("managers", [("cm1", "cm2:9620"), ()])
def test_of_several_collectors_a_silent_one_does_not_hold_up_the_startd(managers: Tuple[str, ...]) -> None:
    seen = knobs(facts_of(None, central_manager=managers))
    assert seen["CCB_ADDRESS"] == "$(COLLECTOR_HOST)"
    assert 0 < int(seen["CCB_TIMEOUT"]) <= 30


class TestANarrowRange:
    @pytest.mark.parametrize(("high", "told"), [(40005, False), (40004, True), (40002, True)])
    def test_it_is_noted_when_not_all_cores_can_have_a_job(self, high: int, told: bool) -> None:
        said = notes(facts_of(ports=(40000, high), cores=4))
        assert bool(said) is told
        for sentence in said:
            assert f"40000-{high} has room for {high - 40001} jobs" in sentence
            assert "6 ports would do" in sentence

    def test_the_cores_are_those_of_the_running_machine(self, machine: Machine) -> None:
        assert read_host(machine).cores == os.cpu_count()

    def test_nobody_knows_how_many_are_needed(self) -> None:
        assert notes(facts_of(ports=(40000, 40002))) == []
        owned = (Knob("NUM_CPUS", "1"),)
        assert notes(facts_of(ports=(40000, 40002), cores=4, condor=owned)) == []
        assert notes(facts_of(cores=64)) == []
