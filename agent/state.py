"""Whose disk this is: the instance and the boot that annex-agent last set it up for.

An image made of a running worker carries this record to the instances launched from it; that is how they
know that what they find belongs to somebody else.
"""

import json
from typing import Optional

from .errors import AnnexError
from .model import State
from .system import System

DIRECTORY = "/var/lib/annex-agent"
PATH = f"{DIRECTORY}/instance.json"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"  # random(4): new at each boot


def state_text(state: State) -> str:
    """The content of the file at ``PATH``."""
    return json.dumps(state._asdict(), indent=1) + "\n"


def read_state(system: System) -> Optional[State]:
    """The record on disk; None where there is none, or none that can be read."""
    try:
        file = system.read_file(PATH)
        record = json.loads(file.content) if file else {}
        secrets = tuple(str(path) for path in record.get("secrets", ()))
        return State(str(record["instance_id"]), str(record["boot_id"]), record.get("host_name"), secrets)
    except (AnnexError, ValueError, KeyError, TypeError, AttributeError):
        return None


def boot_id(system: System) -> str:
    """This boot's identifier; empty for a tree that is only being prepared."""
    file = system.read_file(_BOOT_ID) if system.is_live else None
    return file.content.decode("ascii", "replace").strip() if file else ""
