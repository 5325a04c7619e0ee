"""The watch's memory on the disk: JSON, readable by all, written only when it has changed.

Source of the place: it is to outlive a boot, and a package's update.
"""

import json
from typing import Any, Dict, Optional, Tuple, Type

from ..errors import AnnexError
from ..state import DIRECTORY
from ..system import System
from .model import Announcement, Leaving, Memory

PATH = f"{DIRECTORY}/watch.json"
_NUMBERS = (int, float)


def read(system: System) -> Memory:
    """What was remembered; nothing where there is nothing, or nothing that can be understood."""
    try:
        file = system.read_file(PATH)
        return parsed(file.content) if file else Memory()
    except (AnnexError, ValueError, TypeError, RecursionError):
        return Memory()


def write(system: System, memory: Memory) -> bool:
    """Whether it had to be written: it was not there like this."""
    content = text(memory).encode()
    try:
        file = system.read_file(PATH)
    except AnnexError:
        file = None
    if file and file.content == content:
        return False
    system.write_file(PATH, content, 0o644)
    return True


def text(memory: Memory) -> str:
    """The content of the file at ``PATH``."""
    record = memory._asdict()
    record["announced"] = [found._asdict() for found in memory.announced]
    record["leaving"] = memory.leaving._asdict() if memory.leaving else None
    return json.dumps(record, indent=1) + "\n"


def parsed(content: bytes) -> Memory:
    """The opposite of ``text``; raises ``ValueError`` or ``TypeError``."""
    record = _checked(Memory, json.loads(content))
    announced = record.get("announced", ())
    record["announced"] = tuple(Announcement(**_checked(Announcement, found)) for found in announced)
    leaving = record.get("leaving")
    record["leaving"] = None if leaving is None else Leaving(**_checked(Leaving, leaving))
    return Memory(**record)


_TEXT, _WORDS, _TRUTH, _TIME = "text", "words", "truth", "time"
