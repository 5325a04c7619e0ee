"""Secrets on disk: root's alone, whole or not at all, never shown, gone when they are not wanted."""

import stat as modes
from pathlib import Path
from typing import List, Optional

import pytest

from annex_agent.errors import SecretError
from annex_agent.htcondor import HTCondor
from annex_agent.machine import Machine
from annex_agent.secret import Secret
from annex_agent.secret_steps import ForgetSecret, StoreSecret
from annex_agent.systemd import Systemd

from .conftest import FixedDaemons, LiveTree
from .test_trust_secrets import GOOD

TOKENS, PASSWORDS = "/etc/condor/tokens.d", "/etc/condor/passwords.d"
TOKEN, PASSWORD = f"{TOKENS}/annex-agent", f"{PASSWORDS}/annex-agent"
# As condor_store_cred does, but that it scrambles otherwise.
SCRAMBLE = 'test "$1 $2 $4 $5" = "add -f -i -" && tr a-z n-za-m > "$3"'


def the_token(value: Optional[bytes] = GOOD) -> StoreSecret:
    return StoreSecret("token", "the token", TOKEN, "ssm:/t", Secret(value, "ssm:/t") if value else None)


def the_password(value: str = "tiger\n") -> StoreSecret:
    return StoreSecret("pool-password", "the pool password", PASSWORD, "ssm:/p", Secret(value.encode(), "ssm:/p"), True)


def say_nothing(sentence: str) -> None:
    raise AssertionError(sentence)


def at(live: LiveTree, path: str) -> Path:
    return live.root / path.lstrip("/")


def mode(path: Path) -> int:
    return modes.S_IMODE(path.stat().st_mode)


@pytest.fixture
def scrambling(live: LiveTree) -> LiveTree:
    live.command("condor_store_cred", SCRAMBLE)
    return live


def stored(machine: Machine, step: StoreSecret) -> Optional[str]:
    """What the step would change before, once it was done: nothing after that."""
    change = step.pending(machine)
    step.perform(machine, say_nothing)
    assert step.pending(machine) is None
    return change.summary if change else None


def test_a_file_of_htcondors_own_is_stored_as_it_is(machine: Machine, live: LiveTree) -> None:
    ready = Secret(b" \x8b\x00\xfescrambled\n\n", "s3://bucket/config-x.tar.gz")
    step = StoreSecret("bundle-secret-1", "a secret", f"{PASSWORDS}/POOL", ready.origin, ready, is_ready=True)
    assert stored(machine, step) == "new file (0600)"
    assert at(live, f"{PASSWORDS}/POOL").read_bytes() == ready.reveal()


def test_a_token_is_roots_alone(machine: Machine, live: LiveTree) -> None:
    assert stored(machine, the_token()) == "new file (0600)"
    assert at(live, TOKEN).read_bytes() == GOOD + b"\n"
    assert mode(at(live, TOKEN)) == 0o600
    assert mode(at(live, TOKENS)) == 0o700
    assert mode(at(live, "/etc/condor")) == 0o755


def test_a_password_is_as_htcondors_own_tool_writes_it_and_passes_by_no_command_line(
    machine: Machine, scrambling: LiveTree
) -> None:
    assert stored(machine, the_password()) == "new file (0600)"
    assert at(scrambling, PASSWORD).read_bytes() == b"gvtre"
    assert mode(at(scrambling, PASSWORD)) == 0o600
    assert [argv[0] for argv in scrambling.ran] == ["condor_store_cred"] * 3
    assert "tiger" not in str(scrambling.ran)


@pytest.mark.parametrize("step", [the_token(), the_password()])
def test_neither_the_look_nor_a_look_at_the_step_shows_it(
    machine: Machine, scrambling: LiveTree, step: StoreSecret
) -> None:
    scrambling.holds(step.path, "another one", 0o600)
    change = step.pending(machine)
    assert change is not None
    assert change.detail == "(secret: not shown)"
    said = f"{change} {step!r} {step.description} {step.perform(machine, say_nothing)}"
    for secret in (GOOD.decode(), "tiger", "gvtre", "another one"):
        assert secret not in said
    assert step.origin in step.description
    assert step.path in step.description


