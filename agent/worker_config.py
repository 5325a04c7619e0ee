"""What HTCondor on this worker must be told, and why: pure decisions, no text layout.

Knob names and their meaning: HTCondor manual, "Configuration Macros"; the Cloud* attributes carry
the names of HTCondor's own ``feature:CommonCloudAttributesAWS``.
"""

from typing import Iterator, List, NamedTuple, Optional, Tuple

from . import grammar, network, security
from .errors import ConfigError
from .model import Facts, Knob
from .network_values import network_name_fields

# Two minutes is EC2's notice. What a job may use of it leaves time to notice the notice, and to go.
SPOT_VACATE_S = 100


class Block(NamedTuple):
    """Some knobs and the reason why they are there."""

    why: str
    knobs: Tuple[Knob, ...]


def worker_blocks(facts: Facts) -> Tuple[Block, ...]:
    """Every block of the worker's configuration, in order; the owner's own knobs come last."""
    blocks: List[Optional[Block]] = [
        _pool(facts),
        _trust(facts),
        _trust_domain(facts),
        _daemons(),
        _way_in(facts),
        _private_network(facts),
        _ports(facts),
        _cloud_attributes(facts),
        _annex_attributes(facts),
        _giving_way(facts, _start_up()),
        _giving_way(facts, _updates()),
        _giving_way(facts, _spot(facts)),
        _last_word(facts),
    ]
    return tuple(block for block in blocks if block is not None)


def _giving_way(facts: Facts, block: Optional[Block]) -> Optional[Block]:
    """A block without the knobs that condor_annex's own configuration sets: of these it knows better."""
    others = facts.bundle.knobs if facts.bundle else frozenset()
    kept = tuple(knob for knob in block.knobs if knob.name.upper() not in others) if block else ()
    return block._replace(knobs=kept) if block and kept else None


def worker_host_name(facts: Facts) -> Optional[str]:
    """The host name to set, or None to keep the present one."""
    wanted, instance = facts.settings.hostname, facts.instance
    by_choice = {"public": instance.public_hostname or instance.local_hostname, "private": instance.local_hostname}
    return None if wanted == "keep" else by_choice.get(wanted, wanted)


def notes(facts: Facts) -> Iterator[str]:
    """What an administrator should know about these decisions, one sentence each."""
    instance, settings = facts.instance, facts.settings
    yield from network.notes(facts)
    if settings.hostname == "public" and instance.public_hostname is None:
        name = instance.local_hostname
        yield (
            "EC2 gives this instance no public host name (is DNS host names enabled for the VPC?): "
            + (f"the private one, {name}, is used" if name else "the present host name is kept")
        )
    if settings.hostname == "private" and instance.local_hostname is None:
        yield "EC2 gives this instance no private host name: the present host name is kept"
    yield from security.notes(settings)
    if instance.iam_role and not settings.restrict_to_root:
        yield (
            f"jobs can take the credentials of the instance's role {instance.iam_role} from the metadata service "
            "(metadata.restrict_to_root is false)"
        )


def _pool(facts: Facts) -> Optional[Block]:
    managers = facts.settings.central_manager
    if not managers:
        return None  # the owner's own knobs name it, in words that only HTCondor can expand
    return Block(
        "The pool: its central manager.",
        (Knob("CONDOR_HOST", grammar.collector_host(managers[0])), Knob("COLLECTOR_HOST", ", ".join(managers))),
    )


def _trust(facts: Facts) -> Optional[Block]:
    image = facts.host.condor.trust if facts.host.condor else ()
    knobs = security.knobs(facts.settings, image)
    return Block(security.why(facts.settings), knobs) if knobs else None


def _trust_domain(facts: Facts) -> Optional[Block]:
    domain = facts.settings.trust_domain
    return Block("The pool's own name, which its tokens bear.", (Knob("TRUST_DOMAIN", domain),)) if domain else None


def _daemons() -> Block:
    return Block("An execute node runs these and nothing else.", (Knob("DAEMON_LIST", "MASTER, STARTD"),))


def _way_in(facts: Facts) -> Optional[Block]:
    public = network.advertised_public(facts)
    if public is not None:
        return Block(
            "No interface carries the public address, so daemons outside must be told of it.",
            (Knob("TCP_FORWARDING_HOST", str(public)),),
        )
    if network.is_relayed(facts):
        return Block(
            "There is no public address: the collector passes connections on (CCB).", network.relay_knobs(facts)
        )
    return None


