"""The fence: rules that let only root reach the instance metadata service, in the words of nftables and of iptables.

What is refused is refused at once.  A new connection whose socket has no known owner is refused as well, for some
transports (SMC) connect through a socket of the kernel's own.  Later segments without an owner pass: root's own closing
ones belong to no socket any more.
"""

from typing import Iterator, List, Tuple

from .imds.access import IPV4_ADDRESS, IPV6_ADDRESS

TABLE = "annex_agent"
CHAIN = "annex-agent"
ADDRESSES = (IPV4_ADDRESS, IPV6_ADDRESS)
# Where iptables' chain hangs.  Docker puts what it accepts first into filter's FORWARD; mangle's comes before that.
_HOOKS = (("filter", "OUTPUT"), ("mangle", "FORWARD"))
_REMOVED = f"table inet {TABLE} {{ }}\ndelete table inet {TABLE}\n"

# What the kernel says at once where nothing can be reached; EINVAL is a blackhole route's answer.
_CLOSED = frozenset(
    {
        *("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EACCES", "EPERM"),
        *("EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"),
    }
)
# Becomes nobody, and prints a line for each address with the name of the error that connecting to it gives.  It begins
# as root, for a Python below /root is closed to nobody; from then on nothing is imported.
PROBE = """
import errno, os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for address in sys.argv[1:]:
    word = "connected"
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as attempt:
            attempt.settimeout(1.0)
            attempt.connect((address, 80))
    except socket.timeout:
        word = "no answer"
    except OSError as err:
        word = errno.errorcode.get(err.errno, str(err))
    print(address, word)
"""


def nft_rules() -> str:
    """Input for ``nft -f``: our table, in place of any earlier one, in one transaction.

    The priority is after address translation and before everybody's filters: what they accept is of no consequence.
    """
    return f"""{_REMOVED}table inet {TABLE} {{
  chain output {{
    type filter hook output priority -10; policy accept;
    ip daddr {IPV4_ADDRESS} goto local
    ip6 daddr {IPV6_ADDRESS} goto local
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    ip daddr {IPV4_ADDRESS} goto refuse
    ip6 daddr {IPV6_ADDRESS} goto refuse
  }}
  chain local {{
    meta skuid 0 accept
    tcp flags & (fin | syn | rst | ack) == syn goto refuse
    meta skuid != 0 goto refuse
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject
  }}
}}
"""


def nft_removal() -> str:
    """Input for ``nft -f``: our table is gone, and no error if it was not there."""
    return _REMOVED


def iptables_rules(address: str, saved: str) -> str:
    """Input for ``iptables-restore --noflush`` (``ip6tables-restore`` for IPv6); ``saved`` is what is there now.

    Nobody forwards to ``address``, nobody but root connects to it, and our chain is asked before all others.
    """
    # In iptables "! --uid-owner 0" matches what has no owner, too, and a range of users does not.
    rules = {
        "filter": (
            f"-d {address} -p tcp --syn -m owner ! --uid-owner 0 -j REJECT --reject-with tcp-reset",
            f"-d {address} -m owner --uid-owner 1-4294967294 -j REJECT",
        ),
        "mangle": (f"-d {address} -j DROP",),  # REJECT is filter's alone
    }
    return "".join(
        _transaction(
            table,
            [
                *_unhooked(saved, table, hook),
                f"-I {hook} 1 -j {CHAIN}",
                *(f"-A {CHAIN} {rule}" for rule in rules[table]),
            ],
        )
        for table, hook in _HOOKS
    )


def iptables_removal(saved: str) -> str:
    """Input for ``iptables-restore --noflush``: our chains are gone."""
    return "".join(_transaction(table, [*_unhooked(saved, table, hook), f"-X {CHAIN}"]) for table, hook in _HOOKS)


def iptables_ours(saved: str) -> str:
    """What of ``iptables-save``'s output is ours, and the first rule of the chains that ours hangs in: it must be ours.

    Empty where nothing is ours.
    """
    lines = [f"{table} {line}" for table, hook in _HOOKS for line in _concerning(saved, table, hook)]
    return "".join(f"{line}\n" for line in lines) if any(CHAIN in line for line in lines) else ""


def openings(answer: str) -> Tuple[str, ...]:
    """Which addresses the probe got through to, each with what it met there; ``answer`` is what ``PROBE`` printed."""
    words = dict(line.split(" ", 1) for line in answer.splitlines() if " " in line)
    met = {address: words.get(address, "not tried") for address in ADDRESSES}
    return tuple(f"{address} ({word})" for address, word in met.items() if word not in _CLOSED)


def _concerning(saved: str, table: str, hook: str) -> Iterator[str]:
    rules = _rules(saved, table)
    yield from [rule for rule in rules if rule.startswith(f"-A {hook} ")][:1]
    yield from (rule for rule in rules if rule.startswith(f"-A {CHAIN} "))


def _unhooked(saved: str, table: str, hook: str) -> List[str]:
    jump = f"-A {hook} -j {CHAIN}"
    return [f"-D {hook} -j {CHAIN}" for rule in _rules(saved, table) if rule == jump]


def _rules(saved: str, table: str) -> List[str]:
    found, inside = [], False
    for line in saved.splitlines():
        if line.startswith("*"):
            inside = line == f"*{table}"
        elif inside and line.startswith("-A "):
            found.append(line)
    return found


def _transaction(table: str, commands: List[str]) -> str:
    # To declare a chain makes it where it is missing; -F empties it where it was not.
    return "\n".join([f"*{table}", f":{CHAIN} - [0:0]", f"-F {CHAIN}", *commands, "COMMIT", ""])
