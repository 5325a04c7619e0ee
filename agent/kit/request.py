"""What is asked for: the settings in force, and what they cannot hold, from the command line."""

import ipaddress
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import grammar
from ..errors import AnnexError, ConfigError, UsageError
from ..model import Settings
from ..settings import Merged

# On the site's own machines; it is read after their other files, whose lists it extends.
FILE = "/etc/condor/config.d/70-annex-workers.config"
PORT = 9618  # of the collector, and of every host whose daemons share one
_DAY_S = 86400
_LONGEST_S = 3650 * _DAY_S


class Site(NamedTuple):
    """The options of ``kit``, read: each is None or empty where it is not given and has no default."""

    region: Optional[str] = None
    account: Optional[str] = None
    vpc: Optional[str] = None
    ami: Optional[str] = None
    instance_type: Optional[str] = None
    security_group: Tuple[str, ...] = ()
    instance_profile: Optional[str] = None
    site_cidr: Tuple[str, ...] = ()  # where the central manager and the access points are
    admin_cidr: Tuple[str, ...] = ()  # who may come in by SSH
    worker_cidr: Tuple[str, ...] = ()  # where the central manager sees the workers come from
    name: str = "annex-agent-worker"
    lifetime: int = 90 * _DAY_S  # of the token, in seconds
    ccb: bool = False  # the workers are reached through the collector alone, by its broker of connections (CCB)
    own_keys: bool = False  # secrets are encrypted with KMS keys of the site's own
    spot: bool = False
    mime: bool = False


class Request(NamedTuple):
    """Everything that a part depends on; ``given`` are the fields of Settings that some source sets."""

    settings: Settings
    given: Tuple[str, ...] = ()
    site: Site = Site()

    @property
    def central_manager(self) -> str:
        """Its host name for a text; in words where the settings leave the name to HTCondor's macros."""
        hosts = dict.fromkeys(grammar.collector_host(manager) for manager in self.settings.central_manager)
        return " and ".join(hosts) or "the central manager"


def request(merged: Merged, site: Site) -> Request:
    """The merged settings beside what the command line says."""
    return Request(merged.settings, tuple(merged.origins), site)


def missing(site: Site, *needs: str) -> Iterator[AnnexError]:
    """Each option (a field of Site) that is needed and was not given."""
    for field in needs:
        if not getattr(site, field):
            yield UsageError(f"--{field.replace('_', '-')} is needed: {_MEANINGS[field]}")


def no_trust_domain(settings: Settings) -> Iterator[AnnexError]:
    """Tokens name the domain that they are for."""
    if not settings.trust_domain:
        yield ConfigError(
            [
                "security.trust_domain is needed for tokens: what condor_config_val TRUST_DOMAIN says on the central "
                "manager, or for a new pool a name such as example.org"
            ]
        )


# What an option is, for whoever has left it out.
_MEANINGS: Mapping[str, str] = {
    "region": "the region of the workers and their secrets, such as us-east-1",
    "account": "the number of the AWS account, 12 digits (aws sts get-caller-identity)",
    "ami": "the image that was made with annex-agent in it, ami-...",
    "instance_type": "what to launch, such as m5.large",
    "security_group": "the workers' security group, sg-... (annex-agent kit security-group makes it)",
    "instance_profile": "the workers fetch a secret from AWS, or signal to it, and need a role for it; its instance "
    "profile's name",
    "site_cidr": "the network, or each of them, where the central manager and the access points are (where the workers "
    "are reached through the collector alone, say --ccb instead)",
    "worker_cidr": "the network, or each of them, where the central manager sees the workers come from",
}


def read_site(options: Mapping[str, Any]) -> "Tuple[Site, List[UsageError]]":
    """The options by their field's name, None where not given; what is wrong with them, all of it."""
    fields: Dict[str, Any] = {}
    problems = []
    for field, parse in _PARSERS.items():
        value = options.get(field)
        if value is None:
            continue
        try:
            fields[field] = parse(value)
        except ValueError as err:
            problems.append(UsageError(f"--{field.replace('_', '-')}: {err}"))
    return Site(**fields), problems


def _matching(pattern: str, what: str) -> Callable[[str], str]:
    compiled = re.compile(rf"(?:{pattern})\Z")

    def parse(text: str) -> str:
        if not compiled.match(text):
            raise ValueError(f"{grammar.quoted(text)} is not {what}")
        return text

    return parse


def _each(parse: Callable[[str], str]) -> Callable[[Sequence[str]], Tuple[str, ...]]:
    return lambda texts: tuple(dict.fromkeys(map(parse, texts)))


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as err:
        raise ValueError(f"{grammar.quoted(text)} is not a network such as 192.0.2.0/24 ({err})") from None


def _lifetime(text: str) -> int:
    seconds = grammar.duration_s(text)
    if seconds > _LONGEST_S:
        raise ValueError(f"{grammar.quoted(text)} is longer than ten years: let the token end before, and make another")
    return seconds


_IDENTIFIER = "(?:[0-9a-f]{8}|[0-9a-f]{17})"
_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "region": _matching(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}", "a region such as us-east-1"),
    "account": _matching(r"[0-9]{12}", "the number of an AWS account, 12 digits"),
    "vpc": _matching(f"vpc-{_IDENTIFIER}", "a VPC's id, vpc-..."),
    "ami": _matching(f"ami-{_IDENTIFIER}", "an image's id, ami-..."),
    "instance_type": _matching(r"[a-z0-9-]+\.[a-z0-9-]+", "an instance type such as m5.large"),
    "security_group": _each(_matching(f"sg-{_IDENTIFIER}", "a security group's id, sg-...")),
    # IAM API reference, CreateInstanceProfile; EC2 takes the name or the ARN.
    "instance_profile": _matching(
        r"[A-Za-z0-9_+=,.@-]{1,128}|arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/[\x21-\x7e]{1,600}",
        "an instance profile's name or ARN",
    ),
    "site_cidr": _each(_network),
    "admin_cidr": _each(_network),
    "worker_cidr": _each(_network),
    # What both a security group and a launch template may be called.
    "name": _matching(r"(?!sg-)[A-Za-z0-9][A-Za-z0-9._-]{2,99}", "a name of 3 to 100 letters, digits, '.', '_', '-'"),
    "lifetime": _lifetime,
    "ccb": bool,
    "own_keys": bool,
    "spot": bool,
    "mime": bool,
}
