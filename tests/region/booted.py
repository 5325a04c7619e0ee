"""A machine that is a whole operating system: systemd is its process 1."""

import json
import os
import signal
from pathlib import Path

from .cgroup import INIT_SCOPE, Process
from .command import run
from .machine import Machine
from .nspawn import BOOT
from .wait import wait_until

# systemd's own signal for "power off", which it also gets from a pressed power button.
# https://www.freedesktop.org/software/systemd/man/latest/systemd.html#SIGRTMIN+4
_POWER_OFF = signal.SIGRTMIN + 4
# What is started at boot may wait two minutes for a pool, and what is stopped may wait ten for a job.
_BOOT_TIMEOUT_S = 180
_OFF_TIMEOUT_S = 90


class BootedMachine(Machine):
    """Its units run, log to its journal, and are stopped in order when it is powered off."""

    _place = INIT_SCOPE

    def __init__(self, namespace: str, *, tree: Path, directory: Path, hostname: str, hosts: str) -> None:
        super().__init__(namespace, tree=tree, directory=directory, hostname=hostname, hosts=hosts, init=BOOT)
        self._waits = True

    def start(self, *, wait: bool = True) -> None:
        """Power on; returns when systemd has started, or failed to start, all that it wants to.

        ``wait=False`` returns as soon as ``systemctl`` works; ``wait_until_ready`` does the rest.
        """
        self._waits = wait
        super().start()

    def wait_until_ready(self, timeout: float = _BOOT_TIMEOUT_S) -> None:
        """Until there is no unit left to start: cloud-init is done, ``is-system-running`` says running or degraded."""
        self._running.wait_until_ready(timeout, self._evidence)

    def systemctl(self, *arguments: str, check: bool = True, timeout: float = 60) -> str:
        """What it prints."""
        return self.run(["systemctl", *arguments], check=check, timeout=timeout).stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, such as ``Result``; empty if the unit has none of that name."""
        return self.systemctl("show", f"--property={name}", "--value", unit).rstrip("\n")

    def state(self, unit: str) -> str:
        """active, inactive, failed, activating or deactivating; a unit that does not exist is inactive."""
        return self.show(unit, "ActiveState")

    def journal(self, unit: str = "", *, boot: int = 0, output: str = "short-precise") -> str:
        """The journal of one unit or of all; ``boot=-1`` is the boot before this one."""
        units = [f"--unit={unit}"] if unit else []
        argv = ["journalctl", "--no-pager", "--quiet", f"--boot={boot}", f"--output={output}", *units]
        return self.run(argv).stdout

    def last_journal(self, unit: str = "") -> str:
        """What the journal on the disk of a machine that is off says of its last boot."""
        units = [f"--unit={unit}"] if unit else []
        argv = ["journalctl", f"--directory={self.disk.place('/var/log/journal')}", "--no-pager", "--quiet"]
        last = json.loads(run([*argv, "--lines=1", "--output=json"]).stdout)
        return run([*argv, "--output=short-precise", f"--boot={last['_BOOT_ID']}", *units]).stdout

    def boot_id(self) -> str:
        """Another one after each boot."""
        return self.read("/proc/sys/kernel/random/boot_id").strip()

    def press_power_button(self) -> None:
        """Ask for a power-off, as EC2 does to stop or terminate an instance; ``wait_until_off`` sees it end."""
        os.kill(self.leader, _POWER_OFF)

    def wait_until_off(self, timeout: float = _OFF_TIMEOUT_S) -> bool:
        """Until it is off by its own doing; whether it wants to be booted again."""
        nspawn = self._running
        wait_until(lambda: nspawn.ended(timeout=0.05), "the machine goes off", timeout, evidence=self._evidence)
        return nspawn.wants_reboot

    def stop(self, grace: float = _OFF_TIMEOUT_S) -> None:
        """A real power-off; if it is not through in time, the power is cut and an AssertionError says why."""
        try:
            if self.is_on:
                self.press_power_button()
                self.wait_until_off(grace)
        finally:
            self.kill()

    def reboot(self, *, wait: bool = True) -> None:
        """``systemctl reboot``, and on again with the same disk, as the hypervisor does."""
        self.systemctl("reboot", check=False)  # it may be gone before it can say goodbye
        if not self.wait_until_off():
            raise AssertionError("it was to boot again, but it powered itself off")
        self.start(wait=wait)

    def _come_up(self) -> None:
        if self._waits:
            self.wait_until_ready()
        else:
            wait_until(self._answers, "systemd answers", _BOOT_TIMEOUT_S, evidence=self._running.said)

    def _answers(self) -> bool:
        """Whether systemd has got as far as listening to systemctl, for which no D-Bus is needed."""
        socket = ["test", "-S", "/run/systemd/private"]
        return (self._cgroup.path / INIT_SCOPE).exists() and self.run(socket, check=False).returncode == 0

    def _guests(self) -> list[Process]:
        return [process for process in self._cgroup.inside() if process.inner_pid > 1]

    def _evidence(self) -> str:
        """What it is busy with, and what it said last; it may be going off right now."""
        look = ["sh", "-c", "systemctl --no-pager list-jobs; journalctl --no-pager --boot --lines=40"]
        return self._running.said() + (self.run(look, check=False).stdout if self.is_on else "")
