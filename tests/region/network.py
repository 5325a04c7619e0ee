"""The region's network: one namespace per machine, and a router with two bridges between them."""

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Optional

from . import firewall
from .command import run
from .topology import COLLECTOR_PORT, METADATA_IPV4, METADATA_IPV6, SITE, VPC, Host


class Network:
    """Namespaces named ``PREFIX-router`` and ``PREFIX-HOST``; nothing in them leads to the outside."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: list[str] = []
        self._generation = 0
        self.router = f"{prefix}-router"
        self.public: Optional[str] = None
        self.ports: tuple[int, ...] = (COLLECTOR_PORT,)

    def create(self) -> None:
        """The router, without any machine; ``remove`` also cleans up after half a ``create``."""
        self._add_namespace(self.router)
        for segment in (SITE, VPC):
            self._ip("link", "add", segment.name, "type", "bridge")
            self._ip("addr", "add", f"{segment.gateway}/24", "dev", segment.name)
            self._ip("link", "set", segment.name, "up")
        self._ip("addr", "add", f"{METADATA_IPV4}/32", "dev", VPC.name)
        self._ip("addr", "add", f"{METADATA_IPV6}/128", "dev", VPC.name)
        # A packet for nobody disappears, as it does on the Internet; an ICMP error would hide time-outs.
        self._ip("route", "add", "blackhole", "default")
        self._sysctl(self.router, "net.ipv4.ip_forward=1")
        # Where the host has br_netfilter, frames inside the VPC would pass the router's rules for packets.
        self._sysctl(self.router, "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0")
        self._load_rules()

    def namespace(self, host: Host) -> str:
        """The name of the namespace that ``host`` has, or will have."""
        return f"{self._prefix}-{host.name}"

    def attach(self, host: Host) -> str:
        """A namespace for ``host``, plugged into its segment; returns its name."""
        name = self.namespace(host)
        self._add_namespace(name)
        self._ip("link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", name)
        self._ip("link", "set", host.name, "master", host.segment.name, "up")
        self._ip("addr", "add", f"{host.address}/24", "dev", "eth0", namespace=name)
        self._ip("link", "set", "eth0", "up", namespace=name)
        self._ip("route", "add", "default", "via", host.segment.gateway, namespace=name)
        if host.segment is VPC:
            self._ip("route", "add", f"{METADATA_IPV4}/32", "dev", "eth0", namespace=name)
            # The link-local source address is enough, and HTCondor ignores it: no IPv6 in its ads.
            self._ip("-6", "route", "add", f"{METADATA_IPV6}/128", "dev", "eth0", namespace=name)
        return name

    def remove(self) -> None:
        """All namespaces with their processes, whatever state they are in."""
        while self._names:
            remove_namespace(self._names.pop())

    def associate(self, public: str) -> None:
        """Map ``public`` 1:1 to the worker; connections of the address that it had before are cut."""
        self._set_public(public)

    def disassociate(self) -> None:
        """Leave the worker behind the NAT gateway: nothing comes in."""
        self._set_public(None)

    def allow(self, ports: Sequence[int]) -> None:
        """The TCP ports that the security group lets in from the site, instead of those before."""
        self.ports = tuple(ports)
        self._load_rules()

    def silence(self, host: Host) -> None:
        """Have every packet from and to ``host`` disappear in the router, until ``allow`` or another address."""
        for direction in ("saddr", "daddr"):
            self._in_router("nft", "insert", "rule", "inet", "annex", "forward", "ip", direction, host.address, "drop")

    def connections(self) -> dict[str, int]:
        """How many connections took which way so far; ``firewall.COUNTERS`` explains the keys."""
        listing = self._in_router("nft", "--json", "list", "counters")
        counters = [item["counter"] for item in json.loads(listing)["nftables"] if "counter" in item]
        totals = dict.fromkeys(firewall.COUNTERS, 0)
        for counter in counters:
            totals[counter["name"]] += counter["packets"]
        return totals

    def _set_public(self, public: Optional[str]) -> None:
        self._generation += 1
        self.public = public
        self._load_rules()

    def _load_rules(self) -> None:
        self._in_router("nft", "-f", "-", stdin=firewall.rules(self.public, self.ports, self._generation))

    def _add_namespace(self, name: str) -> None:
        self._names.append(name)
        run(["ip", "netns", "add", name])
        # Addresses are usable at once: there is nobody to have the same.
        self._sysctl(name, "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
        self._ip("link", "set", "lo", "up", namespace=name)

    def _sysctl(self, namespace: str, *settings: str) -> None:
        run(["ip", "netns", "exec", namespace, "sysctl", "--ignore", "--quiet", "--write", *settings])

    def _ip(self, *arguments: str, namespace: Optional[str] = None) -> None:
        run(["ip", "-netns", namespace or self.router, *arguments])

    def _in_router(self, *argv: str, stdin: Optional[str] = None) -> str:
        return run(["ip", "netns", "exec", self.router, *argv], stdin=stdin).stdout


def remove_namespace(name: str) -> None:
    """With the processes in it; none of that name is fine."""
    for pid in run(["ip", "netns", "pids", name], check=False).stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    run(["ip", "netns", "delete", name], check=False)
