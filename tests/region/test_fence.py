"""The fence around the metadata service: nobody but root on the worker gets there, whatever else filters packets."""

from collections.abc import Iterator
from typing import Any, List

import pytest

from .command import run
from .machine import Machine
from .region import Region
from .test_agent import COMPLETED, agent, condor_processes
from .topology import METADATA_IPV4, METADATA_IPV6, VPC
from .wait import wait_until

URLS = (f"http://{METADATA_IPV4}/latest/meta-data/", f"http://[{METADATA_IPV6}]/latest/meta-data/")
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
ROLE = {"meta-data": {"iam": {"security-credentials": {"annex-worker": "a job must not read this"}}}}
OPEN = "metadata: {restrict_to_root: false}\n"
CONFIGURED = "/run/annex-agent/configured"
MARK = "/run/annex-agent/fence"
REFUSED, TIMED_OUT, SERVED = 7, 28, 0  # curl's exit codes

# What Docker makes: a bridge with a namespace behind it, and masquerading for both families.
BRIDGE = """
set -e
ip -6 addr add fd00:253::243/64 dev eth0 nodad
ip link add br0 type bridge
ip addr add 172.17.0.1/16 dev br0
ip -6 addr add fd00:17::1/64 dev br0 nodad
ip link set br0 up
ip netns add box
ip link add veth0 type veth peer name eth0 netns box
ip link set veth0 master br0 up
ip -netns box link set lo up
ip -netns box link set eth0 up
ip -netns box addr add 172.17.0.2/16 dev eth0
ip -netns box -6 addr add fd00:17::2/64 dev eth0 nodad
ip -netns box route add default via 172.17.0.1
ip -netns box -6 route add default via fd00:17::1
iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o br0 -j MASQUERADE
ip6tables -t nat -A POSTROUTING -s fd00:17::/64 ! -o br0 -j MASQUERADE
"""
WITHOUT_NFT = "mv /usr/sbin/nft /root/nft"
WITHOUT_TOOLS = f"{WITHOUT_NFT}; mv /usr/sbin/iptables /root/iptables"
# Rules of others that come first and accept everything.
BEFORE_EVERYBODY = (
    "for tool in iptables ip6tables; do $tool -I FORWARD 1 -j ACCEPT; $tool -I OUTPUT 1 -j ACCEPT; done",
    "nft -f - <<'END'\n"
    "table inet first {\n"
    "  chain output { type filter hook output priority -400; accept; }\n"
    "  chain forward { type filter hook forward priority -400; accept; }\n"
    "}\n"
    "END",
)


def sh(machine: Machine, script: str) -> str:
    return machine.run(["sh", "-ec", script]).stdout


def asked(machine: Machine, *prefix: str) -> List[int]:
    """How curl ends at either address, run behind ``prefix``."""
    argv = ["curl", "--silent", "--output", "/dev/null", "--max-time", "2"]
    return [machine.run([*prefix, *argv, url], check=False).returncode for url in URLS]


def boxed(machine: Machine) -> List[int]:
    """The same from the namespace behind the bridge."""
    return asked(machine, "ip", "netns", "exec", "box")


def refused_at_once(machine: Machine, *prefix: str) -> bool:
    """curl's exit code says the same of what is refused and of what cannot be routed: the error tells them apart."""
    attempt = (
        "import socket, sys, time\n"
        "began = time.monotonic()\n"
        "try: socket.create_connection((sys.argv[1], 80), 5)\n"
        "except ConnectionRefusedError: sys.exit(0 if time.monotonic() - began < 0.5 else 2)\n"
        "sys.exit(1)\n"
    )
    codes = [
        machine.run([*prefix, "python3", "-c", attempt, address], check=False).returncode
        for address in (METADATA_IPV4, METADATA_IPV6)
    ]
    assert 2 not in codes, "it is refused late"
    return codes == [0, 0]


def fence_result(said: str) -> str:
    (line,) = [line for line in said.splitlines() if line.startswith("annex-agent: fence: ")]
    return line


def vpc_address(region: Region, action: str) -> List[str]:
    """Beyond link-local addresses, for masquerading uses none of those."""
    return ["ip", "-netns", region.network.router, "-6", "addr", action, "fd00:253::1/64", "dev", VPC.name]


def forward(machine: Machine, value: int) -> None:
    """Packets for others, for both families; set from outside, for nspawn's /proc/sys is read-only."""
    settings = [f"net.ipv4.ip_forward={value}", f"net.ipv6.conf.all.forwarding={value}"]
    run(["nsenter", f"--target={machine.leader}", "--net", "sysctl", "--quiet", "--write", *settings])


@pytest.fixture
def bridged(region: Region, worker: Machine) -> Machine:
    run(vpc_address(region, "add"))
    sh(worker, BRIDGE)
    forward(worker, 1)
    assert boxed(worker) == [SERVED, SERVED], "without a fence it can be reached from there"
    return worker


