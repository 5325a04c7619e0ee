"""What EC2 would say about the worker: a profile for annex-agent's emulator."""

import copy
from collections.abc import Mapping
from typing import Any, Optional

from .topology import CM, WORKER, public_name

_MAC = "12:31:38:01:b8:05"
_INTERFACE = {
    "device-number": "0",
    "interface-id": "eni-4a6f1c2e",
    "local-hostname": WORKER.hostname,
    "local-ipv4s": WORKER.address,
    "mac": _MAC,
    "owner-id": "123456789012",
    "subnet-id": "subnet-5c1d7e3a",
    "subnet-ipv4-cidr-block": WORKER.segment.network,
    "vpc-id": "vpc-1a2b3c4d",
    "vpc-ipv4-cidr-block": WORKER.segment.network,
}
_META_DATA = {
    "ami-id": "ami-2b5fba42",
    "ami-launch-index": "0",
    "hostname": WORKER.hostname,
    "instance-action": "none",
    "instance-id": "i-0a64379b1c2d3e4f5",
    "instance-life-cycle": "on-demand",
    "instance-type": "m5.large",
    "local-hostname": WORKER.hostname,
    "local-ipv4": WORKER.address,
    "mac": _MAC,
    "network": {"interfaces": {"macs": {_MAC: _INTERFACE}}},
    "placement": {"availability-zone": "us-east-1c", "availability-zone-id": "use1-az2", "region": "us-east-1"},
    "reservation-id": "r-0f3a81b9a",
    "security-groups": "condor",
    "services": {"domain": "amazonaws.com", "partition": "aws"},
}


def profile(public: Optional[str]) -> dict[str, Any]:
    """For a worker with this public address, or without any."""
    fresh: dict[str, Any] = copy.deepcopy({"meta-data": _META_DATA, "user-data": CM.hostname})
    merge(fresh, association(public))
    return fresh


def association(public: Optional[str]) -> dict[str, Any]:
    """The changes that giving or taking a public address brings."""
    name = public_name(public) if public else None
    interface = {"public-ipv4s": public, "public-hostname": name}
    macs = {"interfaces": {"macs": {_MAC: interface}}}
    return {"meta-data": {"public-ipv4": public, "public-hostname": name, "network": macs}}


def merge(target: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Lay ``changes`` over ``target``, mapping by mapping; None takes a key away."""
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            below = target.setdefault(key, {})
            if not isinstance(below, dict):
                below = target[key] = {}
            merge(below, value)
        else:
            target[key] = copy.deepcopy(value)
