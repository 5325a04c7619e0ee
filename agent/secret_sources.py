"""Fetch the secrets that the settings name, each from where it is kept."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple, Union

from .aws import Session
from .aws_refusals import Wish
from .errors import AnnexError, SecretError
from .iam_policy import Place, need
from .model import Settings
from .secret import Reference, Secret, Secrets
from .system import System

# A token or a password is a line or a few; condor_annex's archive holds some small files.
LIMITS: Mapping[str, int] = {"token": 16 * 1024, "pool_password": 16 * 1024, "bundle": 16 * 1024 * 1024}
_CHUNK = 64 * 1024
_ANYWHERE = Place()


class Obtained(NamedTuple):
    """The secrets that could be had, and why the others could not."""

    secrets: Secrets = Secrets()
    failures: Tuple[SecretError, ...] = ()


def obtain(settings: Settings, system: System, session: Optional[Session] = None, place: Place = _ANYWHERE) -> Obtained:
    """Each secret that ``settings`` names; nothing is raised, so that all failures can be told together.

    ``session`` may be missing where nothing is kept in AWS; ``place`` is only for the messages.
    """
    places = settings.secrets
    if not places:
        return Obtained()
    # Side by side: what one waits for, another would miss of the common deadline.
    with ThreadPoolExecutor(len(places)) as beside:
        tried = {
            field: beside.submit(_tried, reference, LIMITS[field], system, session, place)
            for field, reference in places.items()
        }
        try:
            answers = {field: future.result() for field, future in tried.items()}
        except BaseException:  # Ctrl-C, or the end of a service
            if session:
                session.deadline.give_up()
            raise
    found = {field: answer for field, answer in answers.items() if isinstance(answer, Secret)}
    failures = {str(answer): answer for answer in answers.values() if isinstance(answer, SecretError)}
    return Obtained(Secrets(**found), tuple(failures.values()))


def _tried(
    reference: Reference, limit: int, system: System, session: Optional[Session], place: Place
) -> Union[Secret, SecretError]:
    try:
        if session and reference.is_in_aws:
            value = _aws_value(reference, limit, session, place)
        else:
            value = _value(reference, limit, system)
        return Secret(_checked(f"the secret {reference}", value, limit), str(reference))
    except SecretError as err:
        return err


def _checked(words: str, value: bytes, limit: int) -> bytes:
    if not value.strip():
        raise SecretError(f"{words} is empty; store the token, the password or the archive there")
    if len(value) > limit:
        raise SecretError(
            f"{words} is larger than {limit // 1024} KiB, which is not a token, a password or condor_annex's archive; "
            "look at what is stored there"
        )
    return value


def _value(reference: Reference, limit: int, system: System) -> bytes:
    if reference.scheme == "inline":
        return reference.reveal().encode("utf-8")
    try:
        file = system.read_file(reference.reveal(), limit + 1)
    except AnnexError as err:
        raise SecretError(f"the secret {reference} cannot be read: {err}") from err
    if file is None:
        raise SecretError(f"the secret {reference} is not there; put the file into the image, or correct its path")
    return file.content


def _aws_value(reference: Reference, limit: int, session: Session, place: Place) -> bytes:
    wish = _wish(reference, session, place)
    if reference.scheme == "s3":
        bucket, key = reference.bucket_and_key
        return session.ask(wish, "get_object", lambda answer: _body(answer["Body"], limit), Bucket=bucket, Key=key)
    if reference.scheme == "ssm":
        name = reference.reveal()
        return session.ask(wish, "get_parameter", _parameter_value, Name=name, WithDecryption=True)
    return session.ask(wish, "get_secret_value", _secret_value, SecretId=reference.reveal())


def _wish(reference: Reference, session: Session, place: Place) -> Wish:
    region = reference.region or session.region
    if region is None:
        raise SecretError(
            f"the secret {reference} cannot be fetched: the metadata service names no region; name the secret by its "
            "ARN, or set AWS_REGION"
        )
    needed = need(reference, place._replace(region=region))
    return Wish(f"the secret {reference}", needed.action, needed.resource, region)


def _body(stream: Any, limit: int) -> bytes:
    """One byte more than ``limit`` at most: enough to know that it is too much."""
    parts: List[bytes] = []
    size = 0
    try:
        while size <= limit:
            part = stream.read(min(_CHUNK, limit + 1 - size))
            if not part:
                break
            parts.append(part)
            size += len(part)
    finally:
        stream.close()
    return b"".join(parts)


def _parameter_value(answer: Mapping[str, Any]) -> bytes:
    return str(answer["Parameter"]["Value"]).encode("utf-8", "replace")


def _secret_value(answer: Mapping[str, Any]) -> bytes:
    if "SecretString" in answer:
        return str(answer["SecretString"]).encode("utf-8", "replace")
    return bytes(answer["SecretBinary"])
