"""The documents: those of tests/cases, unpacked, mutated, packed again; each a function of a seed and a number."""

import base64
import gzip
import random
import zlib
from typing import Callable, List, Tuple

from tests import cases

LONGEST = 1024 * 1024  # what --user-data FILE takes
_TYPES = (
    *("text/x-annex-agent", "text/cloud-config", "text/plain", "text/x-shellscript", "text/cloud-config-archive"),
    *(
        "application/gzip",
        "application/json",
        "text/x-not-multipart",
        "message/rfc822",
        "multipart/mixed",
        "text/html",
        "x",
    ),
)
_TOKENS: Tuple[bytes, ...] = (
    *(
        b"annex_agent:",
        b"#annex-agent\n",
        b"#cloud-config\n",
        b"#cloud-config-archive\n",
        b"central_manager: ",
        b"condor:\n",
    ),
    *(
        b'{"annex_agent": {',
        b"}}",
        b"COLLECTOR_HOST = ",
        b" = ",
        b"=",
        b": ",
        b":",
        b"\n",
        b"\r\n",
        b"\n  ",
        b"\n- ",
        b"\t",
    ),
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b"&a ",
        b"*a",
        b"<<: ",
        b"? ",
        b"!!binary ",
        b"!!int ",
        b"!!float ",
        b"!x ",
        b"%TAG ! x\n",
    ),
    *(
        b"'",
        b'"',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"|\n",
        b">\n",
        b"---\n",
        b"#",
        b"\x00",
        b"\x85",
        b"\xe2\x80\xa8",
        b"\xff",
    ),
    *(
        b"0x" + b"f" * 70,
        b"1:59:59.5",
        b"1e999",
        b"9" * 70,
        b"2001-99-99",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x1f\x8b\x08",
    ),
    *(b"MIME-Version: 1.0\n", b"Content-Type: text/x-annex-agent\n", b"Content-Transfer-Encoding: base64\n"),
    *(
        b'Content-Type: multipart/mixed; boundary="X"\n',
        b"--X\n",
        b"--X--\n",
        b"; charset=utf-16",
        b"Launch-Index: 1\n",
    ),
    *(
        b"inline:secret",
        b"security:\n  token: ",
        b"use role:execute",
        b"include : x |",
        b"$(A)",
        b"@=end",
        b"caf\xc3\xa9",
    ),
)


def corpus() -> List[bytes]:
    """Every case as it is, and what is packed in it."""
    found: List[bytes] = []
    for name in cases.names():
        waiting = [cases.document(name)]
        while waiting and len(found) < 1000:
            document = waiting.pop()
            found.append(document)
            waiting += [inner for inner in _unpacked(document) if inner not in found]
    return [document for document in found if len(document) < 20_000]


def document(known: List[bytes], seed: int, number: int) -> bytes:
    """Document ``number`` of those that ``seed`` stands for."""
    chance = random.Random(f"{seed}/{number}")
    data = chance.choice(known) if chance.random() < 0.95 else chance.randbytes(chance.randrange(200))
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 3, 8))):
        data = chance.choice(_MUTATIONS)(chance, data, known)
    if chance.random() < 0.02:
        data = _grown(chance, data)
    for _ in range(chance.choice((0, 0, 0, 1, 1, 1, 2, 3))):
        packed = chance.choice(_PACKINGS)(chance, data)
        data = packed if len(packed) <= LONGEST else data
    return data[:LONGEST]


def _unpacked(data: bytes) -> List[bytes]:
    found = []
    for unpack in (gzip.decompress, base64.b64decode):
        try:
            inner = unpack(data)
        except (ValueError, OSError, EOFError, zlib.error):
            continue
        if 3 < len(inner) < 20_000:
            found.append(inner)
    return found


def _span(chance: random.Random, data: bytes) -> Tuple[int, int]:
    begin = chance.randrange(len(data) + 1)
    return begin, min(len(data), begin + int(chance.expovariate(1 / 12)))


def _flip(chance: random.Random, data: bytes, _known: List[bytes]) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def _cut(chance: random.Random, data: bytes, _known: List[bytes]) -> bytes:
    begin, end = _span(chance, data)
    return data[:begin] + data[end:]


