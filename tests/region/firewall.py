"""The router's rules: 1:1 NAT for the worker, NAT gateway for the others, security group."""

from collections.abc import Iterable
from typing import Optional

from .topology import NAT_GATEWAY, SITE, VPC, WORKER

# Each counts connections, not packets.
COUNTERS = {
    "inbound": "from the site to the worker's public address, let in",
    "outbound": "from the VPC to the site",
    "private": "between two hosts of the VPC by private address",
    "hairpin": "from the VPC to the worker's public address",
    "refused": "from the site, dropped (attempts: each retry counts)",
}


def rules(public: Optional[str], ports: Iterable[int], generation: int) -> str:
    """Input for ``nft -f``; it replaces what an earlier call gave, counters keep counting.

    ``generation`` changes with the public address: EC2 cuts the connections of an address that is taken away.
    """
    counters = "".join(f"counter {name} {{ }}\n" for name in COUNTERS)
    accepted = ", ".join(str(port) for port in sorted(set(ports)))
    allow = f"tcp dport {{ {accepted} }}" if accepted else "meta l4proto 255"
    return f"""
table inet annex {{
}}
table bridge annex {{
}}
flush table inet annex
flush table bridge annex
table inet annex {{
{counters}
  chain input {{
    type filter hook input priority filter; policy drop
    iifname {{ lo, {VPC.name} }} accept
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat
    {_inward(public, generation)}
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop
    ct mark != {{ 0, {generation} }} drop
    ct state established,related accept
    iifname {VPC.name} oifname {SITE.name} counter name outbound accept
    iifname {VPC.name} oifname {VPC.name} ct status dnat {allow} counter name hairpin accept
    iifname {VPC.name} oifname {VPC.name} ct status & dnat == 0 accept
    iifname {SITE.name} oifname {VPC.name} ct status dnat {allow} counter name inbound accept
    iifname {SITE.name} counter name refused
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    oifname {SITE.name} jump outward
    oifname {VPC.name} ct status dnat jump outward
  }}
  chain outward {{
    {_outward(public, generation)}
    ip saddr {VPC.network} snat ip to {NAT_GATEWAY}
  }}
}}
table bridge annex {{
  counter private {{ }}
  chain forward {{
    type filter hook forward priority filter; policy accept
    ip saddr {VPC.network} ip daddr {VPC.network} tcp flags & (syn | ack) == syn counter name private
  }}
}}
"""


def _inward(public: Optional[str], generation: int) -> str:
    return f"ip daddr {public} ct mark set {generation} dnat ip to {WORKER.address}" if public else ""


def _outward(public: Optional[str], generation: int) -> str:
    return f"ip saddr {WORKER.address} ct mark set {generation} snat ip to {public}" if public else ""
