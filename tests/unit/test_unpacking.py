"""gzip, base64 and the encodings of MIME: as much as is asked for, and what is wrong with the rest."""

import gzip
import tracemalloc

import pytest

from annex_agent.unpacking import Unpacked, from_base64, from_transfer, gunzip

TEXT = b"COLLECTOR_HOST = cm.example.org\n"


@pytest.mark.parametrize(
    ("data", "unpacked"),
    [
        (gzip.compress(TEXT), Unpacked(TEXT)),
        (gzip.compress(b"") + gzip.compress(TEXT), Unpacked(TEXT)),
        (gzip.compress(TEXT) + b"\0" * 9, Unpacked(TEXT)),
        (gzip.compress(TEXT) + b"more", Unpacked(TEXT, rest="4 bytes behind the gzip data are not read")),
        (gzip.compress(TEXT)[:-1], Unpacked(TEXT, "it ends too early")),
        (gzip.compress(TEXT)[:3], Unpacked(b"", "it ends too early")),
        (gzip.compress(b"x" * 5000), Unpacked(b"x" * 101)),
    ],
)
def test_gzip(data: bytes, unpacked: Unpacked) -> None:
    assert gunzip(data, 100) == unpacked


def test_damaged_gzip_says_what_is_wrong() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1
    assert "incorrect data check" in gunzip(bytes(packed), 100).damage


def test_ten_gigabytes_of_zeros_take_no_memory() -> None:
    import zlib  # noqa: PLC0415 - made in pieces, because the bomb is large when packed, too

    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(64)) + packer.flush()  # a tenth of them is as good
    tracemalloc.start()
    try:
        assert len(gunzip(bomb * 10, 2**20).content) == 2**20 + 1
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("QSA9IDE=", b"A = 1"),
        ("QSA9\r\n IDE=\n", b"A = 1"),
        ("", None),
        ("QSA9IDE", None),
        ("QSA9IDE==", None),
        ("QSA9=IDE", None),
        ("QSA9-DE_", None),
        ("cm.example.org", None),
    ],
)
def test_base64(text: str, content: "bytes | None") -> None:
    assert from_base64(text) == content


@pytest.mark.parametrize(
    ("content", "encoding", "unpacked"),
    [
        (b"a=\xff", "", Unpacked(b"a=\xff")),
        (b"a=3D1=\n2", "quoted-printable", Unpacked(b"a=12")),
        (b"QSA9\nIDE=\n", "base64", Unpacked(b"A = 1")),
        (b"\n", "base64", Unpacked(b"")),
        (b"QSA*", "base64", Unpacked(b"", "its base64 is damaged: encode it again")),
    ],
)
def test_transfer_encodings(content: bytes, encoding: str, unpacked: Unpacked) -> None:
    assert from_transfer(content, encoding) == unpacked


def test_an_unknown_transfer_encoding_is_told() -> None:
    assert "Content-Transfer-Encoding" in from_transfer(b"x", "x-uuencode").damage
