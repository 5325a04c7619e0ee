"""User-data in several parts: a MIME message, as cloud-init reads it."""

import re
from typing import Any, List, NamedTuple, Optional

# cloud-init looks for the version anywhere in the first 4 KiB; a header is where it belongs.
_HEAD_LIMIT = 4096
_HEADER = re.compile(rb"\s*(?:From |[!-9;-~]+:)")
_MIME_HEADER = re.compile(rb"^(?:MIME-Version|Content-Type):", re.IGNORECASE | re.MULTILINE)
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")


class Part(NamedTuple):
    """One part: its number from 1, its type in lower case, and its text, or None where that is not UTF-8."""

    number: int
    content_type: str
    text: Optional[str]


def is_message(data: bytes) -> bool:
    """Whether ``data`` begins with the headers of a MIME message."""
    head = _EMPTY_LINE.split(data.lstrip()[:_HEAD_LIMIT], 1)[0]
    return bool(_HEADER.match(head) and _MIME_HEADER.search(head))


def parts(data: bytes) -> List[Part]:
    """The parts in their order, nested ones too; ``ValueError`` where the message cannot be taken apart."""
    import email  # noqa: PLC0415 - slow to load, and the usual user-data has no parts

    try:
        leaves = [part for part in email.message_from_bytes(data.lstrip()).walk() if not _is_container(part)]
        return [
            Part(number, leaf.get_content_type(), _text(leaf.get_payload(decode=True)))
            for number, leaf in enumerate(leaves, start=1)
        ]
    except Exception as err:  # the parser promises to raise nothing, and hostile messages have proved it wrong
        raise ValueError(f"this MIME message cannot be taken apart ({type(err).__name__})") from err


def _is_container(part: Any) -> bool:
    return bool(part.is_multipart() or part.get_content_maintype() == "multipart")


def _text(payload: object) -> Optional[str]:
    if not isinstance(payload, bytes):
        return None
    try:
        return payload.decode("utf-8-sig")  # whatever charset the part claims: cloud-init does the same
    except UnicodeDecodeError:
        return None
