"""Documents of several parts, MIME messages and cloud-config archives: each part by its type, then all as one."""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple

from . import forms, multipart
from .budget import PARTS, UNPACKED, Budget
from .document import Text, UserData, left_to_others, nothing, wrong
from .grammar import quoted
from .settings import Source, combine
from .unpacking import from_transfer

TOO_MUCH = f"it unpacks to more than {UNPACKED // 1024} KiB, which is not read: make it shorter"
OURS = "text/x-annex-agent"
ARCHIVE = "text/cloud-config-archive"
_GZIPPED = (
    "gzip",
    "gzip-compressed",
    "gzipped",
    "x-compress",
    "x-compressed",
    "x-gunzip",
    "x-gzip",
    "x-gzip-compressed",
)
# What says nothing about its form: cloud-init, too, looks how the text begins. No type: a document by itself.
UNSPECIFIC = (
    "",
    "text/plain",
    "text/x-not-multipart",
    "application/json",
    *(f"application/{kind}" for kind in _GZIPPED),
)
_READERS: Dict[str, Callable[[Text], UserData]] = {
    "": forms.read,
    OURS: forms.read_ours,
    "text/cloud-config": forms.read_cloud_config,
    "text/x-shellscript": forms.read_script,
    "text/cloud-config-jsonp": lambda document: forms.read_unsupported("a JSON patch of cloud-config", document),
    "text/jinja2": lambda document: forms.read_unsupported("a template for cloud-init", document),
}
# What cloud-init knows beside these (its documentation, "User-data formats"), and nobody else reads.
_CLOUD_INITS = (
    *("text/x-include-url", "text/x-include-once-url", "text/upstart-job", "text/part-handler", "text/cloud-boothook"),
    *(f"text/x-shellscript-per-{when}" for when in ("boot", "instance", "once")),
)


class Layer(NamedTuple):
    """Bytes on their way to being text: what they are called, how deep they were packed, what is left to spend."""

    name: str
    content: bytes
    budget: Budget
    lines_budget: Budget  # for finding the lines of mistakes
    depth: int = 0
    kind: str = ""  # of a part: its type
    number: str = ""
    charset: str = ""

    def inner(self, content: bytes) -> "Layer":
        """What was inside of this one."""
        return self._replace(content=content, depth=self.depth + 1)

    def as_text(self, text: str) -> Text:
        """The same as text."""
        return Text(self.name, text, self.budget, self.lines_budget)


Read = Callable[[Layer], UserData]


def read_by_type(document: Text, kind: str) -> UserData:
    """By the type of the part that it is, or where that says nothing, by how it begins."""
    return _READERS.get(kind, forms.read_plain)(document)


def read_message(layer: Layer, read: Read) -> UserData:
    """The parts of a MIME message, laid over one another."""
    try:
        parts = multipart.parts(layer.content, layer.budget, layer.number)
    except multipart.MessageError as err:
        if b"annex" in layer.content.lower():
            return wrong("MIME multipart", layer.name, str(err))
        return _noticed(nothing("MIME multipart, left to others", layer.name), layer.name, f"it is not read: {err}")
    return _laid_together("MIME multipart", layer, [_read_part(layer, part, read) for part in parts])


def read_archive(layer: Layer, document: Text, read: Read) -> UserData:
    """The entries of a cloud-config archive, laid over one another."""
    entries, otherwise = forms.archive_entries(document)
    parts = list(_archived(entries, f"{layer.number}." if layer.number else ""))
    if not parts:
        return otherwise
    if not layer.budget.takes_parts(len(parts)):
        return wrong(forms.ARCHIVE, layer.name, f"it has more than {PARTS} parts, which are not read")
    return _laid_together(forms.ARCHIVE, layer, [_read_part(layer, part, read) for part in parts])


def _archived(entries: List[Any], prefix: str) -> Iterator[multipart.Part]:
    """As cloud-init takes them: without a type an entry is what its beginning says, and cloud-config without one."""
    for number, entry in enumerate(entries, start=1):
        given = {"content": entry} if isinstance(entry, str) else entry
        if not isinstance(given, dict):
            continue
        content = given.get("content", "")
        text = content if isinstance(content, str) else ""
        kind = given.get("type") or ("text/plain" if forms.is_marked(text) else "text/cloud-config")
        is_text = isinstance(content, (str, bytes))
        yield multipart.Part(
            f"{prefix}{number}",
            str(kind).lower(),
            content if isinstance(content, bytes) else text.encode("utf-8"),
            has_launch_index=any(str(key).lower() == "launch-index" for key in given),
            complaints=() if is_text else ("its content must be text: write content: | and the lines below it",),
        )


def _read_part(layer: Layer, part: multipart.Part, read: Read) -> UserData:
    own = layer._replace(
        name=f"within part {part.number}", kind=part.content_type, number=part.number, charset=part.charset
    )
    found = _read_known(own, part, read)
    if found.is_ours or part.content_type == OURS or "annex" in "".join(part.complaints).lower():
        complaints = (*part.complaints, *([forms.FOR_ONE_INSTANCE] if part.has_launch_index else []))
        if complaints:  # what follows from the first is no news
            return found._replace(source=Source(own.name, problems=complaints[:1]), notices=())
    for notice in reversed(part.notices):
        found = _noticed(found, f"part {part.number}", notice)
    return found


def _read_known(layer: Layer, part: multipart.Part, read: Read) -> UserData:
    is_readable = layer.kind in (*_READERS, *UNSPECIFIC, ARCHIVE)
    if not is_readable:
        found = left_to_others("a part of another type", layer.as_text(""))
        unknown = f"its type {quoted(layer.kind)} is known neither to annex-agent nor to cloud-init"
        return found if layer.kind in _CLOUD_INITS else _noticed(found, f"part {part.number}", unknown)
    unpacked = from_transfer(part.content, part.encoding)
    if unpacked.damage:
        return _damaged(layer, unpacked.damage)
    if part.encoding and not layer.budget.takes_unpacked(len(unpacked.content)):
        return wrong(layer.kind, layer.name, TOO_MUCH)
    found = read(layer.inner(unpacked.content))
    is_empty = layer.kind == OURS and not unpacked.content.strip()
    return _noticed(found, f"part {part.number}", "it is for annex-agent, and empty") if is_empty else found


def _damaged(layer: Layer, words: str) -> UserData:
    if layer.kind == OURS:
        return wrong(layer.kind, layer.name, words)
    return _noticed(left_to_others(layer.kind, layer.as_text("")), f"part {layer.number}", words)


def _noticed(found: UserData, where: str, notice: str) -> UserData:
    return found._replace(notices=(f"{where}: {notice}", *found.notices))


def _laid_together(kind: str, layer: Layer, found: List[UserData]) -> UserData:
    ours = [document for document in found if document.is_ours]
    notices = tuple(notice for document in found for notice in document.notices)
    if not ours:
        return nothing(f"{kind}, left to others", layer.name)._replace(notices=notices)
    kinds = "; ".join(f"{document.source.name[len('within ') :]}: {document.kind}" for document in ours)
    source = combine(layer.name, [document.source._replace(problems=()) for document in ours])
    problems = [_placed(problem, document.source.name) for document in ours for problem in document.source.problems]
    return UserData(f"{kind}, in it {kinds}", source._replace(problems=tuple(problems)), notices)


def _placed(problem: str, name: str) -> str:
    """A message within a part has named its own parts already."""
    return problem if problem.startswith("within part ") else f"{name}: {problem}"
