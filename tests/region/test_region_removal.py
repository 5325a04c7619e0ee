"""A region leaves nothing on the host, however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from . import image
from .agent import CHECKOUT
from .region import Region
from .sweep import sweep, traces
from .topology import WORKER
from .wait import wait_until


@pytest.fixture
def beginning(region: Region) -> Iterator["subprocess.Popen[bytes]"]:
    """Another region, in a process of its own, half made."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.region", "--keep"],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            half = f"annex-{process.pid}-{WORKER.name}"
            wait_until(lambda: half in traces(process.pid, image.runs())["namespaces"], "half a region", 30)
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