def _truncate(chance: random.Random, data: bytes, _known: List[bytes]) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _insert(chance: random.Random, data: bytes, _known: List[bytes]) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.choice(_TOKENS) + data[place:]


def _replace(chance: random.Random, data: bytes, _known: List[bytes]) -> bytes:
    begin, end = _span(chance, data)
    return data[:begin] + chance.choice(_TOKENS) + data[end:]


def _repeat(chance: random.Random, data: bytes, _known: List[bytes]) -> bytes:
    begin, end = _span(chance, data)
    return data[:end] + data[begin:end] * chance.choice((1, 2, 40)) + data[end:]


def _splice(chance: random.Random, data: bytes, known: List[bytes]) -> bytes:
    other = chance.choice(known)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def _shuffle(chance: random.Random, data: bytes, _known: List[bytes]) -> bytes:
    lines = data.split(b"\n")
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def _indent(chance: random.Random, data: bytes, _known: List[bytes]) -> bytes:
    lines = data.split(b"\n")
    place = chance.randrange(len(lines))
    lines[place] = chance.choice((b" ", b"  ", b"\t", b"- ", b"# ")) + lines[place]
    return b"\n".join(lines)


def _grown(chance: random.Random, data: bytes) -> bytes:
    begin, end = _span(chance, data)
    piece = data[begin:end] or chance.choice(_TOKENS)
    return data[:end] + piece * (chance.choice((10_000, 200_000, LONGEST)) // len(piece)) + data[end:]


def _gzipped(chance: random.Random, data: bytes) -> bytes:
    packed = gzip.compress(data, 1, mtime=0)
    return (
        packed if chance.random() < 0.9 else packed[: -chance.randrange(1, 20)] + chance.choice((b"", b"\0" * 9, b"x"))
    )


def _in_base64(chance: random.Random, data: bytes) -> bytes:
    return base64.encodebytes(data) if chance.random() < 0.5 else base64.b64encode(data)


def _in_utf16(chance: random.Random, data: bytes) -> bytes:
    return data.decode("latin-1").encode(chance.choice(("utf-16", "utf-16-le", "latin-1")))


def _in_message(chance: random.Random, data: bytes) -> bytes:
    end = chance.choice((b"\n", b"\r\n"))
    head = [b"MIME-Version: 1.0", b"Content-Type: %s" % chance.choice(_TYPES).encode()]
    body = data
    if chance.random() < 0.4:
        head.append(b"Content-Transfer-Encoding: base64")
        body = base64.encodebytes(data)
    part = end.join([*head[chance.randrange(2) :], b"" if chance.random() < 0.95 else b"annex: a", body])
    if chance.random() < 0.3:
        return part
    boundary = b"B%d" % chance.randrange(100)
    each = b"--" + boundary + end + part + end
    top = b"MIME-Version: 1.0" + end + b"Content-Type: multipart/mixed; boundary=" + boundary + end + end
    return top + each * _times(chance, each) + b"--" + boundary + b"--" + end


def _times(chance: random.Random, entry: bytes) -> int:
    return max(1, min(chance.choice((1, 1, 2, 3, 120)), LONGEST // len(entry)))


def _in_archive(chance: random.Random, data: bytes) -> bytes:
    entry = b"- type: %s\n  content: !!binary %s\n" % (chance.choice(_TYPES).encode(), base64.b64encode(data))
    return b"#cloud-config-archive\n" + entry * _times(chance, entry)


def _addressed(chance: random.Random, data: bytes) -> bytes:
    return chance.choice((b"#annex-agent\n", b"#cloud-config\nannex_agent:\n", b"\n", b"\xef\xbb\xbf", b"# x\n")) + data


_MUTATIONS: Tuple[Callable[[random.Random, bytes, List[bytes]], bytes], ...] = (
    *(_flip, _cut, _truncate, _insert, _insert, _replace, _repeat, _splice, _shuffle, _indent),
)
_PACKINGS: Tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_gzipped, _in_base64, _in_utf16, _in_message, _in_message, _in_archive, _addressed),
)
