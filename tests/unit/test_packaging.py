"""What is installed from the wheel, the sdist and the checkout itself: complete, and nothing else.

Everything is built and installed with what is already here, in copies: no network, and no trace in the checkout.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import List, Sequence, Set

import pytest

from annex_agent import __version__

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"agent": "annex_agent", "templates": "annex_agent/templates"}
IN_SDIST = tuple(
    folder for folder in ("agent", "docs", "init", "packaging", "templates", "tests") if (ROOT / folder).is_dir()
)
BESIDE_THEM = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile", "README.md")
CONFIGURATION = ("pyproject.toml", "setup.cfg")
# Editable installs of a project without setup.py (PEP 660).
EDITABLE_SINCE = 64


def run(argv: Sequence[str], cwd: Path) -> str:
    """Run something in the environment of a user who has set nothing; returns what it says."""
    environment = {"PATH": os.defpath, "HOME": str(cwd), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "LANG": "C.UTF-8"}
    done = subprocess.run(
        argv, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def files_below(directory: Path) -> Set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: "pytest.TempPathFactory") -> Path:
    """A copy of what belongs to the project."""
    copy = tmp_path_factory.mktemp("packaging") / "checkout"
    copy.mkdir()
    for name in (*BESIDE_THEM, *CONFIGURATION):
        shutil.copy(ROOT / name, copy)
    for name in IN_SDIST:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    return copy


def build(kind: str, checkout: Path) -> Path:
    """What every build tool calls, with the setuptools that is here."""
    out = checkout.parent / kind
    run([sys.executable, "-c", f"from setuptools import build_meta as b; b.build_{kind}({str(out)!r})"], checkout)
    shutil.rmtree(checkout / "build", ignore_errors=True)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return build("wheel", checkout)


@pytest.fixture(scope="module")
def sdist(checkout: Path) -> Path:
    return build("sdist", checkout)


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(checkout: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    about = f"annex_agent-{__version__}.dist-info/"
    expected = {f"{PACKAGES[folder]}/{file}" for folder in PACKAGES for file in files_below(checkout / folder)}
    assert {name for name in names if not name.startswith(about)} == expected
    assert {"annex_agent/py.typed", "annex_agent/templates/condor/60-annex-agent.config.j2"} <= expected
    assert any(name.startswith("annex_agent/emulator/profiles/") for name in expected)
    assert any(name.startswith(about) and name.endswith("LICENSE") for name in names)


def test_the_sdist_holds_all_that_a_packager_and_the_tests_need(checkout: Path, sdist: Path) -> None:
    top = f"annex-agent-{__version__}", f"annex_agent-{__version__}"  # until, and since, PEP 625
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
        assert {member.name.partition("/")[0] for member in archive.getmembers()} <= set(top)
    expected = {f"{folder}/{file}" for folder in IN_SDIST for file in files_below(checkout / folder)}
    assert expected | {*BESIDE_THEM, *CONFIGURATION} <= names
    assert {name for name in names - expected if "/" in name and ".egg-info/" not in name} == set()


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """The Python of a new virtual environment that has all that is installed here, except annex-agent."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    for item in _installed_here():
        if "annex_agent" not in item.name and not (borrowed / item.name).exists():
            (borrowed / item.name).symlink_to(item)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    return python


def _installed_here() -> List[Path]:
    folders = [Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    return [item for folder in folders if folder.is_dir() for item in folder.iterdir()]


def install(python: Path, *what: str) -> None:
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir")
    run([str(python), "-m", "pip", "install", *offline, *what], python.parent)


def assert_works(python: Path, code_is_in: Path) -> None:
    """The installed command does its dry run, from the code that is meant."""
    elsewhere = python.parent
    located = run([str(python), "-c", "import annex_agent; print(annex_agent.__file__)"], elsewhere).strip()
    assert code_is_in in Path(located).parents
    assert run([str(python.with_name("annex-agent")), "--version"], elsewhere) == f"annex-agent {__version__}\n"
    shown = run([str(python.with_name("annex-agent")), "--dry-run", "--simulate"], elsewhere)
    assert "# Written by annex-agent for instance" in shown, "the text of templates/condor/60-annex-agent.config.j2"
    assert "COLLECTOR_HOST = cm.example.org" in shown, "the user-data of agent/emulator/profiles/wiki.yaml"


def test_the_wheel_works(fresh: Path, wheel: Path) -> None:
    install(fresh, str(wheel))
    assert_works(fresh, fresh.parents[1])


def test_the_sdist_works(fresh: Path, sdist: Path) -> None:
    install(fresh, str(sdist))
    assert_works(fresh, fresh.parents[1])


def test_a_checkout_works(fresh: Path, checkout: Path) -> None:
    install(fresh, str(checkout))
    assert_works(fresh, fresh.parents[1])


@pytest.mark.skipif(
    int(version("setuptools").split(".")[0]) < EDITABLE_SINCE,
    reason=f"setuptools {version('setuptools')} cannot install editably; to develop, use {EDITABLE_SINCE} or newer",
)
def test_an_editable_checkout_works(fresh: Path, checkout: Path) -> None:
    install(fresh, "--editable", str(checkout))
    assert_works(fresh, checkout / "agent")
