"""Why AWS gave no answer, or not the one that was wanted: each reason a sentence with its remedy.

Nothing of AWS's own words is repeated: for a signature that does not match they hold the session token.
Error codes: the API references' "Common errors", those of GetSecretValue, GetParameter and GetObject, and of
SignalResource, CompleteLifecycleAction and RecordLifecycleActionHeartbeat.
"""

import re
from typing import Callable, NamedTuple, Tuple, Type

from .errors import AnnexError, SecretDenied, SecretError, SignalDenied, SignalError

_THROTTLED = {
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
    *(
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
    ),
}
_PASSING = {
    *("RequestTimeout", "RequestTimeoutException", "InternalFailure", "InternalError", "ServiceUnavailable"),
    *("ResourceContention", "ResourceContentionFault"),
}
_REFUSED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AllAccessDisabled",
    "KMSAccessDeniedException",
    "403",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN = {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken", "AuthFailure"}
_SKEWED = {"RequestTimeTooSkewed", "SignatureDoesNotMatch", "InvalidSignatureException", "RequestInTheFuture"}
_MISSING = {"ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound", "NoSuchKey", "404"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_KEY = {"DecryptionFailure", "InvalidKeyId"}
NEVER_SENT = -1  # in place of a status
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Wish(NamedTuple):
    """What is asked of AWS: in words ("the secret ssm:/annex/password"), and as a policy names it."""

    words: str
    action: str
    resource: str
    region: str
    undone: str = "cannot be fetched"  # what is said of it where it fails
    error: Type[AnnexError] = SecretError  # as what it fails

    def denied(self, words: str, own_key: bool = False) -> AnnexError:
        """The error for what the role may not; ``own_key``: because of the KMS key that it is encrypted with."""
        return SignalDenied(words) if self.error is SignalError else SecretDenied(words, own_key)


class Trouble(NamedTuple):
    """What came instead of an answer."""

    code: str  # AWS's own; of what never reached AWS, the name of botocore's exception
    status: int  # of HTTP; 0 where nothing was answered, NEVER_SENT where nothing was asked
    message: str = ""  # only looked at
    host: str = ""
    is_of_s3: bool = False

    def __str__(self) -> str:
        return (
            f"{self.host} answered {self.answer}" if self.status > 0 else f"{self.host} did not answer ({self.answer})"
        )

    @property
    def answer(self) -> str:
        """The code, if it is one."""
        return self.code if _CODE.fullmatch(self.code) else "what is no error of AWS's"

    @property
    def is_passing(self) -> bool:
        """Worth another try: no answer, throttled, or AWS's own fault."""
        unanswered = not self.status and self.code != "SSLError"
        return unanswered or self.is_throttled or self.status >= 500 or self.code in _PASSING

    @property
    def is_throttled(self) -> bool:
        """Too many ask at once."""
        return self.status == 429 or self.code in _THROTTLED

    @property
    def may_pass(self) -> bool:
        """A role, its policies and its credentials are known in every corner of AWS only seconds after they are made
        (IAM user guide, "Changes that I make are not always immediately visible")."""
        return self.is_expired or self.code in _REFUSED | _UNKNOWN

    @property
    def is_expired(self) -> bool:
        """The credentials are to be read anew."""
        return self.code in _EXPIRED


def refusal(wish: Wish, trouble: Trouble, role: str, waited_s: float) -> AnnexError:
    """The error for what was not got, after trying for so many seconds."""
    sentence = next(sentence for applies, sentence in _SENTENCES if applies(trouble))
    words = sentence.format(
        **wish._asdict(),
        host=trouble.host,
        answer=trouble.answer,
        status=trouble.status,
        role=role,
        waited=f"{waited_s:.0f} s",
        service=wish.action.partition(":")[0],
        why="a policy denies it" if "explicit deny" in trouble.message else "no policy of its allows it",
    )
    if sentence in (_LOCKED, _DENIED, _DENIED_BY_S3):
        return wish.denied(words, own_key=sentence is _LOCKED)
    return wish.error(words)


def _is_locked(trouble: Trouble) -> bool:
    words = trouble.message.lower()
    return trouble.code in _REFUSED and ("kms" in words or "ciphertext" in words)


_DENIED = (
    "{words} is refused to the role {role}: it may not {action} on {resource} ({why}); annex-agent check prints the "
    "least policy that lets it"
)
_DENIED_BY_S3 = (
    "{words} is refused to the role {role}: it may not {action} on {resource}, or there is no such object (S3 does not "
    "say which); annex-agent check prints the least policy that lets it"
)
_LOCKED = (
    "{words} is refused to the role {role}: it may not kms:Decrypt with the KMS key that encrypts {resource}; "
    "annex-agent check prints the least policy that lets it, and the key's own policy must let IAM policies decide"
)
# The first that applies is it.
_SENTENCES: Tuple[Tuple[Callable[[Trouble], bool], str], ...] = (
    (
        lambda it: it.code == "SSLError",
        "{words} {undone}: {host} shows a certificate that this machine does not trust; check its clock, its "
        "CA certificates, and what stands in between (AWS_CA_BUNDLE names a site's own)",
    ),
    (
        lambda it: it.status == NEVER_SENT,
        "{words} cannot be asked for in {region} ({answer}); correct its name or its region",
    ),
    (
        lambda it: it.code == "ProxyConnectionError",
        "{words} {undone}: the proxy on the way to {host} cannot be used; check aws.proxy",
    ),
    (
        lambda it: not it.status,
        "{words} {undone}: {host} gave no answer within {waited} ({answer}); let TCP 443 out (security group, "
        "route, NAT gateway), or make a VPC endpoint for {service}, or name a proxy in aws.proxy",
    ),
    (
        lambda it: it.is_throttled,
        "{words} {undone}: {host} answered {answer} for {waited}; start fewer instances at once, or give it "
        "longer in aws.timeout",
    ),
    (
        lambda it: it.is_passing,
        "{words} {undone}: {host} answered {status} for {waited}, which is the service's own trouble; see "
        "AWS's health dashboard, and run annex-agent again",
    ),
    (_is_locked, _LOCKED),
    (
        lambda it: it.code in _KEY or it.code.startswith("KMS"),
        "{words} cannot be decrypted: its KMS key is disabled, deleted, or not the role {role}'s to use ({answer}); "
        "look at the key's state and policy",
    ),
    (lambda it: it.code in _REFUSED and it.is_of_s3, _DENIED_BY_S3),
    (lambda it: it.code in _REFUSED, _DENIED),
    (
        lambda it: it.is_expired,
        "{words} {undone}: the credentials of the role {role} have expired; check this machine's clock "
        "(annex-agent check), and after a hibernation wait some minutes",
    ),
    (
        lambda it: it.code in _UNKNOWN,
        "{words} {undone}: {host} does not know the credentials of the role {role} ({answer}); check that the "
        "role still exists, and what answers at the metadata service's address",
    ),
    (
        lambda it: it.code in _SKEWED,
        "{words} {undone}: {host} does not take a request with this machine's time ({answer}); check the "
        "clock (annex-agent check, timedatectl): EC2's own time server is 169.254.169.123",
    ),
    (
        lambda it: it.code == "InvalidRequestException" and "delet" in it.message,
        "{words} is scheduled for deletion; name another one, or take it back with aws secretsmanager restore-secret",
    ),
    (
        lambda it: it.code == "ResourceNotFoundException" and "staging label" in it.message,
        "{words} has no value yet; store one with aws secretsmanager put-secret-value",
    ),
    (
        lambda it: it.code == "NoSuchBucket",
        "{words} does not exist, nor does its bucket; correct the bucket's name",
    ),
    (
        lambda it: it.code in _MISSING and it.is_of_s3,
        "{words} does not exist; put the object there, or correct its key",
    ),
    (
        lambda it: it.code in _MISSING,
        "{words} does not exist in {region}; make it, or correct its name (an ARN names another region or account)",
    ),
    (
        lambda it: it.code in _ELSEWHERE,
        "{words} is not in {region}, where it was asked for, and S3 does not lead from there to where it is "
        "({answer}); put it into a bucket of {region}",
    ),
    (
        lambda _: True,
        "{words} was not given: {host} answered {answer}; look for it at {action} in AWS's API reference",
    ),
)
