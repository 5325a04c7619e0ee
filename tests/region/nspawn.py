"""Boots a tree with systemd-nspawn."""

import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from .cgroup import Cgroup
from .command import ENVIRONMENT
from .wait import wait_until

# nspawn's arguments for what runs inside: no init system, only something that keeps the namespaces open.
KEEP_ALIVE = ("--as-pid2", "sleep", "infinity")
# The whole operating system; nspawn passes on when its init system is ready.
BOOT = ("--boot", "--notify-ready=yes")
# With --keep-unit nspawn leaves a reboot to whoever started it, and says so with this exit status.
_REBOOT = 133
_START_TIMEOUT_S = 60
# No lock files: nspawn leaves them behind, and nobody else starts our trees.
_ENVIRONMENT = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"}
_PROPAGATE = Path("/run/systemd/nspawn/propagate")


class Nspawn:
    """One run of systemd-nspawn: a machine that is on, until ``close``."""

    def __init__(self, argv: Sequence[str], cgroup: Cgroup, directory: Path) -> None:
        """Returns when there is a process 1 in the machine; ``wait_until_ready`` says what it has got to."""
        self.leader = 0  # the process id, on the host, of the machine's process 1
        self._ready = False
        self._console = directory / "console.log"
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._closing = threading.Event()
        # As long as it is on: a systemd whose reports nobody takes stands still once their queue is full.
        self._listener = threading.Thread(target=self._hear, daemon=True)
        try:
            self._process = self._spawn(cgroup.entering(argv), self._listen(directory / "notify"))
            self._listener.start()
            self._wait_until(lambda: bool(self.leader), "the machine starts", _START_TIMEOUT_S, self.said)
        except BaseException:  # also Ctrl-C
            self.close()
            raise

    def wait_until_ready(self, timeout: float, evidence: Callable[[], str]) -> None:
        """Without an init system at once; with one (``BOOT``) when it has nothing more to start."""
        self._wait_until(lambda: self._ready, "the machine gets ready", timeout, evidence)

    def close(self) -> None:
        """Nobody listens to nspawn any more."""
        self._closing.set()
        if self._listener.is_alive():
            self._listener.join()
        self._notifications.close()

    @property
    def wants_reboot(self) -> bool:
        """Whether it ended because the machine asked to be booted again."""
        return self._process.poll() == _REBOOT

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

    def _listen(self, address: Path) -> Path:
        address.unlink(missing_ok=True)
        self._notifications.bind(str(address))
        self._notifications.settimeout(0.05)
        return address

    def _wait_until(
        self, condition: Callable[[], bool], what: str, timeout: float, evidence: Callable[[], str]
    ) -> None:

        def is_met() -> bool:
            if not condition() and self._process.poll() is not None:
                raise AssertionError(f"the machine went off while it was awaited: {self.said()}")
            return condition()

        wait_until(is_met, what, timeout, evidence=evidence, interval=0.01)

    def _hear(self) -> None:
        """Take in what nspawn says of the machine."""
        while not self._closing.is_set():
            try:
                message = self._notifications.recv(4096).decode()
            except socket.timeout:
                continue
            fields = dict(line.split("=", 1) for line in message.splitlines() if "=" in line)
            self.leader = int(fields.get("X_NSPAWN_LEADER_PID", self.leader))
            self._ready = self._ready or "READY" in fields


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
        # As root of a virtual machine has it; nspawn itself gives it only to machines whose network it makes.
        "--capability=CAP_NET_ADMIN",
        *("--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no", *init),
    ]
