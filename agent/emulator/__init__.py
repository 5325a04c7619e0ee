"""A stand-in for EC2's instance metadata service (IMDS): for demonstrations and tests.

It answers as Amazon documents the real service to answer, and on request as it does on a bad day.
"""

from .answers import TOKEN_HEADER, TTL_HEADER
from .http import Request
from .profile import Fault, Profile, ProfileError, Service
from .server import Emulator

__all__ = ["TOKEN_HEADER", "TTL_HEADER", "Emulator", "Fault", "Profile", "ProfileError", "Request", "Service"]