@pytest.fixture(params=["nft", "iptables"])
def tool(request: Any, worker: Machine) -> str:
    if request.param == "iptables":
        sh(worker, WITHOUT_NFT)
    return str(request.param)


@pytest.fixture(autouse=True)
def _no_bridge(region: Region) -> Iterator[None]:
    """The worker's network namespace outlives the machine: what a test leaves there would meet the next one."""
    yield
    region.worker.start()
    sh(
        region.worker,
        "ip netns delete box 2>/dev/null || :; ip link delete br0 2>/dev/null || :;"
        "ip -6 addr delete fd00:253::243/64 dev eth0 2>/dev/null || :",
    )
    forward(region.worker, 0)
    run(vpc_address(region, "delete"), check=False)


def test_root_is_served_and_others_are_refused_at_once(region: Region, tool: str, worker: Machine) -> None:
    assert asked(worker, *NOBODY) == [SERVED, SERVED], "the test's own way works"
    said = agent(worker, "start")
    assert f"only root reaches the instance metadata service ({tool})" in fence_result(said)
    assert asked(worker, *NOBODY) == [REFUSED, REFUSED]
    assert refused_at_once(worker, *NOBODY)
    assert asked(worker) == [SERVED, SERVED]
    (slot,) = region.pool.slots("CloudInstanceID", "CloudZone")
    assert slot == {"CloudInstanceID": "i-0a64379b1c2d3e4f5", "CloudZone": "us-east-1c"}
    assert "nothing to do" in agent(worker, "start")
    assert asked(worker, *NOBODY) == [REFUSED, REFUSED]


def test_a_job_is_refused(region: Region, worker: Machine) -> None:
    agent(worker, "start")
    script = "".join(f"curl --silent --max-time 5 '{url}'; echo $? >> output.txt\n" for url in URLS)
    cluster = region.jobs.submit(f"#!/bin/sh\n{script}")
    region.jobs.wait_for(cluster, COMPLETED)
    assert region.jobs.file(cluster).split() == [str(REFUSED), str(REFUSED)]


@pytest.mark.parametrize("accepting", BEFORE_EVERYBODY)
def test_nftables_refuse_whatever_others_accept(bridged: Machine, accepting: str) -> None:
    agent(bridged, "configure")
    sh(bridged, accepting)
    assert refused_at_once(bridged, *NOBODY)
    assert refused_at_once(bridged, "ip", "netns", "exec", "box")
    assert asked(bridged) == [SERVED, SERVED]
    assert "nothing to do" in agent(bridged, "configure")


@pytest.mark.parametrize("late", [False, True])
def test_iptables_refuse_what_docker_accepts_before_and_afterwards(bridged: Machine, late: bool) -> None:
    docker = "for tool in iptables ip6tables; do $tool -I FORWARD 1 -j ACCEPT; done"
    sh(bridged, f"{WITHOUT_NFT}; {':' if late else docker}")
    assert "(iptables)" in fence_result(agent(bridged, "configure"))
    sh(bridged, docker if late else ":")
    assert boxed(bridged) == [TIMED_OUT, TIMED_OUT]
    assert refused_at_once(bridged, *NOBODY)
    assert asked(bridged) == [SERVED, SERVED]
    assert "nothing to do" in agent(bridged, "configure")


@pytest.mark.parametrize(
    ("tool", "damage"),
    [
        ("nft", "nft flush ruleset"),
        ("nft", "nft flush chain inet annex_agent forward"),
        ("nft", "nft insert rule inet annex_agent local accept"),
        ("iptables", "iptables --table mangle --flush"),
        ("iptables", "ip6tables --delete annex-agent 1"),
        ("iptables", "ip6tables --insert OUTPUT 1 --jump ACCEPT"),
        ("iptables", "iptables --flush OUTPUT"),
    ],
    indirect=["tool"],
)
def test_rules_that_were_changed_by_hand_are_restored(tool: str, damage: str, worker: Machine) -> None:
    agent(worker, "configure")
    before = kernel_rules(worker)
    sh(worker, damage)
    said = agent(worker, "--dry-run")
    assert "~ let only root reach the instance metadata service\n      the rules in the kernel are not those" in said
    assert f"({tool})" in fence_result(agent(worker, "configure"))
    assert refused_at_once(worker, *NOBODY)
    assert asked(worker) == [SERVED, SERVED]
    if "ACCEPT" not in damage:
        assert kernel_rules(worker) == before
    assert "= let only root reach the instance metadata service" in agent(worker, "--dry-run")


def kernel_rules(machine: Machine) -> str:
    """Everything that filters packets, without what counts them; the host's nft sees iptables' rules, too."""
    argv = ["nsenter", f"--target={machine.leader}", "--net", "nft", "--stateless", "list", "ruleset"]
    return run(argv).stdout


