"""The peaceful end, without a tool: HTCondor is told to take no further job, and those that run finish.

It reads so in its configuration (START is false) when its master gets SIGHUP.  ``condor_off -peaceful`` has jobs
finish as well, but needs local authentication that works, and its daemons then go down whatever is decided meanwhile.
"""

from . import pool
from .errors import AnnexError, DaemonError
from .machine import Machine
from .system import STOPPING_FILE, System

TEXT = """\
# annex-agent stops HTCondor peacefully. This goes when that is done, or when annex-agent starts it again.
STARTD.START = False
AnnexLeaving = "stop"
STARTD_ATTRS = $(STARTD_ATTRS) AnnexLeaving
"""
_ADDRESS_FILE = "STARTD_ADDRESS_FILE"


def take_no_more_jobs(machine: Machine) -> None:
    """Have HTCondor take no further job; raises ``AnnexError`` where it does not read that, or cannot read anything."""
    machine.system.write_file(STOPPING_FILE, TEXT.encode(), 0o644)
    try:
        knobs = machine.htcondor.settings(["AnnexLeaving", _ADDRESS_FILE])
        if "ANNEXLEAVING" not in knobs:
            raise DaemonError(
                f"HTCondor's configuration does not include {STOPPING_FILE}: it is not annex-agent's, or an earlier "
                "version's; annex-agent configure writes it anew"
            )
    except AnnexError:  # daemons that are told to read a configuration that cannot be read would end, with their jobs
        over(machine.system)
        raise
    pool.report_again(machine, knobs[_ADDRESS_FILE].value if _ADDRESS_FILE in knobs else "")


def is_under_way(system: System) -> bool:
    """Whether HTCondor was told so, and not told otherwise since."""
    return system.read_file(STOPPING_FILE) is not None


def over(system: System) -> None:
    """Its daemons are gone: the next ones take jobs."""
    system.remove_file(STOPPING_FILE)


def take_back(machine: Machine, startd_address_file: str) -> None:
    """Have daemons that still run take jobs again."""
    over(machine.system)
    pool.report_again(machine, startd_address_file)
