"""Root trees of the machines: made once with mmdebstrap, then only read."""

import argparse
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cgroup import Cgroup
from .command import run
from .prerequisites import prerequisites
from .sweep import prefix, sweep

_RUNTIME = (
    "python3",
    "python3-requests",
    "python3-jinja2",
    "python3-psutil",
    "python3-tenacity",
    "python3-yaml",
    "python3-boto3",
)

# What the packages leave otherwise.  /etc/hosts knows every name there is, and an unknown one is refused at once,
# as EC2's name servers do.  With "hosts: files dns" and no server to ask, the answer would be "try again later",
# which HTCondor does for minutes: that is how a test can make an outage.
_FILES = {
    "etc/hostname": "localhost\n",  # mmdebstrap leaves the host's own; cloud-init names an instance
    "etc/resolv.conf": "",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files\n",
}


@dataclass(frozen=True)
class Image:
    """A distribution's release and the packages in its root tree."""

    suite: str
    packages: tuple[str, ...]

    @property
    def key(self) -> str:
        """Changes with the content that is asked for."""
        digest = hashlib.sha256(repr((self.suite, sorted(self.packages), _FILES)).encode())
        return f"{self.suite}-{digest.hexdigest()[:12]}"


# Real HTCondor 23.9 and what the agent needs: the site's machines and the instances.
TRIXIE = Image(
    "trixie",
    (
        *("systemd", "systemd-sysv", "dbus", "udev", "htcondor", *_RUNTIME),
        *("cloud-init", "rpm"),  # for the worker that is booted; one tree for all is made sooner than two
        *("python3-pip", "python3-setuptools", "python3-wheel"),  # to install the agent without a network
        *("iproute2", "nftables", "iptables", "procps", "iputils-ping", "curl"),
    ),
)
# Python 3.9 with the library versions of Enterprise Linux 9 and Amazon Linux 2023: the oldest that is supported.
BULLSEYE = Image(
    "bullseye",
    (
        *(*_RUNTIME, "python3-pytest", "python3-pytest-timeout", "python3-responses", "python3-hypothesis"),
        *("python3-jsonschema", "python3-setuptools", "python3-wheel", "python3-pip"),
    ),
)


def cache() -> Path:
    """Where trees are kept between runs: outside the checkout."""
    named = os.environ.get("ANNEX_AGENT_CACHE")
    if named:
        return _made(Path(named))
    try:
        return _made(Path("/var/cache/annex-agent"))
    except PermissionError:
        return _made(Path.home() / ".cache" / "annex-agent")


def runs() -> Path:
    """Where running regions keep their disks."""
    return cache() / "run"


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK):
        raise PermissionError(f"{directory} is not writable")
    return directory.resolve()


def tree(image: Image) -> Path:
    """The root tree of ``image``; takes half a minute the first time."""
    finished = cache() / image.key
    with _locked(finished.with_suffix(".lock")):
        if not finished.exists():
            prerequisites()
            _build(image, finished)
    return finished


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(image: Image, finished: Path) -> None:
    """Under the lock.  What is at ``finished`` is whole: it is renamed into place last."""
    staging = f".building-{finished.name}-"
    sweep(runs())  # a build that was killed may still run
    for abandoned in finished.parent.glob(f"{staging}*"):
        shutil.rmtree(abandoned)
    with tempfile.TemporaryDirectory(prefix=staging, dir=finished.parent) as directory:
        root = Path(directory) / "root"
        include = f"--include={','.join(image.packages)}"
        # In a mount namespace of its own: what it mounts in the tree must not be there when the tree is removed.
        bootstrap = ["unshare", "--mount", "mmdebstrap", "--variant=minbase", include, image.suite, str(root)]
        _run_to_its_end(bootstrap)
        for name, text in _FILES.items():
            (root / name).write_text(text, encoding="ascii")
        root.rename(finished)


def _run_to_its_end(argv: list[str]) -> None:
    """Also if interrupted, nothing of it runs on: apt would still write to the tree while it is removed."""
    group = Cgroup(f"{prefix()}-image")
    group.create()
    try:
        # The caller's environment: mmdebstrap may need its proxy variables.
        run(group.entering(argv), env=dict(os.environ), timeout=1800)
    finally:
        group.remove()


def main() -> None:
    """Build a tree and print where it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.region.image", description=main.__doc__)
    parser.add_argument("suite", choices=[TRIXIE.suite, BULLSEYE.suite])
    suite = parser.parse_args().suite
    print(tree(next(image for image in (TRIXIE, BULLSEYE) if image.suite == suite)))


if __name__ == "__main__":
    main()
