"""A machine: a disk of its own over a shared root tree, in a network namespace."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional

from .cgroup import PAYLOAD, Cgroup, Process
from .command import ENVIRONMENT, run
from .disk import Disk
from .nspawn import KEEP_ALIVE, Nspawn, arguments, residue
from .wait import wait_until

_READY_TIMEOUT_S = 60


class Machine:
    """Powered on and off like a computer; what is written to its disk stays until ``remove``."""

    _place = PAYLOAD  # where ``entering`` enters, in the control group

    def __init__(
        self,
        namespace: str,
        *,
        tree: Path,
        directory: Path,
        hostname: str,
        hosts: str,
        init: Sequence[str] = KEEP_ALIVE,
    ) -> None:
        """``namespace`` also names the machine; ``init`` is nspawn's arguments for what runs inside."""
        self.hostname = hostname
        self.hosts = hosts
        self.disk = Disk(tree, directory)
        self._directory = directory
        self._namespace = namespace
        self._init = tuple(init)
        self._cgroup = Cgroup(namespace)
        self._nspawn: Optional[Nspawn] = None

    @property
    def is_on(self) -> bool:
        """False also once it has powered itself off."""
        return self._nspawn is not None and not self._nspawn.ended(timeout=0)

    @property
    def leader(self) -> int:
        """The process id, on the host, of the machine's process 1."""
        return self._running.leader

    @property
    def _running(self) -> Nspawn:
        if self._nspawn is None:
            raise RuntimeError(f"{self._namespace} is off; start it first")
        return self._nspawn

    def start(self) -> None:
        """Power on; returns when ``run`` works.  A machine that is on stays as it is."""
        if self.is_on:
            return
        self.kill()  # what a machine that has powered itself off leaves
        self.disk.put("/etc/hosts", self.hosts)
        # The namespace outlives the machine, but a kernel that has just started knows no rules.
        run(["ip", "netns", "exec", self._namespace, "nft", "flush", "ruleset"])
        try:
            self._cgroup.create()
            self._nspawn = Nspawn(self._nspawn_arguments(), self._cgroup, self._directory)
            self._come_up()
        except BaseException:  # also Ctrl-C
            self.kill()
            raise

    def _nspawn_arguments(self) -> list[str]:
        root = self._directory / "root"
        library = root / "usr/lib"
        library.mkdir(parents=True, exist_ok=True)
        (library / "os-release").touch()  # nspawn wants to see a tree there before it mounts ours
        return arguments(
            name=self._namespace,
            root=root,
            overlay=self.disk.layers,
            hostname=self.hostname,
            init=self._init,
        )

    def _come_up(self) -> None:
        """The rest of ``start``, once there is a process 1."""
        self._running.wait_until_ready(_READY_TIMEOUT_S, self._running.said)

    def stop(self, grace: float = 10) -> None:
        """Power off as an operating system does: SIGTERM to everything, time to end, then the rest is cut."""
        for process in self._guests():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        with suppress(AssertionError):
            wait_until(lambda: not self._guests(), "all processes end", grace, interval=0.02)
        self.kill()

    def kill(self) -> None:
        """A power cut.  The disk is kept; a machine that is off stays off."""
        if self._nspawn is not None and self.is_on:
            with suppress(ProcessLookupError):
                os.kill(self._nspawn.leader, signal.SIGKILL)
            self._nspawn.ended(timeout=5)  # it notices, and tidies up behind itself
        self._cgroup.remove()
        if self._nspawn is not None:
            self._nspawn.close()
        self._nspawn = None
        for directory in residue(self._namespace):
            directory.rmdir()

    def remove(self) -> None:
        """Off, and the disk with it."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def save(self) -> None:
        """Keep the disk as it is now for ``restore``: what an AMI is to EC2.  The machine must be off."""
        self._demand_off()
        self.disk.save()

    def restore(self) -> None:
        """A new instance from what was saved.  The machine must be off."""
        self._demand_off()
        self.disk.restore()

    def _demand_off(self) -> None:
        if self.is_on:
            raise RuntimeError(f"{self._namespace} writes to its disk; power it off first")

    def entering(self, argv: Sequence[str]) -> list[str]:
        """The host's command line that runs ``argv`` inside; ``argv`` dies with it."""
        inside = ["nsenter", f"--target={self.leader}", "--all", "--", "setpriv", "--pdeathsig=KILL", *argv]
        return self._cgroup.entering(inside, self._place)

    def shell(self) -> str:
        """What to type on the host, as root, for a shell inside."""
        return f"nsenter --target {self.leader} --all -- env -i TERM=$TERM HOME=/root bash --login"

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input: Optional[str] = None,  # noqa: A002  as in subprocess.run
        env: Optional[Mapping[str, str]] = None,
        timeout: float = 60,
    ) -> "subprocess.CompletedProcess[str]":
        """Run as root inside, without a terminal and with nothing of the caller's environment."""
        return run(self.entering(argv), check=check, stdin=input, timeout=timeout, env={**ENVIRONMENT, **(env or {})})

    def popen(
        self, argv: Sequence[str], *, env: Optional[Mapping[str, str]] = None, stdin: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[str]":
        """Like ``run``, in the background, with pipes to read; killing it kills the process inside."""
        return subprocess.Popen(
            self.entering(argv),
            env={**ENVIRONMENT, **(env or {})},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read(self, path: str) -> str:
        """A file's text.  It is read inside: absolute symbolic links stay in the machine."""
        return self.run(["cat", path]).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file of root's, with its directories (0755) where they are missing."""
        self.run(["install", "-D", f"--mode={mode:04o}", "/dev/stdin", path], input=text)

    def connects(self, address: str, port: int) -> bool:
        """Whether a TCP connection from here is accepted within a second."""
        attempt = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
        return self.run(["python3", "-c", attempt], check=False).returncode == 0

    def set_hosts(self, hosts: str) -> None:
        """Change ``/etc/hosts``, now and for later starts."""
        self.hosts = hosts
        if self.is_on:
            self.write("/etc/hosts", hosts)

    def processes(self) -> dict[int, str]:
        """Command lines by process id, as seen inside; without what only keeps the machine up."""
        return {process.inner_pid: " ".join(process.command) for process in self._guests()}

    def _guests(self) -> list[Process]:
        idle = self._init[1:]
        return [process for process in self._cgroup.inside() if process.inner_pid > 1 and process.command != idle]
