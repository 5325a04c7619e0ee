"""Every file that names the version names the same one."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

import annex_agent

ROOT = Path(__file__).resolve().parents[2]

# File: the line that names it. Of CHANGELOG.md the newest release counts, not what is still unreleased.
NAMED_IN = {
    "setup.cfg": r"^version = (\S+)$",
    "agent/__init__.py": r'^__version__ = "(\S+)"$',
    "docs/annex-agent.8": r'^\.TH ANNEX-AGENT 8 "[^"]*" "annex-agent (\S+)"',
    "README.md": r"^dnf install \./dist/annex-agent-(\S+)-1\.noarch\.rpm$",
    "packaging/rpm/annex-agent.spec": r"^Version: +(\S+)$",
    "CHANGELOG.md": r"^## \[(\d[^\]]*)\]",
}


@pytest.mark.parametrize("file", NAMED_IN)
def test_the_version_is_the_same_everywhere(file: str) -> None:
    found = re.search(NAMED_IN[file], (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{file} has no line like {NAMED_IN[file]}"
    assert found.group(1) == annex_agent.__version__


def test_the_installed_package_has_it_too() -> None:
    assert version("annex-agent") == annex_agent.__version__


def test_the_rpm_s_newest_entry_is_this_version_s() -> None:
    spec = (ROOT / "packaging/rpm/annex-agent.spec").read_text(encoding="utf-8")
    entry = re.search(r"^%changelog\n\* .* - (\S+)-1$", spec, re.MULTILINE)
    assert entry, "%changelog begins with: * DAY MONTH DATE YEAR NAME - VERSION-1"
    assert entry.group(1) == annex_agent.__version__
