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
    """The machine that this process runs on; a tree that is being prepared, of which no process runs.

    Those of the machine on which it is prepared are another pool's worker.
    """
    daemons = Daemons() if system.is_live else Daemons(ours=lambda _: False)
    return Machine(system, HTCondor(system), daemons, Systemd(system))
