"""The looks at the network: this machine's name, the ways in and to the central manager, the firewall's tools."""

from concurrent.futures import ThreadPoolExecutor
from typing import Iterator, List, NamedTuple

from .. import grammar
from ..errors import CommandError, ConfigError
from ..fence_steps import RaiseFence, fence_is_up
from ..model import Facts, Host, Settings
from ..network import advertised_public, names_broker
from ..system import System
from .finding import Judgement, Unseen, ok, only_root, problem, warning
from .outside import Lookup, Outside
from .scene import Scene

COLLECTOR_PORT = 9618
_NAME_TIMEOUT_S = 5.0
_SLOW_S = 2.0
_CONNECT_TIMEOUT_S = 3.0
_COMMAND_TIMEOUT_S = 5.0
_MEND_NAMES = (
    "look at /etc/resolv.conf and at enableDnsSupport of the VPC, or put the name into /etc/hosts; "
    "getent hosts $(hostname) has to answer at once"
)


class Reach(NamedTuple):
    """A collector, and what is in the way to it; empty: it accepts connections."""

    collector: str
    obstacle: str
    remedy: str = ""


def own_name(scene: Scene) -> Iterator[Judgement]:
    """HTCondor looks its own host name up, and where it is told to try again later it does so for minutes."""
    name = scene.machine.system.host_name()
    yield own_lookup(name, scene.outside.look_up(name, _NAME_TIMEOUT_S))


def own_lookup(name: str, found: Lookup) -> Judgement:
    """What HTCondor makes of such an answer."""
    if found.addresses and found.seconds < _SLOW_S:
        return ok(f"{name} is {', '.join(found.addresses)}")
    if found.addresses:
        return warning(f"{name} was found only after {found.seconds:.1f} s", _MEND_NAMES)
    if found.is_temporary:
        return problem(
            f"{name} cannot be looked up now ({found.complaint}): HTCondor's tools and daemons try on for minutes",
            _MEND_NAMES,
        )
    return warning(
        f"{name} is unknown ({found.complaint}): HTCondor gets along, what looks this worker up by it does not",
        "in a VPC set enableDnsHostnames; or put the name into /etc/hosts; a start may set another name",
    )


def way_in(scene: Scene) -> Iterator[Judgement]:
    """What daemons outside are told; whether they get through cannot be tried from inside."""
    settings = scene.readable_settings()
    ports = f"TCP {'-'.join(map(str, settings.ports or (COLLECTOR_PORT,)))}"
    if scene.is_instance:
        yield _way_in(settings, scene, ports)
    else:
        yield ok(f"network.advertise is {settings.advertise}; a worker with a public address needs {ports} let in")


def _way_in(settings: Settings, scene: Scene, ports: str) -> Judgement:
    instance = scene.metadata().reading.instance
    try:
        public = advertised_public(Facts(instance, settings, Host()))
    except ConfigError as err:
        return problem(str(err), "correct network.advertise in config.yaml or user-data")
    if public is not None:
        return ok(
            f"daemons outside are told {public}: {ports} must be let in there; whether it is, only a try from an "
            "access point can tell"
        )
    if settings.advertise == "private" and not names_broker(settings):
        return warning(
            f"network.advertise is private: only daemons that reach {instance.local_ipv4} themselves can run jobs here",
            "right where the whole pool is inside; otherwise leave it at auto",
        )
    return ok("daemons outside are told of no public address: they come in through the collector (CCB)")


def central_manager(scene: Scene) -> Iterator[Judgement]:
    """Each collector's name is known, and its port accepts a connection."""
    collectors = scene.central_managers()
    if not collectors:
        raise Unseen("no central manager is named here", "see settings; annex-agent check --user-data FILE tries one")
    with ThreadPoolExecutor(len(collectors)) as beside:
        tried = list(beside.map(lambda collector: reach(scene.outside, collector), collectors))
    yield from reached(tried)


def reach(outside: Outside, collector: str) -> Reach:
    """Try one collector: look its name up, connect to its port."""
    host, port = grammar.collector_host(collector), grammar.collector_port(collector) or COLLECTOR_PORT
    found = outside.look_up(host, _NAME_TIMEOUT_S)
    if not found.addresses:
        remedy = "correct the name, or look at the name service (/etc/resolv.conf, the VPC's DHCP options)"
        return Reach(collector, f"{host} cannot be looked up ({found.complaint})", remedy)
    refusal = outside.refusal(found.addresses, port, _CONNECT_TIMEOUT_S)
    if refusal is None:
        return Reach(collector, "")
    address = found.addresses[0]
    if isinstance(refusal, ConnectionRefusedError):
        remedy = "start condor_collector there, or correct the port; a firewall may refuse it, too"
        return Reach(collector, f"{host} ({address}) refuses connections to port {port}", remedy)
    reason = refusal.strerror or str(refusal)
    remedy = f"let TCP {port} out of this instance (security group, route) and in at {host} (firewall)"
    return Reach(collector, f"port {port} of {host} ({address}) cannot be reached: {reason.lower()}", remedy)


def reached(tried: List[Reach]) -> Iterator[Judgement]:
    """Of several collectors, one that answers is enough for the worker, but not for the pool's peace."""
    judge = problem if all(one.obstacle for one in tried) else warning
    yield from (judge(one.obstacle, one.remedy) for one in tried if one.obstacle)
    answering = [one.collector for one in tried if not one.obstacle]
    if answering:
        yield ok(f"{', '.join(answering)} accepts connections")


def firewall(scene: Scene) -> Iterator[Judgement]:
    """A tool to fence the metadata service off with, and the fence itself where a start has raised one."""
    system = scene.machine.system
    tools = [commands for commands in (("nft",), ("iptables", "ip6tables")) if all(map(system.which, commands))]
    if not tools:
        yield warning("neither nft nor iptables with ip6tables is installed", "install nftables")
        return
    names = " and ".join(tools[0])
    if not scene.outside.is_root:
        raise only_root(f"whether {names} can be used")
    complaint = "; ".join(filter(None, (_complaint(system, command) for command in tools[0])))
    if complaint:
        yield warning(
            f"{names} cannot be used: {complaint}", "load the kernel's nf_tables, or look for what forbids it"
        )
        return
    open_because = RaiseFence(role=None).pending(scene.machine) if fence_is_up(system) else None
    if open_because:
        why = open_because.summary
        yield problem(f"the fence around the metadata service does not hold: {why}", "annex-agent start raises it")
    else:
        yield ok(f"{names} can be used")


def _complaint(system: System, command: str) -> str:
    argv = (command, "list", "tables") if command == "nft" else (command, "-w", "2", "-S", "OUTPUT")
    try:
        done = system.run(argv, _COMMAND_TIMEOUT_S)
    except CommandError as err:
        return str(err)
    return (" ".join(done.stderr.split())[:300] or f"{command} ended with {done.code}") if done.code else ""
