"""User-data: from the bytes of the launch request to settings.

In this order the bytes are gzip, a MIME message, text with the mark of a form (``forms``), base64 of any of these, or
text without a mark (``unmarked``).  What is packed is unpacked and looked at again, and so is each part of a message or
an archive (``parts``): those that are for annex-agent are laid over one another, the others belong to cloud-init.
"""

import codecs
from typing import Optional

from . import forms, multipart
from .budget import DEEPEST, UNPACKED, Budget
from .document import UserData, left_to_others, wrong
from .grammar import quoted
from .parts import ARCHIVE, OURS, TOO_MUCH, UNSPECIFIC, Layer, read_archive, read_by_type, read_message
from .unmarked import are_host_names, begins_with_key, begins_with_knob, names_collector
from .unpacking import GZIP, Unpacked, from_base64, gunzip

NAME = "user-data"

_MOST_PROBLEMS = 50  # a person mends them and tries again
_MOST_NOTICES = 20
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def parse(data: Optional[bytes]) -> UserData:
    """Recognise the form and read it; what is wrong stands in ``source.problems``, each with its part and line."""
    content = data or b""
    if not content.startswith((GZIP, *_UTF16)):
        content = content.rstrip(b"\0")  # what some tools fill a block with
    found = _read(Layer(NAME, content, Budget(), Budget()))
    problems = found.source.problems
    if len(problems) > _MOST_PROBLEMS:
        problems = (*problems[:_MOST_PROBLEMS], f"and {len(problems) - _MOST_PROBLEMS} more mistakes like these")
    notices = tuple(notice if notice.startswith(NAME) else f"{NAME}: {notice}" for notice in found.notices)
    return UserData(found.kind, found.source._replace(problems=problems), notices[:_MOST_NOTICES])


def _read(layer: Layer) -> UserData:
    if layer.depth > DEEPEST:
        return wrong("packed", layer.name, f"it is packed more than {DEEPEST} times over, which is not read")
    if layer.content.startswith(GZIP):
        return _read_gzip(layer)
    if layer.content.startswith(codecs.BOM_UTF8):
        layer = layer._replace(content=layer.content[len(codecs.BOM_UTF8) :])
    if layer.kind in UNSPECIFIC and multipart.is_message(layer.content):
        return _read_message(layer)
    text = multipart.text(layer.content, "utf-16" if layer.content.startswith(_UTF16) else layer.charset)
    if text is None:
        return _read_garbled(layer)
    if not forms.is_marked(text):
        found = _read_base64(layer, text) or _read_late_message(layer)
        if found:
            return found
    return _read_text(layer, text)


def _read_message(layer: Layer) -> UserData:
    found = read_message(layer, _read)
    if not layer.kind:
        return found
    notice = f"part {layer.number}: there is a MIME message in it, which cloud-init does not take apart"
    return found._replace(notices=(notice, *found.notices))


def _read_gzip(layer: Layer) -> UserData:
    unpacked = gunzip(layer.content, max(layer.budget.unpacked, 0))
    if not layer.budget.takes_unpacked(len(unpacked.content)):
        return wrong("gzip", layer.name, TOO_MUCH)
    found = _read(layer.inner(unpacked.content))
    if unpacked.damage:
        return _damaged(layer, unpacked, found)
    notices = (f"{layer.name}: {unpacked.rest}", *found.notices) if unpacked.rest else found.notices
    return found._replace(kind=f"gzip, in it {found.kind}", notices=notices)


def _damaged(layer: Layer, unpacked: Unpacked, found: UserData) -> UserData:
    words = f"its gzip is damaged ({unpacked.damage})"
    if not found.is_left or layer.kind == OURS:
        return wrong("damaged gzip", layer.name, f"{words}: pack it again")
    return left_to_others("damaged gzip", layer.as_text(""))._replace(notices=(f"{layer.name}: {words}",))


def _read_text(layer: Layer, text: str) -> UserData:
    document = layer.as_text(text)
    if layer.kind == ARCHIVE or (layer.kind in UNSPECIFIC and forms.is_archive(text)):
        return read_archive(layer, document, _read)
    return read_by_type(document, layer.kind)


def _read_garbled(layer: Layer) -> UserData:
    """Bytes that are no UTF-8: a mistake where they would be ours if they were."""
    text = layer.content.decode("latin-1")
    found = _read_text(layer, text)
    would_be_ours = found.is_ours and (forms.is_marked(text) or not found.source.problems)
    if not would_be_ours and layer.kind != OURS:
        return left_to_others("binary data", layer.as_text(text))
    line = _line_of_first_bad_byte(layer.content)
    return wrong("text that is not UTF-8", layer.name, f"line {line}: this is not UTF-8 text: save it as UTF-8")


def _line_of_first_bad_byte(content: bytes) -> int:
    good = content.decode("utf-8", "replace").partition("\ufffd")[0]
    return good.count("\n") + 1


def _read_base64(layer: Layer, text: str) -> Optional[UserData]:
    """What is inside base64; None where the text is to be read as it stands."""
    content = from_base64(text)
    if not content:
        return None
    is_name = are_host_names(text)
    if not _is_known(content, surely=is_name):
        if is_name and _is_known(content, surely=False):
            notice = f"{layer.name}: {quoted(text.strip())} might be base64, too; it is taken for a host name"
            return _read_text(layer, text)._replace(notices=(notice,))
        return None
    if not layer.budget.takes_unpacked(len(content)):
        return wrong("base64", layer.name, TOO_MUCH)
    found = _read(layer.inner(content))
    return found._replace(kind=f"base64, in it {found.kind}")


def _is_known(content: bytes, surely: bool) -> bool:
    """Whether this has a form of user-data: one that nothing has by chance, where it must be so ``surely``."""
    if content.startswith(GZIP):
        return not surely or not gunzip(content, UNPACKED).damage
    if multipart.is_message(content):
        return True
    text = multipart.text(content, "")
    if text is None:
        return False
    if forms.is_marked(text) or names_collector(text):
        return True
    packed = from_base64(text)
    if packed and _is_known(packed, surely):
        return True
    return not surely and (begins_with_knob(text) or begins_with_key(text) or are_host_names(text))


def _read_late_message(layer: Layer) -> Optional[UserData]:
    line = multipart.late_header(layer.content)
    if line is None or layer.kind:
        return None
    problem = f"line {line}: the header of a MIME message must be its first line: take away what stands above it"
    return wrong("a MIME message that begins too late", layer.name, problem)
