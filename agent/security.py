"""By what this worker and its pool trust each other: the method, its configuration, and what contradicts it.

Knobs and identities: HTCondor manual, "Security".  A level's own knob (``SEC_READ_ENCRYPTION``) has the word before
``SEC_DEFAULT_ENCRYPTION``, and one for a daemon (``ALLOW_WRITE_STARTD``) before the one for all (``ALLOW_WRITE``).

Nobody outside needs a line here to run jobs: the claim that the collector passes on to a schedd holds a session key,
and HTCondor lets in who comes with it (``SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION``, on by default).
"""

import re
from typing import Iterator, Mapping, NamedTuple, Sequence, Tuple

from . import grammar
from .model import Knob, Settings

_FEATURES = ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")
_METHODS = "AUTHENTICATION_METHODS"
_LEVELS = (
    *("DEFAULT", "CLIENT", "READ", "WRITE", "DAEMON", "NEGOTIATOR", "ADMINISTRATOR", "CONFIG", "ALLOW"),
    *("ADVERTISE_STARTD", "ADVERTISE_MASTER", "ADVERTISE_SCHEDD"),
)
_LEVEL = "|".join(_LEVELS)
_SPECIFIC = re.compile(rf"SEC_({_LEVEL})_({_METHODS}|{'|'.join(_FEATURES)}|CRYPTO_METHODS)\Z")
_DAEMONS_OWN = re.compile(rf"(ALLOW_(?:{_LEVEL}))_(?:MASTER|STARTD|STARTER|SHARED_PORT)\Z")
# The image's files are asked for what matches: whatever of it they set, a method has to overrule.
IMAGE_KNOBS = rf"SEC_({_LEVEL})_[A-Z_]+|ALLOW_({_LEVEL})_[A-Z_]+"
# Whom HTCondor takes root's own tools for, here: they show themselves through the file system (FS).
_LOCAL = "condor@$(UID_DOMAIN)"
_ADMINISTRATORS = f"root@$(UID_DOMAIN), {_LOCAL}"


class _Method(NamedTuple):
    """What a method demands of every connection, and whom it lets in as one of the pool's daemons."""

    why: str
    demand: str  # of authentication, encryption, integrity
    methods: str
    daemons: str
    ciphers: str = ""  # empty: HTCondor's default


_BY_NAME: Mapping[str, _Method] = {
    "idtokens": _Method(
        "Trust by token (security.method: idtokens). Who is not known by one is told nothing but what the collector "
        "tells everybody, and only root of this machine administrates it.",
        "REQUIRED",
        "FS, IDTOKENS",
        "condor@*, condor_pool@*",
        "AES",
    ),
    "password": _Method(
        "Trust by the pool password (security.method: password). Who knows it is condor@password where both ends are "
        "HTCondor 23.9 or later, and condor_pool@DOMAIN where one is older: one of the pool's daemons, and no more.",
        "REQUIRED",
        "FS, PASSWORD",
        f"condor@password, condor_pool@*, {_LOCAL}",
        "AES",
    ),
    "host": _Method(
        "Trust by address (security.method: host): nobody has to show who they are. Only the central manager's hosts "
        "are taken for daemons of the pool.",
        "OPTIONAL",
        "FS",
        "",
    ),
}


def method(settings: Settings) -> str:
    """``image``, ``idtokens``, ``password`` or ``host``: the one that is named, or that the given secret is for."""
    if settings.security_method:
        return settings.security_method
    if settings.token:
        return "idtokens"
    return "password" if settings.pool_password else "image"


def why(settings: Settings) -> str:
    """The reason for ``knobs``, for whoever reads them."""
    return _BY_NAME[method(settings)].why


def knobs(settings: Settings, image: Sequence[str] = ()) -> Tuple[Knob, ...]:
    """What the method needs; empty for ``image``. ``image``: the knobs like ``IMAGE_KNOBS`` that its files set."""
    chosen = _BY_NAME.get(method(settings))
    if chosen is None:
        return ()
    given = {**_demands(chosen), **_authorizations(chosen, settings)}
    for name in (name.upper() for name in image):
        if name not in given:
            given.update(_overruled(name, chosen))
    return tuple(Knob(name, value) for name, value in given.items())


def _demands(chosen: _Method) -> Mapping[str, str]:
    demands = {f"SEC_{level}_{feature}": chosen.demand for level in ("DEFAULT", "CLIENT") for feature in _FEATURES}
    demands.update({f"SEC_READ_{feature}": "OPTIONAL" for feature in _FEATURES})
    demands.update({f"SEC_{level}_{_METHODS}": chosen.methods for level in ("DEFAULT", "CLIENT")})
    if chosen.ciphers:
        demands["SEC_DEFAULT_CRYPTO_METHODS"] = chosen.ciphers
    return demands


def _authorizations(chosen: _Method, settings: Settings) -> Mapping[str, str]:
    daemons = chosen.daemons or ", ".join(_central_managers(settings))
    administrators = _ADMINISTRATORS if chosen.daemons else f"{_ADMINISTRATORS}, {daemons}"
    return {
        "ALLOW_READ": "*",
        "ALLOW_WRITE": daemons,
        "ALLOW_DAEMON": daemons,
        "ALLOW_NEGOTIATOR": daemons,
        "ALLOW_ADMINISTRATOR": administrators,
        "ALLOW_CONFIG": _ADMINISTRATORS,
        # Or condor_pool@DOMAIN, which any holder of the pool password can be, would count as the local condor@DOMAIN.
        "USE_POOL_USERNAME_EQUIVALENT": "False",
    }


def _central_managers(settings: Settings) -> Tuple[str, ...]:
    hosts = tuple(dict.fromkeys(grammar.collector_host(manager) for manager in settings.central_manager))
    return hosts or ("$(CONDOR_HOST)",)


def _overruled(name: str, chosen: _Method) -> Mapping[str, str]:
    """The method's word where the image's files have one that is more specific than ours."""
    specific, daemons_own = _SPECIFIC.match(name), _DAEMONS_OWN.match(name)
    if daemons_own:
        return {name: f"$({daemons_own.group(1)})"}
    if not specific:
        return {}
    feature = specific.group(2)
    if feature == _METHODS:
        return {name: chosen.methods}
    if feature == "CRYPTO_METHODS":
        return {name: chosen.ciphers or "$(SEC_DEFAULT_CRYPTO_METHODS)"}
    return {name: chosen.demand}


def contradictions(settings: Settings) -> Iterator[str]:
    """Problems of the settings as a whole, each with its path and remedy."""
    named = settings.security_method
    if settings.token and settings.pool_password and not named:
        yield (
            "security.token and security.pool_password are both given: say with security.method which one the pool "
            "trusts, and leave out the other"
        )
    if named is None:
        return
    for field, belongs_to in (("token", "idtokens"), ("pool_password", "password")):
        given = getattr(settings, field)
        if given and named != belongs_to:
            yield (
                f"security.{field} has no meaning where security.method is {named}: leave it out, or set "
                f"security.method: {belongs_to}"
            )
        elif not given and named == belongs_to and not settings.bundle:
            yield (
                f"security.method: {named} needs security.{field}: say where it is kept (ssm:NAME, "
                "secretsmanager:NAME, ...), or set security.method: image if the image holds it"
            )
    if settings.trust_domain and named == "host":
        yield "security.trust_domain has no meaning where security.method is host: leave it out"
