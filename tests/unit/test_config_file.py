"""/etc/annex-agent/config.yaml as it is installed: every setting with its default, and none of them set.

That it says what the schema says is tested with the schema.
"""

import re
from pathlib import Path

import pytest

from annex_agent.schema import KEYS
from annex_agent.settings import Source, from_yaml

SHIPPED = (Path(__file__).resolve().parents[2] / "packaging/config.yaml").read_text(encoding="utf-8")
# Their default is that there is none, so an example stands there and says that it is one.
EXAMPLES = (
    *("central_manager", "annex.name", "annex.bundle", "security.method", "security.token", "security.pool_password"),
    *("security.trust_domain", "aws.proxy"),
    *("lifetime.lease", "lifetime.idle", "lifetime.unreachable"),
    *("lifetime.on_lease", "lifetime.on_idle", "lifetime.on_unregistered", "lifetime.on_unreachable"),
    *("signal.cloudformation.stack", "signal.cloudformation.resource", "condor"),
)


def uncommented(text: str) -> str:
    """What is left when an administrator takes the "# " away everywhere."""
    return re.sub(r"^# ", "", text, flags=re.MULTILINE)


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
    given = key.example if key.default is None else key.default
    assert everything.fields[key.field] == key.kind.parse(given)


@pytest.mark.parametrize("section", ["annex", "security", "network", "aws", "metadata", "stop", "signal", "condor"])
def test_a_section_without_a_setting_in_it_is_no_mistake(section: str) -> None:
    assert from_yaml("config.yaml", SHIPPED.replace(f"# {section}:", f"{section}:")) == Source("config.yaml")


def test_an_example_is_called_one() -> None:
    above, examples = "", []
    for line in SHIPPED.splitlines():
        if line.startswith("## "):
            above += line[2:]
        else:
            examples += [line.strip("# ").partition(":")[0]] if above.endswith("; this is an example.") else []
            above = ""
    assert examples == [path.rpartition(".")[2] for path in EXAMPLES]


def test_every_line_is_a_comment() -> None:
    assert [line for line in SHIPPED.splitlines() if line and not re.match(r"##? ", line)] == []
    assert max(map(len, SHIPPED.splitlines())) <= 120
