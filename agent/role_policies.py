"""What an IAM role may do, as IAM tells the role itself: the documents of its policies."""

from typing import Any, Callable, Iterator, TypeVar

from .aws import Session
from .aws_refusals import Wish
from .errors import SecretError

_T = TypeVar("_T")
_MOST = 100  # IAM gives as many in one answer; a role has ten of its own and twenty attached, at most


def own_policies(role: str, session: Session) -> Iterator[Any]:
    """The documents of the policies that are part of the role, each asked for when it is its turn."""
    words = f"the policies of the role {role}"
    names = _asked(
        session, words, "ListRolePolicies", lambda answer: answer["PolicyNames"], RoleName=role, MaxItems=_MOST
    )
    for name in names:
        words = f"the policy {name} of the role {role}"
        yield _asked(session, words, "GetRolePolicy", _document, RoleName=role, PolicyName=name)


def attached_policies(role: str, session: Session) -> Iterator[Any]:
    """The documents of the policies that are attached to the role."""
    words = f"the policies attached to the role {role}"
    policies = _asked(
        session,
        words,
        "ListAttachedRolePolicies",
        lambda answer: answer["AttachedPolicies"],
        RoleName=role,
        MaxItems=_MOST,
    )
    for arn in (policy["PolicyArn"] for policy in policies):
        words = f"the policy {arn}"
        version = _asked(session, words, "GetPolicy", _version, PolicyArn=arn)
        yield _asked(
            session,
            words,
            "GetPolicyVersion",
            lambda answer: _document(answer["PolicyVersion"]),
            PolicyArn=arn,
            VersionId=version,
        )


def wish(session: Session, words: str, action: str) -> Wish:
    """To be told what is no secret, of any resource."""
    if session.region is None:
        raise SecretError(f"{words} cannot be asked for: the metadata service names no region; set AWS_REGION")
    return Wish(words, action, "*", session.region)


def _asked(session: Session, words: str, operation: str, take: "Callable[[Any], _T]", **parameters: Any) -> _T:
    method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation)[1:]
    return session.ask(wish(session, words, f"iam:{operation}"), method, take, **parameters)


def _version(answer: Any) -> Any:
    return answer["Policy"]["DefaultVersionId"]


def _document(answer: Any) -> Any:
    return answer.get("PolicyDocument") or answer.get("Document")
