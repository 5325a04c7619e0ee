"""This machine as its pool sees it: the slots that the collector lists for the startd that runs here."""

import re
from typing import Optional, Sequence, Tuple

from .errors import AnnexError
from .grammar import quoted
from .htcondor import Slot
from .machine import Machine
from .model import STARTD

_SOCKET = re.compile(r"[?&]sock=([^&>]+)")
_PORT = re.compile(r"\A<(?:\[[^]]*\]|[^:?>]*):(\d+)")
_CCB_CONTACT = re.compile(r"[?&]CCBID=[^&>]")
_COMPLAINT = re.compile(r"ERROR|DENIED|AUTHENTICAT|[Ff]ailed|refused|timed out")


def instance_constraint(instance_id: str) -> str:
    """The ClassAd expression that selects the ads of one instance."""
    return f'CloudInstanceID == "{instance_id}"'


def listed_slots(machine: Machine, instance_id: str, startd_address_file: str) -> Tuple[Slot, ...]:
    """The slots that belong to the startd that runs now; ads that an earlier life left behind do not count."""
    startd = _startd_address(machine, startd_address_file)
    if startd is None or STARTD not in {daemon.name for daemon in machine.daemons.running()}:
        return ()
    return tuple(
        slot
        for slot in machine.htcondor.slots(instance_constraint(instance_id))
        if _same_daemon(slot.my_address, startd)
    )


def stale_slots(machine: Machine, instance_id: str, current: Sequence[Slot]) -> Tuple[Slot, ...]:
    """What the collector lists of an earlier life of this instance, under a host name that it has no more."""
    return machine.htcondor.slots(stale_constraint(instance_id, current)) if current else ()


def stale_constraint(instance_id: str, current: Sequence[Slot]) -> str:
    """The ads of this instance but for those of the machine that the ``current`` slots belong to."""
    return f'{instance_constraint(instance_id)} && Machine =!= "{current[0].machine}"'


def has_contact(slots: Sequence[Slot]) -> bool:
    """Whether the collector can pass connections on to these slots' startd (CCB)."""
    return any(_CCB_CONTACT.search(slot.my_address) for slot in slots)


def report_again(machine: Machine, startd_address_file: str) -> None:
    """Have the daemons report at once, if they are up: before that, the signal for it would end them."""
    if _startd_address(machine, startd_address_file) is not None:
        machine.daemons.report_again()


def names(slots: Sequence[Slot]) -> str:
    """The slots' names, for a sentence."""
    return ", ".join(slot.name for slot in slots)


def complaints(machine: Machine) -> str:
    """The last thing that the daemons' logs complain of, as the end of a sentence; empty if they cannot be found."""
    try:
        knobs = machine.htcondor.settings(["STARTD_LOG", "MASTER_LOG"])
    except AnnexError:
        return ""
    found = []
    for path in [setting.value for setting in knobs.values()]:
        line = _last_complaint(machine, path)
        if line:
            found.append((line, path))
    if found:
        line, path = max(found)  # HTCondor's lines begin with their time
        return f"; {path} says: {quoted(line, limit=300)}"
    return f"; see {knobs['MASTER_LOG'].value}" if "MASTER_LOG" in knobs else ""


def _startd_address(machine: Machine, path: str) -> Optional[str]:
    """What the running startd wrote about itself: its address, with the name of its socket."""
    file = machine.system.read_file(path) if path else None
    return file.content.decode("utf-8", "replace").partition("\n")[0] if file else None


def _same_daemon(one: str, other: str) -> bool:
    """Two addresses of one daemon: the socket's name is its own; without a shared port, the port is."""
    for pattern in (_SOCKET, _PORT):
        mine, theirs = pattern.search(one), pattern.search(other)
        if mine and theirs:
            return mine.group(1) == theirs.group(1)
    return False


def _last_complaint(machine: Machine, path: str) -> Optional[str]:
    try:
        file = machine.system.read_file(path)
    except AnnexError:
        return None
    lines = file.content[-65536:].decode("utf-8", "replace").splitlines() if file else []
    found = [line for line in lines if _COMPLAINT.search(line)]
    return found[-1] if found else None
