"""JSON, as strict as the YAML of yaml_document is: no key twice, no number beyond all bounds."""

import json
import re
from typing import Any, Callable, Dict, List, Tuple

from .budget import TOO_MANY, Budget
from .grammar import HALF_CHARACTER, quoted

_LONGEST_NUMBER = 64  # digits
# One that is not followed, or not preceded, by its other half.
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(f"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")


class JsonError(ValueError):
    """The text is no such document; the message is one line, with its place where that is known."""


class RepeatedKeyError(JsonError):
    """A key is given twice; the parser does not say where."""


def load(text: str, budget: Budget) -> Any:
    """The document as plain Python values."""

    def no_number(word: str) -> None:
        raise JsonError(f"{_line(text, word)}{word} is not a number of JSON")

    try:
        given = json.loads(text, object_pairs_hook=_unique(budget), parse_int=_bounded(text), parse_constant=no_number)
        written = json.dumps(given, ensure_ascii=False)
    except json.JSONDecodeError as err:
        raise JsonError(f"line {err.lineno}: this is not JSON: {err.msg} (column {err.colno})") from err
    except RecursionError as err:
        raise JsonError("this is nested too deep, which no settings are") from err
    if HALF_CHARACTER.search(written):
        half = _HALF.search(text)
        place = _line(text, half.group()) if half else ""
        raise JsonError(f"{place}there is half a character in it (a surrogate): write it out")
    return given


def _unique(budget: Budget) -> Callable[[List[Tuple[str, Any]]], Dict[str, Any]]:
    def mapping(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        if not budget.takes_values(len(pairs)):
            raise JsonError(TOO_MANY)
        found: Dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise RepeatedKeyError(f"the key {quoted(key)} is given twice")
            found[key] = value
        return found

    return mapping


def _bounded(text: str) -> Callable[[str], int]:
    def number(digits: str) -> int:
        if len(digits) > _LONGEST_NUMBER:
            raise JsonError(f"{_line(text, digits)}a number of more than {_LONGEST_NUMBER} digits")
        return int(digits)

    return number


def _line(text: str, word: str) -> str:
    line = text.count("\n", 0, text.find(word)) + 1
    return f"line {line}: "
