"""User-data: from the bytes of the launch request to settings.

The bytes may be packed with gzip.  They are one document in one of the ``forms``, or a MIME message with a document
in each part: those that are for annex-agent are laid over one another in their order, the others belong to cloud-init.
"""

from typing import Optional

from . import multipart
from .forms import UserData, left_to_others, read, read_cloud_config, read_ours, read_plain, read_unsupported
from .settings import Source, combine

NAME = "user-data"

_GZIP = b"\x1f\x8b"
_UNPACKED_LIMIT = 1024 * 1024  # EC2 takes 16 KiB; what grows beyond this is no text of a human hand
_OURS = "text/x-annex-agent"
# What cloud-init, too, recognises by how the text begins.
_UNSPECIFIC = ("text/plain", "text/x-not-multipart", "application/json")
_UNSUPPORTED = {
    "text/cloud-config-archive": "a cloud-config archive",
    "text/cloud-config-jsonp": "a JSON patch of cloud-config",
    "text/jinja2": "a template for cloud-init",
}


def parse(data: Optional[bytes]) -> UserData:
    """Recognise the form and read it; what is wrong stands in ``source.problems``, each with its part and line."""
    content = data or b""
    if not content.startswith(_GZIP):
        return _parse(content)
    unpacked = _unpacked(content)
    if unpacked is None:
        return left_to_others("binary data", NAME)
    if len(unpacked) > _UNPACKED_LIMIT:
        problem = f"it unpacks to more than {_UNPACKED_LIMIT // 1024} KiB, which is not read: make it shorter"
        return UserData("gzip", Source(NAME, problems=(problem,)))
    document = _parse(unpacked)
    return document._replace(kind=f"gzip, in it {document.kind}")


def _unpacked(content: bytes) -> Optional[bytes]:
    import gzip  # noqa: PLC0415 - seldom needed
    import io  # noqa: PLC0415
    import zlib  # noqa: PLC0415

    try:
        return gzip.GzipFile(fileobj=io.BytesIO(content)).read(_UNPACKED_LIMIT + 1)
    except (OSError, EOFError, zlib.error):
        return None


def _parse(content: bytes) -> UserData:
    if multipart.is_message(content):
        return _parse_message(content)
    try:
        return read(NAME, content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return left_to_others("binary data", NAME)


def _parse_message(content: bytes) -> UserData:
    try:
        parts = multipart.parts(content)
    except ValueError as err:
        if b"annex" not in content.lower():
            return left_to_others("MIME multipart", NAME)
        return UserData("MIME multipart", Source(NAME, problems=(str(err),)))
    documents = [_read_part(part) for part in parts]
    ours = [document for document in documents if document.is_ours]
    if not ours:
        return left_to_others("MIME multipart", NAME)
    kinds = "; ".join(f"{document.source.name}: {document.kind}" for document in ours)
    return UserData(f"MIME multipart, in it {kinds}", combine(NAME, [document.source for document in ours]))


def _read_part(part: multipart.Part) -> UserData:
    name, kind = f"part {part.number}", part.content_type
    if part.text is None:
        problems = ("this is not UTF-8 text",) if kind == _OURS else ()
        return UserData("binary data", Source(name, problems=problems))
    if kind == _OURS:
        return read_ours(name, part.text)
    if kind == "text/cloud-config":
        return read_cloud_config(name, part.text)
    if kind in _UNSPECIFIC:
        return read_plain(name, part.text)
    if kind in _UNSUPPORTED:
        return read_unsupported(_UNSUPPORTED[kind], name, part.text)
    return left_to_others(kind, name)
