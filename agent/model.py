"""The frozen values that travel from gather to plan.

``Settings`` is what the pool's owner asked for, ``Instance`` what EC2 says this machine is,
``Host`` what was found on the machine itself; ``Facts`` holds the three, and a plan is a function
of nothing else.
"""

from types import MappingProxyType
from typing import FrozenSet, Mapping, NamedTuple, Optional, Tuple

from .grammar import Address
from .secret import Reference, Secret, Secrets

# The environment variable by which a running master shows which configuration it was started with: it lives and dies
# with the process, so no crash of ours can leave it wrong.
FINGERPRINT = "ANNEX_AGENT_CONFIG"
# Where HTCondor looks for them unless its configuration says otherwise (SEC_TOKEN_SYSTEM_DIRECTORY, ...).
TOKEN_DIRECTORY = "/etc/condor/tokens.d"  # noqa: S105 - a place
PASSWORD_DIRECTORY = "/etc/condor/passwords.d"  # noqa: S105 - a place
MASTER = "condor_master"
STARTD = "condor_startd"
STARTER = "condor_starter"  # one for each job that runs


class Instance(NamedTuple):
    """One EC2 instance, as its metadata service described it at one moment."""

    instance_id: str
    availability_zone: str
    local_ipv4: Address
    instance_type: Optional[str] = None
    ami_id: Optional[str] = None
    region: Optional[str] = None  # look-alikes of EC2 may have none
    vpc_id: Optional[str] = None
    local_hostname: Optional[str] = None
    public_ipv4: Optional[Address] = None  # None: a private subnet, or no address associated
    public_hostname: Optional[str] = None  # None: the VPC hands out no DNS host names
    life_cycle: str = "on-demand"
    account_id: Optional[str] = None
    iam_role: Optional[str] = None  # the metadata service hands out this role's credentials
    tags: Mapping[str, str] = MappingProxyType({})

    @property
    def is_spot(self) -> bool:
        """Whether EC2 may take the instance back with two minutes' notice."""
        return self.life_cycle == "spot"


class Knob(NamedTuple):
    """One line ``NAME = value`` of HTCondor's configuration."""

    name: str
    value: str


class Settings(NamedTuple):
    """What the owner asked for: defaults, the image's config.yaml and user-data, merged."""

    central_manager: Tuple[str, ...] = ()
    annex: Optional[str] = None
    bundle: Optional[Reference] = None  # condor_annex's config-NAME.tar.gz
    security_method: Optional[str] = None  # image, idtokens, password or host; None: as the secrets say
    token: Optional[Reference] = None
    pool_password: Optional[Reference] = None
    trust_domain: Optional[str] = None
    hostname: str = "public"  # public, private, keep, or a host name
    advertise: str = "auto"  # auto, public or private
    private_network_name: str = "amazon-ec2-{availability_zone}"
    ports: Optional[Tuple[int, int]] = None  # the lowest and the highest; None: one shared port
    aws_proxy: Optional[str] = None  # for AWS's APIs; never for the metadata service
    aws_timeout_s: int = 120  # for all secrets together, retries included
    metadata_v1: str = "fallback"  # fallback or never
    restrict_to_root: bool = True  # whether the metadata service is fenced off from everybody else
    stop_mode: str = "graceful"
    stop_timeout_s: int = 600
    lease_s: Optional[int] = None  # from the instance's launch; None: for ever
    idle_s: Optional[int] = None  # without a job; None: for ever
    unregistered_s: int = 900  # from the boot, without a slot in the pool
    unreachable_s: Optional[int] = None  # without an answer of the collector, or a slot listed by it; None: for ever
    on_exit: str = (
        "poweroff"  # keep, stop or poweroff: at the end of lease or idleness, and when HTCondor ends by itself
    )
    on_lease: Optional[str] = None  # None: as on_exit
    on_idle: Optional[str] = None
    on_failure: str = "keep"  # when the bootstrap fails
    on_unregistered: Optional[str] = None  # None: as on_failure
    on_unreachable: Optional[str] = None
    grace_s: int = 60  # before a power-off after a failure: for somebody to hold the machine
    on_spot: str = "drain"  # drain, no-new-jobs or ignore
    on_rebalance: str = "ignore"
    on_maintenance: str = "drain"
    on_autoscaling: str = "drain"
    vacate_s: int = 45  # before EC2 acts: when running jobs are told to leave
    lead_s: int = 3600  # before a scheduled event: from when on no new job is taken
    poll_s: int = 3  # between two looks at the metadata service
    cloudformation_stack: Optional[str] = None
    cloudformation_resource: Optional[str] = None
    signals_autoscaling: bool = False
    condor: Tuple[Knob, ...] = ()  # the last word, in order

    @property
    def secrets(self) -> Mapping[str, Reference]:
        """The fields of ``Secrets`` that are asked for, and where each is kept."""
        places: Mapping[str, Optional[Reference]] = {field: getattr(self, field) for field in Secrets._fields}
        return {field: place for field, place in places.items() if place is not None}


class State(NamedTuple):
    """Whose disk this is: the instance, and the boot, that annex-agent last set it up for."""

    instance_id: str
    boot_id: str
    host_name: Optional[str] = None  # None: it was left as it was
    secrets: Tuple[str, ...] = ()  # the files that were ever stored for this instance: secrets, and what came with them


class Condor(NamedTuple):
    """The installed HTCondor, as the image has configured it."""

    version: str
    directories: Tuple[str, ...] = ()  # what its daemons expect to be there
    startd_address_file: str = ""
    tuning_script: Optional[str] = None  # for the kernel; None where the image does not want it run
    waste: Tuple[str, ...] = ()  # where its daemons keep what concerns one instance only: logs, spool, job sandboxes
    trust: Tuple[str, ...] = ()  # the image's own knobs of trust, those for one level or one daemon: their names
    token_directory: str = TOKEN_DIRECTORY
    password_directory: str = PASSWORD_DIRECTORY


class Host(NamedTuple):
    """The machine itself."""

    is_live: bool = True  # False: a tree that is being prepared below --root
    has_cloud_init: bool = False
    condor: Optional[Condor] = None  # None: HTCondor is not installed here
    keeps_condor: bool = False  # systemd runs, and its unit for HTCondor waits for our mark
    boot_id: str = ""
    state: Optional[State] = None  # whose disk this was so far
    cores: Optional[int] = None  # None: not known, or not the machine that jobs will run on


class ConfigFile(NamedTuple):
    """A file of HTCondor configuration, where it belongs, and where it came from, in words."""

    path: str
    text: str
    origin: str


class StagedFile(NamedTuple):
    """A file of HTCondor's ``config.d`` that is not there yet; with None, one that will not be there any more."""

    path: str
    text: Optional[str]


class SecretFile(NamedTuple):
    """A file that is root's alone, and where it belongs."""

    path: str
    secret: Secret


class Bundle(NamedTuple):
    """What condor_annex has packed for its instances."""

    config: Tuple[ConfigFile, ...]
    secrets: Tuple[SecretFile, ...]
    knobs: FrozenSet[str]  # the names that its configuration sets, in upper case


class Facts(NamedTuple):
    """Everything that a plan depends on."""

    instance: Instance
    settings: Settings
    host: Host
    secrets: Secrets = Secrets()
    bundle: Optional[Bundle] = None  # unpacked; None: not asked for, or (in a preview) not to be had


class Daemon(NamedTuple):
    """One of HTCondor's processes."""

    pid: int
    name: str


class Master(NamedTuple):
    """The running condor_master; ``fingerprint`` is None where this user may not see it."""

    pid: int
    fingerprint: Optional[str]
