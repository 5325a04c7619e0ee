"""The EC2 instance metadata service (IMDS): a client of it, and what it says about this instance."""

from .access import IPV4_ENDPOINT, IPV6_ENDPOINT, Access
from .client import Imds
from .credentials import NotYet, read_credentials, read_role
from .instance import Reading, read_instance

__all__ = [
    "IPV4_ENDPOINT",
    "IPV6_ENDPOINT",
    "Access",
    "Imds",
    "NotYet",
    "Reading",
    "read_credentials",
    "read_instance",
    "read_role",
]
