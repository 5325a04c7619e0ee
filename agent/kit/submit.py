"""HTCondor configuration of an access point: what it needs to run its jobs on the workers."""

from typing import Iterator, List

from .. import security
from ..model import Knob, Settings
from ..network_values import network_name_fields
from ..render import render
from ..worker_config import Block
from .request import FILE, PORT, Request


def text(request: Request) -> str:
    """What an access point of the pool needs, to run jobs on these workers."""
    settings = request.settings
    blocks: List[Block] = []
    if security.method(settings) == "idtokens" and settings.trust_domain:
        blocks.append(
            Block(
                "The domain of the pool's tokens, this access point's own among them.",
                (Knob("TRUST_DOMAIN", settings.trust_domain),),
            )
        )
    blocks += [
        Block(
            "A match brings the key of its claim with it, so an access point needs none of the workers' secrets.",
            (Knob("SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION", "True"),),
        ),
        Block(
            f"Workers come back to this machine for their jobs' files: let TCP port {PORT} in from them. "
            + _how_workers_are_reached(request),
            (),
        ),
        Block(_private_network(settings), ()),
        Block(f"A job that wants these workers and no others says so: requirements = {_requirements(settings)}", ()),
    ]
    return render(
        "kit/condor.config.j2",
        title=f"For every access point of {request.central_manager}'s pool that sends jobs to the workers, as {FILE}. "
        "Made by annex-agent kit submit.",
        blocks=blocks,
    )


def hints(request: Request) -> Iterator[str]:
    """What to do with it."""
    yield f"next: put it into {FILE} on each access point, and condor_reconfig there"
    yield (
        f"an access point of another pool flocks: FLOCK_TO = {request.central_manager}, and a token of that pool's "
        "with ADVERTISE_SCHEDD and READ"
    )


def _how_workers_are_reached(request: Request) -> str:
    settings = request.settings
    ports = "-".join(map(str, settings.ports)) if settings.ports else str(PORT)
    if request.site.ccb:
        return "They call back when they are wanted (CCB), by the same port."
    if settings.advertise == "private":
        return f"It must reach TCP port {ports} of their private addresses (network.advertise: private)."
    if settings.advertise == "public":
        return f"It must reach TCP port {ports} of theirs."
    return (
        f"It must reach TCP port {ports} of theirs; those without a public address call back instead (CCB), by the "
        "same port of this machine."
    )


def _private_network(settings: Settings) -> str:
    name, fields = settings.private_network_name, network_name_fields(settings.private_network_name)
    filled = f" (with its own {' and '.join('{' + field + '}' for field in fields)})" if fields else ""
    return (
        f"An access point inside the workers' own network sets PRIVATE_NETWORK_NAME = {name}{filled} to use their "
        "private addresses; anywhere else that makes them unreachable."
    )


def _requirements(settings: Settings) -> str:
    return f'TARGET.AnnexName == "{settings.annex}"' if settings.annex else "TARGET.IsAnnex =?= True"
