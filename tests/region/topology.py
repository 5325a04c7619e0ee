"""Who is where: the hosts of the region, their addresses and their names."""

from dataclasses import dataclass
from typing import Optional

METADATA_IPV4 = "169.254.169.254"
METADATA_IPV6 = "fd00:ec2::254"
NAT_GATEWAY = "203.0.113.7"  # the source of what a host without a public address sends
AWS_API = "10.253.191.2"  # an interface endpoint in the VPC
PUBLIC = "67.202.60.66"  # the worker's, to begin with
COLLECTOR_PORT = 9618


@dataclass(frozen=True)
class Segment:
    """A network behind one bridge of the router, whose address there is the gateway."""

    name: str
    network: str
    gateway: str


@dataclass(frozen=True)
class Host:
    """A machine's place."""

    name: str
    segment: Segment
    address: str
    hostname: str


SITE = Segment("site", "198.51.100.0/24", "198.51.100.1")
VPC = Segment("vpc", "10.253.191.0/24", "10.253.191.1")

CM = Host("cm", SITE, "198.51.100.10", "cm.example.org")
SUBMIT = Host("submit", SITE, "198.51.100.20", "submit.example.org")
WORKER = Host("worker", VPC, "10.253.191.243", "ip-10-253-191-243.ec2.internal")
NEIGHBOUR = Host("neighbour", VPC, "10.253.191.10", "ip-10-253-191-10.ec2.internal")
HOSTS = (CM, SUBMIT, WORKER, NEIGHBOUR)


def public_name(address: str) -> str:
    """The name that EC2 gives a public address."""
    return f"ec2-{address.replace('.', '-')}.compute-1.amazonaws.com"


def hosts_file(segment: Segment, public: Optional[str]) -> str:
    """``/etc/hosts`` as seen from ``segment``: split horizon, as EC2's own name servers answer."""
    lines = ["127.0.0.1 localhost"]
    lines += [f"{host.address} {_names(host, segment)}" for host in HOSTS if segment is VPC or host.segment is SITE]
    if public:
        lines.append(f"{WORKER.address if segment is VPC else public} {public_name(public)}")
    return "".join(f"{line}\n" for line in lines)


def _names(host: Host, segment: Segment) -> str:
    """Instances also know each other by the short name: EC2's DHCP server sets the VPC's domain to search in."""
    both = segment is VPC and host.segment is VPC
    return f"{host.hostname} {host.hostname.partition('.')[0]}" if both else host.hostname
