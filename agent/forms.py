"""The forms that a document of user-data can have: recognised by how it begins, then read.

Marked as ours are ``#cloud-config`` with a top-level ``annex_agent:``, ``#annex-agent`` above the settings alone, and a
JSON object with ``annex_agent``.  What other readers of user-data begin with says nothing about us.  Without any mark a
document is host names or lines ``KEY = VALUE`` (``unmarked``).
"""

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .budget import TOO_LONG
from .document import Text, UserData, left_to_others, wrong
from .schema import WRAPPER
from .settings import Source, from_document
from .unmarked import begins_with_key, read_unmarked

_AT_THE_TOP = re.compile(rf"^[\"']?{WRAPPER}[\"']?\s*:", re.MULTILINE)
_LAUNCH_INDEX = re.compile(r"^[\"']?launch-index[\"']?\s*:", re.MULTILINE)
FOR_ONE_INSTANCE = (
    "it has a launch-index, which annex-agent does not read: leave it out, or launch that instance by itself"
)


def read(document: Text) -> UserData:
    """A document by itself; what is wrong stands in ``source.problems``, each with its line or path."""
    form = _form(document.text)
    return form.read(form.kind, document) if form else read_unmarked(document)


def read_plain(document: Text) -> UserData:
    """A part that says no more than that it is text: read where it is ours, and left alone where it is prose."""
    found = read(document)
    if found.source.problems and not found.source.knobs and not is_marked(document.text):
        return left_to_others("text", document)
    return found


def read_ours(document: Text) -> UserData:
    """A part that is addressed to annex-agent: it needs no mark."""
    text = document.text.lstrip()
    if text.startswith("{"):
        return _priced(document, "JSON", lambda: _read_json("JSON", document, is_addressed=True))
    if text.lower().startswith("#annex-agent") or begins_with_key(text):
        return _settings("settings", document)
    return read_unmarked(document)


def read_cloud_config(document: Text) -> UserData:
    """Cloud-config: ours is the key ``annex_agent`` at its top, cloud-init's is the rest."""
    return _cloud_config("cloud-config", document)


def read_script(document: Text) -> UserData:
    """A part that is called a script: cloud-init, too, looks whether it is one."""
    return read(document) if is_marked(document.text) else left_to_others("a script", document)


def read_unsupported(kind: str, document: Text) -> UserData:
    """A form of cloud-init's that could hold our settings, and is not read: that must not pass in silence."""
    if WRAPPER not in document.text and "x-annex-agent" not in document.text:
        return left_to_others(kind, document)
    problem = (
        f"it is {kind} with settings for annex-agent, which are not read there; put them into a part of their own, "
        "of type text/x-annex-agent, in MIME multipart user-data"
    )
    return wrong(f"{kind}, not read", document.name, problem)


def archive_entries(document: Text) -> Tuple[List[Any], UserData]:
    """The entries of a cloud-config archive; and what is to be said of it where there are none."""
    from .yaml_document import DocumentError, load  # noqa: PLC0415 - slow to load, and seldom needed

    if not document.budget.takes_characters(len(document.text)):
        return [], _if_it_names_us(document, TOO_LONG)
    try:
        entries = load(document.text, document.budget)
    except DocumentError as err:
        return [], _if_it_names_us(document, str(err))
    if not isinstance(entries, list):
        return [], _if_it_names_us(document, "this must be a list of parts, each with its type and content")
    return entries, left_to_others(ARCHIVE, document)


def is_marked(text: str) -> bool:
    """Whether the text begins with the mark of a form, ours or others'."""
    return _form(text) is not None


def is_archive(text: str) -> bool:
    """Whether the text begins with the mark of a cloud-config archive."""
    form = _form(text)
    return form is not None and form.kind == ARCHIVE


def _if_it_names_us(document: Text, problem: str) -> UserData:
    if WRAPPER in document.text or "annex-agent" in document.text:
        return wrong(ARCHIVE, document.name, problem)
    return left_to_others(ARCHIVE, document)


def _priced(document: Text, kind: str, read_it: Callable[[], UserData]) -> UserData:
    affordable = document.budget.takes_characters(len(document.text))
    return read_it() if affordable else wrong(kind, document.name, TOO_LONG)


def _settings(kind: str, document: Text) -> UserData:
    return _priced(document, kind, lambda: _read_settings(kind, document))


