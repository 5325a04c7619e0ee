"""The settings of a worker in its pool: rows of the schema."""

from typing import Tuple

from . import values
from .key import Key
from .network_values import CENTRAL_MANAGER, DOMAIN, HOST_NAME, NETWORK_NAME, PORTS, PROXY
from .values import DURATION, NAME, SECRET, TRUTH

WORKER_KEYS: Tuple[Key, ...] = (
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
)
