"""An instance that condor_annex launched, and told nothing: which annex it is of, and where that annex's archive is.

The contract is HTCondor's, "Cloud Annex Customization Guide": the launch's client token is NAME_GUID (that of the spot
fleet, where there is one, whose request a tag names), the instance's role may read ``config-*.tar.gz`` in one bucket,
and there ``config-NAME.tar.gz`` is for this annex.
"""

import fnmatch
import re
from typing import Any, Iterator, List, Mapping, NamedTuple, NoReturn, Optional, Set

from . import grammar
from .aws import Session
from .errors import ConfigError, SecretError
from .model import Instance
from .role_policies import attached_policies, own_policies, wish
from .secret import Reference, reference
from .settings import NO_POOL, Merged, lacks_pool

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_OBJECTS = re.compile(r"arn:aws[a-z-]*:s3:::(?P<place>[^*?/]+/(?:[^*?]*/)?)config-\*\.tar\.gz\Z")
_FLEET_TAG = "aws:ec2spot:fleet-request-id"
_READ = "s3:getobject"
_ORIGIN = "condor_annex"
_BY_HAND = "annex.bundle: s3://BUCKET/config-NAME.tar.gz, in config.yaml or user-data, does without"


class Launch(NamedTuple):
    """The annex's name, and where its archive is kept."""

    annex: str
    bundle: Reference


class _Described(NamedTuple):
    """An instance as EC2 knows it."""

    token: Optional[str] = None  # None: EC2 does not know the instance, yet
    fleet: Optional[str] = None


def completed(merged: Merged, instance: Instance, session: Session) -> Merged:
    """The settings, with condor_annex's archive where they name no pool; ``ConfigError`` if there is none either.

    AWS is asked only where nothing names a pool.  ``SecretError``: this is an annex's instance, but where the archive
    is could not be found out.
    """
    if not lacks_pool(merged.settings):
        return merged
    if instance.iam_role is None:
        raise ConfigError([NO_POOL])
    launch = _found(instance, instance.iam_role, session)
    annex = merged.settings.annex or launch.annex
    settings = merged.settings._replace(annex=annex, bundle=launch.bundle)
    return Merged(settings, {"annex": _ORIGIN, **merged.origins, "bundle": _ORIGIN})


def annex_of(client_token: str) -> Optional[str]:
    """The annex's name in the client token of its launch; None for a token that is not condor_annex's."""
    name, underscore, guid = client_token.rpartition("_")
    if not underscore or not _GUID.match(guid):
        return None
    try:
        return grammar.annex_name(name)
    except ValueError:
        return None


def places_in(document: Any) -> Iterator[str]:
    """``BUCKET/``, or ``BUCKET/PREFIX/``, where a policy lets ``config-*.tar.gz`` be read."""
    for statement in _listed(document.get("Statement") if isinstance(document, dict) else None):
        if not isinstance(statement, dict) or statement.get("Effect") != "Allow":
            continue
        actions = [str(action).lower() for action in _listed(statement.get("Action"))]
        if any(fnmatch.fnmatchcase(_READ, action) for action in actions):
            matches = (_OBJECTS.match(str(resource)) for resource in _listed(statement.get("Resource")))
            yield from (match["place"] for match in matches if match)


def _listed(value: Any) -> List[Any]:
    """IAM takes one for a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _found(instance: Instance, role: str, session: Session) -> Launch:
    try:
        annex = _annex(instance, session)
    except SecretError as err:
        raise ConfigError([f"{NO_POOL}; whether condor_annex launched it cannot be told: {_words(err)}"]) from err
    if annex is None:
        raise ConfigError([f"{NO_POOL}; nor did condor_annex launch it (its client token is not NAME_GUID)"])
    try:
        places = sorted(_places(role, session))
    except SecretError as err:
        _lost(annex, _words(err))
    if len(places) != 1:
        where = f"in {' and in '.join(places)}" if places else "in no bucket"
        _lost(annex, f"by its policies the role {role} may read config-*.tar.gz {where}")
    try:
        return Launch(annex, reference(f"s3://{places[0]}config-{annex}.tar.gz"))
    except ValueError as err:
        _lost(annex, str(err))


def _lost(annex: str, why: str) -> NoReturn:
    raise SecretError(f"condor_annex's archive of the annex {annex} cannot be found ({why}); {_BY_HAND}")


def _words(err: SecretError) -> str:
    """What is wrong, without a remedy that is another's."""
    return str(err).partition("; ")[0]


def _annex(instance: Instance, session: Session) -> Optional[str]:
    described = _described(instance, session)
    annex = annex_of(described.token or "")
    if annex or not described.fleet:
        return annex
    wanted = wish(session, "the client token of its spot fleet", "ec2:DescribeSpotFleetRequests")
    token = session.ask(wanted, "describe_spot_fleet_requests", _fleets_token, SpotFleetRequestIds=[described.fleet])
    return annex_of(token)


def _described(instance: Instance, session: Session) -> _Described:
    """As soon as EC2 knows the instance; a spot fleet's has its tag, which may be later."""
    wanted = wish(session, "the client token of its launch", "ec2:DescribeInstances")
    filters = [{"Name": "instance-id", "Values": [instance.instance_id]}]
    until_s = session.deadline.seconds if session.deadline.propagation_s else 0.0
    attempt = 0
    while True:
        found = session.ask(wanted, "describe_instances", _description, Filters=filters)
        is_whole = found.fleet or (found.token is not None and (annex_of(found.token) or not instance.is_spot))
        if is_whole or not session.deadline.pauses(attempt, until_s):
            return found
        attempt += 1


def _description(answer: Mapping[str, Any]) -> _Described:
    for reservation in answer.get("Reservations", ()):
        for instance in reservation.get("Instances", ()):
            tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
            return _Described(str(instance.get("ClientToken", "")), tags.get(_FLEET_TAG))
    return _Described()


def _fleets_token(answer: Mapping[str, Any]) -> str:
    fleets = answer["SpotFleetRequestConfigs"]
    return str(fleets[0]["SpotFleetRequestConfig"].get("ClientToken", "")) if fleets else ""


def _places(role: str, session: Session) -> Set[str]:
    """In the policies of the role's own, where condor_annex's setup puts it; else in those that are attached to it."""
    for documents in (own_policies(role, session), attached_policies(role, session)):
        places = {place for document in documents for place in places_in(document)}
        if places:
            return places
    return set()
