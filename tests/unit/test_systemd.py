"""systemd, through a systemctl that answers in the words of the real one."""

import pytest

from annex_agent.daemon_steps import StartDaemons
from annex_agent.errors import DaemonError
from annex_agent.htcondor import HTCondor
from annex_agent.machine import Machine
from annex_agent.model import FINGERPRINT
from annex_agent.stop_steps import StopDaemons
from annex_agent.systemd import AGENT_UNIT, CONDOR_UNIT, Systemd
from annex_agent.unit_steps import FollowUnit

from .conftest import FixedDaemons, LiveTree

KEPT = "LoadState=loaded\nEnvironmentFiles=/etc/sysconfig/condor (ignore_errors=yes)\n"
OURS = "EnvironmentFiles=/run/annex-agent/configured (ignore_errors=yes)\n"


def no_one(sentence: str) -> None:
    raise AssertionError(f"nothing had to be said, but: {sentence}")


def booted(live: LiveTree, *, says: str = "", code: int = 0, complains: str = "") -> None:
    """Have systemd run in the tree, with a systemctl that answers any question with the same words."""
    (live.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
    script = f"cat <<'END'\n{says}\nEND\nprintf '%s' '{complains}' >&2\nexit {code}"
    live.command("systemctl", script)


def is_(state: str) -> str:
    return f"LoadState=loaded\nActiveState={state}"


class TestUnits:
    def test_without_systemd_there_are_none(self, live: LiveTree) -> None:
        systemd = Systemd(live)
        assert not systemd.runs
        assert not systemd.keeps_condor
        assert systemd.active_state(AGENT_UNIT) == ""
        assert live.ran == []

    def test_condors_unit_is_kept_once_the_mark_is_its_environment(self, live: LiveTree) -> None:
        booted(live, says=KEPT)
        assert not Systemd(live).keeps_condor
        booted(live, says=KEPT + OURS)
        assert Systemd(live).keeps_condor

    def test_a_unit_that_is_not_there_has_no_state(self, live: LiveTree) -> None:
        booted(live, says="LoadState=not-found\nActiveState=inactive")
        assert Systemd(live).active_state(AGENT_UNIT) == ""
        booted(live, says=is_("failed"))
        assert Systemd(live).active_state(AGENT_UNIT) == "failed"

    def test_systemds_refusal_is_told_in_its_words(self, live: LiveTree) -> None:
        booted(live, code=4, complains="Unit condor.service not found.")
        with pytest.raises(DaemonError, match=r"systemctl start condor.service: Unit condor.service not found\."):
            Systemd(live).start(CONDOR_UNIT)
        with pytest.raises(DaemonError, match="systemctl stop"):
            Systemd(live).request("stop", CONDOR_UNIT)
        with pytest.raises(DaemonError, match="systemctl stop"):
            Systemd(live).settle(CONDOR_UNIT)


class TestFollowUnit:
    @pytest.mark.parametrize(
        ("active", "state", "follows"),
        [
            (True, "inactive", True),
            (True, "failed", True),
            (True, "activating", False),  # systemd itself has us start
            (True, "active", False),
            (False, "active", True),
            (False, "deactivating", False),  # systemd itself has us stop
            (False, "inactive", False),
            (False, "failed", False),
        ],
    )
    def test_only_a_unit_that_says_otherwise_has_to_follow(
        self, machine: Machine, live: LiveTree, active: bool, state: str, follows: bool
    ) -> None:
        booted(live, says=is_(state))
        change = FollowUnit(active).pending(machine)
        assert (change.summary if change else None) == (f"it is {state}" if follows else None)

    def test_without_systemd_nothing_follows(self, machine: Machine) -> None:
        assert FollowUnit(active=True).pending(machine) is None

    def test_it_is_not_waited_for(self, machine: Machine, live: LiveTree) -> None:
        booted(live)
        FollowUnit(active=True).perform(machine, no_one)
        FollowUnit(active=False).perform(machine, no_one)
        assert live.ran == [
            ("systemctl", "--no-block", "start", AGENT_UNIT),
            ("systemctl", "--no-block", "stop", AGENT_UNIT),
        ]


class TestStartBySystemd:
    STEP = StartDaemons("f1", (), by_systemd=True)

    def machine(self, live: LiveTree, *names: str) -> Machine:
        return Machine(live, HTCondor(live), FixedDaemons(*names), Systemd(live))

    def test_it_is_the_unit_that_starts_htcondor(self, live: LiveTree) -> None:
        booted(live, says=is_("inactive"))
        assert self.STEP.perform(self.machine(live, "condor_master"), no_one) == "condor_master started"
        assert live.ran[-1] == ("systemctl", "start", CONDOR_UNIT)
        assert not [argv for argv in live.ran if argv[0] == "condor_master"]

    def test_a_unit_that_systemd_still_takes_for_active_is_waited_for(self, live: LiveTree) -> None:
        booted(live)
        live.command(
            "systemctl",
            '[ "$1" = start ] && exit 0\n'
            f'd={live.root}; if [ -e $d/seen ]; then echo "{is_("inactive")}"; '
            f'else touch $d/seen; echo "{is_("active")}"; fi',
        )
        self.STEP.perform(self.machine(live, "condor_master"), no_one)
        assert [argv[1] for argv in live.ran if argv[0] == "systemctl"] == ["show", "show", "start"]

    def test_a_start_that_leaves_no_master_says_where_to_look(self, live: LiveTree) -> None:
        booted(live, says=is_("inactive"))
        with pytest.raises(DaemonError, match=r"no condor_master runs.*systemctl status condor\.service"):
            self.STEP.perform(self.machine(live), no_one)

    def test_the_mark_is_named_as_the_masters_environment(self) -> None:
        assert FINGERPRINT == "ANNEX_AGENT_CONFIG"


class TestStopUnderSystemd:
    STEP = StopDaemons(())

    def test_a_unit_that_systemd_is_about_to_start_again_is_stopped(self, machine: Machine, live: LiveTree) -> None:
        booted(live, says=is_("activating"))
        change = self.STEP.pending(machine)
        assert change
        assert change.summary == "systemd is about to start condor.service again"
        self.STEP.perform(machine, no_one)
        assert live.ran[-1] == ("systemctl", "--no-block", "--job-mode=ignore-dependencies", "stop", CONDOR_UNIT)

    @pytest.mark.parametrize("state", ["inactive", "failed", "deactivating"])
    def test_one_that_stays_down_is_left_alone(self, machine: Machine, live: LiveTree, state: str) -> None:
        booted(live, says=is_(state))
        assert self.STEP.pending(machine) is None