def test_a_look_stores_nothing(machine: Machine, scrambling: LiveTree) -> None:
    for step in (the_token(), the_password()):
        step.pending(machine)
    assert not at(scrambling, "/etc/condor").exists()


def test_mode_and_content_are_mended(machine: Machine, live: LiveTree) -> None:
    live.holds(TOKEN, (GOOD + b"\n").decode(), 0o644)
    assert stored(machine, the_token()) == "changed mode 0644 (0600)"
    live.holds(TOKEN, "another one", 0o600)
    assert stored(machine, the_token()) == "changed content (0600)"


def test_a_directory_that_is_there_keeps_its_mode(machine: Machine, live: LiveTree) -> None:
    at(live, TOKENS).mkdir(parents=True, mode=0o750)
    the_token().perform(machine, say_nothing)
    assert mode(at(live, TOKENS)) == 0o750


def test_the_remains_of_an_interrupted_write_are_seen_and_go(machine: Machine, live: LiveTree) -> None:
    the_token().perform(machine, say_nothing)
    remains = live.holds(f"{TOKENS}/.annex-agent.annex-agent-new", "half a tok", 0o600)
    assert stored(machine, the_token()) == "remains of an interrupted write (0600)"
    assert not remains.exists()


def test_a_secret_that_could_not_be_had_is_told_and_not_stored(machine: Machine, live: LiveTree) -> None:
    change = the_token(None).pending(machine)
    assert change is not None
    assert "could not be had" in change.summary
    with pytest.raises(SecretError, match="ssm:/t"):
        the_token(None).perform(machine, say_nothing)
    assert not at(live, TOKEN).exists()


@pytest.mark.parametrize("script", ["echo 'no such option' >&2; exit 1", "cat >/dev/null", None])
def test_a_tool_that_does_not_take_the_password_is_told(
    machine: Machine, live: LiveTree, script: Optional[str]
) -> None:
    if script:
        live.command("condor_store_cred", script)
    with pytest.raises(SecretError, match=r"the secret ssm:/p cannot be stored: .*condor_store_cred") as caught:
        the_password().perform(machine, say_nothing)
    assert "tiger" not in str(caught.value)
    assert not at(live, PASSWORD).exists()


def unseeing(live: LiveTree) -> Machine:
    """As somebody who may not look into the directories."""

    class Blind(LiveTree):
        def read_file(self, path: str, limit: int = -1) -> None:
            raise PermissionError(13, "Permission denied", path)

    live.__class__ = Blind
    live.user = 1000
    return Machine(live, HTCondor(live), FixedDaemons(), Systemd(live))


def test_whoever_may_not_look_is_told_so(live: LiveTree) -> None:
    machine = unseeing(live)
    for step in (the_token(), ForgetSecret("secret-1", TOKEN, "not wanted")):
        change = step.pending(machine)
        assert change is not None
        assert "only root can see" in change.summary
    live.user = 0
    with pytest.raises(PermissionError):
        the_token().pending(machine)


def test_what_is_not_wanted_goes_with_its_remains(machine: Machine, live: LiveTree) -> None:
    step = ForgetSecret("secret-1", TOKEN, "the settings do not name it any more")
    assert step.pending(machine) is None
    seen: List[Optional[str]] = []
    for path in (TOKEN, f"{TOKENS}/.annex-agent.annex-agent-new"):
        live.holds(path, "x", 0o600)
        change = step.pending(machine)
        seen.append(change and change.summary)
        step.perform(machine, say_nothing)
        assert step.pending(machine) is None
    assert seen == ["it is there", "remains of an interrupted write"]
    assert list(at(live, TOKENS).iterdir()) == []
