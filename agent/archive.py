"""Read a tar archive in memory, strictly: plain files and directories with plain names, and a word for all else.

Python's own tarfile is not asked: it follows what an archive says about itself (PAX records, sparse maps), and older
ones can be sent round in circles by it.  Format: POSIX.1-1988 ustar, and GNU tar's with the same header block.
"""

import re
from typing import Dict, Iterator, List, NamedTuple, Optional

from . import grammar

_BLOCK = 512
_OCTAL = re.compile(rb"[ \0]*([0-7]{1,11})[ \0]*\Z")
_RECORD = re.compile(rb"([0-9]{1,5}) ([A-Za-z0-9._-]{1,100})=")
_HARMLESS = {"atime", "ctime", "mtime", "comment"}  # what tar --format=posix writes for every member
_LONGEST_RECORDS = 16 * 1024
_FILE, _DIRECTORY, _RECORDS = b"0", b"5", b"x"
# Whose data, if any, stands where a plain file's would.
_REFUSED: Dict[bytes, str] = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a FIFO",
}
# Whose place in the archive cannot be told without believing what they say.
_UNREADABLE: Dict[bytes, str] = {
    b"S": "a sparse file",
    b"M": "the rest of a file in another archive",
    b"g": "a header for all members",
    b"L": "a name of more than 100 characters",
    b"K": "a link of more than 100 characters",
}


class Damaged(ValueError):  # noqa: N818 - reads as what happened
    """This is no tar archive, or not the whole of one."""


class Member(NamedTuple):
    """One entry: its name as it stands there, and what it holds; ``flaw`` says why it cannot be taken, if so."""

    name: str
    content: bytes = b""
    is_directory: bool = False
    flaw: Optional[str] = None


def members(archive: bytes) -> Iterator[Member]:
    """Each entry in its order; ``Damaged`` where what follows cannot be told apart."""
    position = 0
    while True:
        header = archive[position : position + _BLOCK]
        if len(header) < _BLOCK:
            raise Damaged("it is cut short: it does not have the end that an archive has")
        if not any(header):
            return
        kind, size = _kind_and_size(header)
        begin, end = position + _BLOCK, position + _BLOCK + size
        if end > len(archive):
            raise Damaged(f"it is cut short: {grammar.quoted(_name(header))} should have {size} bytes")
        position = begin + -(-size // _BLOCK) * _BLOCK
        content = archive[begin:end]
        if kind == _RECORDS:
            flaw = _records_flaw(content)
            if flaw:
                yield Member(_name(header), flaw=flaw)
            continue
        yield _member(header, kind, content)


def _kind_and_size(header: bytes) -> "tuple[bytes, int]":
    kind = header[156:157].replace(b"\0", _FILE).replace(b"7", _FILE)
    if _number(header[148:156]) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        raise Damaged("it is no tar archive, or a damaged one")
    if kind in _UNREADABLE:
        raise Damaged(f"{grammar.quoted(_name(header))} is {_UNREADABLE[kind]}, so what follows was not looked at")
    size = _number(header[124:136])
    if size is None:
        raise Damaged(f"{grammar.quoted(_name(header))} has no size that can be told")
    return kind, 0 if kind in _REFUSED or kind == _DIRECTORY else size


def _member(header: bytes, kind: bytes, content: bytes) -> Member:
    name = _name(header)
    if kind in _REFUSED:
        return Member(name, flaw=f"is {_REFUSED[kind]}")
    if kind not in (_FILE, _DIRECTORY):
        return Member(name, flaw="is of a kind that is unknown here")
    is_directory = kind == _DIRECTORY or name.endswith("/")
    return Member(name, content, is_directory)


def _name(header: bytes) -> str:
    """Latin-1: whatever is not ASCII stays visible, and no byte is lost."""
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0":  # GNU tar ("ustar ") has other things in the place of the prefix
        prefix = header[345:500].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    return name.decode("latin-1")


def _number(field: bytes) -> Optional[int]:
    match = _OCTAL.match(field)
    return int(match.group(1), 8) if match else None


def _records_flaw(content: bytes) -> Optional[str]:
    """What is wrong with the PAX records about the next member (pax(1), "pax Extended Header"); None: nothing."""
    if len(content) > _LONGEST_RECORDS:
        return "has more to say about the next member than there is to say"
    keys: List[str] = []
    position = 0
    while position < len(content):
        match = _RECORD.match(content, position)
        end = position + (int(match.group(1)) if match else 0)
        if not match or end < match.end() or content[end - 1 : end] != b"\n":
            return "says something about the next member that cannot be read"
        keys.append(match.group(2).decode("ascii"))
        position = end
    strange = [key for key in keys if key not in _HARMLESS]
    return (
        f"sets {', '.join(strange[:3])} of the next member, which has a header of its own for that" if strange else None
    )
