"""User-data in several parts: a MIME message, as cloud-init reads it.

Python's own parser is forgiving where a person should be told, and takes the square of a hostile message's size.  This
one knows what user-data needs of RFC 2045 and RFC 2046, and in which line it stands.
"""

import re
from itertools import islice
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from .budget import DEEPEST, PARTS, Budget
from .grammar import quoted

# cloud-init looks for the version anywhere in the first 4 KiB; a header is where it belongs.
_HEAD_LIMIT = 4096
_MOST_HEADERS = 100
_LONGEST_HEAD = 16 * 1024
_LONGEST_HEADER = 1000
_BEGINNING = re.compile(rb"\s*(?:From |[!-9;-~]+:)")
_MIME_HEADER = re.compile(rb"^(?:MIME-Version|Content-Type):", re.IGNORECASE | re.MULTILINE)
_VERSION = re.compile(rb"^MIME-Version:", re.IGNORECASE | re.MULTILINE)
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_HEADER = re.compile(r"([!-9;-~]+):(.*)\Z", re.DOTALL)
_PARAMETER = re.compile(r";\s*([A-Za-z0-9-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]*))")
_TYPE = re.compile(r"[!-.0-~]+/[!-.0-~]+\Z")
# What a mail or a message for cloud-init has at its head. A word of another kind is a line of the content.
_KNOWN_HEADER = re.compile(
    r"(?:content-.*|x-.*|mime-version|number-attachments|launch-index|merge-type|from|to|cc|bcc|subject|date|sender"
    r"|message-id|received|return-path|reply-to|user-agent|in-reply-to|references|list-.*|filename|encoding)\Z"
)
# Those in which Python decodes whatever the bytes are, at no great cost.
_CHARSETS = (
    "iso-8859-1",
    "latin1",
    "latin-1",
    "iso-8859-15",
    "windows-1252",
    "cp1252",
    "utf-16",
    "utf-16le",
    "utf-16be",
)


class Part(NamedTuple):
    """One part: its number (``2``, or ``2.1`` within another), its type in lower case, its content as it stands."""

    number: str
    content_type: str
    content: bytes
    encoding: str = ""
    charset: str = ""
    has_launch_index: bool = False
    complaints: Tuple[str, ...] = ()  # what is wrong with its head
    notices: Tuple[str, ...] = ()


class MessageError(ValueError):
    """The message cannot be taken apart; a sentence with its line."""


class _Entity(NamedTuple):
    headers: Dict[str, str]
    body: bytes
    body_line: int  # of the message, from 1
    complaints: Tuple[str, ...]
    notices: Tuple[str, ...]


def is_message(data: bytes) -> bool:
    """Whether ``data`` begins with the headers of a MIME message."""
    head = _EMPTY_LINE.split(data.lstrip()[:_HEAD_LIMIT], 1)[0]
    return bool(_BEGINNING.match(head) and _MIME_HEADER.search(head))


def late_header(data: bytes) -> Optional[int]:
    """The line from 1 in which the headers of a message begin that has something else above them."""
    found = _VERSION.search(data[:_HEAD_LIMIT])
    return data.count(b"\n", 0, found.start()) + 1 if found else None


def parts(data: bytes, budget: Budget, within: str = "") -> List[Part]:
    """The parts in their order, those of messages within it too; ``MessageError`` where it cannot be taken apart."""
    blank = len(data) - len(data.lstrip())
    entity = _entity(data[blank:], data.count(b"\n", 0, blank) + 1)
    notices = entity.notices
    if "mime-version" not in entity.headers and not within:
        notices = (*notices, "there is no header MIME-Version: without it cloud-init reads none of its parts")
    return list(_leaves(entity._replace(notices=notices), budget, within or "1", 0, is_whole=not within))


def text(content: bytes, charset: str) -> Optional[str]:
    """A part's text; None where it is neither UTF-8 nor what the part says it is."""
    decoders = [charset, "utf-8-sig"] if charset.startswith("utf-16") else ["utf-8-sig", charset]
    for decoder in decoders:
        if decoder == "utf-8-sig" or decoder in _CHARSETS:
            try:
                return content.decode(decoder)
            except UnicodeDecodeError:
                continue
    return None


