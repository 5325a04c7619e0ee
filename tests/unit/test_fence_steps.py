"""The steps that raise and lower the fence, with tools and a probe that fail as the real ones do not on demand."""

import json
import stat
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from annex_agent.errors import FenceError, MetadataError, MetadataUnreachable
from annex_agent.fence import ADDRESSES
from annex_agent.fence_steps import FENCE, LowerFence, RaiseFence, fence_is_up
from annex_agent.gather import Wanted, gather
from annex_agent.machine import Machine
from annex_agent.system import CONFIGURED

from .conftest import LiveTree
from .test_steps import no_one, summary

RAISE = RaiseFence("annex-worker")
HARMLESS = RaiseFence(None)
LOWER = LowerFence()
PROBE = sys.executable


def kernel(live: LiveTree) -> Path:
    return live.root / "kernel"


def probe(live: LiveTree, ipv4: str = "ECONNREFUSED", ipv6: str = "ENETUNREACH") -> None:
    live.command(PROBE, f"echo {ADDRESSES[0]} {ipv4}\necho {ADDRESSES[1]} {ipv6}")


@pytest.fixture
def nft(live: LiveTree) -> LiveTree:
    """An nft whose kernel is a file, and a probe that is refused."""
    rules = kernel(live)
    live.command(
        "nft",
        f"case $1 in -f) cat >{rules}.new; sed 1,2d {rules}.new >{rules};;\nlist) [ -s {rules} ] && cat {rules};; esac",
    )
    probe(live)
    return live


def mark(live: LiveTree) -> Path:
    return live.root / FENCE.lstrip("/")


