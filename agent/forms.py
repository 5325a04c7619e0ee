"""The forms that a document of user-data can have: recognised by how it begins, then read.

Host names and lines ``KEY = VALUE`` bear no mark.  Marked are ``#cloud-config`` with a top-level ``annex_agent:``,
``#annex-agent`` above the settings alone, and a JSON object with ``annex_agent``.  What other readers of user-data
begin with says nothing about us.
"""

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from . import grammar
from .model import Knob
from .settings import WRAPPER, Source, central_managers, from_document, from_knobs, from_yaml

_AT_THE_TOP = re.compile(rf"^[\"']?{WRAPPER}[\"']?\s*:", re.MULTILINE)
_YAML_KEY = re.compile(r"---\s*$|[\"']?\w+[\"']?\s*:(?:\s|$)")


class UserData(NamedTuple):
    """What a document is, in words, and the settings it holds."""

    kind: str
    source: Source

    @property
    def is_ours(self) -> bool:
        """Whether it says anything to annex-agent, right or wrong."""
        return bool(self.source.fields or self.source.knobs or self.source.problems)


def read(name: str, text: str) -> UserData:
    """A document by itself; what is wrong stands in ``source.problems``, each with its line or path."""
    form = _form(text)
    return form.read(form.kind, name, text) if form else _lines(name, text)


def read_plain(name: str, text: str) -> UserData:
    """A part that says no more than that it is text: read where it is ours, and left alone where it is prose."""
    document = read(name, text)
    if document.source.problems and not document.source.knobs and not _form(text):
        return left_to_others("text", name)
    return document


def read_ours(name: str, text: str) -> UserData:
    """A part that is addressed to annex-agent: it needs no mark."""
    if text.lstrip().startswith("{"):
        return _json("JSON", name, text, is_addressed=True)
    lines = _meaningful(text)
    if text.lstrip().lower().startswith("#annex-agent") or (lines and _YAML_KEY.match(lines[0].strip())):
        return _settings("settings", name, text)
    return _lines(name, text)


def read_cloud_config(name: str, text: str) -> UserData:
    """Cloud-config: ours is the key ``annex_agent`` at its top, cloud-init's is the rest."""
    return _cloud_config("cloud-config", name, text)


def read_unsupported(kind: str, name: str, text: str) -> UserData:
    """A form of cloud-init's that could hold our settings, and is not read: that must not pass in silence."""
    if WRAPPER not in text and "x-annex-agent" not in text:
        return left_to_others(kind, name)
    problem = (
        f"it is {kind} with settings for annex-agent, which are not read there; put them into a part of their own, "
        "of type text/x-annex-agent, in MIME multipart user-data"
    )
    return UserData(f"{kind}, not read", Source(name, problems=(problem,)))


def left_to_others(kind: str, name: str, _text: str = "") -> UserData:
    """Not for us: no settings, and no error."""
    return UserData(f"{kind}, left to others", Source(name))


def _meaningful(text: str) -> List[str]:
    return [line for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]


def _lines(name: str, text: str) -> UserData:
    meaningful = _meaningful(text)
    if not meaningful:
        return UserData("none", Source(name))
    if len(meaningful) == 1 and "=" not in meaningful[0]:
        return _host_names(name, meaningful[0].strip())
    return _knob_lines(name, text)


def _host_names(name: str, text: str) -> UserData:
    try:
        managers = central_managers(text)
    except ValueError as err:
        problem = f"{err}; user-data is the central manager's host name, or lines KEY = VALUE"
        return UserData("not understood", Source(name, problems=(problem,)))
    kind = "one host name" if len(managers) == 1 else f"{len(managers)} host names"
    return UserData(f"{kind}: the central manager", Source(name, {"central_manager": managers}))


def _knob_lines(name: str, text: str) -> UserData:
    knobs: List[Knob] = []
    problems: List[str] = []
    # Split at line feeds only: what else Python takes for a line end would hide a control character.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            knobs.append(_knob(line))
        except ValueError as err:
            problems.append(f"line {number}: {err}")
    count = f"{len(knobs)} line{'s' if len(knobs) != 1 else ''} KEY = VALUE"
    return UserData(count, from_knobs(name, knobs, problems))


def _knob(line: str) -> Knob:
    name, equals, value = line.partition("=")
    if not equals:
        raise ValueError(f"{grammar.quoted(line.strip())} is not KEY = VALUE (there is no '=')")
    return Knob(grammar.knob_name(name.strip()), grammar.knob_value(value))


def _settings(kind: str, name: str, text: str) -> UserData:
    return UserData(kind, from_yaml(name, text))


def _cloud_config(kind: str, name: str, text: str) -> UserData:
    if WRAPPER not in text:
        return left_to_others(kind, name)
    from .yaml_document import DocumentError, load_value  # noqa: PLC0415 - slow to load, and seldom needed

    try:
        document = load_value(text, WRAPPER)
    except DocumentError as err:
        if not _AT_THE_TOP.search(text):
            return left_to_others(f"{kind} that is no YAML", name)
        return UserData(kind, Source(name, problems=(str(err),)))
    return _inside(kind, name, document)


def _json(kind: str, name: str, text: str, is_addressed: bool = False) -> UserData:
    if WRAPPER not in text and not is_addressed:
        return left_to_others(kind, name)
    import json  # noqa: PLC0415 - seldom needed

    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as err:
        return UserData(kind, Source(name, problems=(f"this is not JSON: {err}",)))
    return _inside(kind, name, document.get(WRAPPER, document if is_addressed else None))


def _inside(kind: str, name: str, document: Any) -> UserData:
    """The value of ``annex_agent`` in a larger document; None where it has no such key."""
    if document is None:
        return left_to_others(kind, name)
    return UserData(f"{kind} with settings for annex-agent", from_document(name, document))


def _unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    keys = [key for key, _ in pairs]
    repeated = next((key for key in keys if keys.count(key) > 1), None)
    if repeated is not None:
        raise ValueError(f"the key {grammar.quoted(repeated)} is given twice")
    return dict(pairs)


class _Form(NamedTuple):
    beginning: str
    kind: str
    read: Callable[[str, str, str], UserData]


# What user-data begins with (cloud-init's documentation, "User-data formats"), the longer before the shorter.
_FORMS = (
    _Form("#annex-agent", "an annex-agent document", _settings),
    _Form("#cloud-config-archive", "a cloud-config archive", read_unsupported),
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
