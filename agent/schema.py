"""The schema of the settings: a row a key.

The parsers, the JSON Schema, the comments of packaging/config.yaml and the table in docs/settings.md are all made from
these rows.
"""

from typing import Dict, Mapping, Tuple

from .ending_keys import ENDING_KEYS
from .key import Key
from .values import KNOBS
from .worker_keys import WORKER_KEYS

WRAPPER = "annex_agent"  # above the settings, where they share a document with what others read
KEYS: Tuple[Key, ...] = (*WORKER_KEYS, *ENDING_KEYS)
CONDOR = Key(
    "condor",
    "condor",
    KNOBS,
    "the last word over what annex-agent writes",
    "user-data's `KEY = VALUE` lines replace the same knob",
    example={"START": 'TARGET.Owner == "alice"'},
)
ROWS = (*KEYS, CONDOR)
SHORT_FORMS = {"annex": "annex.name"}  # a section with a value of its own: annex: NAME
BY_PATH: Mapping[str, Key] = {key.path: key for key in KEYS}
BY_PATH = {**BY_PATH, **{short: BY_PATH[path] for short, path in SHORT_FORMS.items()}}


def _sections() -> Mapping[str, Tuple[str, ...]]:
    found: Dict[str, Tuple[str, ...]] = {"": (), CONDOR.path: ()}
    for row in ROWS:
        section = ""
        for name in row.path.split("."):
            if name not in found.get(section, ()):
                found[section] = (*found.get(section, ()), name)
            section = f"{section}.{name}" if section else name
    return found


# What may stand in each section, in the order of the rows; "" is the top.
SECTIONS: Mapping[str, Tuple[str, ...]] = _sections()
