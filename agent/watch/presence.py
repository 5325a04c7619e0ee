"""Whether a watch is kept on this machine: it holds a lock for as long as it lives."""

from typing import Optional

from ..system import STATE_DIR, System

LOCK = f"{STATE_DIR}/watch"


def running(system: System) -> Optional[int]:
    """The watch's process id, if there is one."""
    return system.holder(LOCK)
