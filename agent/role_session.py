"""AWS, asked as the role of the instance, with the credentials that the metadata service hands out."""

from typing import Mapping, Optional

from .aws import Deadline, Session
from .aws_refusals import Wish
from .errors import MetadataError
from .imds import Imds, NotYet, read_credentials, read_role
from .model import Instance, Settings
from .secret import Credentials


def role_session(
    instance: Instance, imds: Imds, settings: Settings, deadline: Deadline, environ: Mapping[str, str]
) -> Session:
    """Asks AWS as this instance's role; neither the metadata service nor AWS is asked before something is wanted."""
    return Session(
        lambda wish: role_credentials(wish, instance.iam_role, imds, deadline),
        instance.region,
        settings.aws_proxy,
        deadline,
        environ,
    )


def await_role(instance: Instance, imds: Imds, deadline: Deadline) -> Instance:
    """The instance with its role, which the metadata service may know only some seconds after the launch."""
    deadline.begin()
    if instance.iam_role is None and deadline.pauses(0, deadline.propagation_s):
        return instance._replace(iam_role=_role(imds, deadline))
    return instance


def present_session(
    region: Optional[str], imds: Imds, settings: Settings, deadline: Deadline, environ: Mapping[str, str]
) -> Session:
    """The same long after the boot: as the role that the instance has by now, whichever it had then."""
    return Session(
        lambda wish: role_credentials(wish, _present_role(wish, imds, deadline), imds, deadline),
        region,
        settings.aws_proxy,
        deadline,
        environ,
    )


def role_credentials(wish: Wish, role: Optional[str], imds: Imds, deadline: Deadline) -> Credentials:
    """The role's temporary keys, waited for; raises the wish's error."""
    if role is None:
        raise wish.denied(
            f"{wish.words} {wish.undone}: this instance has no role; launch it with an instance profile whose role "
            f"may {wish.action} on {wish.resource} (annex-agent check prints the policy)"
        )
    # Somebody who waits for the answer is told at once that they are not there.
    until_s = deadline.seconds if deadline.propagation_s else 0.0
    attempt = 0
    while True:
        imds.go_on(max(1.0, deadline.remaining_s))
        try:
            return read_credentials(imds, role)
        except MetadataError as err:
            raise wish.error(f"{wish.words} {wish.undone}: {err}") from err
        except NotYet as err:
            if not deadline.pauses(attempt, until_s):
                raise wish.error(_without_credentials(wish, role, str(err))) from None
        attempt += 1


def _role(imds: Imds, deadline: Deadline) -> Optional[str]:
    attempt = 0
    while True:
        imds.go_on(max(1.0, deadline.remaining_s))
        role = read_role(imds)
        attempt += 1
        if role is not None or not deadline.pauses(attempt, deadline.propagation_s):
            return role


def _present_role(wish: Wish, imds: Imds, deadline: Deadline) -> Optional[str]:
    try:
        return _role(imds, deadline)
    except MetadataError as err:
        raise wish.error(f"{wish.words} {wish.undone}: {err}") from err


def _without_credentials(wish: Wish, role: str, why: str) -> str:
    return (
        f"{wish.words} {wish.undone}: the metadata service has no credentials of the role {role} ({why}); just "
        "after a launch they may come in a moment, otherwise see that the role exists and that its trust policy lets "
        "ec2.amazonaws.com assume it"
    )
