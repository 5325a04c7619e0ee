"""The fence looked after by the watch, with the tools of the fence's own tests."""

from typing import List

import pytest

from annex_agent.fence_steps import RaiseFence
from annex_agent.machine import Machine
from annex_agent.model import Settings
from annex_agent.system import System
from annex_agent.watch.fencing import Fencing

from .conftest import LiveTree
from .test_fence_steps import PROBE, kernel, mark, probe
from .test_steps import no_one

pytestmark = pytest.mark.usefixtures("listened_log")

OPEN = Settings(restrict_to_root=False)


class Minute:
    """A fence that was raised, and a watch that looks at it; each look comes a minute after the one before."""

    def __init__(self, live: LiveTree) -> None:
        self.live = live
        self.now = 1000.0
        self.fencing = Fencing(live, clock=lambda: self.now)

    def look(self, settings: Settings = Settings(), pause_s: float = 60.0) -> List[str]:  # noqa: B008
        """What was run."""
        self.live.ran.clear()
        self.now += pause_s
        self.fencing.look(settings)
        return [" ".join(argv[:2]) for argv in self.live.ran]

    def flush(self) -> None:
        kernel(self.live).write_text("")


@pytest.fixture
def minute(live: LiveTree, machine: Machine, monkeypatch: "pytest.MonkeyPatch") -> Minute:
    rules = kernel(live)
    put = f"cat >{rules}.new; sed 1,2d {rules}.new >{rules}"
    live.command("nft", f"case $1 in -f) {put};;\nlist) [ -s {rules} ] && cat {rules};; esac")
    probe(live)
    monkeypatch.setattr(LiveTree, "may_filter", True)
    RaiseFence("annex-worker").perform(machine, no_one)
    return Minute(live)


def test_a_fence_that_stands_costs_one_look_a_minute(minute: Minute, caplog: "pytest.LogCaptureFixture") -> None:
    assert minute.look() == ["nft list"]
    assert minute.look(pause_s=59.0) == []
    assert minute.look(pause_s=1.0) == ["nft list"]
    assert caplog.text == ""


def test_one_that_was_flushed_is_put_back_with_a_line(minute: Minute, caplog: "pytest.LogCaptureFixture") -> None:
    before = kernel(minute.live).read_text()
    minute.flush()
    assert minute.look() == ["nft list", "nft -f", "nft list", f"{PROBE} -I"]
    assert kernel(minute.live).read_text() == before
    assert caplog.text.count("is up again (nft)") == 1
    assert minute.look() == ["nft list"]


def test_one_that_cannot_be_put_back_is_told_once_and_tried_again(
    minute: Minute, caplog: "pytest.LogCaptureFixture"
) -> None:
    minute.flush()
    minute.live.command("nft", "echo no such luck >&2; [ $1 = list ]")
    for _ in range(3):
        assert "nft -f" in minute.look()
    assert caplog.text.count("jobs may be able to read the instance metadata service") == 1
    assert not mark(minute.live).exists()
    minute.live.command("nft", f"case $1 in -f) cat >{kernel(minute.live)};;\nlist) cat {kernel(minute.live)};; esac")
    minute.look()
    assert "is up again" in caplog.text


def test_rules_that_do_not_hold_are_told(minute: Minute, caplog: "pytest.LogCaptureFixture") -> None:
    minute.flush()
    probe(minute.live, ipv4="connected")
    minute.look()
    assert "in spite of the rules somebody who is not root gets to 169.254.169.254" in caplog.text


def test_what_was_never_raised_or_is_not_to_be_there_is_left_alone(minute: Minute) -> None:
    minute.flush()
    assert minute.look(OPEN) == []
    mark(minute.live).unlink()
    assert minute.look() == []


def test_who_may_not_see_the_rules_does_not_look(minute: Minute, monkeypatch: "pytest.MonkeyPatch") -> None:
    minute.flush()
    monkeypatch.setattr(LiveTree, "may_filter", False)
    assert minute.look() == []


def test_while_another_annex_agent_is_at_work_it_is_left_to_that(minute: Minute) -> None:
    minute.flush()
    with minute.live.exclusive():
        assert minute.look() == []
    assert minute.look()


def test_whether_this_process_may_is_what_the_kernel_says(tree: System, monkeypatch: "pytest.MonkeyPatch") -> None:
    for effective, may in (("000001ffffffffff", True), ("0000000000001000", True), ("0000000000002fff", False)):
        monkeypatch.setattr("pathlib.Path.read_text", lambda path, e=effective, **more: f"CapPrm:\t0\nCapEff:\t{e}\n")
        assert tree.may_filter is may
