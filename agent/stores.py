"""The files of trust on this instance's disk: which are stored, which go, and the record that knows of them."""

from typing import List, Optional, Tuple

from . import state
from .model import Condor, Facts, State
from .secret_steps import ForgetSecret, StoreSecret
from .steps import Step, WriteFile
from .trust_secrets import FILE_NAME
from .worker_config import worker_host_name

Stores = Tuple["WriteFile | StoreSecret", ...]


def stranger(facts: Facts) -> Optional[str]:
    """The other instance whose disk this was; None where it was nobody's, or this one's own."""
    found = facts.host.state
    return found.instance_id if found and found.instance_id != facts.instance.instance_id else None


def stores(facts: Facts) -> Stores:
    """Every file of trust that this instance is to have; what condor_annex has packed comes first."""
    return (*_bundle_files(facts), *_named_secrets(facts))


def _named_secrets(facts: Facts) -> Tuple[StoreSecret, ...]:
    """The secrets of trust that the settings name, each with its place."""
    condor, settings, secrets = facts.host.condor or Condor("not installed"), facts.settings, facts.secrets
    steps = []
    if settings.token:
        path = f"{condor.token_directory}/{FILE_NAME}"
        steps.append(StoreSecret("token", "the token", path, str(settings.token), secrets.token))
    if settings.pool_password and facts.host.condor:  # HTCondor's own tool writes it
        path, kept = f"{condor.password_directory}/{FILE_NAME}", str(settings.pool_password)
        steps.append(StoreSecret("pool-password", "the pool password", path, kept, secrets.pool_password, True))
    return tuple(steps)


def _bundle_files(facts: Facts) -> Stores:
    """What condor_annex has packed for this instance; the configuration first, for its directory is open to all."""
    bundle = facts.bundle
    if bundle is None:
        return ()
    config = [
        WriteFile(f"bundle-config-{number}", file.path, file.text, 0o644, f"from {file.origin}")
        for number, file in enumerate(bundle.config, start=1)
    ]
    secrets = [
        StoreSecret(f"bundle-secret-{number}", "a secret", file.path, file.secret.origin, file.secret, is_ready=True)
        for number, file in enumerate(bundle.secrets, start=1)
    ]
    return (*config, *secrets)


def _stored_before(facts: Facts) -> Tuple[str, ...]:
    return facts.host.state.secrets if facts.host.state and not stranger(facts) else ()


def gone(facts: Facts, files: Stores) -> List[str]:
    """What was stored for this instance and is not wanted any more: the settings, or condor_annex's, have changed."""
    if facts.settings.bundle and not facts.bundle:
        return []  # in a preview: what it holds is not known
    wanted = {file.path for file in files}
    return [path for path in _stored_before(facts) if path not in wanted]


def forget(facts: Facts, files: Stores) -> List[Step]:
    """Take away what is not wanted any more."""
    return [
        ForgetSecret(f"secret-{number}", path, "the settings do not name it any more")
        for number, path in enumerate(gone(facts, files), start=1)
    ]


def record(facts: Facts, files: Stores) -> Step:
    """Whose disk this is, and what is stored on it."""
    # It comes before the secrets themselves, and none is struck off: a crash loses sight of no file.
    secrets = tuple(dict.fromkeys([*_stored_before(facts), *(file.path for file in files)]))
    mine = State(facts.instance.instance_id, facts.host.boot_id, worker_host_name(facts), secrets)
    return WriteFile("state", state.PATH, state.state_text(mine), 0o644, "whose disk this is")