class TestRaiseFence:
    def test_a_second_run_finds_nothing_to_do(self, nft: LiveTree, machine: Machine) -> None:
        assert summary(RAISE, machine) == "its rules are not loaded"
        assert RAISE.perform(machine, no_one) == "only root reaches the instance metadata service (nft)"
        assert RAISE.pending(machine) is None

    def test_to_look_where_it_was_never_raised_runs_nothing(self, nft: LiveTree, machine: Machine) -> None:
        RAISE.pending(machine)
        assert nft.ran == []
        assert not mark(nft).exists()

    def test_it_takes_few_processes(self, nft: LiveTree, machine: Machine) -> None:
        RAISE.perform(machine, no_one)
        assert [argv[:2] for argv in nft.ran] == [("nft", "-f"), ("nft", "list"), (PROBE, "-I")]

    def test_everybody_may_read_the_mark(self, nft: LiveTree, machine: Machine) -> None:
        assert not fence_is_up(nft)
        RAISE.perform(machine, no_one)
        assert stat.S_IMODE(mark(nft).stat().st_mode) == 0o644
        assert fence_is_up(nft)

    def test_rules_that_have_changed_are_loaded_again(self, nft: LiveTree, machine: Machine) -> None:
        RAISE.perform(machine, no_one)
        before = kernel(nft).read_text()
        kernel(nft).write_text(before.replace("reject", "accept"))
        nft.ran.clear()
        assert summary(RAISE, machine) == "the rules in the kernel are not those that were loaded"
        assert PROBE not in [argv[0] for argv in nft.ran], "it is tried only where the rules are in place"
        RAISE.perform(machine, no_one)
        assert kernel(nft).read_text() == before
        assert RAISE.pending(machine) is None

    @pytest.mark.parametrize("gone", ["rules", "tool"])
    def test_a_mark_alone_is_no_fence(self, nft: LiveTree, machine: Machine, gone: str) -> None:
        RAISE.perform(machine, no_one)
        (kernel(nft) if gone == "rules" else nft.commands / "nft").unlink()
        nft.command("iptables", "exit 0")
        assert summary(RAISE, machine) == "the rules in the kernel are not those that were loaded"

    def test_another_versions_rules_are_replaced(
        self, nft: LiveTree, machine: Machine, monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        RAISE.perform(machine, no_one)
        monkeypatch.setattr("annex_agent.fence.nft_rules", lambda: "another version's rules")
        assert RAISE.pending(machine) is not None

    def test_a_fence_that_does_not_hold_is_no_fence(self, nft: LiveTree, machine: Machine) -> None:
        RAISE.perform(machine, no_one)
        probe(nft, ipv6="connected")
        assert f"gets to {ADDRESSES[1]} (connected)" in summary(RAISE, machine)

    def test_others_than_root_are_told_that_they_cannot_see_the_rules(self, nft: LiveTree, machine: Machine) -> None:
        RAISE.perform(machine, no_one)
        nft.user, nft.ran = 1000, []
        assert summary(RAISE, machine) == "only root can see the rules"
        assert nft.ran == []

    @pytest.mark.parametrize("user", [0, 1000])
    def test_a_machine_without_a_tool_is_told(self, live: LiveTree, machine: Machine, user: int) -> None:
        live.user = user
        assert summary(RAISE, machine) == "neither nft nor iptables is installed: it cannot be done"


def break_tool(live: LiveTree, fault: str) -> None:
    faults: Dict[str, Callable[[], object]] = {
        "no tool": (live.commands / "nft").unlink,
        "nft refuses": lambda: live.command("nft", "echo 'Error: syntax error' >&2; exit 1"),
        "nft forgets": lambda: live.command("nft", "exit 0"),
        "nft hangs": lambda: live.command("nft", "exec sleep 60"),
        "it gets through": lambda: probe(live, ipv4="connected"),
        "no answer": lambda: probe(live, ipv4="no answer"),
        "the probe fails": lambda: live.command(PROBE, "echo 'no such module' >&2; exit 1"),
        "no probe": (live.commands / PROBE.lstrip("/")).unlink,
    }
    live.patience_s = 0.5
    faults[fault]()


FAULTS = {
    "no tool": "neither nft nor iptables is installed",
    "nft refuses": "nft does not take the rules: Error: syntax error",
    "nft forgets": "nft took the rules, but does not list them",
    "nft hangs": "did not end within",
    "it gets through": f"somebody who is not root gets to {ADDRESSES[0]} (connected)",
    "no answer": f"somebody who is not root gets to {ADDRESSES[0]} (no answer)",
    "the probe fails": "could not be tried: no such module",
    "no probe": "cannot be run",
}


@pytest.mark.parametrize("fault", FAULTS)
class TestAFenceThatCannotBeRaised:
    def test_with_a_role_it_ends_the_run_and_nothing_may_start_htcondor(
        self, nft: LiveTree, machine: Machine, fault: str
    ) -> None:
        configured = nft.holds(CONFIGURED, "fingerprint")
        break_tool(nft, fault)
        with pytest.raises(FenceError) as caught:
            RAISE.perform(machine, no_one)
        said = str(caught.value)
        assert caught.value.exit_code == 1
        assert FAULTS[fault] in said
        assert "the role annex-worker" in said
        assert "restrict_to_root: false" in said
        assert not configured.exists()

    def test_without_one_it_is_a_warning(self, nft: LiveTree, machine: Machine, fault: str) -> None:
        configured = nft.holds(CONFIGURED, "fingerprint")
        break_tool(nft, fault)
        told: List[str] = []
        assert HARMLESS.perform(machine, told.append) == "the instance metadata service is open to every process"
        (sentence,) = told
        assert FAULTS[fault] in sentence
        assert configured.exists()

    def test_no_later_run_takes_it_for_raised(self, nft: LiveTree, machine: Machine, fault: str) -> None:
        RAISE.perform(machine, no_one)
        break_tool(nft, fault)
        HARMLESS.perform(machine, lambda sentence: None)
        assert RAISE.pending(machine) is not None


@pytest.mark.parametrize("fault", ["no tool", "nft refuses", "nft forgets", "nft hangs"])
def test_nobody_is_told_to_be_fenced_off_by_rules_that_were_not_loaded(
    nft: LiveTree, machine: Machine, fault: str
) -> None:
    RAISE.perform(machine, no_one)
    break_tool(nft, fault)
    HARMLESS.perform(machine, lambda sentence: None)
    assert not fence_is_up(nft)


class TestTools:
    def restored(self, live: LiveTree) -> List[str]:
        return [argv[0] for argv in live.ran if argv[0].endswith("-restore")]

    @pytest.fixture
    def iptables(self, live: LiveTree) -> LiveTree:
        """Both families' commands, each with a kernel that has taken the rules."""
        probe(live)
        live.command("iptables", "exit 1")
        for family in ("iptables", "ip6tables"):
            live.command(f"{family}-save", "printf '*mangle\\n-A FORWARD -j annex-agent\\nCOMMIT\\n'")
            live.command(f"{family}-restore", "cat >/dev/null")
        return live

    def test_a_kernel_without_ipv6_is_not_asked_for_it(self, iptables: LiveTree, machine: Machine) -> None:
        RAISE.perform(machine, no_one)
        assert self.restored(iptables) == ["iptables-restore"]

    def test_with_ipv6_both_families_have_to_be_fenced_off(self, iptables: LiveTree, machine: Machine) -> None:
        (iptables.root / "proc/sys/net/ipv6").mkdir(parents=True)
        RAISE.perform(machine, no_one)
        assert self.restored(iptables) == ["iptables-restore", "ip6tables-restore"]
        (iptables.commands / "ip6tables-save").unlink()
        with pytest.raises(FenceError, match="ip6tables-save cannot be run"):
            RAISE.perform(machine, no_one)

    def test_where_nft_fails_iptables_is_tried(self, nft: LiveTree, iptables: LiveTree, machine: Machine) -> None:
        nft.command("nft", "echo 'Error: Operation not supported' >&2; exit 1")
        assert "(iptables)" in RAISE.perform(machine, no_one)
        iptables.command("iptables-restore", "echo 'No chain by that name' >&2; exit 1")
        with pytest.raises(FenceError, match=r"nft does not take .* supported; iptables-restore does not .* that name"):
            RAISE.perform(machine, no_one)


class TestLowerFence:
    def test_where_nothing_is_there_is_nothing_to_do(self, nft: LiveTree, machine: Machine) -> None:
        assert LOWER.pending(machine) is None

    def test_a_second_run_finds_nothing_to_do(self, nft: LiveTree, machine: Machine) -> None:
        RAISE.perform(machine, no_one)
        assert summary(LOWER, machine) == "its mark is there, nft has its rules"
        assert LOWER.perform(machine, no_one) == "every process reaches the instance metadata service"
        assert not mark(nft).exists()
        assert kernel(nft).read_text() == ""
        assert LOWER.pending(machine) is None

    @pytest.mark.parametrize("left", ["mark", "rules"])
    def test_half_a_fence_is_lowered_too(self, nft: LiveTree, machine: Machine, left: str) -> None:
        RAISE.perform(machine, no_one)
        (kernel(nft) if left == "mark" else mark(nft)).unlink()
        assert LOWER.pending(machine) is not None
        LOWER.perform(machine, no_one)
        assert LOWER.pending(machine) is None

    def test_it_is_seen_by_everybody(self, nft: LiveTree, machine: Machine) -> None:
        RAISE.perform(machine, no_one)
        nft.user, nft.ran = 1000, []
        assert summary(LOWER, machine) == "its mark is there"
        assert nft.ran == []

    def test_without_any_tool_there_is_nothing_but_the_mark(self, live: LiveTree, machine: Machine) -> None:
        assert LOWER.pending(machine) is None
        live.holds(FENCE)
        LOWER.perform(machine, no_one)
        assert LOWER.pending(machine) is None


@pytest.mark.parametrize("step", [RAISE, HARMLESS, LOWER])
def test_a_description_is_one_line(step: Any) -> None:
    assert "\n" not in step.description


class TestWhoIsFencedOff:
    """Nothing answers at the real addresses here, or what does is not asked: an unroutable one stands in for it."""

    @pytest.fixture(autouse=True)
    def nothing_there(self, live: LiveTree, monkeypatch: "pytest.MonkeyPatch") -> None:
        # Port 1 of loopback refuses at once, as the fence does, on any machine and with any network.
        monkeypatch.setattr("annex_agent.imds.access.IPV4_ENDPOINT", "http://127.0.0.1:1")
        monkeypatch.setattr("annex_agent.imds.access.IPV6_ENDPOINT", "http://[::1]:1")
        monkeypatch.setattr("annex_agent.metadata.IPV4_ENDPOINT", "http://127.0.0.1:1")
        monkeypatch.setattr("annex_agent.metadata.IPV6_ENDPOINT", "http://[::1]:1")

    def said(self, machine: Machine, deadline_s: float, **environ: str) -> MetadataError:
        with pytest.raises(MetadataError) as caught:
            gather(machine, Wanted(deadline_s=deadline_s), environ)
        return caught.value

    @pytest.mark.timeout(60)
    def test_they_are_told_so_without_waiting_for_the_deadline(self, live: LiveTree, machine: Machine) -> None:
        live.holds(FENCE)
        live.user = 1000
        err = self.said(machine, deadline_s=3600.0)
        assert err.exit_code == 4
        assert "this user (uid 1000) is fenced off from the instance metadata service" in str(err)
        assert "run sudo annex-agent --dry-run" in str(err)

    @pytest.mark.parametrize("what", ["root", "no fence", "elsewhere"])
    def test_others_are_told_what_it_really_is(self, live: LiveTree, machine: Machine, what: str) -> None:
        live.user = 0 if what == "root" else 1000
        if what != "no fence":
            live.holds(FENCE)
        elsewhere = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:2"} if what == "elsewhere" else {}
        err = self.said(machine, 0.1, **elsewhere)
        assert isinstance(err, MetadataUnreachable)
        assert "no metadata service answers" in str(err)
        assert "fenced off" not in str(err)

    def test_a_wrong_config_file_is_told_with_it(self, live: LiveTree, machine: Machine) -> None:
        live.holds(FENCE)
        live.holds("/etc/annex-agent/config.yaml", json.dumps({"annex": 7}))
        live.user = 1000
        with pytest.raises(Exception, match=r"annex: must be text.*fenced off") as caught:
            gather(machine, Wanted(), {})
        assert getattr(caught.value, "exit_code", None) == 5
