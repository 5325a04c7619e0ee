"""/etc/annex-agent/config.yaml as it is installed: every setting with its default, and none of them set."""

import re
from pathlib import Path
from typing import List

import pytest

from annex_agent.model import Settings
from annex_agent.schema import KEYS
from annex_agent.settings import Source, from_yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "packaging/config.yaml").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
# Their default is that there is none, so an example stands there and says that it is one.
EXAMPLES = (
    *("central_manager", "annex.name", "annex.bundle", "security.method", "security.token", "security.pool_password"),
    *("security.trust_domain", "aws.proxy", "condor"),
)
HOW_TO_ADD = 'add to packaging/config.yaml, in its section: "## what it does" and "# {path}: its default"'


def uncommented(text: str) -> str:
    """What is left when an administrator takes the "# " away everywhere."""
    return re.sub(r"^# ", "", text, flags=re.MULTILINE)


def paths(text: str) -> List[str]:
    """The settings that stand in it, in their order."""
    found, section = [], ""
    for line in text.splitlines():
        setting = re.match(r"# ( *)(\w+):(.*)$", line)
        if not setting:
            continue
        indented, name, value = setting.groups()
        section = section if indented else name
        if value or name == "condor":
            found.append(f"{section}.{name}" if indented else name)
    return [path for path in found if not path.startswith("condor.")]


@pytest.fixture(scope="module")
def everything() -> Source:
    return from_yaml("config.yaml", uncommented(SHIPPED))


def test_as_shipped_it_sets_nothing() -> None:
    assert from_yaml("config.yaml", SHIPPED) == Source("config.yaml")


def test_all_of_it_is_valid(everything: Source) -> None:
    assert everything.problems == ()
    assert everything.knobs, "an example of condor"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.path))
def test_every_setting_stands_there_with_its_default(key, everything: Source) -> None:
    assert key.field in everything.fields, HOW_TO_ADD.format(path=key.path)
    default = getattr(Settings(), key.field)
    if key.path in EXAMPLES:
        assert not default
    else:
        assert everything.fields[key.field] == default, f"{key.path}: the default is {default!r}"


def test_it_has_the_order_of_the_documentation() -> None:
    assert paths(SHIPPED) == re.findall(r"^\| `([a-z0-9_.]+)` \|", SETTINGS, re.MULTILINE)


def test_every_setting_is_explained() -> None:
    lines = SHIPPED.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"# +\w+: ?\S", line) and not line.startswith("#   START"):
            assert lines[number - 1].startswith("## "), f"a line with ## above {line!r} says what it does"
    examples = [lines[at + 1] for at, line in enumerate(lines) if line.endswith("; this is an example.")]
    names = [line.strip("# ").partition(":")[0] for line in examples]
    assert names == [path.rpartition(".")[2] for path in EXAMPLES]


def test_every_line_is_a_comment() -> None:
    assert [line for line in SHIPPED.splitlines() if line and not re.match(r"##? ", line)] == []
    assert max(map(len, SHIPPED.splitlines())) <= 120
