"""Builds annex-agent's RPM, from copies of the checkout."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from .agent import sources
from .command import ENVIRONMENT, run

SPEC = "packaging/rpm/annex-agent.spec"
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
_PER_FILE = r"[%{FILENAMES}\t%{FILEMODES:perms}\t%{FILEUSERNAME}:%{FILEGROUPNAME}\t%{FILEFLAGS:fflags}\n]"


class Package(NamedTuple):
    """What a build has made: the package, and its source."""

    binary: Path
    source: Path


class File(NamedTuple):
    """A file of a package; ``mode`` as ls shows it, ``owner`` as user:group, ``flags`` as rpm -ql --fileflags."""

    path: str
    mode: str
    owner: str
    flags: str


def copy(directory: Path) -> Path:
    """The project's files as an unpacked sdist has them: without git, in a new ``directory``."""
    directory.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(sources())) as archive:
        for member in archive.getmembers():
            member.uid = member.gid = 0
            archive.extract(member, directory)
    return directory


def build(
    checkout: Path, *definitions: str, before: Sequence[str] = (), env: Optional[dict[str, str]] = None
) -> Package:
    """Build in ``checkout`` with rpm's ``definitions`` (as in -D); ``before`` stands before the command."""
    options = [word for definition in definitions for word in ("-D", definition)]
    argv = [*before, str(checkout / "packaging/rpm/build"), *options]
    done = run(argv, timeout=120, env={**ENVIRONMENT, **(env or {})})
    binary, source = (checkout / line for line in done.stdout.splitlines())
    return Package(binary, source)


def query(package: Path, form: str) -> str:
    """rpm's answer about a package's file, by its query format."""
    return run(["rpm", "-qp", "--nosignature", "--qf", form, str(package)]).stdout


def files(package: Path) -> list[File]:
    """What a package holds."""
    return [File(*line.split("\t")) for line in query(package, _PER_FILE).splitlines()]
