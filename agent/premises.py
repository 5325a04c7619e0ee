"""What must be so before a command begins, and where it may look."""

import contextlib
import os
from typing import Iterator, Mapping

from .errors import DaemonError, UsageError
from .machine import Machine
from .options import Options
from .plan import Goal


@contextlib.contextmanager
def environment(options: Options) -> Iterator[Mapping[str, str]]:
    """The process's environment, pointed at the embedded metadata service where that is wanted."""
    if not options.simulate:
        yield os.environ
        return
    from . import simulation  # noqa: PLC0415 - the emulator is not loaded on an instance

    with simulation.running(options.profile) as url:
        apis = {name: value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL")}
        yield {**apis, "AWS_EC2_METADATA_SERVICE_ENDPOINT": url}


def require_possible(options: Options, machine: Machine, goal: Goal) -> None:
    """A bootstrap concerns a tree, or this machine with its own metadata service."""
    if not machine.system.is_live:
        if goal is Goal.START:
            raise UsageError("daemons cannot be started in another root: use annex-agent configure --root DIR")
        return
    if options.simulate:
        raise UsageError(
            "--simulate would give this machine the identity of an example: add --dry-run, or configure --root DIR"
        )
    require_root(goal.value)


def require_live(machine: Machine, command: str) -> None:
    """Some commands mean nothing in a tree that is only being prepared."""
    if not machine.system.is_live:
        raise UsageError(f"{command} concerns the running machine: leave --root out")


def require_root(command: str) -> None:
    """Who may not change the machine is told so before anything begins."""
    if os.geteuid() != 0:
        raise UsageError(
            f"{command} changes the machine and needs root: use sudo, or add --dry-run to see what it would do"
        )


def require_no_daemons(machine: Machine) -> None:
    """HTCondor must not be deprived of what it runs on."""
    running = machine.daemons.running()
    if running:
        names = ", ".join(f"{daemon.name} (pid {daemon.pid})" for daemon in running)
        raise DaemonError(
            f"HTCondor still runs here ({names}), and needs what would be removed: annex-agent stop first"
        )
