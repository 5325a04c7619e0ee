"""HTCondor configuration that came from outside, as text: which knobs it sets, or why it is not taken.

It has no more say than user-data: knobs, and HTCondor's own templates (``use``).  Whatever runs something while the
file is being read (``include command``), leads to other files, or reaches over a line's end, is refused.
"""

import re
from typing import FrozenSet, List, NamedTuple, Optional, Tuple

from . import grammar

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_TEMPLATE = re.compile(r"use\s+(?:role|feature|policy|security)\s*:\s*[A-Za-z_]", re.IGNORECASE)
_ENOUGH = 5  # problems of one file


class Read(NamedTuple):
    """The names of the knobs, in upper case, and what is wrong, a phrase each."""

    knobs: FrozenSet[str] = frozenset()
    problems: Tuple[str, ...] = ()


def read(content: bytes) -> Read:
    """Look at every line; nothing is expanded."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return Read(problems=("is not UTF-8 text",))
    knobs: List[str] = []
    problems: List[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            knob = _knob(line.rstrip("\r"))
        except ValueError as err:
            problems.append(f"line {number}: {err}")
        else:
            knobs += [knob.upper()] if knob else []
    more = [f"and {len(problems) - _ENOUGH} more lines"] if len(problems) > _ENOUGH else []
    return Read(frozenset(knobs), (*problems[:_ENOUGH], *more))


def _knob(line: str) -> Optional[str]:
    """The name of the knob that a line sets; None where it sets none."""
    text = line.strip()
    if _CONTROL.search(line):
        raise ValueError("it holds a control character")
    if text.endswith("\\"):
        raise ValueError("it ends in a backslash, which would swallow the next line")
    if not text or text.startswith("#") or _TEMPLATE.match(text):
        return None
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"{grammar.quoted(text, 30)} is neither NAME = value nor use CATEGORY:TEMPLATE")
    grammar.knob_value(value)
    return grammar.knob_name(name.strip())
