"""What the host must have, and how it gets it."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Optional

from .command import ENVIRONMENT, CommandFailed, run

# Debian package: a tool or file that it brings
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "systemd-container": "systemd-nspawn",
    "iproute2": "ip",
    "nftables": "nft",
    "procps": "sysctl",
    "util-linux": "nsenter",
    "rpm": "rpmbuild",
    "rpmlint": "rpmlint",
}
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21  # linux/capability.h


class PrerequisiteError(Exception):
    """The region cannot be made here; the sentence says what to do."""


def prerequisites() -> None:
    """Install the host packages that are missing (Debian and Ubuntu), or raise ``PrerequisiteError``."""
    problem = _privilege_problem()
    if problem:
        raise PrerequisiteError(problem)
    missing = [package for package, proof in NEEDED.items() if not _present(proof)]
    if missing:
        _install(missing)


def tool(package: str) -> str:
    """The host's command of this name, which only some tests need; a missing one is installed like the others."""
    if not _present(package):
        problem = _privilege_problem()
        if problem:
            raise PrerequisiteError(f"{package} is not installed: install it, or let root do so")
        _install([package])
    return str(shutil.which(package, path=ENVIRONMENT["PATH"]))


def _privilege_problem() -> Optional[str]:
    if os.geteuid() != 0:
        return "the region is made of namespaces and needs root; run this with sudo, or on a throw-away machine as root"
    if not (_has_capability(_CAP_SYS_ADMIN) and _has_capability(_CAP_NET_ADMIN)):
        return "root lacks CAP_SYS_ADMIN or CAP_NET_ADMIN here; use a virtual machine or a privileged container"
    return None


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)


def _present(proof: str) -> bool:
    return Path(proof).exists() if proof.startswith("/") else bool(shutil.which(proof, path=ENVIRONMENT["PATH"]))


def _install(packages: list[str]) -> None:
    if not _present("apt-get"):
        raise PrerequisiteError(f"install {', '.join(packages)} (named as in Debian); only apt-get is known here")
    # The caller's environment: apt may need its proxy variables.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        # Of several processes that run the tests one comes first; for the others nothing is left to do.
        with Path(__file__).open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run(["apt-get", "update"], env=env, timeout=300)
            run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], env=env, timeout=900)
    except CommandFailed as err:
        raise PrerequisiteError(f"apt-get could not install {' '.join(packages)}; install them by hand: {err}") from err
