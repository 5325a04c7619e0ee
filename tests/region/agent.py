"""Puts the checkout's annex-agent on a machine."""

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from .command import CommandFailed, run
from .machine import Machine

CHECKOUT = Path(__file__).resolve().parents[2]
_SOURCE = "/usr/src/annex-agent"


def install(machine: Machine) -> None:
    """``/usr/local/bin/annex-agent``, built on the machine so that the checkout stays clean, without a network."""
    _unpack(sources(), machine)
    options = (
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--break-system-packages",
        "--root-user-action=ignore",
    )
    machine.run(["python3", "-m", "pip", "install", "--quiet", "--no-warn-script-location", *options, _SOURCE])


def sources() -> bytes:
    """A tar archive of what git would commit, as it is now."""
    listing = ["git", "-c", "safe.directory=*", "-C", str(CHECKOUT), "ls-files", "-z", "-co", "--exclude-standard"]
    names = [name for name in run(listing).stdout.split("\0") if name]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in names:
            if (CHECKOUT / name).exists():  # git still lists a file that was deleted
                tar.add(CHECKOUT / name, arcname=name)
    return archive.getvalue()


def _unpack(archive: bytes, machine: Machine) -> None:
    machine.run(["rm", "-rf", _SOURCE])
    machine.run(["mkdir", "-p", _SOURCE])
    feed(machine, ["tar", "--extract", "--no-same-owner", "--directory", _SOURCE], archive)


def feed(machine: Machine, argv: Sequence[str], content: bytes) -> None:
    """Run a command inside that reads ``content`` from its standard input."""
    entering = machine.entering(argv)
    done = subprocess.run(entering, input=content, capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise CommandFailed(done.returncode, entering, done.stdout.decode(), done.stderr.decode())
