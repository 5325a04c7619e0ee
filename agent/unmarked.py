"""Documents that bear no mark: host names, and lines ``KEY = VALUE``."""

import re
from typing import Dict, List, Optional

from . import grammar
from .budget import TOO_LONG, TOO_MANY
from .document import NONE, Text, UserData, nothing, wrong
from .model import Knob
from .network_values import central_managers
from .settings import Source, from_knobs

_YAML_KEY = re.compile(r"---\s*$|[\"']?\w+[\"']?\s*:(?:\s|$)")
_KNOB_LINE = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_.]*\s*=")
_COLLECTOR_LINE = re.compile(r"^[ \t]*(?:COLLECTOR|CONDOR)_HOST[ \t]*=", re.IGNORECASE | re.MULTILINE)


def read_unmarked(document: Text) -> UserData:
    """Host names or lines ``KEY = VALUE``; of anything else each line is a mistake."""
    if not document.budget.takes_characters(len(document.text)):
        return wrong("not understood", document.name, TOO_LONG)
    lines = _meaningful(document.text)
    if not lines:
        return nothing(NONE, document.name)
    if "\0" in document.text:
        number = document.text.count("\n", 0, document.text.index("\0")) + 1
        problem = f"line {number}: there is a NUL in it, as there is beside each letter in UTF-16: save it as UTF-8"
        return wrong("not understood", document.name, problem)
    if _YAML_KEY.match(lines[0].strip()) and not any("=" in line for line in lines):
        number = document.text.split("\n").index(lines[0]) + 1
        problem = f"line {number}: these look like settings in YAML: put a line #annex-agent above them"
        return wrong("YAML without a mark", document.name, problem)
    if len(lines) == 1 and "=" not in lines[0]:
        return _host_names(document.name, lines[0].strip())
    return _knob_lines(document)


def are_host_names(text: str) -> bool:
    """Whether this text names the central manager, as it stands."""
    lines = _meaningful(text)
    try:
        return len(lines) == 1 and bool(central_managers(lines[0].strip()))
    except ValueError:
        return False


def begins_with_knob(text: str) -> bool:
    """Whether the first line that is no comment looks like ``KEY = VALUE``."""
    lines = _meaningful(text)
    return bool(lines and _KNOB_LINE.match(lines[0]))


def names_collector(text: str) -> bool:
    """Whether a line ``KEY = VALUE`` in it names the central manager."""
    return bool(_COLLECTOR_LINE.search(text))


def begins_with_key(text: str) -> bool:
    """Whether the first line that is no comment looks like ``KEY: VALUE``."""
    lines = _meaningful(text)
    return bool(lines and _YAML_KEY.match(lines[0].strip()))


def _meaningful(text: str) -> List[str]:
    return [line for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]


def _host_names(name: str, text: str) -> UserData:
    try:
        managers = central_managers(text)
    except ValueError as err:
        sentence = f"{err}; user-data is the central manager's host name, or lines KEY = VALUE"
        return wrong("not understood", name, sentence)
    kind = "one host name" if len(managers) == 1 else f"{len(managers)} host names"
    return UserData(f"{kind}: the central manager", Source(name, {"central_manager": managers}))


def _knob_lines(document: Text) -> UserData:
    knobs: List[Knob] = []
    numbers: Dict[str, int] = {}
    problems: List[str] = []
    # Split at line feeds only: what else Python takes for a line end would hide a control character.
    for number, line in enumerate(document.text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not document.budget.takes_values(1):
            return wrong("lines KEY = VALUE", document.name, f"line {number}: {TOO_MANY}")
        try:
            knobs.append(_knob(line))
            numbers[knobs[-1].name.upper()] = number
        except ValueError as err:
            problems.append(f"line {number}: {err}")
    count = f"{len(knobs)} line{'s' if len(knobs) != 1 else ''} KEY = VALUE"
    given = from_knobs(document.name, knobs, problems)
    told = (_with_line(problem, numbers.get(problem.partition(":")[0])) for problem in given.problems)
    return UserData(count, given._replace(problems=tuple(told)))


def _with_line(problem: str, number: Optional[int]) -> str:
    return f"line {number}: {problem}" if number else problem


def _knob(line: str) -> Knob:
    name, equals, value = line.partition("=")
    if not equals:
        raise ValueError(f"{grammar.quoted(line.strip())} is not KEY = VALUE (there is no '=')")
    return Knob(grammar.knob_name(name.strip()), grammar.knob_value(value))
