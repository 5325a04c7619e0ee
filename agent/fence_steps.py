"""The steps that raise and lower the fence around the instance metadata service.

It hands out the instance role's credentials and user-data to whoever asks, so no job may ask.
"""

import sys
from typing import List, NamedTuple, Optional, Tuple

from .errors import CommandError, CommandFailed, FenceError
from .fence import ADDRESSES, PROBE, openings
from .fence_tools import FenceTool, installed
from .machine import Machine
from .steps import Change, Tell
from .system import CONFIGURED, STATE_DIR, System

# What the kernel listed when the rules had been loaded, after a line that names the tool and our rules' fingerprint.
# Everybody may read it: whoever is fenced off learns of it here.
FENCE = f"{STATE_DIR}/fence"
_PROBE_TIMEOUT_S = 10.0
_NO_TOOL = "neither nft nor iptables is installed"


def fence_is_up(system: System) -> bool:
    """Whether the fence was raised since the last boot; everybody may ask."""
    return system.read_file(FENCE) is not None


class RaiseFence(NamedTuple):
    """Rules in the kernel that keep everybody but root from the metadata service, and a try whether they hold."""

    role: Optional[str]  # whose credentials a job would get
    name: str = "fence"
    description: str = "let only root reach the instance metadata service"

    def pending(self, machine: Machine) -> Optional[Change]:
        try:
            lacking = _lacking(machine.system)
        except CommandError as err:
            lacking = f"the rules cannot be seen: {err}"
        return Change(lacking) if lacking else None

    def perform(self, machine: Machine, tell: Tell) -> str:
        try:
            tool = load_and_try(machine.system)
        except CommandError as err:
            return self._failed(machine.system, str(err), tell)
        return f"only root reaches the instance metadata service ({tool.name})"

    def _failed(self, system: System, why: str, tell: Tell) -> str:
        if not self.role:
            tell(f"jobs can read the instance metadata service, user-data among it: {why}")
            return "the instance metadata service is open to every process"
        system.remove_file(CONFIGURED)  # or something else could start HTCondor
        raise FenceError(
            f"HTCondor is not started, because its jobs could take the credentials of the role {self.role}: {why}; "
            "install nftables, look for what lets others through (nft list ruleset), detach the role from the "
            "instance, or put up with it: metadata: {restrict_to_root: false}"
        )


class LowerFence(NamedTuple):
    """None of our rules is in the kernel."""

    name: str = "fence"
    description: str = "let every process reach the instance metadata service"

    def pending(self, machine: Machine) -> Optional[Change]:
        standing = ["its mark is there"] if fence_is_up(machine.system) else []
        if machine.system.uid == 0:
            standing += [f"{tool.name} has its rules" for tool in _standing(machine.system)]
        return Change(", ".join(standing)) if standing else None

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        for tool in _standing(machine.system):
            tool.remove()
        machine.system.remove_file(FENCE)
        return "every process reaches the instance metadata service"


def rules_lacking(system: System) -> Optional[str]:
    """What keeps our rules from being in the kernel as they were loaded, in words; None where they are."""
    tools, mark = installed(system), system.read_file(FENCE)
    if not tools:
        return f"{_NO_TOOL}: it cannot be done"
    if mark is None:
        return "its rules are not loaded"
    if system.uid != 0:
        return "only root can see the rules"
    text = mark.content.decode("utf-8", "replace")
    tool = next((tool for tool in tools if text.startswith(f"{tool.name} ")), None)
    listing = tool.listing() if tool else ""
    if tool is None or not listing or text != _marked(tool, listing):
        return "the rules in the kernel are not those that were loaded"
    return None


def load_and_try(system: System) -> FenceTool:
    """Put the rules into the kernel and try whether they hold; raises ``CommandError``."""
    tool = _load(system)
    _require_closed(system)
    return tool


def _lacking(system: System) -> Optional[str]:
    """What keeps the fence from being up, in words; None where it is."""
    lacking = rules_lacking(system)
    if lacking:
        return lacking
    try:
        _require_closed(system)
    except CommandError as err:
        return str(err)
    return None


def _load(system: System) -> FenceTool:
    failures: List[str] = []
    for tool in installed(system):
        try:
            tool.load()
            system.write_file(FENCE, _marked(tool, tool.listing()).encode("utf-8"), 0o644)
        except CommandError as err:
            failures.append(str(err))
        else:
            return tool
    system.remove_file(FENCE)
    raise CommandFailed("; ".join(failures) or _NO_TOOL)


def _require_closed(system: System) -> None:
    """Try to reach the metadata service as nobody does; raises ``CommandError`` where that is not refused at once."""
    argv = (sys.executable, "-I", "-S", "-c", PROBE, *ADDRESSES)
    done = system.run(argv, _PROBE_TIMEOUT_S)
    if done.code:
        raise CommandFailed(f"whether the rules hold could not be tried: {' '.join(done.stderr.split())[-300:]}")
    got_through = openings(done.stdout)
    if got_through:
        raise CommandFailed(f"in spite of the rules somebody who is not root gets to {' and '.join(got_through)}")


def _marked(tool: FenceTool, listing: str) -> str:
    if not listing:
        raise CommandFailed(f"{tool.name} took the rules, but does not list them")
    return f"{tool.name} {tool.fingerprint}\n{listing}"


def _standing(system: System) -> Tuple[FenceTool, ...]:
    return tuple(tool for tool in installed(system) if tool.listing())
