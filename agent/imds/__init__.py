"""The EC2 instance metadata service (IMDS): a client of it, and what it says about this instance."""

from .access import Access
from .client import Imds
from .instance import Reading, read_instance

__all__ = ["Access", "Imds", "Reading", "read_instance"]
