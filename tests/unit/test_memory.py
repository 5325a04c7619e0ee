"""What the watch remembers, on the disk."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.errors import AnnexError
from annex_agent.watch.memory import PATH, parsed, read, text, write
from annex_agent.watch.model import PHASES, Announcement, Leaving, Memory
from annex_agent.watch.reason import INTERRUPTIONS, RANKS

from .conftest import LiveTree

TIMES = st.floats(0, 4e9)
WORDS = st.text(max_size=20)
LEAVINGS = st.builds(
    Leaving,
    *(st.sampled_from(RANKS), WORDS, TIMES, st.none() | TIMES, st.sampled_from(PHASES), WORDS, st.none() | TIMES),
)
MEMORIES = st.builds(
    Memory,
    instance_id=st.none() | WORDS,
    boot_id=WORDS,
    launched=st.none() | TIMES,
    announced=st.lists(
        st.builds(Announcement, st.sampled_from(sorted(INTERRUPTIONS)), WORDS, WORDS, *[st.none() | TIMES] * 2),
        max_size=3,
    ).map(tuple),
    over=st.lists(WORDS, max_size=3).map(tuple),
    leaving=st.none() | LEAVINGS,
    idle_since=st.none() | TIMES,
    has_registered=st.booleans(),
    signalled=st.lists(WORDS, max_size=3).map(tuple),
    said=st.lists(WORDS, max_size=3).map(tuple),
    bootstrap=WORDS,
    **dict.fromkeys(("unlisted_since", "heartbeat", "booted", "awaited_since"), st.none() | TIMES),
)
LEAVING = Leaving("spot", "EC2 terminates this spot instance", 1.5, 2.5, "stopping", "spot terminate", 1.75)
MEMORY = Memory("i-10a64379", "f6d2", 1.0, (Announcement("spot", "terminate", "spot x", 2.5),), ("a", "b"), LEAVING)


@given(MEMORIES)
def test_what_is_written_is_read(memory: Memory) -> None:
    assert parsed(text(memory).encode()) == memory


def test_it_is_written_once_for_all_to_read_and_again_only_when_it_has_changed(live: LiveTree) -> None:
    assert read(live) == Memory()
    assert write(live, MEMORY)
    assert live.mode(PATH) == 0o644
    assert read(live) == MEMORY
    inode = (live.root / PATH.lstrip("/")).stat().st_ino
    assert not write(live, MEMORY)
    assert (live.root / PATH.lstrip("/")).stat().st_ino == inode
    assert write(live, MEMORY._replace(idle_since=3.0))
    assert read(live).idle_since == 3.0


def test_what_is_removed_is_written_again(live: LiveTree) -> None:
    write(live, MEMORY)
    live.remove_file(PATH)
    assert write(live, MEMORY)
    assert read(live) == MEMORY


def test_something_else_in_its_place_is_no_memory_and_an_error_when_it_is_to_be_written(live: LiveTree) -> None:
    (live.root / PATH.lstrip("/")).mkdir(parents=True)
    assert read(live) == Memory()
    with pytest.raises(AnnexError, match=PATH):
        write(live, MEMORY)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", '"x"', "[" * 60_000, "\x00\xff"])
def test_garbage_is_no_memory(live: LiveTree, content: str) -> None:
    live.holds(PATH, content)
    assert read(live) == Memory()


def test_what_another_version_has_written_is_understood_as_far_as_it_goes(live: LiveTree) -> None:
    live.holds(PATH, '{"boot_id": "f6d2", "over": ["a"], "mood": "good"}')
    assert read(live) == Memory(boot_id="f6d2", over=("a",))


def changed(place: str, value: Any) -> bytes:
    record = json.loads(text(MEMORY))
    where = {"": record, "leaving.": record["leaving"], "announced.": record["announced"][0]}
    prefix, _, name = place.rpartition(".")
    where[f"{prefix}." if prefix else ""][name] = value
    return json.dumps(record).encode()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(("boot_id", None), ("boot_id", 3), ("launched", "soon"), ("launched", True), ("launched", float("nan"))),
        *(("launched", float("inf")), ("launched", 10**400), ("instance_id", 3), ("over", "abc"), ("over", [3])),
        *(("over", None), ("has_registered", 1), ("announced", {}), ("announced", [3]), ("announced", None)),
        *(("leaving", []), ("leaving", {}), ("leaving", "spot"), ("leaving.why", "boredom"), ("leaving.phase", "x")),
        *(("leaving.since", None), ("leaving.at", "x"), ("leaving.stopping", [1]), ("announced.kind", "x")),
        *(("announced.at", "x"), ("announced.key", None), ("announced.kind", ["spot"])),
    ],
)
def test_a_field_of_another_type_is_no_memory(live: LiveTree, place: str, value: Any) -> None:
    content = changed(place, value)
    with pytest.raises((ValueError, TypeError)):
        parsed(content)
    live.holds(PATH, content.decode())
    assert read(live) == Memory()


@given(st.sampled_from(Memory._fields), st.recursive(st.none() | st.integers() | WORDS, st.lists))
def test_whatever_is_there_is_a_memory_or_garbage(name: str, value: Any) -> None:
    try:
        found = parsed(changed(name, value))
    except (ValueError, TypeError):
        return
    assert text(found)
