"""The machine that a plan is carried out on: its system, its HTCondor, its daemons, its systemd."""

from typing import NamedTuple

from .daemons import Daemons
from .htcondor import HTCondor
from .system import System
from .systemd import Systemd


class Machine(NamedTuple):
    """What steps look at and change."""

    system: System
    htcondor: HTCondor
    daemons: Daemons
    systemd: Systemd


def local_machine(system: System) -> Machine:
    """The machine that this process runs on, with files below ``system.root``."""
    return Machine(system, HTCondor(system), Daemons(), Systemd(system))
