"""A region leaves nothing on the host, however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from . import image
from .agent import CHECKOUT
from .cgroup import PAYLOAD, hierarchy
from .region import Region
from .sweep import sweep, traces
from .topology import WORKER
from .wait import wait_until


def is_half_made(pid: int) -> bool:
    """Whether the region of process ``pid`` has the last of its namespaces but one, and surely not all else."""
    return f"annex-{pid}-{WORKER.name}" in traces(pid, image.runs())["namespaces"]


def has_booted(pid: int) -> bool:
    """Whether its worker is a whole operating system that has got to annex-agent."""
    group = hierarchy() / f"annex-{pid}-{WORKER.name}" / PAYLOAD
    return (group / "system.slice/annex-agent.service").exists()


@pytest.fixture(params=[((), is_half_made), (("--boot",), has_booted)], ids=["half-made", "booted"])
def beginning(region: Region, request: "pytest.FixtureRequest") -> Iterator["subprocess.Popen[bytes]"]:
    """Another region, in a process of its own, as far as it shall get."""
    options, is_there = request.param
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.region", "--keep", *options],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            wait_until(lambda: is_there(process.pid), "so much of a region", 120)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_region_leaves_nothing(beginning: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    beginning.send_signal(number)
    beginning.send_signal(number)  # impatience changes nothing
    assert beginning.wait(timeout=30) == 130
    assert not any(traces(beginning.pid, image.runs()).values())


def test_the_next_region_sweeps_up_after_a_killed_one(beginning: "subprocess.Popen[bytes]", region: Region) -> None:
    beginning.kill()
    beginning.wait(timeout=10)
    assert all(
        traces(beginning.pid, image.runs())[what] for what in ("namespaces", "cgroups", "directories", "processes")
    )
    sweep(image.runs())
    assert not any(traces(beginning.pid, image.runs()).values())
    assert traces(os.getpid(), image.runs())["namespaces"], "this process's own region is still there"


def test_nothing_is_mounted_on_the_host(region: Region) -> None:
    assert traces(os.getpid(), image.runs())["mounts"] == []
