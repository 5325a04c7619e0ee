"""README, manual page and docs/ say the same as the program."""

import json
import re
from pathlib import Path
from typing import Dict, Set

import pytest

from annex_agent import cli
from annex_agent.kit.parts import PARTS
from annex_agent.kit.request import Request
from annex_agent.kit.role import trust_policy
from annex_agent.ladder import ladder
from annex_agent.model import Settings
from annex_agent.schema import KEYS
from annex_agent.worker_config import SPOT_VACATE_S, worker_blocks

from .conftest import WIKI

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "docs/annex-agent.8").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
KIT = (ROOT / "docs/kit.md").read_text(encoding="utf-8")
KNOBS = (ROOT / "docs/htcondor-knobs.md").read_text(encoding="utf-8")


@pytest.fixture
def help_text(capsys: "pytest.CaptureFixture[str]") -> str:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    return str(capsys.readouterr().out)


def exit_codes(text: str, pattern: str) -> Dict[str, str]:
    return {code: words.strip().replace("`", "") for code, words in re.findall(pattern, text, re.MULTILINE)}


def test_the_exit_codes_are_the_same_everywhere(help_text: str) -> None:
    codes = exit_codes(help_text, r"^  (\d+)  (.*)$")
    assert len(codes) == 9
    assert exit_codes(README, r"^\| (\d+) \| (.*) \|$") == codes
    assert exit_codes(MANUAL, r"^\.B (\d+)\n(.*)$") == codes


def test_every_command_is_documented(help_text: str) -> None:
    commands: Set[str] = set(
        re.findall(r"^  (\w+) {2,}\w", help_text.partition("commands:")[2].partition("exit")[0], re.M)
    )
    assert commands == set(cli._COMMANDS)
    for command in commands:
        assert re.search(rf"^\| `{command}[ `]", README, re.MULTILINE), command
        assert f"\n.B {command}\n" in MANUAL


def test_every_option_is_in_the_manual(help_text: str) -> None:
    manual = MANUAL.replace("\\-", "-")
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_text))
    assert options
    assert [option for option in sorted(options) if option not in manual] == []
    assert sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", manual)) - options) == []


def test_every_part_of_the_kit_is_documented_with_its_options() -> None:
    manual = MANUAL.replace("\\-", "-")
    for part in PARTS:
        assert f"\n| `{part}` |" in KIT
        assert re.search(rf"^\.BR? {part}\b", manual, re.MULTILINE), part
    own = {f"--{name}" for name in cli._OWN_OPTIONS["kit"]}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", KIT))
    assert own - named <= {"--account", "--vpc"}
    ours = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", " ".join(re.findall(r"^(?:annex-agent )?kit\b.*", KIT, re.M))))
    assert ours - own == {"--config"}


def test_the_kits_page_has_the_trust_policy_of_the_program() -> None:
    (trust,) = re.findall(r"--assume-role-policy-document '(.*?)'", KIT, re.DOTALL)
    assert json.loads(trust) == trust_policy(Request(Settings()))


@pytest.mark.parametrize("key", [key.path for key in KEYS])
def test_every_setting_is_documented(key: str) -> None:
    assert re.search(rf"^\| `{re.escape(key)}` \|", SETTINGS, re.MULTILINE)


@pytest.mark.parametrize("public", [True, False])
def test_every_knob_is_documented(public: bool) -> None:
    address = WIKI.instance.public_ipv4 if public else None
    instance = WIKI.instance._replace(life_cycle="spot", public_ipv4=address)
    settings = WIKI.settings._replace(annex="x", ports=(40000, 40050), central_manager=("a", "b"))
    for block in worker_blocks(WIKI._replace(instance=instance, settings=settings)):
        for knob in block.knobs:
            assert f"`{knob.name}`" in KNOBS, knob.name


@pytest.mark.parametrize("method", ["idtokens", "password", "host"])
def test_every_knob_of_trust_is_documented(method: str) -> None:
    settings = WIKI.settings._replace(security_method=method, trust_domain="example.org")
    for block in worker_blocks(WIKI._replace(settings=settings)):
        for knob in block.knobs:
            assert f"`{knob.name}`" in KNOBS, knob.name


PAGES = {path.name: path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]}


def anchors(text: str) -> Set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    missing = []
    for name, _, anchor in re.findall(r"\]\((?:docs/)?([\w.-]+\.md)?(#([\w-]+))?\)", PAGES[page]):
        target = PAGES.get(name or page)
        if target is None or (anchor and anchor not in anchors(target)):
            missing.append(f"{name}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_of_the_end_that_is_named_exists(page: str) -> None:
    known = {key.path for key in KEYS}
    named = set(re.findall(r"`((?:lifetime|interruption|signal|stop)\.[a-z_]+(?:\.[a-z]+)?)(?:: [^`]*)?`", PAGES[page]))
    assert {name for name in named - known if not any(path.startswith(f"{name}.") for path in known)} == set()
    assert page not in ("lifetime.md", "interruption.md") or len(named) > 4


def test_the_timeline_of_a_spot_notice_is_the_programs() -> None:
    timeline = PAGES["interruption.md"].partition("## A spot instance's two minutes")[2].partition("###")[0]
    stages = [int(seconds) for seconds in re.findall(r"^\| (\d+) \|", timeline, re.MULTILINE)]
    settings = Settings()
    rungs = ladder("graceful", float("inf"), settings.vacate_s)
    left_s, ends = float(settings.vacate_s), []
    for rung in rungs:
        left_s -= rung.wait_s
        ends.append(round(left_s))
    assert stages == [120, 120 - settings.poll_s, settings.vacate_s, *ends]
    least = 120 - settings.poll_s - settings.vacate_s
    assert f"ends within {least} seconds" in timeline
    assert f"has {settings.vacate_s - ends[0]} seconds for it" in timeline.replace("\n", " ")
    assert f"`MachineMaxVacateTime` is {SPOT_VACATE_S} " in timeline


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"^make (\w+)$", README, re.MULTILINE)
    assert commands == ["demo", "test"]
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
