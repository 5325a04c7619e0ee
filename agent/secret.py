"""Secrets: where one is kept, and its value, which no message, log or ``repr`` can show by accident."""

from typing import NamedTuple, Optional

SCHEMES = ("file", "s3", "ssm", "secretsmanager", "inline")


class Reference:
    """Where a secret is kept: ``SCHEME:REST``; of ``inline:`` the rest is the secret itself."""

    __slots__ = ("_rest", "scheme")

    def __init__(self, scheme: str, rest: str) -> None:
        self.scheme = scheme
        self._rest = rest

    def __str__(self) -> str:
        return f"{self.scheme}:{'***' if self.scheme == 'inline' else self._rest}"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and (self.scheme, self._rest) == (other.scheme, other._rest)

    def __hash__(self) -> int:
        return hash((self.scheme, self._rest))

    def reveal(self) -> str:
        """What follows the scheme: a path, an S3 address (``//BUCKET/KEY``), a name; of ``inline:`` the secret."""
        return self._rest


class Secret:
    """A secret's value; only ``reveal`` shows it."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: bytes, origin: str) -> None:
        self._value = value
        self.origin = origin  # a Reference in words

    def __repr__(self) -> str:
        return f"<a secret from {self.origin}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def reveal(self) -> bytes:
        """The value, for a file that is root's alone or another program's standard input: nothing else."""
        return self._value


class Secrets(NamedTuple):
    """What was fetched for this machine; None: not asked for, or (in a preview) not to be had."""

    token: Optional[Secret] = None  # an IDTOKEN, verbatim
    pool_password: Optional[Secret] = None
    bundle: Optional[Secret] = None  # condor_annex's config-NAME.tar.gz, still packed


def reference(text: str) -> Reference:
    """``file:PATH``, ``s3://BUCKET/KEY``, ``ssm:NAME``, ``secretsmanager:NAME`` or ``inline:VALUE``."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in SCHEMES:
        # The text itself may be the secret: it is not repeated.
        raise ValueError(f"does not say where the secret is kept: write {', '.join(f'{name}:...' for name in SCHEMES)}")
    if not rest.strip("/"):
        raise ValueError(f"{scheme}: names nothing")
    return Reference(scheme, rest)
