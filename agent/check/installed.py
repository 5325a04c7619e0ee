"""The look at what has to be installed: HTCondor, Python, the libraries."""

import importlib.metadata
import importlib.util
import re
import sys
from typing import Iterator, NamedTuple, Optional, Tuple

from ..model import MASTER, STARTD
from .finding import Judgement, Unseen, ok, problem, warning
from .scene import Scene

_TRIED = 23  # the oldest feature line that annex-agent is tried with
_HAS_TOKENS = 9  # before it there was only host-based trust
_NEEDED = (MASTER, STARTD, "condor_status", "condor_advertise")
_INSTALL = "install HTCondor 23.0 or later, the whole package (condor, on Debian htcondor)"
_PYTHON = (3, 9)


class Library(NamedTuple):
    """What is imported, the distribution that brings it, and the oldest version that will do (as in setup.cfg)."""

    module: str
    distribution: str
    floor: Tuple[int, ...]


LIBRARIES = (
    Library("requests", "requests", (2, 25, 1)),
    Library("jinja2", "jinja2", (2, 11, 3)),
    Library("psutil", "psutil", (5, 8, 0)),
    Library("tenacity", "tenacity", (6, 2)),
    Library("yaml", "PyYAML", (5, 3)),
)


def htcondor(scene: Scene) -> Iterator[Judgement]:
    """HTCondor's tools and daemons, and a version that is known to do."""
    machine = scene.machine
    if not machine.htcondor.is_installed:
        yield problem("not installed: condor_config_val is on no standard path", _INSTALL)
        return
    missing = [command for command in _NEEDED if machine.system.which(command) is None]
    if missing:
        yield problem(f"installed, but without {', '.join(missing)}", _INSTALL)
    try:
        yield version(scene.knob("CONDOR_VERSION").value)
    except Unseen as err:
        yield warning(f"installed, but its version cannot be told: {err}", err.remedy)


def version(text: str) -> Judgement:
    """What is known of an HTCondor of this version."""
    major = _numbers(text)[:1]
    if not major:
        return warning(f"installed, but of unknown version ({text or 'CONDOR_VERSION is empty'})", _INSTALL)
    if major[0] >= _TRIED:
        return ok(text)
    if major[0] >= _HAS_TOKENS:
        return warning(f"{text} may do, but is older than what annex-agent is tried with", _INSTALL)
    return problem(f"{text} is too old: it knows no tokens", _INSTALL)


def python(scene: Scene) -> Iterator[Judgement]:  # noqa: ARG001 - every look is given the scene
    """The interpreter, each library, and whether there is boto3."""
    found = ".".join(str(number) for number in sys.version_info[:3])
    if sys.version_info < _PYTHON:
        yield problem(f"Python {found} is too old", "install Python 3.9 or later")
        return
    troubles = [trouble for trouble in map(_library, LIBRARIES) if trouble]
    yield from troubles
    if not troubles:
        boto3 = (
            "boto3 is there"
            if importlib.util.find_spec("boto3")
            else "boto3 is not there: no secret can be kept in AWS"
        )
        yield ok(f"Python {found} with every library ({boto3})")


def _library(library: Library) -> Optional[Judgement]:
    if importlib.util.find_spec(library.module) is None:
        return problem(f"{library.distribution} is missing", f"install it: python3-{library.distribution.lower()}")
    try:
        found = importlib.metadata.version(library.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None  # the distribution's package left its metadata out
    return library_version(library, found)


def library_version(library: Library, found: str) -> Optional[Judgement]:
    """None for a version that will do."""
    floor = ".".join(str(number) for number in library.floor)
    numbers = _numbers(found)
    if not numbers or numbers + (0,) * (len(library.floor) - len(numbers)) >= library.floor:
        return None
    return problem(f"{library.distribution} {found} is too old", f"install {floor} or later")


def _numbers(text: str) -> Tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()
