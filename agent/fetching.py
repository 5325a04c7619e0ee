"""What a worker is entrusted with: the secrets that its settings name, and what condor_annex has packed for it.

Loaded only where something is to be fetched; most of it is of no use to a boot without a secret.
"""

from typing import NamedTuple, Optional

from .annex_launch import completed
from .aws import Deadline, Session
from .bundle import unpack
from .entrusted import Entrusted, Way
from .errors import SecretError
from .iam_policy import Place, references
from .mapping import COLLECTOR_KNOBS
from .model import Bundle, Instance, Settings
from .role_session import await_role, role_session
from .secret import Secret, Secrets
from .secret_sources import Obtained, obtain
from .settings import Merged, lacks_pool
from .system import System
from .trust_secrets import judged


class Usable(NamedTuple):
    """The secrets that HTCondor can use, what condor_annex has packed, and what is wrong with the others."""

    secrets: Secrets
    bundle: Optional[Bundle]
    failures: "tuple[SecretError, ...]"


def entrusted(merged: Merged, instance: Instance, system: System, way: Way) -> Entrusted:
    """All that there is to fetch; ``ConfigError`` where no pool is named, nor did condor_annex launch this instance."""
    instance, session = ask_aws(merged.settings, instance, way)
    merged = completed(merged, instance, session)
    obtained = _obtained(merged.settings, instance, system, session)
    found = usable(merged.settings, obtained.secrets)
    return Entrusted(merged, instance, found.secrets, found.bundle, (*obtained.failures, *found.failures))


def fetch(settings: Settings, instance: Instance, system: System, way: Way) -> "tuple[Instance, Obtained]":
    """Each secret that is asked for; and the instance, whose role may have become known meanwhile."""
    instance, session = ask_aws(settings, instance, way)
    return instance, _obtained(settings, instance, system, session)


def _obtained(settings: Settings, instance: Instance, system: System, session: Session) -> Obtained:
    return obtain(settings, system, session, Place(account=instance.account_id or "*"))


def ask_aws(settings: Settings, instance: Instance, way: Way) -> "tuple[Instance, Session]":
    """Who asks AWS, where that is needed; and the instance, with the role by which it does."""
    deadline = Deadline(min(settings.aws_timeout_s, way.patience.secrets_s), way.patience.propagation_s)
    if lacks_pool(settings) or any(True for _ in references(settings)):
        instance = await_role(instance, way.imds, deadline)
    return instance, role_session(instance, way.imds, settings, deadline, way.environ)


def usable(settings: Settings, given: Secrets) -> Usable:
    """One that cannot be used counts as one that could not be had."""
    secrets, failures = judged(given)
    try:
        return Usable(secrets, _unpacked(settings, secrets.bundle) if secrets.bundle else None, failures)
    except SecretError as err:
        return Usable(secrets._replace(bundle=None), None, (*failures, err))


def _unpacked(settings: Settings, packed: Secret) -> Bundle:
    bundle = unpack(packed)
    if lacks_pool(settings._replace(bundle=None)) and not bundle.knobs.intersection(COLLECTOR_KNOBS):
        raise SecretError(
            f"the secret {packed.origin} names no central manager (COLLECTOR_HOST in its configuration); set "
            "central_manager in config.yaml or user-data, or have condor_annex make it anew"
        )
    return bundle