def _leaves(entity: _Entity, budget: Budget, number: str, depth: int, is_whole: bool = False) -> Iterator[Part]:
    content_type, parameters = _content_type(entity.headers.get("content-type", ""))
    if depth > DEEPEST:
        raise MessageError(f"line {entity.body_line}: it is nested more than {DEEPEST} deep, which is not read")
    if content_type == "message/rfc822":
        yield from _leaves(_entity(entity.body, entity.body_line), budget, f"{number}.1", depth + 1)
    elif content_type.startswith("multipart/"):
        notices = list(entity.notices)
        for index, (body, line) in enumerate(_split(entity, parameters.get("boundary", ""), notices), start=1):
            inner = _entity(body, line)
            within = str(index) if is_whole else f"{number}.{index}"
            yield from _leaves(inner._replace(notices=(*notices, *inner.notices)), budget, within, depth + 1)
            notices = []
    else:
        if not budget.takes_parts(1):
            raise MessageError(f"line {entity.body_line}: it has more than {PARTS} parts, which are not read")
        yield Part(
            number,
            content_type,
            entity.body,
            entity.headers.get("content-transfer-encoding", "").strip().lower(),
            parameters.get("charset", "").lower(),
            "launch-index" in entity.headers,
            entity.complaints,
            entity.notices,
        )


def _entity(data: bytes, first_line: int) -> _Entity:
    headers: Dict[str, str] = {}
    complaints: List[str] = []
    notices: List[str] = []
    name, position, line = "", 0, first_line
    while position < len(data):
        end = data.find(b"\n", position) + 1 or len(data)
        given = data[position:end].decode("latin-1").rstrip("\r\n")
        if not given.strip():
            position, line = end, line + 1
            break
        if position > _LONGEST_HEAD or len(headers) > _MOST_HEADERS or len(given) > _LONGEST_HEAD:
            raise MessageError(f"line {line}: its head has too many or too long headers, which are not read")
        header = _HEADER.match(given)
        if given[0] in " \t" and name:
            headers[name] += given
        elif header:
            name = header.group(1).lower()
            headers.setdefault(name, "")
            headers[name] = header.group(2)
            if not _KNOWN_HEADER.match(name):
                complaints.append(_no_header(line, header.group(1)))
        elif not (given.startswith("From ") and line == first_line):
            notices.append(f"line {line}: the empty line between headers and content is missing")
            break
        position, line = end, line + 1
    return _Entity(headers, data[position:], line, tuple(complaints), tuple(notices))


def _no_header(line: int, name: str) -> str:
    return f"line {line} of the message: {quoted(name)} is no header: put an empty line between headers and content"


def _content_type(header: str) -> Tuple[str, Dict[str, str]]:
    kind = header.partition(";")[0].strip().lower()
    found: Dict[str, str] = {}
    for name, in_quotes, plain in _PARAMETER.findall(header[:_LONGEST_HEADER]):
        found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", in_quotes) or plain)
    return kind if _TYPE.match(kind) else "text/plain", found


def _split(entity: _Entity, boundary: str, notices: List[str]) -> Iterator[Tuple[bytes, int]]:
    """The bodies of the parts, each with its first line; a missing end goes to ``notices``."""
    line = entity.body_line
    if not boundary:
        raise MessageError(f'line {line - 1}: the Content-Type above names no boundary: add boundary="WORD" to it')
    escaped = re.escape(boundary.encode("latin-1"))
    every = re.finditer(rb"^--%s(--)?[ \t]*\r?(?:\n|\Z)" % escaped, entity.body, re.MULTILINE)
    found = list(islice(every, PARTS + 2))
    if len(found) > PARTS + 1:
        raise MessageError(f"it has more than {PARTS} parts, which are not read")
    if not found:
        raise MessageError(f"line {line}: no part begins: above each part belongs a line --{quoted(boundary)[1:-1]}")
    closing = next((index for index, delimiter in enumerate(found) if delimiter.group(1)), None)
    if closing is None:
        notices.append(f"the last line is not --{quoted(boundary)[1:-1]}--: has the end been cut off?")
    delimiters = found if closing is None else found[: closing + 1]
    ends = [delimiter.start() for delimiter in delimiters[1:]]
    if closing is None:
        ends.append(len(entity.body))
    counted = 0
    for delimiter, end in zip(delimiters, ends):
        line += entity.body.count(b"\n", counted, delimiter.end())
        counted = delimiter.end()
        yield re.sub(rb"\r?\n\Z", b"", entity.body[delimiter.end() : end]), line
