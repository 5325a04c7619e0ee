"""The way to the metadata service from this machine: as the settings allow it, and who is fenced off from it."""

from contextlib import contextmanager
from typing import Iterator, Mapping

from .errors import MetadataFenced, MetadataUnreachable
from .fence_steps import fence_is_up
from .imds import IPV4_ENDPOINT, IPV6_ENDPOINT, Access, Imds
from .machine import Machine

_FENCED_DEADLINE_S = 0.5  # for somebody who will not get an answer


@contextmanager
def open_metadata(machine: Machine, environ: Mapping[str, str], v1: str, deadline_s: float) -> Iterator[Imds]:
    """A client of the service; ``v1`` is the setting metadata.v1.

    Whoever is fenced off gets ``MetadataFenced`` out of the block after a moment, not after the whole deadline.
    """
    access = Access.from_environment(environ, deadline_s, v1)
    is_fenced = _is_fenced_off(machine, access)
    imds = Imds(access._replace(deadline_s=min(deadline_s, _FENCED_DEADLINE_S)) if is_fenced else access)
    try:
        yield imds
    except MetadataUnreachable as err:
        if not is_fenced:
            raise
        raise MetadataFenced(
            f"this user (uid {machine.system.uid}) is fenced off from the instance metadata service, as every job is "
            "(metadata.restrict_to_root): run sudo annex-agent --dry-run"
        ) from err
    finally:
        imds.close()


def _is_fenced_off(machine: Machine, access: Access) -> bool:
    system = machine.system
    real = {IPV4_ENDPOINT, IPV6_ENDPOINT}.issuperset(access.endpoints)
    return real and system.is_live and system.uid != 0 and fence_is_up(system)
