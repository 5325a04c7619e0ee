"""Writes anew what is made from the schema of the settings: python -m tests.regenerate

Those files are edited in agent/schema.py, and here where it is about their layout.
"""

import json
import re
import textwrap
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence

from annex_agent import json_schema
from annex_agent.key import Key
from annex_agent.schema import CONDOR, KEYS, ROWS

ROOT = Path(__file__).resolve().parents[1]
_TABLE = re.compile(r"^\| key \|.*?\n(?=\n)", re.MULTILINE | re.DOTALL)
_ABOUT_CONFIG_FILE = """\
## annex-agent's settings for every instance of this image. User-data, given when an instance is launched, is laid over
## them, and annex-agent --dry-run shows which are in force. Lines with ## explain. Lines with # are settings with their
## defaults: to change one take its "# " away, and that of the section above it. More is in the package's
## docs/settings.md. Nothing secret belongs here: every user may read this file. Try it: annex-agent validate FILE
"""


def config_file(_: str) -> str:
    """packaging/config.yaml: every setting as a comment."""
    return _ABOUT_CONFIG_FILE + "\n".join(_config_lines())


def settings_page(old: str) -> str:
    """docs/settings.md, with the table of keys anew."""
    rows = ["| key | values | default | what it does |", "|---|---|---|---|", *map(_table_row, ROWS)]
    table = "\n".join(rows) + "\n"
    return _TABLE.sub(lambda _: table, old, count=1)


def schema_file(_: str) -> str:
    """docs/settings.schema.json."""
    return json.dumps(json_schema.document(), indent=2) + "\n"


GENERATED: Dict[str, Callable[[str], str]] = {
    "packaging/config.yaml": config_file,
    "docs/settings.md": settings_page,
    "docs/settings.schema.json": schema_file,
}


def _config_lines() -> Iterator[str]:
    above: Sequence[str] = ()
    for row in KEYS:
        *sections, name = row.path.split(".")
        for depth, section in enumerate(sections):
            if sections[: depth + 1] != list(above)[: depth + 1]:
                yield from [""] if not depth else []
                yield f"# {'  ' * depth}{section}:"
        yield from [] if sections else [""]
        above = sections
        yield from _comment(row)
        yield f"# {'  ' * len(sections)}{name}: {_scalar(row.example or row.default)}"
    yield ""
    yield from _comment(CONDOR)
    yield "# condor:"
    yield from (f"#   {name}: '{value}'" for name, value in CONDOR.example.items())
    yield ""


def _comment(row: Key) -> List[str]:
    default = "No default" if row.unset.startswith("none") else f"Default: {json_schema.plain(row.unset)}"
    tail = f" {default}; this is an example." if row.default is None else ""
    text = f"{json_schema.sentence(row)}{tail}"
    return textwrap.wrap(text, 120, initial_indent="## ", subsequent_indent="## ", break_on_hyphens=False)


def _scalar(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'"{text}"' if "{" in text else text


def _table_row(row: Key) -> str:
    default = row.unset if row.default is None else f"`{_scalar(row.default)}`".replace('"', "")
    does = "; ".join(filter(None, [row.does, row.more, f"see {row.see}" if row.see else ""]))
    return f"| `{row.path}` | {row.kind.words} | {default} | {does} |"


def main() -> None:
    """Write what is not as it would be made."""
    for name, make in GENERATED.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = make(old)
        print(f"{name}: {'as it was' if new == old else 'written'}")
        if new != old:
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
