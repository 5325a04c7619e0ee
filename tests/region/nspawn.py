"""Boots a tree with systemd-nspawn."""

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .cgroup import Cgroup
from .command import ENVIRONMENT
from .wait import wait_until

# nspawn's arguments for what runs inside: no init system, only something that keeps the namespaces open.
KEEP_ALIVE = ("--as-pid2", "sleep", "infinity")
_START_TIMEOUT_S = 60
# No lock files: nspawn leaves them behind, and nobody else starts our trees.
_ENVIRONMENT = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"}
_PROPAGATE = Path("/run/systemd/nspawn/propagate")


class Nspawn:
    """One run of systemd-nspawn: a machine that is on."""

    def __init__(self, argv: Sequence[str], cgroup: Cgroup, directory: Path) -> None:
        self.leader = 0  # the process id, on the host, of the machine's process 1
        self._console = directory / "console.log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            address = directory / "notify"
            address.unlink(missing_ok=True)
            notifications.bind(str(address))
            notifications.settimeout(0.2)
            self._process = self._spawn(cgroup.entering(argv, payload=False), address)
            wait_until(lambda: self._ready(notifications), "the machine starts", _START_TIMEOUT_S, evidence=self.said)

    def said(self) -> str:
        """The end of the console, an init system's messages among it."""
        return self._console.read_text(encoding="utf-8", errors="replace")[-4000:]

    def ended(self, timeout: float) -> bool:
        """Whether nspawn ends in time."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _spawn(self, argv: Sequence[str], notify: Path) -> "subprocess.Popen[bytes]":
        with self._console.open("ab") as console:
            return subprocess.Popen(
                argv,
                env={**ENVIRONMENT, **_ENVIRONMENT, "NOTIFY_SOCKET": str(notify)},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,  # Ctrl-C is for the program that owns the region; it then tidies up
            )

    def _ready(self, notifications: socket.socket) -> bool:
        """Whether nspawn has said that the machine runs; remembers the leader that it names."""
        if self._process.poll() is not None:
            raise AssertionError(f"the machine does not start: {self.said()}")
        try:
            message = notifications.recv(4096).decode()
        except socket.timeout:
            return False
        fields = dict(line.split("=", 1) for line in message.splitlines() if "=" in line)
        self.leader = int(fields.get("X_NSPAWN_LEADER_PID", self.leader))
        return "READY" in fields


def residue(pattern: str) -> list[Path]:
    """The empty directories that nspawn leaves in /run for machines of these names."""
    return sorted(_PROPAGATE.glob(pattern))


def arguments(*, name: str, root: Path, overlay: Sequence[Path], hostname: str, init: Sequence[str]) -> list[str]:
    """The command line for a machine in the network namespace ``name``.

    nspawn mounts the overlay over ``root`` in a mount namespace of its own: the host has none to leave behind.
    """
    layers = ":".join(str(directory) for directory in overlay)
    return [
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={name}", f"--hostname={hostname}"),
        *(f"--directory={root}", f"--overlay={layers}:/", f"--network-namespace-path=/run/netns/{name}"),
        *("--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no", *init),
    ]
