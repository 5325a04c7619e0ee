"""User-data: from the bytes of the launch request to settings.

Read here: one or several host names (the central manager, as in 2008), and lines ``KEY = VALUE``
(HTCondor knobs).  Anything else that cloud-init or a script would read says nothing about us.
"""

import re
from typing import List, NamedTuple, Optional, Tuple

from . import grammar
from .model import Knob
from .settings import WRAPPER, Source, central_managers, from_knobs

NAME = "user-data"

# What the other readers of user-data begin with (cloud-init's documentation, "User-data formats").
_OTHER_KINDS = (
    ("#!", "a script"),
    ("#include", "an include list for cloud-init"),
    ("#cloud-config", "cloud-config"),
    ("#cloud-boothook", "a boot hook for cloud-init"),
    ("#part-handler", "a part handler for cloud-init"),
    ("#upstart-job", "an upstart job"),
    ("## template:", "a template for cloud-init"),
    ("#annex-agent", "an annex-agent document"),
    ("Content-Type:", "MIME multipart"),
    ("MIME-Version:", "MIME multipart"),
    ("{", "JSON"),
)
_OURS_INSIDE = re.compile(rf"^{WRAPPER}\s*:|[\"']{WRAPPER}[\"']\s*:|^#annex-agent\b|text/x-annex-agent", re.MULTILINE)


class UserData(NamedTuple):
    """What the user-data is, in words, and the settings it holds."""

    kind: str
    source: Source


def parse(data: Optional[bytes]) -> UserData:
    """Recognise the form and read it; what is wrong stands in ``source.problems``, each with its line."""
    try:
        text = (data or b"").decode("utf-8-sig")
    except UnicodeDecodeError:  # gzip is among them: cloud-init unpacks it for its own readers
        return UserData("binary data, left to others", Source(NAME))
    return _parse_text(text)


def _parse_text(text: str) -> UserData:
    other = next((kind for start, kind in _OTHER_KINDS if text.lower().startswith(start.lower())), None)
    if other:
        return _left_to_others(other, text)
    meaningful = [line for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]
    if not meaningful:
        return UserData("none", Source(NAME))
    if len(meaningful) == 1 and "=" not in meaningful[0]:
        return _host_names(meaningful[0].strip())
    return _knob_lines(text)


def _left_to_others(kind: str, text: str) -> UserData:
    problems: Tuple[str, ...] = ()
    if _OURS_INSIDE.search(text):
        # Ignoring settings that were meant for us would make a worker that fails without a word.
        problems = (
            f"it is {kind} with settings for annex-agent, a form that this version does not read; "
            f"use lines KEY = VALUE, or put the settings into the image's config.yaml",
        )
    return UserData(f"{kind}, left to others", Source(NAME, problems=problems))


def _host_names(text: str) -> UserData:
    try:
        managers = central_managers(text)
    except ValueError as err:
        problem = f"{err}; user-data is the central manager's host name, or lines KEY = VALUE"
        return UserData("not understood", Source(NAME, problems=(problem,)))
    kind = "one host name" if len(managers) == 1 else f"{len(managers)} host names"
    return UserData(f"{kind}: the central manager", Source(NAME, {"central_manager": managers}))


def _knob_lines(text: str) -> UserData:
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
    return UserData(count, from_knobs(NAME, knobs, problems))


def _knob(line: str) -> Knob:
    name, equals, value = line.partition("=")
    if not equals:
        raise ValueError(f"{grammar.quoted(line.strip())} is not KEY = VALUE (there is no '=')")
    return Knob(grammar.knob_name(name.strip()), grammar.knob_value(value))
