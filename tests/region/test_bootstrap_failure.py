"""A worker that can never join its pool: what it leaves behind, whom it tells, and whether it goes."""

import json
import os
import signal
import time

import pytest

from . import aws
from .booted import BootedMachine
from .region import Region
from .test_agent_signals import RESOURCE, STACK
from .test_interruption import WATCH
from .test_lifetime import said_at
from .wait import wait_until

UNIT = "annex-agent.service"
GRACE_S = 8
# What the image's owner has baked into it; the user's mistake is in user-data.
CONFIG = {
    "lifetime": {"on_failure": "poweroff", "grace": f"{GRACE_S}s"},
    "interruption": {"poll": "1s"},
    "signal": {"cloudformation": {"stack": STACK, "resource": RESOURCE}},
}
MISTAKE = '#annex-agent\n{"central_manager": "cm.example.org", "centre": 1}'


@pytest.fixture
def hopeless(region: Region, pending: BootedMachine) -> BootedMachine:
    """An instance whose user-data has a mistake, still off."""
    region.imds.attach_role()
    region.imds.update({"user-data": MISTAKE})
    pending.disk.put("/etc/annex-agent/config.yaml", json.dumps(CONFIG))
    aws.at_boot(pending)
    return pending


def test_it_signals_the_failure_and_goes_off_with_its_log_on_the_disk(region: Region, hopeless: BootedMachine) -> None:
    region.aws.stack(STACK, RESOURCE)
    hopeless.start()
    booted = time.time()
    assert hopeless.state(UNIT) == "failed"
    assert not hopeless.wait_until_off(timeout=GRACE_S + 30)
    print(f"ready -> off: {time.time() - booted:.1f} s, of which {GRACE_S} s are grace")
    assert "centre" in hopeless.last_journal(UNIT)
    said = hopeless.last_journal(WATCH)
    assert "power" in said
    told = [(signal["Action"], signal["Status"]) for signal in region.aws.signals()]
    assert told == [("SignalResource", "FAILURE")], said
    assert region.pool.slots("Name") == []


def test_it_stays_where_it_is_held_even_if_nobody_can_be_told(region: Region, hopeless: BootedMachine) -> None:
    hopeless.disk.put("/etc/annex-agent/hold", "")
    hopeless.start()  # and there is no API to tell
    assert hopeless.state(UNIT) == "failed"
    wait_until(
        lambda: said_at(hopeless, "held"), "it would go, were it not held", GRACE_S + 30, evidence=hopeless.journal
    )
    assert hopeless.is_on
    assert hopeless.systemctl("is-system-running", check=False) == "degraded\n"


def test_a_machine_whose_systemd_hangs_goes_off_all_the_same(hopeless: BootedMachine) -> None:
    hopeless.start()
    assert hopeless.state(WATCH) == "active"
    os.kill(hopeless.leader, signal.SIGSTOP)
    assert not hopeless.wait_until_off(timeout=GRACE_S + 120), "it asked for a reboot"
