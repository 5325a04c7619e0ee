"""By what this worker and its pool trust each other: the method, its configuration, and what contradicts it.

Knobs and identities: HTCondor manual, "Security".  A level's own knob (``SEC_READ_ENCRYPTION``) has the word before
``SEC_DEFAULT_ENCRYPTION``, and one for a daemon (``ALLOW_WRITE_STARTD``) before the one for all (``ALLOW_WRITE``).

Nobody outside needs a line here to run jobs: the claim that the collector passes on to a schedd holds a session key,
and HTCondor lets in who comes with it (``SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION``, on by default).  The pool's
administrators come with another one (``SEC_ENABLE_REMOTE_ADMINISTRATION``).
"""

import re
from typing import Dict, Iterator, Mapping, NamedTuple, Sequence, Tuple

from .model import Knob, Settings

_FEATURES = ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")
_METHODS, _CIPHERS = "AUTHENTICATION_METHODS", "CRYPTO_METHODS"
_LEVELS = "|".join(
    (
        *("CLIENT", "READ", "WRITE", "DAEMON", "NEGOTIATOR", "ADMINISTRATOR", "CONFIG", "ALLOW"),
        *("ADVERTISE_STARTD", "ADVERTISE_MASTER", "ADVERTISE_SCHEDD"),
    )
)
_DEMAND = rf"SEC_(?P<level>{_LEVELS})_(?P<what>{'|'.join((_METHODS, _CIPHERS, *_FEATURES))})"
_DAEMONS_OWN = rf"(?P<all>ALLOW_(?:{_LEVELS}))_(?:MASTER|STARTD|STARTER|SHARED_PORT)"
# What an image's files may say more precisely than ours: a method has to overrule each that they do say.
MORE_PRECISE = re.compile(rf"{_DEMAND}\Z|{_DAEMONS_OWN}\Z", re.IGNORECASE)

# By the file system (FS) daemons and root's tools of this machine show each other who they are: HTCondor's own user.
_LOCAL = "condor@$(UID_DOMAIN)"
_ADMINISTRATORS = f"root@$(UID_DOMAIN), {_LOCAL}"


class _Method(NamedTuple):
    """What a method demands of the worker's own connections to the pool, and whom it lets in as one of its daemons."""

    why: str
    demand: str
    methods: str
    daemons: str
    own: Mapping[str, str] = {}  # knobs that no other method needs


