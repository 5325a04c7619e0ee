"""The schema of the settings as JSON Schema, for editors and other programs (draft-07: Enterprise Linux 9 knows it)."""

from typing import Any, Dict

from .key import Key
from .schema import ROWS, SECTIONS, SHORT_FORMS, WRAPPER

_SETTINGS = "#/definitions/settings"


def document() -> Dict[str, Any]:
    """Of config.yaml and of user-data that is YAML or JSON: the settings alone, or below ``annex_agent``."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "annex-agent's settings",
        "description": "config.yaml of annex-agent, or its user-data: the settings alone, or below annex_agent",
        "if": {"type": "object", "required": [WRAPPER]},
        "then": {"properties": {WRAPPER: {"$ref": _SETTINGS}}},
        "else": {"$ref": _SETTINGS},
        "definitions": {"settings": _section("")},
    }


def sentence(row: Key) -> str:
    """What a setting does and which values it takes, without any markup."""
    words = plain(f"{row.does}: {row.kind.plain or row.kind.words}")
    return f"{words[0].upper()}{words[1:]}."


def plain(markdown: str) -> str:
    """Our Markdown without its marks."""
    return markdown.replace("`", "")


def _section(section: str) -> Dict[str, Any]:
    prefix = f"{section}." if section else ""
    properties = {name: _value(f"{prefix}{name}") for name in SECTIONS[section]}
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _value(path: str) -> Dict[str, Any]:
    rows = {row.path: row for row in ROWS}
    if path in rows:
        return _setting(rows[path])
    if path not in SHORT_FORMS:
        return _section(path)
    return {"anyOf": [_setting(rows[SHORT_FORMS[path]]), _section(path)]}


def _setting(row: Key) -> Dict[str, Any]:
    does = plain(row.does)
    more = f" {plain(row.more)[0].upper()}{plain(row.more)[1:]}." if row.more else ""
    told: Dict[str, Any] = {"title": does, "description": f"{sentence(row)}{more}"}
    if row.default is not None:
        told["default"] = row.default
    if row.example is not None:
        told["examples"] = [row.example]
    return {**told, **row.kind.schema}
