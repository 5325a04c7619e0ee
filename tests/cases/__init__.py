"""Documents of user-data, each in a folder whose name says what is expected of it, with the outcome beside it.

``user-data`` is the document, byte for byte; ``expected.json`` is what a worker makes of it whose image has a central
manager of its own.  Where a library's words follow, the expected sentence ends in three full stops.
"""

import json
import re
from pathlib import Path
from typing import Any, Dict, List

from annex_agent.errors import ConfigError
from annex_agent.model import Settings
from annex_agent.settings import Source, merge
from annex_agent.userdata import parse

FOLDER = Path(__file__).resolve().parent
BAKED = Source("config.yaml", {"central_manager": ("baked.example.org",)})
_LIBRARY_WORDS = re.compile(r"(this is not (?:YAML|JSON):|its gzip is damaged \().*", re.DOTALL)

Outcome = Dict[str, Any]


def names() -> List[str]:
    """Every case, by the name of its folder."""
    return sorted(path.name for path in FOLDER.iterdir() if (path / "user-data").exists())


def document(name: str) -> bytes:
    """The user-data of a case."""
    return (FOLDER / name / "user-data").read_bytes()


def outcome(data: bytes) -> Outcome:
    """What the worker makes of it: read, and laid over its image's settings."""
    found = parse(data)
    outcome: Outcome = {"kind": found.kind, "settings": {}, "knobs": [], "problems": [], "notices": list(found.notices)}
    try:
        settings = merge([BAKED, found.source]).settings
    except ConfigError as err:
        outcome["problems"] = [_LIBRARY_WORDS.sub(r"\1...", problem) for problem in err.problems]
        return outcome
    outcome["knobs"] = [f"{knob.name} = {knob.value}" for knob in settings.condor]
    outcome["settings"] = {
        field: _plain(getattr(settings, field)) for field in Settings._fields if field in found.source.fields
    }
    return outcome


def expected(name: str) -> Outcome:
    """What is expected of a case."""
    loaded: Outcome = json.loads((FOLDER / name / "expected.json").read_text(encoding="utf-8"))
    return loaded


def expect(name: str, made: Outcome) -> None:
    """Write down what is expected of a case from now on."""
    text = json.dumps(made, indent=2, ensure_ascii=True) + "\n"
    (FOLDER / name / "expected.json").write_text(text, encoding="ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)
