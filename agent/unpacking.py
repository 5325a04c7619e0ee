"""What is packed, unpacked: gzip, base64, quoted-printable. No more comes out than is asked for."""

import binascii
import re
from typing import List, NamedTuple, Optional

GZIP = b"\x1f\x8b"
_CHUNK = 4096
_BASE64_LINES = re.compile(r"[A-Za-z0-9+/=\s]*\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")


class Unpacked(NamedTuple):
    """As much as came out, and what is wrong with the rest in words (empty: nothing)."""

    content: bytes
    damage: str = ""
    rest: str = ""  # what follows, and belongs to nobody


def gunzip(data: bytes, limit: int) -> Unpacked:
    """All members of a gzip file, ``limit`` bytes and one more at most: who gets that many knows it was too much."""
    import zlib  # noqa: PLC0415 - seldom needed

    pieces: List[bytes] = []
    size = position = 0
    while data.startswith(GZIP, position):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            chunk = data[position : position + _CHUNK]
            if not chunk:
                return Unpacked(b"".join(pieces), "it ends too early")
            try:
                pieces.append(member.decompress(chunk, limit + 1 - size))
            except zlib.error as err:
                return Unpacked(b"".join(pieces), str(err))
            size += len(pieces[-1])
            if size > limit:
                return Unpacked(b"".join(pieces))
            position += len(chunk) - len(member.unused_data)
    rest = len(data) - position if data[position:].strip(b"\0") else 0
    return Unpacked(b"".join(pieces), rest=f"{rest} bytes behind the gzip data are not read" if rest else "")


def from_base64(text: str) -> Optional[bytes]:
    """What base64 stands for, line breaks and blanks left out; None for what is no base64 from end to end."""
    if not _BASE64_LINES.match(text):
        return None
    packed = re.sub(r"\s+", "", text)
    if len(packed) % 4 or not _BASE64.match(packed):
        return None
    return binascii.a2b_base64(packed)


def from_transfer(content: bytes, encoding: str) -> Unpacked:
    """The content of a part of a MIME message, by its Content-Transfer-Encoding."""
    if encoding in ("", "7bit", "8bit", "binary"):
        return Unpacked(content)
    if encoding == "quoted-printable":
        return Unpacked(binascii.a2b_qp(content))
    if encoding != "base64":
        return Unpacked(content, "its Content-Transfer-Encoding is none of base64, quoted-printable, 8bit, 7bit")
    unpacked = from_base64(content.decode("latin-1")) if content.strip() else b""
    return Unpacked(b"", "its base64 is damaged: encode it again") if unpacked is None else Unpacked(unpacked)
