"""What a worker is entrusted with, and how that is asked for: plain values; ``fetching`` does the work."""

from typing import Mapping, NamedTuple, Optional

from .errors import SecretError
from .imds import Imds
from .model import Bundle, Instance
from .secret import Secrets
from .settings import Merged


class Patience(NamedTuple):
    """How long AWS is waited for, in seconds."""

    secrets_s: float = float("inf")  # for all of them; aws.timeout may say less
    propagation_s: float = 15.0  # for a role, or its policies, that AWS has not yet heard of everywhere


AT_BOOT = Patience()
ATTENDED = Patience(secrets_s=20.0, propagation_s=0.0)  # a person waits for the answer


class Way(NamedTuple):
    """How secrets in AWS are got: with credentials from ``imds``, at the APIs that ``environ`` may name."""

    imds: Imds
    environ: Mapping[str, str]
    patience: Patience


class Entrusted(NamedTuple):
    """The settings, with what an annex's launch adds; the instance, whose role may come late; what was fetched."""

    merged: Merged
    instance: Instance
    secrets: Secrets = Secrets()
    bundle: Optional[Bundle] = None
    failures: "tuple[SecretError, ...]" = ()  # why others could not be had, or not be used
