"""From the start of annex-agent to the slot in the collector, over condor_master alone."""

import statistics
import time
from typing import Callable, Dict, Iterator, List

from tests.region.pool import start_daemons
from tests.region.region import Region
from tests.region.test_agent import CONFIG
from tests.region.topology import CM, PUBLIC, WORKER, public_name
from tests.region.wait import wait_until

from .measure import Row

TIMES = 7
_STOCK = f"""\
use role:Execute
COLLECTOR_HOST = {CM.hostname}
TCP_FORWARDING_HOST = {PUBLIC}
PRIVATE_NETWORK_NAME = amazon-ec2-us-east-1c
PRIVATE_NETWORK_INTERFACE = {WORKER.address}
"""


def rows() -> Iterator[Row]:
    """The stock static configuration, the configuration that the agent renders, and the agent, by turns."""
    with Region() as region:
        rendered = _rendered(region)
        ways: Dict[str, Callable[[], None]] = {
            "agent": lambda: _agent(region),
            "stock": lambda: _static(region, _STOCK),
            "rendered": lambda: _static(region, rendered),
        }
        found = _by_turns(region, ways)
        gone = _gone(region)
    agent, stock, same = found["agent"], found["stock"], found["rendered"]
    yield Row(
        "agent start to slot, over condor_master with a stock static configuration",
        agent / stock,
        0.85,
        f"{agent:.2f} / {stock:.2f} s",
    )
    yield Row(
        "agent start to slot, over condor_master with the configuration that the agent renders",
        agent / same,
        1.25,
        f"{agent:.2f} / {same:.2f} s",
    )
    yield Row("seconds from the last daemon's end to no slot in the collector", gone, 2.0)


def _by_turns(region: Region, ways: Dict[str, Callable[[], None]]) -> Dict[str, float]:
    seconds: Dict[str, List[float]] = {name: [] for name in ways}
    for _ in range(TIMES):
        for name, start in ways.items():
            region.reset_worker()
            seconds[name].append(_until_slot(region, start))
    return {name: statistics.median(found) for name, found in seconds.items()}


def _until_slot(region: Region, start: Callable[[], None]) -> float:
    began = time.perf_counter()
    start()
    wait_until(lambda: region.pool.slots("Name"), "a slot", 60, interval=0.02)
    return time.perf_counter() - began


def _agent(region: Region) -> None:
    """In the background: what counts is when the slot is there, not when the agent has seen it."""
    region.worker.popen(["annex-agent", "start"])


def _static(region: Region, config: str) -> None:
    # The host name is part of what the agent does; here the image has it already.
    region.worker.run(["hostname", public_name(PUBLIC)])
    region.worker.write(CONFIG, config)
    start_daemons(region.worker)


def _rendered(region: Region) -> str:
    region.worker.run(["annex-agent", "configure"])
    return region.worker.read(CONFIG)


def _gone(region: Region) -> float:
    """How long the slot outlives the last daemon in a clean stop."""
    seconds = []
    for _ in range(TIMES):
        region.reset_worker()
        region.worker.run(["annex-agent", "start"])
        stopping = region.worker.popen(["annex-agent", "stop"])
        wait_until(lambda: not _daemons(region), "no daemon", 60, interval=0.005)
        ended = time.perf_counter()
        wait_until(lambda: not region.pool.slots("Name"), "no slot", 60, interval=0.01)
        seconds.append(time.perf_counter() - ended)
        stopping.communicate()
    return statistics.median(seconds)


def _daemons(region: Region) -> List[str]:
    return [command for command in region.worker.processes().values() if command.startswith("condor_")]
