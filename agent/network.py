"""How daemons outside reach this worker: the address that they are told, the collector in between, the ports.

Pure decisions.  Knobs: HTCondor manual, "Network-Related Configuration File Entries".
"""

from typing import Iterator, Optional, Tuple

from .errors import ConfigError
from .grammar import Address
from .model import Facts, Knob, Settings

# Measured with HTCondor 23.9 and no shared port: master and startd listen, and so does the starter of each running job.
DAEMON_PORTS = 2
# HTCondor's own is 300 s, and until each broker has answered or let that time pass no startd is started.
CCB_TIMEOUT_S = 20


def advertised_public(facts: Facts) -> Optional[Address]:
    """The public address to advertise; None where the worker stays behind its private one."""
    public = facts.instance.public_ipv4
    if facts.settings.advertise == "public" and public is None:
        raise ConfigError(
            [
                "network.advertise: public, but EC2 gives this instance no public address: associate one, "
                "or use advertise: auto"
            ]
        )
    return None if facts.settings.advertise == "private" else public


def is_relayed(facts: Facts) -> bool:
    """Whether the collector passes connections on: its part is CCB, the Condor Connection Broker."""
    return facts.settings.advertise == "auto" and facts.instance.public_ipv4 is None


def names_broker(settings: Settings) -> bool:
    """Whether the owner's own knobs name a collector that passes connections on."""
    return _is_decided(settings, "CCB_ADDRESS")


def relay_knobs(facts: Facts) -> Tuple[Knob, ...]:
    """CCB through each collector, however it is named."""
    address = Knob("CCB_ADDRESS", "$(COLLECTOR_HOST)")
    if len(facts.settings.central_manager) == 1:
        return (address,)
    # One of several that is off must not keep the worker out of the pool.
    return (address, Knob("CCB_TIMEOUT", str(CCB_TIMEOUT_S)))


def port_knobs(ports: Tuple[int, int]) -> Tuple[Knob, ...]:
    """A port of its own for each daemon, from ``ports``; LOWPORT and HIGHPORT would spend them on what goes out."""
    low, high = ports
    return (
        Knob("USE_SHARED_PORT", "False"),
        Knob("IN_LOWPORT", str(low)),
        Knob("IN_HIGHPORT", str(high)),
    )


def notes(facts: Facts) -> Iterator[str]:
    """What an administrator should know about the way in, one sentence each."""
    instance, settings = facts.instance, facts.settings
    if is_relayed(facts):
        yield (
            "EC2 gives this instance no public address (public-ipv4 is absent): TCP_FORWARDING_HOST is left out, "
            f"daemons outside reach it through the collector (CCB), and those of its private network at "
            f"{instance.local_ipv4}"
        )
    elif settings.advertise == "private" and not names_broker(settings):
        yield (
            f"network.advertise is private: TCP_FORWARDING_HOST and CCB are left out, and only daemons that reach "
            f"{instance.local_ipv4} themselves can run jobs here"
        )
    yield from _narrow_range(facts)


def _narrow_range(facts: Facts) -> Iterator[str]:
    ports, cores = facts.settings.ports, facts.host.cores
    if not ports or not cores or _is_decided(facts.settings, "NUM_CPUS"):
        return
    low, high = ports
    room = high - low + 1 - DAEMON_PORTS
    if room < cores:
        yield (
            f"network.ports {low}-{high} has room for {room} jobs at a time, and this machine has {cores} cores: "
            f"condor_master, condor_startd and each running job take a port, so {DAEMON_PORTS + cores} ports would do "
            "for jobs of one core"
        )


def _is_decided(settings: Settings, name: str) -> bool:
    """Whether the owner's own knobs say it."""
    return any(knob.name.upper() == name for knob in settings.condor)
