"""Fixtures for tests that need real HTCondor in a region of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .booted import BootedMachine
from .machine import Machine
from .prerequisites import PrerequisiteError, prerequisites
from .region import Region


@pytest.fixture(scope="session")
def region() -> Iterator[Region]:
    """One region for the whole session: it takes some seconds to make."""
    try:
        prerequisites()
    except PrerequisiteError as err:
        pytest.skip(str(err))
    with Region() as made:
        yield made


@pytest.fixture
def worker(region: Region) -> Machine:
    """A new instance that has not run anything yet, annex-agent installed, with the wiki's addresses."""
    region.reset_worker()
    return region.worker


@pytest.fixture
def pending(region: Region) -> Iterator[BootedMachine]:
    """A new instance that is a whole operating system, before its first boot: disk and metadata can still change."""
    machine = region.booted_worker()
    yield machine
    machine.kill()


@pytest.fixture
def booted(pending: BootedMachine) -> BootedMachine:
    """The same, booted: annex-agent has been started as a service, and has got as far as it gets."""
    pending.start()
    return pending


def pytest_collection_modifyitems(items: "list[pytest.Item]") -> None:
    """The first test that needs a tree also builds it, and the network may be slow that day."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.fspath).startswith(here):
            item.add_marker(pytest.mark.timeout(1200))
