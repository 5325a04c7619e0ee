"""The secrets of trust as HTCondor takes them: what a token and a pool password have to look like.

A token is a JSON Web Token (RFC 7519) that names the key it is signed with; a file may hold several, a line each.  A
password has at most 255 bytes (HTCondor's ``MAX_PASSWORD_LENGTH``).  No message shows any part of either, but for a
token's trust domain and the day of its expiry.
"""

import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .errors import SecretError
from .grammar import quoted
from .secret import Secret, Secrets

FILE_NAME = "annex-agent"  # of each secret, in the directory that HTCondor has for its kind
_LONGEST_PASSWORD = 255


class Token(NamedTuple):
    """Of a token: when it expires (seconds since the epoch; None: never), and who issued it."""

    expires: Optional[float]
    issuer: str


class Judged(NamedTuple):
    """The secrets that HTCondor can use, and what is wrong with the others."""

    secrets: Secrets
    failures: Tuple[SecretError, ...]


def judged(secrets: Secrets) -> Judged:
    """Nothing is raised, so that all failures can be told together."""
    fit, failures = secrets, []
    for field, flaw in (("token", _token_flaw), ("pool_password", _password_flaw)):
        secret: Optional[Secret] = getattr(secrets, field)
        wrong = flaw(secret) if secret else None
        if secret and wrong:
            fit = fit._replace(**{field: None})
            failures.append(SecretError(f"the secret {secret.origin} {wrong}"))
    return Judged(fit, tuple(failures))


def token_file(secret: Secret) -> bytes:
    """What HTCondor's file of this token holds."""
    return secret.reveal().strip() + b"\n"


def password_text(secret: Secret) -> str:
    """The password without the line feed that an editor, or echo, has left behind it."""
    return secret.reveal().decode("utf-8").rstrip("\r\n")


def doubts(secrets: Secrets, trust_domain: Optional[str], now: float) -> Iterator[str]:
    """What a pool may refuse, though HTCondor can use it: a clock may be wrong, a domain may have two names."""
    if secrets.token is None:
        return
    for token in filter(None, tokens_in(secrets.token.reveal())):
        if token.expires is not None and token.expires <= now:
            yield (
                f"the token {secrets.token.origin} has expired ({_day(token.expires)}), so the pool will refuse it "
                "unless this machine's clock is wrong: have a new one made"
            )
        if trust_domain and token.issuer != trust_domain:
            yield (
                f"the token {secrets.token.origin} is of the trust domain {quoted(token.issuer)}, and "
                f"security.trust_domain is {trust_domain}: one of the two is another pool's"
            )


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds)) if seconds > 0 else "before 1970"


def tokens_in(content: bytes) -> Tuple[Optional[Token], ...]:
    """A line a token, None for one that is none; empty lines and comments are passed over."""
    lines = [line.strip() for line in content.decode("ascii", "replace").splitlines()]
    return tuple(_token(line) for line in lines if line and not line.startswith("#"))


def _token(line: str) -> Optional[Token]:
    """The claims are not verified: only the pool can."""
    parts = line.split(".")
    try:
        header, claims = (_decoded(part) for part in parts[:2])
        if len(parts) != 3 or not parts[2] or not header["alg"] or not header["kid"]:
            return None
        expires = claims.get("exp")
        return Token(None if expires is None else float(expires), str(claims.get("iss", "")))
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        return None


def _decoded(part: str) -> Dict[str, Any]:
    import base64  # noqa: PLC0415 - a boot without a token needs neither
    import json  # noqa: PLC0415

    found: Dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _token_flaw(secret: Secret) -> Optional[str]:
    content = secret.reveal()
    found = tokens_in(content)
    if found and all(found):
        return None
    if content.lstrip().startswith(b"{"):
        return "is no token but JSON: store the token alone, as plain text"
    what = "is empty" if not content.strip() else "is no token" if not any(found) else "holds lines that are no token"
    return (
        f"{what}: a token is one line, three parts with full stops between them, as condor_token_create prints it; "
        "look at what is stored there"
    )


def _password_flaw(secret: Secret) -> Optional[str]:
    try:
        text = password_text(secret)
    except UnicodeDecodeError:
        return "is no pool password: it is not text (UTF-8)"
    flaws: List[Tuple[bool, str]] = [
        (not text, "is empty: store the pool password there"),
        ("\n" in text, "is no pool password: it has more than one line"),
        (any(not c.isprintable() for c in text), "is no pool password: it holds characters that cannot be typed"),
        (
            len(text.encode("utf-8")) > _LONGEST_PASSWORD,
            f"is longer than the {_LONGEST_PASSWORD} bytes that HTCondor lets a pool password have",
        ),
    ]
    return next((words for is_so, words in flaws if is_so), None)
