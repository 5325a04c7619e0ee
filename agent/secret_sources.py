"""Fetch the secrets that the settings name, each from where it is kept."""

from typing import NamedTuple, Optional, Tuple

from .errors import AnnexError, SecretError
from .model import Settings
from .secret import Reference, Secret, Secrets
from .system import System


class Obtained(NamedTuple):
    """The secrets that could be had, and why the others could not."""

    secrets: Secrets = Secrets()
    failures: Tuple[SecretError, ...] = ()


def obtain(settings: Settings, system: System) -> Obtained:
    """Each secret that ``settings`` names; nothing is raised, so that all failures can be told together."""
    found, failures = {}, []
    for field in Secrets._fields:
        place: Optional[Reference] = getattr(settings, field)
        if place is None:
            continue
        try:
            found[field] = Secret(_value(place, system), str(place))
        except SecretError as err:
            failures.append(err)
    return Obtained(Secrets(**found), tuple(failures))


def _value(place: Reference, system: System) -> bytes:
    if place.scheme == "inline":
        return place.reveal().encode("utf-8")
    if place.scheme == "file":
        try:
            file = system.read_file(place.reveal())
        except AnnexError as err:
            raise SecretError(f"the secret {place} cannot be read: {err}") from err
        if file:
            return file.content
        raise SecretError(f"the secret {place} is not there: put the file into the image, or correct its path")
    raise SecretError(f"the secret {place} cannot be fetched: {place.scheme} is not supported yet")
