"""Whose disk this is."""

import pytest

from annex_agent.model import State
from annex_agent.state import PATH, boot_id, read_state, state_text
from annex_agent.system import System

from .conftest import LiveTree

STATE = State("i-10a64379", "f6d2", "ec2-67-202-60-66.compute-1.amazonaws.com")


def test_what_is_written_is_read(live: LiveTree) -> None:
    assert read_state(live) is None
    live.holds(PATH, state_text(STATE))
    assert read_state(live) == STATE


def test_where_secrets_are_is_read_and_a_record_from_before_there_were_any_names_none(live: LiveTree) -> None:
    live.holds(PATH, state_text(STATE._replace(secrets=("/etc/condor/tokens.d/annex-agent",))))
    assert read_state(live) == STATE._replace(secrets=("/etc/condor/tokens.d/annex-agent",))
    live.holds(PATH, '{"instance_id": "i-10a64379", "boot_id": "f6d2"}')
    assert read_state(live) == STATE._replace(host_name=None)


def test_a_host_name_that_was_left_alone_is_none(live: LiveTree) -> None:
    live.holds(PATH, state_text(STATE._replace(host_name=None)))
    assert read_state(live) == STATE._replace(host_name=None)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '{"instance_id": "i-1"}', '{"secrets": 3}'])
def test_a_record_that_cannot_be_read_is_none(live: LiveTree, text: str) -> None:
    live.holds(PATH, text)
    assert read_state(live) is None


def test_something_else_in_its_place_is_none(live: LiveTree) -> None:
    (live.root / PATH.lstrip("/")).mkdir(parents=True)
    assert read_state(live) is None


def test_a_boot_has_an_identifier_and_a_tree_has_none(live: LiveTree, tree: System) -> None:
    live.holds("/proc/sys/kernel/random/boot_id", "5b1f\n")
    assert boot_id(live) == "5b1f"
    assert boot_id(tree) == ""