def _ports(facts: Facts) -> Optional[Block]:
    ports = facts.settings.ports
    if ports is None:
        return None  # HTCondor's default: all daemons share one, 9618
    return Block("Each daemon listens on a port of its own, from the range that is let in.", network.port_knobs(ports))


def _private_network(facts: Facts) -> Block:
    address = str(facts.instance.local_ipv4)
    return Block(
        "Daemons that give the same network name use the private address; no other interface is taken for it.",
        (
            Knob("PRIVATE_NETWORK_NAME", _network_name(facts)),
            Knob("PRIVATE_NETWORK_INTERFACE", address),
            Knob("NETWORK_INTERFACE", address),
        ),
    )


def _network_name(facts: Facts) -> str:
    template, instance = facts.settings.private_network_name, facts.instance
    values = {
        "availability_zone": instance.availability_zone,
        "region": instance.region,
        "vpc_id": instance.vpc_id,
    }
    missing = [name for name in network_name_fields(template) if not values[name]]
    if missing:
        raise ConfigError(
            [
                f"network.private_network_name uses {{{name}}}, but the metadata service gives no such value: "
                "choose another name"
                for name in missing
            ]
        )
    return grammar.network_name(template.format(**values))


def _cloud_attributes(facts: Facts) -> Block:
    instance = facts.instance
    strings = {
        "CloudProvider": "AWS",
        "CloudPlatform": "EC2",
        "CloudRegion": instance.region,
        "CloudZone": instance.availability_zone,
        "CloudVMType": instance.instance_type,
        "CloudInstanceID": instance.instance_id,
        "CloudImage": instance.ami_id,
        "AnnexName": facts.settings.annex,
    }
    knobs = [Knob(name, f'"{value}"') for name, value in strings.items() if value]
    knobs += [Knob("CloudInterruptible", str(instance.is_spot)), Knob("IsAnnex", "True")]
    names = " ".join(knob.name for knob in knobs)
    return Block(
        "What the machine is, for job requirements and for condor_status -constraint.",
        (*knobs, Knob("MASTER_ATTRS", f"$(MASTER_ATTRS) {names}"), Knob("STARTD_ATTRS", f"$(STARTD_ATTRS) {names}")),
    )


def _annex_attributes(facts: Facts) -> Optional[Block]:
    """Under the names of condor_annex's own image (its ``50ec2.config``), which users' files may refer to, too."""
    settings, public = facts.settings, facts.instance.public_ipv4
    if not settings.bundle:
        return None
    knobs = [Knob("EC2InstanceID", f'"{facts.instance.instance_id}"')]
    if public:
        knobs += [Knob("EC2PublicIP", str(public)), Knob("QuotedEC2PublicIP", f'"{public}"')]
    names = " ".join(knob.name for knob in knobs if knob.value.startswith('"'))
    return Block(
        "By these names condor_annex and condor_status -annex look for an instance.",
        (*knobs, Knob("MASTER_ATTRS", f"$(MASTER_ATTRS) {names}"), Knob("STARTD_ATTRS", f"$(STARTD_ATTRS) {names}")),
    )


def _start_up() -> Block:
    return Block(
        "Into the pool sooner: annex-agent runs the kernel tuning script beside the master, which would wait a second "
        "for it; benchmarks would hold up a stop by ten seconds or more.",
        (Knob("ENABLE_KERNEL_TUNING", "False"), Knob("RUNBENCHMARKS", "False")),
    )


def _updates() -> Block:
    return Block(
        "Workers that start together must not all report together; a package update must not restart daemons "
        "under a job.",
        (
            Knob("UPDATE_INTERVAL", "$RANDOM_INTEGER(230, 370)"),
            Knob("MASTER_UPDATE_INTERVAL", "$RANDOM_INTEGER(230, 370)"),
            Knob("MASTER_NEW_BINARY_RESTART", "NEVER"),
        ),
    )


def _spot(facts: Facts) -> Optional[Block]:
    if not facts.instance.is_spot:
        return None
    return Block(
        "EC2 takes a spot instance back two minutes after its notice, and this is read when a job starts.",
        (Knob("MachineMaxVacateTime", str(SPOT_VACATE_S)),),
    )


def _last_word(facts: Facts) -> Optional[Block]:
    if not facts.settings.condor:
        return None
    return Block("Set by the pool's owner (user-data or config.yaml): the last word.", facts.settings.condor)