def _read_settings(kind: str, document: Text) -> UserData:
    from .yaml_document import DocumentError, load  # noqa: PLC0415 - slow to load, and seldom needed

    try:
        given = load(document.text, document.budget)
    except DocumentError as err:
        return wrong(kind, document.name, str(err))
    if isinstance(given, dict) and set(given) == {WRAPPER}:
        return UserData(kind, _source(document, given[WRAPPER], WRAPPER))
    return UserData(kind, _source(document, given))


def _cloud_config(kind: str, document: Text) -> UserData:
    if WRAPPER not in document.text:
        return left_to_others(kind, document)
    from .yaml_document import DocumentError, load_value  # noqa: PLC0415 - slow to load, and seldom needed

    problem, given = TOO_LONG, None
    if document.budget.takes_characters(len(document.text)):
        try:
            problem, given = "", load_value(document.text, WRAPPER, document.budget)
        except DocumentError as err:
            problem = str(err)
    if problem and not _AT_THE_TOP.search(document.text):
        return left_to_others(f"{kind} that is not read", document)
    found = wrong(kind, document.name, problem) if problem else _inside(kind, document, given)
    is_for_one = not problem and found.is_ours and _LAUNCH_INDEX.search(document.text)
    return wrong(kind, document.name, FOR_ONE_INSTANCE) if is_for_one else found


def _json(kind: str, document: Text) -> UserData:
    if f'"{WRAPPER}"' not in document.text:
        return left_to_others(kind, document)
    return _priced(document, kind, lambda: _read_json(kind, document))


def _read_json(kind: str, document: Text, is_addressed: bool = False) -> UserData:
    from .json_document import JsonError, RepeatedKeyError, load  # noqa: PLC0415 - seldom needed

    try:
        given = load(document.text, document.budget)
    except RepeatedKeyError as err:
        return wrong(kind, document.name, _where_it_is_repeated(document) or str(err))
    except JsonError as err:
        return wrong(kind, document.name, str(err))
    if is_addressed and WRAPPER not in given:
        return UserData(kind, _source(document, given))
    return _inside(kind, document, given.get(WRAPPER))


def _where_it_is_repeated(document: Text) -> str:
    """YAML's parser reads JSON, too, and knows its lines."""
    from .yaml_document import DocumentError, load  # noqa: PLC0415 - slow to load, and only mistakes need it

    try:
        load(document.text.replace("\t", " "), document.lines_budget)
    except DocumentError as err:
        return str(err) if "given twice" in str(err) else ""
    return ""


def _inside(kind: str, document: Text, given: Any) -> UserData:
    """The value of ``annex_agent`` in a larger document; None where it has no such key."""
    if given is None:
        return left_to_others(kind, document)
    return UserData(f"{kind} with settings for annex-agent", _source(document, given, WRAPPER))


def _source(document: Text, given: Any, below: Optional[str] = None) -> Source:
    def lines() -> Dict[str, int]:
        from . import yaml_document  # noqa: PLC0415 - slow to load, and only mistakes need it

        return yaml_document.lines(document.text, below, document.lines_budget)

    return from_document(document.name, given, lines=lines)


class _Form(NamedTuple):
    beginning: str
    kind: str
    read: Callable[[str, Text], UserData]


ARCHIVE = "a cloud-config archive"
# What user-data begins with (cloud-init's documentation, "User-data formats"), the longer before the shorter.
_FORMS = (
    _Form("#annex-agent", "an annex-agent document", _settings),
    _Form("#cloud-config-archive", ARCHIVE, read_unsupported),
    _Form("#cloud-config-jsonp", "a JSON patch of cloud-config", read_unsupported),
    _Form("#cloud-config", "cloud-config", _cloud_config),
    _Form("## template:", "a template for cloud-init", read_unsupported),
    _Form("{", "JSON", _json),
    _Form("#!", "a script", left_to_others),
    _Form("#include", "an include list for cloud-init", left_to_others),
    _Form("#cloud-boothook", "a boot hook for cloud-init", left_to_others),
    _Form("#part-handler", "a part handler for cloud-init", left_to_others),
    _Form("#upstart-job", "an upstart job", left_to_others),
)


def _form(text: str) -> Optional[_Form]:
    beginning = text.lstrip()[:64].lower()
    return next((form for form in _FORMS if beginning.startswith(form.beginning)), None)
