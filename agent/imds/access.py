"""How the metadata service may be reached: its address, a deadline, and whether version 1 may be used.

Source: the AWS SDKs and Tools reference guide, "IMDS client", for the environment variables.
"""

from typing import Mapping, NamedTuple, Tuple
from urllib.parse import urlsplit

from ..errors import MetadataError
from ..grammar import quoted

IPV4_ADDRESS = "169.254.169.254"
IPV6_ADDRESS = "fd00:ec2::254"
IPV4_ENDPOINT = f"http://{IPV4_ADDRESS}"
IPV6_ENDPOINT = f"http://[{IPV6_ADDRESS}]"


class Access(NamedTuple):
    """How to reach the service: where, for how long, and whether version 1 may be used."""

    endpoints: Tuple[str, ...]
    deadline_s: float  # for everything that one client reads, retries included
    v1_allowed: bool = True
    v1_forbidden_by: str = ""  # what forbids it, for the message
    connect_timeout_s: float = 1.0  # for one connection; the service is one hop away
    read_timeout_s: float = 2.0  # for one answer to begin

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], deadline_s: float, v1: str = "fallback") -> "Access":
        """Obey the AWS SDKs' variables; without them both addresses of the service are candidates."""
        forbidden_by = "the setting metadata.v1: never" if v1 == "never" else ""
        if environ.get("AWS_EC2_METADATA_V1_DISABLED", "").lower() == "true":
            forbidden_by = "AWS_EC2_METADATA_V1_DISABLED"
        return cls(_endpoints(environ), deadline_s, not forbidden_by, forbidden_by)


def _endpoints(environ: Mapping[str, str]) -> Tuple[str, ...]:
    explicit = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").strip()
    if explicit:
        return (_checked_endpoint(explicit),)
    mode = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").strip().lower()
    by_mode = {"": (IPV4_ENDPOINT, IPV6_ENDPOINT), "ipv4": (IPV4_ENDPOINT,), "ipv6": (IPV6_ENDPOINT,)}
    if mode not in by_mode:
        raise MetadataError(f"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is {quoted(mode)}: set it to IPv4 or IPv6")
    return by_mode[mode]


def _checked_endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise MetadataError(
            f"AWS_EC2_METADATA_SERVICE_ENDPOINT is {quoted(url)}: set it to a URL such as {IPV4_ENDPOINT}"
        )
    return url.rstrip("/")
