"""The fence in a real kernel: real nft and iptables, in a network namespace and a /run of the test's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

NEEDED = ("unshare", "mount", "ip", "nft", "iptables", "ip6tables")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
Kernel = Callable[[str], str]

# Everybody's listeners are on the loopback interface: a packet of the machine's own passes OUTPUT on its way there.
NAMESPACE = """
set -e
mount -t tmpfs tmpfs /run
ip link set lo up
for address in 169.254.169.254 169.254.169.253 169.254.169.123; do ip addr add $address/32 dev lo; done
ip -6 addr add fd00:ec2::254/128 dev lo nodad
"""
HIDE = {
    "nft": "",
    "iptables": "mount --bind /dev/null $(command -v nft)\n",
    "iptables-legacy": "mount --bind /dev/null $(command -v nft)\n"
    "mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi\n",
}
PRELUDE = """
import os, socket, subprocess, sys
from pathlib import Path
from annex_agent.fence import ADDRESSES
from annex_agent.fence_steps import LowerFence, RaiseFence, fence_is_up
from annex_agent.machine import local_machine
from annex_agent.system import System

machine = local_machine(System())
def no_one(sentence): raise AssertionError(sentence)
def listen(address, kind=socket.SOCK_STREAM):
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    listener.bind((address, 80))
    if kind == socket.SOCK_STREAM: listener.listen(5)
    return listener
