"""By what this worker and its pool trust each other: which method the settings ask for, and what contradicts it."""

from typing import Iterator

from .model import Settings


def method(settings: Settings) -> str:
    """``image``, ``idtokens``, ``password`` or ``host``: the one that is named, or that the given secret is for."""
    if settings.security_method:
        return settings.security_method
    if settings.token:
        return "idtokens"
    return "password" if settings.pool_password else "image"


def contradictions(settings: Settings) -> Iterator[str]:  # noqa: ARG001
    """Problems of the settings as a whole, each with its path and remedy."""
    yield from ()
