"""The tools that put the fence's rules into the kernel: nft, and iptables where there is no nft."""

import hashlib
from typing import Mapping, Protocol, Tuple

from . import fence
from .errors import CommandFailed
from .system import System

_TIMEOUT_S = 10.0
_LOCK_WAIT = "--wait=5"  # seconds; somebody else may be changing iptables' rules


class FenceTool(Protocol):
    """Loads the rules, lists what of them is in the kernel, removes them."""

    @property
    def name(self) -> str:
        """The command."""

    @property
    def fingerprint(self) -> str:
        """Changes with the rules that ``load`` loads."""

    def load(self) -> None:
        """Put the rules into the kernel, in place of any earlier ones of ours; raises ``CommandError``."""

    def listing(self) -> str:
        """What of ours is in the kernel, as the tool words it; empty where nothing is. Only root sees it."""

    def remove(self) -> None:
        """Take our rules out of the kernel; raises ``CommandError``."""


class Nft:
    """nftables: one table of our own for both families."""

    name = "nft"

    def __init__(self, system: System) -> None:
        self._system = system

    @property
    def fingerprint(self) -> str:
        return _fingerprint(fence.nft_rules())

    def load(self) -> None:
        _feed(self._system, ("nft", "-f", "-"), fence.nft_rules())

    def listing(self) -> str:
        return self._system.run(("nft", "list", "table", "inet", fence.TABLE), _TIMEOUT_S).stdout

    def remove(self) -> None:
        _feed(self._system, ("nft", "-f", "-"), fence.nft_removal())


class Iptables:
    """iptables and ip6tables: chains of our own, asked first."""

    name = "iptables"

    def __init__(self, system: System) -> None:
        self._system = system

    @property
    def fingerprint(self) -> str:
        return _fingerprint("".join(fence.iptables_rules(address, "") for address in fence.ADDRESSES))

    def load(self) -> None:
        for family, address in self._families().items():
            self._restore(family, fence.iptables_rules(address, self._saved(family)))

    def listing(self) -> str:
        return "".join(fence.iptables_ours(self._saved(family)) for family in self._families())

    def remove(self) -> None:
        for family in self._families():
            self._restore(family, fence.iptables_removal(self._saved(family)))

    def _families(self) -> Mapping[str, str]:
        """The commands' prefixes, each with the address to fence off."""
        # A kernel without IPv6 reaches nothing over it, and ip6tables fails there.
        names = ("iptables", "ip6tables") if self._system.is_directory("/proc/sys/net/ipv6") else ("iptables",)
        return dict(zip(names, fence.ADDRESSES))

    def _saved(self, family: str) -> str:
        return self._system.run((f"{family}-save",), _TIMEOUT_S).stdout

    def _restore(self, family: str, rules: str) -> None:
        _feed(self._system, (f"{family}-restore", "--noflush", _LOCK_WAIT), rules)


def installed(system: System) -> Tuple[FenceTool, ...]:
    """The tools that this machine has, the preferred one first."""
    tools: Tuple[FenceTool, ...] = (Nft(system), Iptables(system))
    return tuple(tool for tool in tools if system.which(tool.name))


def _feed(system: System, argv: Tuple[str, ...], rules: str) -> None:
    done = system.run(argv, _TIMEOUT_S, text_input=rules)
    if done.code:
        raise CommandFailed(f"{argv[0]} does not take the rules: {' '.join(done.stderr.split())[:300]}")


def _fingerprint(rules: str) -> str:
    return hashlib.sha256(rules.encode("ascii")).hexdigest()[:16]