def refused_start(region: Region) -> str:
    """A start that must not end in a running HTCondor; what it said."""
    said = agent(region.worker, "start", code=1)
    assert "HTCondor is not started, because its jobs could take the credentials of the role annex-worker" in said
    assert condor_processes(region.worker) == {}
    assert region.worker.run(["test", "-e", CONFIGURED], check=False).returncode == 1
    assert region.pool.slots("Name") == []
    return said


def test_a_role_and_no_tool_end_the_start(region: Region, worker: Machine) -> None:
    region.imds.update(ROLE)
    agent(worker, "configure")
    worker.run(["test", "-e", CONFIGURED])
    sh(worker, f"nft flush ruleset; {WITHOUT_TOOLS}")
    assert "neither nft nor iptables is installed" in refused_start(region)
    assert worker.run(["test", "-e", MARK], check=False).returncode == 1
    assert "~ let only root reach" in agent(worker, "--dry-run")


def test_without_a_role_no_tool_is_a_warning(region: Region, worker: Machine) -> None:
    sh(worker, WITHOUT_TOOLS)
    said = agent(worker, "start")
    assert "jobs can read the instance metadata service, user-data among it: neither nft nor iptables" in said
    assert len(region.pool.slots("Name")) == 1
    assert worker.run(["test", "-e", MARK], check=False).returncode == 1


# A proxy for the metadata service, as kube2iam is one: it takes the connections of those who are not root, and is root.
PROXY = """
nft -f - <<'END'
table ip proxy {
  chain output {
    type nat hook output priority dstnat;
    ip daddr 169.254.169.254 tcp dport 80 meta skuid != 0 dnat to 127.0.0.1:8181
  }
}
END
"""
FORWARDER = (
    "import http.server, urllib.request\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "  def do_GET(self):\n"
    "    body = urllib.request.urlopen('http://169.254.169.254' + self.path).read()\n"
    "    self.send_response(200); self.end_headers(); self.wfile.write(body)\n"
    "http.server.HTTPServer(('127.0.0.1', 8181), Handler).serve_forever()\n"
)


def test_a_role_and_a_way_around_the_rules_end_the_start(region: Region, worker: Machine) -> None:
    region.imds.update(ROLE)
    agent(worker, "configure")
    sh(worker, PROXY)
    secret = f"{URLS[0]}iam/security-credentials/annex-worker"
    with worker.popen(["python3", "-c", FORWARDER]) as proxy:
        try:
            wait_until(lambda: worker.connects("127.0.0.1", 8181), "the proxy listens", 20)
            assert (
                ROLE["meta-data"]["iam"]["security-credentials"]["annex-worker"]
                == worker.run([*NOBODY, "curl", "--silent", secret]).stdout
            ), "it is a real way to the credentials"
            said = refused_start(region)
        finally:
            proxy.kill()
    assert f"in spite of the rules somebody who is not root gets to {METADATA_IPV4} (connected)" in said
    sh(worker, "nft delete table ip proxy")
    agent(worker, "start")
    assert len(region.pool.slots("Name")) == 1


def test_an_open_metadata_service_is_the_owners_choice(region: Region, tool: str, worker: Machine) -> None:
    region.imds.update(ROLE)
    agent(worker, "start")
    assert refused_at_once(worker, *NOBODY)
    worker.write("/etc/annex-agent/config.yaml", OPEN)
    said = agent(worker, "start")
    assert "jobs can take the credentials of the instance's role annex-worker" in said
    assert asked(worker, *NOBODY) == [SERVED, SERVED]
    assert "annex" not in kernel_rules(worker)
    assert worker.run(["test", "-e", MARK], check=False).returncode == 1
    assert "nothing to do" in agent(worker, "start")


def test_whoever_is_fenced_off_is_told_so_at_once(worker: Machine) -> None:
    agent(worker, "configure")
    patient = "import sys; from annex_agent import cli, commands; commands.IMDS_DEADLINE_DRY_S = 600.0;"
    done = worker.run([*NOBODY, "python3", "-c", f"{patient} sys.exit(cli.main(['--dry-run']))"], check=False)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "this user (uid 65534) is fenced off from the instance metadata service" in done.stderr
    assert "run sudo annex-agent --dry-run" in done.stderr


def test_a_mark_alone_fences_nobody_off(region: Region, worker: Machine) -> None:
    agent(worker, "configure")
    sh(worker, "nft flush ruleset")
    done = worker.run([*NOBODY, "annex-agent", "--dry-run"], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "only root can see the rules" in done.stdout
    region.imds.stop()
    try:
        said = worker.run([*NOBODY, "annex-agent", "--dry-run"], check=False).stderr
    finally:
        region.imds.start()
    assert "fenced off" in said


def test_the_role_is_a_fact_and_its_credentials_are_not_asked_for(region: Region, worker: Machine) -> None:
    region.imds.update(ROLE)
    assert "  role         annex-worker\n" in agent(worker, "--dry-run")
