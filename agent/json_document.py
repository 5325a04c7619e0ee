"""JSON, as strict as the YAML of yaml_document is: no key twice, no number beyond all bounds."""

import json
from typing import Any, Dict, List, Tuple

from .budget import TOO_MANY, Budget
from .grammar import HALF_CHARACTER, quoted

_LONGEST_NUMBER = 64  # digits


class JsonError(ValueError):
    """The text is no such document; the message is one line, with its place where that is known."""


def load(text: str, budget: Budget) -> Any:
    """The document as plain Python values."""

    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        if not budget.takes_values(len(pairs)):
            raise JsonError(TOO_MANY)
        found: Dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise JsonError(f"the key {quoted(key)} is given twice")
            found[key] = value
        return found

    try:
        given = json.loads(text, object_pairs_hook=unique, parse_int=_number, parse_constant=_no_number)
        written = json.dumps(given, ensure_ascii=False)
    except json.JSONDecodeError as err:
        raise JsonError(f"line {err.lineno}: this is not JSON: {err.msg} (column {err.colno})") from err
    except RecursionError as err:
        raise JsonError("this is nested too deep, which no settings are") from err
    if HALF_CHARACTER.search(written):
        raise JsonError("there is half a character in it (a surrogate): write it out")
    return given


def _number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise JsonError(f"a number of more than {_LONGEST_NUMBER} digits")
    return int(digits)


def _no_number(word: str) -> None:
    raise JsonError(f"{word} is not a number of JSON")
