"""A shell script for the central manager: it makes the workers' secret and puts it where they fetch it.

The secret passes from the shell to the other programs' standard input, and by no other way: an argument list and an
environment can be read by others.
"""

import shlex
from pathlib import PurePosixPath
from typing import Iterator, Optional, Tuple

from .. import security
from ..errors import AnnexError, ConfigError
from ..render import render
from ..secret import Reference
from .request import Request, missing, no_trust_domain

# HTCondor takes a worker's ads with the first two, and lets its startd register for connections through the collector
# (CCB) with them, too; READ is for pools that do not tell everybody what is in them.
AUTHORIZATIONS = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
_DAY_S = 86400
_SECRETS = {"idtokens": "token", "password": "pool_password"}


def problems(request: Request) -> Iterator[AnnexError]:
    """No secret to make, no place to keep it, or no name to make it for."""
    settings = request.settings
    method = security.method(settings)
    if method not in _SECRETS:
        yield ConfigError(
            [
                f"security.method is {method}, which has no secret to make: set it to idtokens and security.token to "
                "where the token shall be kept (or password and security.pool_password)"
            ]
        )
        return
    if method == "idtokens":
        yield from no_trust_domain(settings)
    yield from _no_place(request, method)


def _no_place(request: Request, method: str) -> Iterator[AnnexError]:
    field = _SECRETS[method]
    place: Optional[Reference] = getattr(request.settings, field)
    if place is None:
        yield ConfigError(
            [f"security.{field} names no place to keep the secret: secretsmanager:NAME, ssm:NAME, s3://BUCKET/KEY"]
        )
    elif place.scheme == "inline":
        yield ConfigError(
            [
                f"security.{field} is inline:, the secret itself: name a place to keep it (secretsmanager:NAME, "
                "ssm:NAME, s3://BUCKET/KEY)"
            ]
        )
    elif place.scheme == "ssm" and _version(place):
        yield ConfigError(
            [f"security.{field} names one version of {place}, and a new one would not be it: leave it out"]
        )
    elif place.scheme in ("ssm", "secretsmanager") and not place.region:
        yield from missing(request.site, "region")


def text(request: Request) -> str:
    """The script, for any POSIX shell."""
    method = security.method(request.settings)
    place: Reference = getattr(request.settings, _SECRETS[method])
    store = list(_store(place, request.site.region, request.site.name))
    if method == "password":
        store.append('printf %s "$secret" | condor_store_cred add -c -i -')
    make = _password_lines() if method == "password" else _token_lines(request)
    return render("kit/token.sh.j2", about=_about(request, method, place), make=tuple(make), store=store)


def _about(request: Request, method: str, place: Reference) -> str:
    needs = ", with the AWS CLI and the right to write the secret" if place.is_in_aws else ""
    if method == "password":
        what = (
            "Put the configuration there first (annex-agent kit central-manager). This makes a pool password and puts "
            f"it into {place} and into HTCondor's own file. Who knows it passes for one of the pool's daemons; it "
            "never ends."
        )
    else:
        what = (
            f"It makes a token for the workers and puts it into {place}. The token lets its holder into the pool as an "
            f"execute node, and is good for nothing else. It ends after {_lifetime(request.site.lifetime)}: run this "
            "again before that."
        )
    return (
        f"Made by annex-agent kit token, for {request.central_manager}: run it there as root{needs}. {what} "
        "The secret is in no argument list and in no environment."
    )


def _lifetime(seconds: int) -> str:
    days, rest = divmod(seconds, _DAY_S)
    return f"{seconds} seconds" if rest else f"{days} day{'s' if days > 1 else ''}"


def hints(request: Request) -> Iterator[str]:
    """What to do with it."""
    yield f"next: read it, and run it as root on {request.central_manager}"
    if security.method(request.settings) == "idtokens":
        yield "and again before the token's lifetime (--lifetime) is over: workers take the new one at their next start"


def _token_lines(request: Request) -> Iterator[str]:
    identity = shlex.quote(f"condor@{request.settings.trust_domain}")
    limits = " ".join(f"-authz {authorization}" for authorization in AUTHORIZATIONS)
    yield f"secret=$(condor_token_create -identity {identity} -lifetime {request.site.lifetime} \\"
    yield f"    {limits})"


def _password_lines() -> Iterator[str]:
    yield "file=$(condor_config_val SEC_PASSWORD_FILE)"
    yield 'if test -e "$file"; then'
    yield '    echo "$file is there already: a pool password, or the key of the pool\'s tokens, would be lost." >&2'
    yield '    echo "Move it away first; who has the old password must then get the new one." >&2'
    yield "    exit 1"
    yield "fi"
    yield "secret=$(head -c 32 /dev/urandom | base64 | tr -d '\\n')"


def _store(place: Reference, region: Optional[str], name: str) -> Iterator[str]:
    where = f" --region {shlex.quote(place.region or region or '')}" if place.scheme != "s3" else ""
    if place.scheme == "secretsmanager":
        yield from _to_secrets_manager(place, where)
    elif place.scheme == "ssm":
        parameter = shlex.quote(_parameter(place))
        yield f'printf %s "$secret" | aws ssm put-parameter --name={parameter} --type SecureString --overwrite \\'
        yield f"    --value file:///dev/stdin{where}"
    elif place.scheme == "s3":
        yield f'printf %s "$secret" | aws s3 cp --sse AES256 - {shlex.quote("s3:" + place.reveal())}'
    else:
        yield from _to_file(PurePosixPath(place.reveal()), name)


def _to_secrets_manager(place: Reference, where: str) -> Iterator[str]:
    secret = shlex.quote(place.reveal())
    put = f"aws secretsmanager put-secret-value --secret-id={secret} \\"
    if place.region:  # an ARN: the secret is there already
        yield f'printf %s "$secret" | {put}'
        yield f"    --secret-string file:///dev/stdin{where}"
        return
    yield f"if aws secretsmanager describe-secret --secret-id={secret}{where} >/dev/null 2>&1; then"
    yield f'    printf %s "$secret" | {put}'
    yield f"        --secret-string file:///dev/stdin{where}"
    yield "else"
    yield f'    printf %s "$secret" | aws secretsmanager create-secret --name={secret} \\'
    yield f"        --secret-string file:///dev/stdin{where}"
    yield "fi"


def _to_file(path: PurePosixPath, name: str) -> Iterator[str]:
    """Beside the script's user, for root alone; it is for another machine's disk."""
    copy = shlex.quote(f"{name}.secret")
    yield "umask 077"
    yield f"printf '%s\\n' \"$secret\" >./{copy}.new"
    yield f"mv -f ./{copy}.new ./{copy}"
    install = f"sudo install -D -m 0600 -o root -g root {name}.secret {shlex.quote(str(path))}"
    yield f"echo {shlex.quote(f'take {name}.secret to the machine of which the image is made, and there:')} >&2"
    yield f"echo {shlex.quote(install)} >&2"


def _version(place: Reference) -> str:
    return _name_and_version(place)[1]


def _parameter(place: Reference) -> str:
    """A parameter's name, which is what can be written; of an ARN only a name that has levels begins with a slash."""
    name = _name_and_version(place)[0]
    return f"/{name}" if place.region and "/" in name else name


def _name_and_version(place: Reference) -> Tuple[str, str]:
    rest = place.reveal()
    name, _, version = (rest.split(":", 5)[5].partition("/")[2] if place.region else rest).partition(":")
    return name, version