listeners = [listen(address) for address in (*ADDRESSES, "169.254.169.253", "169.254.169.123")]
udp = [listen(address, socket.SOCK_DGRAM) for address in ADDRESSES]
def met(address, uid, *kind):
    "What a process of this user meets at the address."
    reader, writer = os.pipe()
    if not os.fork():
        os.setgroups([]); os.setgid(uid); os.setuid(uid)
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, *(kind or (1,))) as mine:
                mine.settimeout(5)
                mine.connect((address, 80))
                mine.send(b"x")
                word = "got through"
        except OSError as err:
            word = err.strerror or str(err)
        os.write(writer, word.encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    return os.read(reader, 100).decode()
def all_met(uid, *kind): return {met(address, uid, *kind) for address in ADDRESSES}
def sh(script): subprocess.run(["sh", "-ec", script], check=True)
def raised(): return RaiseFence("role").perform(machine, no_one)
"""


@pytest.fixture
def kernel(request: "pytest.FixtureRequest") -> Kernel:
    """Runs Python in a new namespace, with ``PRELUDE``, as the tool ``param`` needs it; gives what it printed."""
    if os.geteuid() != 0 or not all(shutil.which(tool, path=PATH) for tool in NEEDED):
        pytest.skip("needs root and Debian's nftables, iptables, iproute2 and util-linux, or their like: install them")
    unshare = ["unshare", "--net", "--mount"]
    if subprocess.run([*unshare, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this root may not make namespaces: use a virtual machine or a privileged container")
    hide = HIDE[getattr(request, "param", "nft")]
    for path in [word for word in hide.split() if "multi" in word]:
        if not Path(path).exists():
            pytest.skip(f"{path} is not there: iptables of another make than Debian's")

    def run(code: str) -> str:
        python = [sys.executable, "-c", PRELUDE + code]
        script = f'{NAMESPACE}{hide}exec "$@"'
        done = subprocess.run(
            [*unshare, "sh", "-c", script, "sh", *python],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": PATH},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run


def with_tools(*tools: str) -> "pytest.MarkDecorator":
    return pytest.mark.parametrize("kernel", tools or tuple(HIDE), indirect=True)


@with_tools()
def test_only_root_gets_through(kernel: Kernel) -> None:
    kernel("""
assert all_met(65534) == all_met(0) == {"got through"}
raised()
assert all_met(65534) == all_met(1) == {"Connection refused"}
assert all_met(0) == {"got through"}
assert fence_is_up(machine.system)
assert RaiseFence("role").pending(machine) is None
""")


@with_tools()
def test_no_other_protocol_gets_through(kernel: Kernel) -> None:
    kernel("""
kinds = [(socket.SOCK_DGRAM,)]
mptcp = (socket.SOCK_STREAM, 262)
try: socket.socket(socket.AF_INET, *mptcp).close()
except OSError: pass
else: kinds.append(mptcp)
assert [all_met(65534, *kind) for kind in kinds] == [{"got through"}] * len(kinds)
raised()
for listener in udp: listener.setblocking(False)
for kind in kinds: all_met(65534, *kind)  # a datagram's sender learns of its refusal later, if at all
for listener in udp:
    assert listener.recv(10) == b"x", "the one from before"
    try: listener.recv(10)
    except BlockingIOError: pass
    else: raise AssertionError("it got through")
assert mptcp not in kinds or all_met(65534, *mptcp) == {"Connection refused"}
""")


@with_tools()
def test_dns_and_time_are_left_alone(kernel: Kernel) -> None:
    kernel("""
raised()
assert {met(address, 65534) for address in ("169.254.169.253", "169.254.169.123")} == {"got through"}
""")


@with_tools()
def test_to_raise_it_twice_is_to_raise_it_once(kernel: Kernel) -> None:
    kernel("""
from annex_agent.fence_steps import FENCE
raised()
first = Path(FENCE).read_text()
raised()
assert Path(FENCE).read_text() == first
assert RaiseFence("role").pending(machine) is None
""")


@with_tools()
def test_to_lower_it_leaves_nothing(kernel: Kernel) -> None:
    kernel("""
assert LowerFence().pending(machine) is None
raised()
assert LowerFence().pending(machine) is not None
LowerFence().perform(machine, no_one)
assert LowerFence().pending(machine) is None
assert all_met(65534) == {"got through"}
assert not fence_is_up(machine.system)
saved = "".join(subprocess.run(["sh", "-c", tool], stdout=-1).stdout.decode()
                for tool in ("nft list ruleset", "iptables-save", "ip6tables-save"))
assert "annex" not in saved, saved
LowerFence().perform(machine, no_one)
""")


@with_tools("iptables", "iptables-legacy")
def test_ours_is_put_before_what_others_have_put_first(kernel: Kernel) -> None:
    kernel("""
sh("for tool in iptables ip6tables; do $tool -N theirs; $tool -I OUTPUT 1 -j theirs; $tool -A theirs -j ACCEPT; done")
raised()
assert all_met(65534) == {"Connection refused"}
sh("for tool in iptables ip6tables; do $tool -I OUTPUT 1 -j ACCEPT; done")
assert all_met(65534) == {"got through"}
assert "not those that were loaded" in RaiseFence("role").pending(machine).summary
raised()
assert all_met(65534) == {"Connection refused"}
LowerFence().perform(machine, no_one)
saved = subprocess.run(["iptables-save"], stdout=-1).stdout.decode()
assert saved.count("-j ACCEPT") == 2 and "-A OUTPUT -j theirs" in saved, saved
""")


@with_tools("iptables")
def test_a_fence_of_one_tool_stands_when_the_other_is_installed(kernel: Kernel) -> None:
    kernel("""
assert "(iptables)" in raised()
sh("umount $(awk '/nft / {print $2}' /proc/self/mounts)")
assert RaiseFence("role").pending(machine) is None
LowerFence().perform(machine, no_one)
assert all_met(65534) == {"got through"}
""")


@with_tools("nft", "iptables")
def test_a_segment_of_roots_that_belongs_to_no_socket_any_more_passes(kernel: Kernel) -> None:
    # What comes in for a socket that was closed is answered with a reset, which nobody owns.
    kernel("""
raised()
reader, writer = socket.socket(), None
reader.connect((ADDRESSES[0], 80))
writer = listeners[0].accept()[0]
reader.close()
import time
writer.settimeout(20)
try:
    for _ in range(200):
        writer.send(b"x")
        time.sleep(0.05)
except (ConnectionResetError, BrokenPipeError):
    pass
else:
    raise AssertionError("the reset did not arrive: the fence has caught it")
""")


@with_tools("nft", "iptables")
def test_where_ipv6_is_off_the_rest_is_fenced_off(kernel: Kernel) -> None:
    kernel("""
for listener in listeners: listener.close()
sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=1")
raised()
assert met(ADDRESSES[0], 65534) == "Connection refused"
""")
