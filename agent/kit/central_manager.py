"""HTCondor configuration of the central manager: what lets the workers in.

What a pool has already stays: lists are extended, and what the workers' method demands is demanded of those alone that
report to the collector (the level DAEMON) or ask it (READ).  Sources: HTCondor manual, "Security" and "Configuration
Macros".
"""

from typing import Iterator, Sequence, Tuple

from .. import grammar, security
from ..errors import AnnexError, ConfigError
from ..model import Knob, Settings
from ..render import render
from ..worker_config import Block
from .request import FILE, PORT, Request, missing, no_trust_domain

_FEATURES = ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")
# Beside the signing key of tokens, which SEC_PASSWORD_FILE is otherwise: a password that workers know must not be it.
_PASSWORD_FILE = "/etc/condor/annex-pool-password"  # noqa: S105 - a path


def problems(request: Request) -> Iterator[AnnexError]:
    """A method that nothing can be said about, or whose terms are not known."""
    method = security.method(request.settings)
    if method == "image":
        yield ConfigError(
            [
                "security.method is image, so only the image's builder knows by what the workers are trusted: set it "
                "to idtokens, password or host"
            ]
        )
    elif method == "idtokens":
        yield from no_trust_domain(request.settings)
    elif method == "host":
        yield from missing(request.site, "worker_cidr")


def text(request: Request) -> str:
    """What lets these workers in, for a file of config.d that is read after the others."""
    blocks = {"idtokens": _idtokens, "password": _password, "host": _host}[security.method(request.settings)](request)
    return render(
        "kit/condor.config.j2",
        title=f"For {request.central_manager}, as {FILE}. Made by annex-agent kit central-manager. It lets "
        "the workers in; whom the pool let in before, it still does.",
        blocks=[*blocks, *_ports(request.settings)],
    )


def hints(request: Request) -> Iterator[str]:
    """What to do with it."""
    yield f"next: put it into {FILE} on {request.central_manager}, and systemctl restart condor there"
    if security.method(request.settings) == "host":
        yield (
            "warning: with security.method: host everybody in --worker-cidr can pass for a worker, and is sent jobs; "
            "what passes is not encrypted. Use idtokens wherever a secret can be kept"
        )


def _idtokens(request: Request) -> Iterator[Block]:
    domain = str(request.settings.trust_domain)
    yield Block(
        "The domain of the pool's tokens. If the pool has tokens already, it must be what it was: those of another "
        "domain are worth nothing. Their signing key, POOL in SEC_PASSWORD_DIRECTORY, is made when the collector first "
        "starts, and belongs on no worker.",
        (Knob("TRUST_DOMAIN", domain),),
    )
    yield _demanded("by a token", "REQUIRED", _all_methods("IDTOKENS"))
    yield _allowed("The identity in the workers' tokens, which are limited to this and no more.", [f"condor@{domain}"])


def _password(request: Request) -> Iterator[Block]:  # noqa: ARG001 - each method is asked in the same way
    yield Block(
        "The workers' password in a file of its own. By default it would be the signing key of the pool's tokens, with "
        "which a worker could make itself a token for anybody.",
        (
            Knob("SEC_TOKEN_POOL_SIGNING_KEY_FILE", "$(SEC_PASSWORD_DIRECTORY)/POOL"),
            Knob("SEC_PASSWORD_FILE", _PASSWORD_FILE),
        ),
    )
    yield _demanded("by the password", "REQUIRED", _all_methods("PASSWORD"))
    yield _allowed(
        "Who knows the password is condor@password to HTCondor 23.9 and later, and condor_pool@ a domain before.",
        ["condor@password", "condor_pool@*"],
    )


def _host(request: Request) -> Iterator[Block]:
    yield _demanded(
        "by nothing but their address. THIS IS NOT SAFE: everybody there can pass for a worker, take jobs and read "
        "what comes with them",
        "OPTIONAL",
        (),
    )
    yield _allowed("Where the workers come from, as this host sees them.", request.site.worker_cidr)


def _demanded(how: str, demand: str, methods: Sequence[Knob]) -> Block:
    """CCB's registration belongs to the level DAEMON, as the ads do: one demand for all that workers say."""
    return Block(
        f"Who reports to the collector is known {how}.",
        (*(Knob(f"SEC_DAEMON_{feature}", demand) for feature in _FEATURES), *methods),
    )


def _all_methods(method: str) -> Tuple[Knob, ...]:
    return tuple(
        _extended(f"SEC_{level}_AUTHENTICATION_METHODS", "SEC_DEFAULT_AUTHENTICATION_METHODS", [method])
        for level in ("DAEMON", "READ")
    )


def _allowed(why: str, whom: Sequence[str]) -> Block:
    return Block(
        why,
        (
            _extended("ALLOW_ADVERTISE_STARTD", "ALLOW_DAEMON", whom),
            _extended("ALLOW_ADVERTISE_MASTER", "ALLOW_DAEMON", whom),
            Knob("ALLOW_READ", ", ".join(["$(ALLOW_READ)", *whom])),
        ),
    )


def _extended(name: str, fallback: str, more: Sequence[str]) -> Knob:
    """A list that HTCondor takes from ``fallback`` where it is not set must go on saying what that says."""
    return Knob(name, ", ".join([f"$({name}:$({fallback}))", *more]))


def _ports(settings: Settings) -> Iterator[Block]:
    ports = {grammar.collector_port(manager) or PORT for manager in settings.central_manager} or {PORT}
    shown = " and ".join(str(port) for port in sorted(ports))
    yield Block(
        f"Workers need nothing of this host but TCP port {shown}, which the daemons here share: let it in. Those "
        "without a public address keep that connection open, and whoever wants them is called back through it (CCB).",
        tuple(Knob("COLLECTOR_PORT", str(port)) for port in ports if len(ports) == 1 and port != PORT),
    )
