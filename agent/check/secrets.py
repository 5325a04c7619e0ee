"""The look at the secrets that the settings name: whether each can be had, without showing it."""

import json
from typing import Any, Iterator, Mapping, Optional, Tuple

from ..entrusted import ATTENDED, Way
from ..errors import SecretDenied, SecretError
from ..fetching import fetch, usable
from ..iam_policy import least_policy
from ..model import Settings
from ..secret import Secrets
from ..secret_sources import Obtained, obtain
from .finding import Judgement, ok, only_root, problem, warning
from .scene import Scene

_MEND = "a start ends like this, too: mend it first"


def secrets(scene: Scene) -> Iterator[Judgement]:
    """Fetch each, and where AWS refuses one say which policy would let the instance's role have it."""
    settings = scene.readable_settings()
    if not settings.secrets:
        yield ok("the settings name none")
        return
    here = settings if scene.is_instance else _without_aws(settings)
    if here != settings:
        left_out = [str(place) for place in settings.secrets.values() if place.is_in_aws]
        yield warning(f"not tried, as this is no instance: {', '.join(left_out)}", "check again on one of the image")
    yield from _open_files(scene, settings)
    failures = _failures(scene, here)
    yield from (_judged(scene, settings, err) for err in failures)
    names = ", ".join(str(place) for place in here.secrets.values())
    if names and not failures:
        yield ok(f"can be had: {names}")


def _open_files(scene: Scene, settings: Settings) -> Iterator[Judgement]:
    """Jobs could take the secret from there, and be workers of the pool."""
    paths = [place.reveal() for place in settings.secrets.values() if place.scheme == "file"]
    for path in paths:
        mode = scene.machine.system.mode(path) or 0
        if mode & 0o077:
            yield warning(f"others than root can use {path} (mode {mode:04o})", f"chown root {path}; chmod 600 {path}")


def _without_aws(settings: Settings) -> Settings:
    places: Mapping[str, Any] = {field: None for field, place in settings.secrets.items() if place.is_in_aws}
    return settings._replace(**places)


def _failures(scene: Scene, settings: Settings) -> Tuple[SecretError, ...]:
    obtained = _obtained(scene, settings)
    archive = Secrets(bundle=obtained.secrets.bundle)  # at a token and a password looks another look
    return (*obtained.failures, *usable(settings, archive).failures)


def _obtained(scene: Scene, settings: Settings) -> Obtained:
    if settings == _without_aws(settings):
        return obtain(settings, scene.machine.system)
    instance = scene.metadata().reading.instance
    with scene.open_metadata() as imds:
        way = Way(imds, scene.environ, ATTENDED)
        return fetch(settings, instance, scene.machine.system, way)[1]


def _judged(scene: Scene, settings: Settings, err: SecretError) -> Judgement:
    if isinstance(err.__cause__ and err.__cause__.__cause__, PermissionError) and not scene.outside.is_root:
        raise only_root(str(err).partition(" cannot be read")[0]) from err
    words, _, remedy = str(err).partition("; ")
    if isinstance(err, SecretDenied):
        remedy = f"give the instance's role this policy: {json.dumps(_policy(scene, settings, err.own_key))}"
    return problem(words, remedy or _MEND)


def _policy(scene: Scene, settings: Settings, own_keys: bool) -> "dict[str, object]":
    instance = scene.metadata().reading.instance
    region: Optional[str] = instance.region or scene.environ.get("AWS_REGION")
    return least_policy(settings, region or "*", instance.account_id or "*", own_keys=own_keys)
