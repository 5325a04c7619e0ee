"""The watch's memory on the disk: JSON that everybody may read, and that is written only when it has changed."""

import json
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Type

from ..errors import AnnexError
from ..state import DIRECTORY
from ..system import System
from .model import PHASES, Announcement, Leaving, Memory
from .reason import INTERRUPTIONS, RANKS

PATH = f"{DIRECTORY}/watch.json"
_LATEST = 1e11  # no time of ours is beyond the year 5000


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
    """The opposite of ``text``; raises ``ValueError`` or ``TypeError`` for what nothing can be made of.

    What another version has written besides is left out, and what it has not written is as at the first time.
    """
    record = _fields(Memory, json.loads(content))
    announced = tuple(Announcement(**_fields(Announcement, found)) for found in record.pop("announced", ()))
    left = record.pop("leaving", None)
    leaving = None if left is None else Leaving(**_fields(Leaving, left))
    if not {found.kind for found in announced} <= INTERRUPTIONS:
        raise ValueError("there is no such kind of announcement")
    if leaving and (leaving.why not in RANKS or leaving.phase not in PHASES):
        raise ValueError("there is no such way to leave")
    return Memory(announced=announced, leaving=leaving, **record)


def _fields(kind: Type[Any], record: Any) -> Dict[str, Any]:
    """Those of a named tuple, each of the type that it is declared with."""
    if not isinstance(record, dict):
        raise TypeError(f"it is no {kind.__name__}")
    found = {}
    for name, declared in kind.__annotations__.items():
        if name in record:
            if not _FITS[declared](record[name]):
                raise TypeError(f"it is no {name}")
            found[name] = tuple(record[name]) if isinstance(record[name], list) else record[name]
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and -_LATEST < value < _LATEST


def _is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(fits(one) for one in value)


def _may_be(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict)


_FITS: Mapping[Any, Callable[[Any], bool]] = {
    str: _is_text,
    bool: lambda value: isinstance(value, bool),
    float: _is_time,
    Optional[str]: _may_be(_is_text),
    Optional[float]: _may_be(_is_time),
    Optional[Leaving]: _may_be(_is_record),
    Tuple[str, ...]: _is_list_of(_is_text),
    Tuple[Announcement, ...]: _is_list_of(_is_record),
}