_BY_NAME: Mapping[str, _Method] = {
    "idtokens": _Method(
        "Trust by token (security.method: idtokens): the worker shows its token to the pool. Nobody may do more here "
        "than look, but for root of this machine, who comes with a claim, and the pool's administrators.",
        "REQUIRED",
        "FS, IDTOKENS",
        "condor@*, condor_pool@*",
        {"SEC_DEFAULT_CRYPTO_METHODS": "AES"},
    ),
    "password": _Method(
        "Trust by the pool password (security.method: password). Who knows it is condor@password where both ends are "
        "HTCondor 23.9 or later, and condor_pool@DOMAIN where one is older: one of the pool's daemons, and no more.",
        "REQUIRED",
        "FS, PASSWORD",
        f"condor@password, condor_pool@*, {_LOCAL}",
        {
            "SEC_DEFAULT_CRYPTO_METHODS": "AES",
            # A file of its own, beside what the image's builder may have left there.
            "SEC_PASSWORD_FILE": "$(SEC_PASSWORD_DIRECTORY)/annex-agent",
            # By default the password is also a key that signs tokens, for whoever asks the startd for one.
            "SEC_TOKEN_POOL_SIGNING_KEY_FILE": "$(SEC_PASSWORD_DIRECTORY)/POOL",
            # Or condor_pool@DOMAIN, whoever is behind it, would count as this machine's condor@DOMAIN.
            "USE_POOL_USERNAME_EQUIVALENT": "False",
        },
    ),
    "host": _Method(
        "Trust by address (security.method: host): the pool lets this machine in for where it is, and neither shows "
        "who it is. Nobody may do more here than look, but for root of this machine, who comes with a claim, and the "
        "pool's administrators: no address is trusted by itself.",
        # Before 23.10 to prefer encryption is to prefer authentication, which has nothing here to succeed by.
        "OPTIONAL",
        "FS",
        _LOCAL,
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
    """The reason for ``knobs``, for whoever reads them; of ``image`` there is none."""
    return _BY_NAME[method(settings)].why


def notes(settings: Settings) -> Iterator[str]:
    """What an administrator should know about the method, one sentence each."""
    if method(settings) == "host":
        yield (
            "security.method is host: whoever has this machine's address can pass for it, and who listens on the way "
            "to the collector can take over its claims; a token (security.token) costs one line"
        )


def doubt(settings: Settings) -> str:
    """What to look at when the collector refuses this worker."""
    questions = {
        "idtokens": f"is the token {settings.token} that pool's, has it not expired, and does it allow "
        "ADVERTISE_STARTD and ADVERTISE_MASTER?",
        "password": f"is {settings.pool_password} that pool's password, and does its collector take PASSWORD?",
        "host": "does it let this machine's address in (ALLOW_ADVERTISE_STARTD, ALLOW_ADVERTISE_MASTER), and without "
        "authentication?",
        "image": "does the image hold a token or a pool password that it takes? See annex-agent check",
    }
    return questions[method(settings)]


def knobs(settings: Settings, image: Sequence[str] = ()) -> Tuple[Knob, ...]:
    """What the method needs; empty for ``image``. ``image``: the ``MORE_PRECISE`` knobs that its own files set."""
    chosen = _BY_NAME.get(method(settings))
    if chosen is None:
        return ()
    given = {**_demands(chosen), **_authorizations(chosen), **chosen.own}
    for name in (name.upper() for name in image):
        given.setdefault(name, _overruling(name))
    return tuple(Knob(name, value) for name, value in given.items())


def _demands(chosen: _Method) -> Dict[str, str]:
    demands = {f"SEC_DEFAULT_{feature}": "REQUIRED" for feature in _FEATURES}
    demands.update({f"SEC_CLIENT_{feature}": chosen.demand for feature in _FEATURES})
    demands.update({f"SEC_READ_{feature}": "OPTIONAL" for feature in _FEATURES})
    demands.update({f"SEC_{level}_{_METHODS}": chosen.methods for level in ("DEFAULT", "CLIENT")})
    return demands


def _authorizations(chosen: _Method) -> Dict[str, str]:
    """Looking is free, as it is at the collector; ``CONFIG`` would be anybody's whom an image's file names."""
    return {
        "ALLOW_READ": "*",
        **{f"ALLOW_{level}": chosen.daemons for level in ("WRITE", "DAEMON", "NEGOTIATOR")},
        **{f"ALLOW_{level}": _ADMINISTRATORS for level in ("ADMINISTRATOR", "CONFIG")},
    }


def _overruling(name: str) -> str:
    """The method's word in the place of an image's more precise one."""
    found = MORE_PRECISE.match(name)
    if found is None:
        raise ValueError(f"{name} is no knob by which pool and worker trust each other")
    if found["all"]:
        return f"$({found['all']})"
    if found["what"] in (_METHODS, _CIPHERS):
        return f"$(SEC_DEFAULT_{found['what']})"
    return "REQUIRED"


def contradictions(settings: Settings) -> Iterator[str]:
    """Problems of the settings as a whole, each with its path and remedy."""
    named = settings.security_method
    if settings.token and settings.pool_password and not named:
        yield (
            "security.token and security.pool_password are both given: say with security.method which of them the "
            "pool trusts, and leave out the other"
        )
    if named is None:
        return
    for field, belongs_to in (("token", "idtokens"), ("pool_password", "password")):
        given = getattr(settings, field)
        if given and named != belongs_to:
            yield (
                f"security.{field} has no use where security.method is {named}: leave it out, or set "
                f"security.method: {belongs_to}"
            )
        elif not given and named == belongs_to and not settings.bundle:
            yield (
                f"security.method: {named} needs security.{field}: say where it is kept (ssm:NAME, "
                "secretsmanager:NAME, ...), or set security.method: image if the image holds it"
            )
    if settings.trust_domain and named == "host":
        yield "security.trust_domain has no use where security.method is host: leave it out"
