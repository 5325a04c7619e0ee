"""The workers' security group: input for the AWS CLI, first to make it, then to give it its rules.

What leaves the workers stays as EC2 has it: everything.
"""

import ipaddress
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from ..errors import AnnexError, ConfigError, UsageError
from .request import PORT, Request, missing

_SSH = 22
# What the owner's own knobs would change about the ports, behind the back of these rules.
_PORT_KNOBS = (
    "SHARED_PORT_PORT",
    "COLLECTOR_PORT",
    "USE_SHARED_PORT",
    "LOWPORT",
    "HIGHPORT",
    "IN_LOWPORT",
    "IN_HIGHPORT",
)


def problems(request: Request) -> Iterator[AnnexError]:
    """What keeps the rules from being right."""
    settings, site = request.settings, request.site
    for knob in settings.condor:
        if knob.name.upper().rpartition(".")[2] in _PORT_KNOBS:
            yield ConfigError([f"condor.{knob.name} moves the workers' ports: say it with network.ports instead"])
    if not site.ccb:
        yield from missing(site, "site_cidr")
    elif settings.advertise != "auto" and "CCB_ADDRESS" not in (knob.name.upper() for knob in settings.condor):
        yield UsageError(
            "--ccb: workers are reached through the collector where they have no public address and network.advertise "
            f"is auto, and it is {settings.advertise}: change that, or give --site-cidr"
        )
    if len(site.security_group) > 1:
        yield UsageError("--security-group: the rules are for one security group, name only one")
    elif site.security_group and site.ccb and not site.admin_cidr:
        yield UsageError(
            "nothing comes in to these workers, and a new security group lets nothing in: leave --security-group out "
            "to make it, or add --admin-cidr for SSH"
        )


def document(request: Request) -> Dict[str, Any]:
    """Input of create-security-group, or of authorize-security-group-ingress once the group is named."""
    site = request.site
    if site.security_group:
        return {"GroupId": site.security_group[0], "IpPermissions": list(_rules(request))}
    made: Dict[str, Any] = {"GroupName": site.name, "Description": "HTCondor execute nodes (annex-agent)"}
    if site.vpc:
        made["VpcId"] = site.vpc
    made["TagSpecifications"] = [{"ResourceType": "security-group", "Tags": [{"Key": "Name", "Value": site.name}]}]
    return made


def hints(request: Request) -> Iterator[str]:
    """What to do with it."""
    site = request.site
    if site.security_group:
        yield "next: aws ec2 authorize-security-group-ingress --cli-input-json file://FILE"
        wide = [cidr for cidr in (*site.site_cidr, *site.admin_cidr) if ipaddress.ip_network(cidr).prefixlen == 0]
        if wide:
            yield f"warning: {' and '.join(wide)} is the whole Internet"
        return
    yield "next: aws ec2 create-security-group --cli-input-json file://FILE --query GroupId --output text"
    if site.ccb:
        yield "launch the workers in subnets that give no public address: with one they would not be reached"
    if not site.vpc:
        yield "the group is for the default VPC: give --vpc for another one"
    if not site.ccb or site.admin_cidr:
        yield "then this part again, with --security-group and that id, for its rules"


def _rules(request: Request) -> Iterator[Dict[str, Any]]:
    site = request.site
    if not site.ccb:
        ports = request.settings.ports or (PORT, PORT)
        yield _rule(ports, site.site_cidr, "HTCondor: central manager and access points")
    if site.admin_cidr:
        yield _rule((_SSH, _SSH), site.admin_cidr, "SSH: administrators")


def _rule(ports: Tuple[int, int], cidrs: Sequence[str], description: str) -> Dict[str, Any]:
    rule: Dict[str, Any] = {"IpProtocol": "tcp", "FromPort": ports[0], "ToPort": ports[1]}
    for key, member, version in (("IpRanges", "CidrIp", 4), ("Ipv6Ranges", "CidrIpv6", 6)):
        ranges: List[Dict[str, str]] = [
            {member: cidr, "Description": description}
            for cidr in cidrs
            if ipaddress.ip_network(cidr).version == version
        ]
        if ranges:
            rule[key] = ranges
    return rule
