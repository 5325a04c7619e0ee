"""The schema of the settings: a row a key.

The parsers, the JSON Schema, the comments of packaging/config.yaml and the table in docs/settings.md are all made from
these rows.
"""

from typing import Any, Dict, Mapping, NamedTuple, Tuple

from . import values
from .model import Settings
from .network_values import CENTRAL_MANAGER, DOMAIN, HOST_NAME, NETWORK_NAME, PORTS, PROXY
from .values import DURATION, KNOBS, NAME, SECRET, TRUTH, Kind

WRAPPER = "annex_agent"  # above the settings, where they share a document with what others read


class Key(NamedTuple):
    """A setting: its dotted path, the field of ``Settings`` that it sets, its values, and what it does."""

    path: str
    field: str
    kind: Kind
    does: str  # a phrase, in Markdown
    more: str = ""  # what is only said where there is room for it
    see: str = ""  # a link, from docs/settings.md
    example: Any = None  # for a setting without a default
    unset: str = "none"  # what such a setting is, when it is not given

    @property
    def default(self) -> Any:
        """The default as a document would have it; None where there is none."""
        value = self.written(Settings())
        return None if value == [] else value

    def written(self, settings: Settings) -> Any:
        """The value in force as a document would have it; a secret that stands in the open is masked."""
        return self.kind.write(getattr(settings, self.field))

    def in_words(self, settings: Settings) -> str:
        """The value in force, on one line; empty where there is none."""
        value = self.written(settings)
        if isinstance(value, bool):
            return str(value).lower()
        return ", ".join(value) if isinstance(value, list) else str(value or "")


KEYS: Tuple[Key, ...] = (
    Key(
        "central_manager",
        "central_manager",
        CENTRAL_MANAGER,
        "the pool's central manager (`COLLECTOR_HOST`, `CONDOR_HOST`)",
        example="cm.example.org",
        unset="none: required somewhere",
    ),
    Key(
        "annex.name",
        "annex",
        NAME,
        "a name for the annex, advertised as `AnnexName`",
        "for short: `annex: NAME`",
        example="spring-campaign",
    ),
    Key(
        "annex.bundle",
        "bundle",
        SECRET,
        "configuration and secrets as condor_annex packs them (`config-NAME.tar.gz`)",
        example="s3://my-bucket/config-spring.tar.gz",
    ),
    Key(
        "security.method",
        "security_method",
        values.choice(image="as its builder left it", idtokens="", password="", host="by address: unsafe"),
        "how pool and worker trust each other",
        example="idtokens",
        unset="what the given secret is for, else `image`",
    ),
    Key(
        "security.token",
        "token",
        SECRET,
        "the worker's IDTOKEN",
        example="secretsmanager:annex/token",
    ),
    Key(
        "security.pool_password",
        "pool_password",
        SECRET,
        "the pool password",
        example="ssm:/annex/password",
    ),
    Key(
        "security.trust_domain",
        "trust_domain",
        DOMAIN,
        "the pool's `TRUST_DOMAIN`",
        example="example.org",
    ),
    Key(
        "hostname",
        "hostname",
        HOST_NAME,
        "the machine's host name, and so the slot's `Machine`",
        "kept over a reboot and from cloud-init",
    ),
    Key(
        "network.advertise",
        "advertise",
        values.choice(
            auto="public if there is one, else CCB through the collector",
            public="",
            private="no CCB: only daemons that reach the private address can run jobs here",
        ),
        "the address that daemons outside are told",
        see="[networking.md](networking.md)",
    ),
    Key(
        "network.private_network_name",
        "private_network_name",
        NETWORK_NAME,
        "daemons that give the same name use private addresses (`PRIVATE_NETWORK_NAME`)",
        see="[below](#which-private-network-name)",
    ),
    Key(
        "network.ports",
        "ports",
        PORTS,
        "the ports that daemons outside come in by",
        see="[networking.md](networking.md#ports)",
    ),
    Key(
        "aws.proxy",
        "aws_proxy",
        PROXY,
        "a proxy for AWS's APIs, never for the metadata service",
        example="http://proxy.example.org:3128",
    ),
    Key(
        "aws.timeout",
        "aws_timeout_s",
        DURATION,
        "how long fetching the secrets may take, retries included",
    ),
    Key(
        "metadata.v1",
        "metadata_v1",
        values.choice(fallback="", never=""),
        "whether a metadata service that does not know IMDSv2's token request (404 or 405) may be read without a token",
    ),
    Key(
        "metadata.restrict_to_root",
        "restrict_to_root",
        TRUTH,
        "whether the metadata service, which gives out the instance role's credentials, is fenced off from everybody "
        "but root",
        see="[below](#the-fence-around-the-metadata-service)",
    ),
    Key(
        "stop.mode",
        "stop_mode",
        values.choice(graceful="jobs get their vacate time", peaceful="jobs finish", fast="jobs are killed"),
        "how a stop begins",
    ),
    Key(
        "stop.timeout",
        "stop_timeout_s",
        DURATION,
        "how long that may take before the next harder way",
    ),
)
CONDOR = Key(
    "condor",
    "condor",
    KNOBS,
    "the last word over what annex-agent writes",
    "user-data's `KEY = VALUE` lines replace the same knob",
    example={"START": 'TARGET.Owner == "alice"'},
)
ROWS = (*KEYS, CONDOR)
SHORT_FORMS = {"annex": "annex.name"}  # a section with a value of its own: annex: NAME
BY_PATH: Mapping[str, Key] = {key.path: key for key in KEYS}
BY_PATH = {**BY_PATH, **{short: BY_PATH[path] for short, path in SHORT_FORMS.items()}}


def _sections() -> Mapping[str, Tuple[str, ...]]:
    found: Dict[str, Tuple[str, ...]] = {"": (), CONDOR.path: ()}
    for row in ROWS:
        section, dot, name = row.path.partition(".")
        if section not in found[""]:
            found[""] = (*found[""], section)
        if dot:
            found[section] = (*found.get(section, ()), name)
    return found


# What may stand in each section, in the order of the rows; "" is the top.
SECTIONS: Mapping[str, Tuple[str, ...]] = _sections()
