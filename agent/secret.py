"""Secrets: where one is kept, and its value, which no message, log or ``repr`` can show by accident."""

import re
from typing import Mapping, NamedTuple, Optional, Pattern

SCHEMES = ("file", "s3", "ssm", "secretsmanager", "inline")
AWS_SCHEMES = ("s3", "ssm", "secretsmanager")

_ARN = r"arn:aws[a-z-]*:{service}:(?P<region>[a-z0-9-]+):\d{{12}}:{kind}"
_NAME = r"[A-Za-z0-9/_+=.@-]{1,512}"
_PARAMETER = r"[A-Za-z0-9_./-]{1,1011}(?::[A-Za-z0-9_.-]{1,100})?"  # with a version or a label
# What may follow each scheme, and how that is said.  Sources: S3 user guide, "Bucket naming rules"; API references of
# Secrets Manager (GetSecretValue, CreateSecret) and Systems Manager (GetParameter).
_PLACES: Mapping[str, Pattern[str]] = {
    "file": re.compile(r"/[^\x00-\x1f\x7f]+"),
    "s3": re.compile(r"//(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>[^\x00-\x1f\x7f]{1,1024})"),
    "ssm": re.compile(rf"(?:{_ARN.format(service='ssm', kind='parameter/')})?{_PARAMETER}"),
    "secretsmanager": re.compile(rf"(?:{_ARN.format(service='secretsmanager', kind='secret:')})?{_NAME}"),
    "inline": re.compile(r".+", re.DOTALL),
}
_FORMS = {
    "file": "the whole path of a file, file:/PATH",
    "s3": "a bucket and a key, s3://BUCKET/KEY",
    "ssm": "the name or the ARN of a parameter, ssm:NAME",
    "secretsmanager": "the name or the ARN of a secret, secretsmanager:NAME",
    "inline": "the secret itself",
}


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

    @property
    def is_in_aws(self) -> bool:
        """Whether an API of AWS has to be asked for it."""
        return self.scheme in AWS_SCHEMES

    @property
    def region(self) -> Optional[str]:
        """The region that an ARN names."""
        match = _PLACES[self.scheme].fullmatch(self._rest)
        return match.groupdict().get("region") if match else None

    @property
    def bucket_and_key(self) -> "tuple[str, str]":
        """Of ``s3:``."""
        bucket, _, key = self._rest[2:].partition("/")
        return bucket, key

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


class Credentials:
    """An IAM role's temporary keys; never shown."""

    __slots__ = ("access_key_id", "are_made_up", "role", "secret_access_key", "token")

    def __init__(self, role: str, keys: "tuple[str, str, str]", are_made_up: bool = False) -> None:
        self.role = role
        self.access_key_id, self.secret_access_key, self.token = keys
        self.are_made_up = are_made_up  # by the embedded metadata service: AWS knows nothing of them

    def __repr__(self) -> str:
        return f"<credentials of the role {self.role}>"


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
    if not _PLACES[scheme].fullmatch(rest):
        raise ValueError(f"after {scheme}: must stand {_FORMS[scheme]}")
    return Reference(scheme, rest)
