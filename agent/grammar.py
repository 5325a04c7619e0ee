"""What a host name, an address, a zone, a knob or a duration looks like.

Pure parsers: each takes text from outside and returns the value, or raises ``ValueError`` with a
sentence that can follow a place ("user-data line 3: ...").  Whatever reaches HTCondor's
configuration has passed through here, so nothing from outside can add a line, a macro or an
``include`` to it.
"""

import ipaddress
import re
from typing import Optional, Tuple, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_ROLE_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}\Z")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}\Z")
_KNOB_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
SOCKET_NAME = "[A-Za-z0-9_.-]+"  # HTCondor's SHARED_PORT: the name of a file in DAEMON_SOCKET_DIR
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# JSON and YAML can write one as an escape; nothing can write it to a file.
HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")
_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

# HTCondor reads a line that begins with one of these as a directive, whatever follows.
_DIRECTIVES = frozenset({"use", "include", "if", "elif", "else", "endif", "error", "warning"})


def quoted(text: str, limit: int = 60) -> str:
    """``text`` as it may stand in a message: escaped, on one line, shortened."""
    shown = ascii(text)
    return shown if len(shown) <= limit + 2 else f"{shown[:limit]}...{shown[0]}"


def printable(text: str) -> str:
    """``text`` as it may stand on a line of a terminal: what cannot be seen is escaped."""
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)


def host_name(text: str) -> str:
    """A host name by RFC 1123: letters, digits and hyphens in labels of at most 63, 253 in all."""
    name = text[:-1] if text.endswith(".") else text
    if not name or len(name) > 253 or not all(_LABEL.match(label) for label in name.split(".")):
        raise ValueError(
            f"{quoted(text)} is not a host name "
            "(letters, digits and hyphens, in labels of at most 63 characters joined by full stops)"
        )
    if name.rpartition(".")[2].isdigit():
        raise ValueError(f"{quoted(text)} is not a host name (its last label is a number)")
    return name


def address(text: str) -> Address:
    """An IPv4 or IPv6 address, without a scope or a prefix length."""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an IP address") from None
    if "%" in text:
        raise ValueError(f"{quoted(text)} is not an IP address (a scope is not allowed)")
    return parsed


def ipv4(text: str) -> Address:
    """An IPv4 address that an instance can have: no loopback, multicast, unspecified or broadcast address."""
    parsed = address(text)
    if parsed.version != 4 or parsed.is_loopback or parsed.is_multicast or parsed.is_unspecified or parsed.is_reserved:
        raise ValueError(f"{quoted(text)} is not an IPv4 address that an instance can have")
    return parsed


def token(text: str) -> str:
    """An AWS name or identifier: a zone, a region, an instance id or type (64 characters at most)."""
    return _plain_name(text, "a name that AWS uses", 64)


def role_name(text: str) -> str:
    """The name of an IAM role (IAM user guide, "IAM and AWS STS quotas")."""
    if not _ROLE_NAME.match(text):
        raise ValueError(
            f"{quoted(text)} is not the name of an IAM role (letters, digits and '+=,.@_-'; at most 64 characters)"
        )
    return text


def mac(text: str) -> str:
    """A MAC address as the metadata service writes it, in lower case."""
    if not _MAC.match(text.lower()):
        raise ValueError(f"{quoted(text)} is not a MAC address")
    return text


def network_name(text: str) -> str:
    """A private network name: compared letter by letter between daemons, so kept plain."""
    return _plain_name(text, "a private network name", 128)


def annex_name(text: str) -> str:
    """A name for the annex, advertised as AnnexName."""
    return _plain_name(text, "an annex name", 128)


def _plain_name(text: str, what: str, longest: int) -> str:
    if len(text) > longest or not _PLAIN_NAME.match(text):
        raise ValueError(f"{quoted(text)} is not {what} (letters, digits, '.', '_', '-'; at most {longest} characters)")
    return text


def collector(text: str) -> str:
    """A collector: host, optional port, and optional ``?sock=name``, by which one is meant of those that share it."""
    at, mark, query = text.partition("?")
    host_and_port(at)
    if mark and not re.fullmatch(f"sock={SOCKET_NAME}", query):
        raise ValueError(f"{quoted(text)}: what may follow host and port is ?sock=NAME, the collector's socket")
    return text


def host_and_port(text: str) -> str:
    """A host name or address, with an optional ``:port`` (``[...]:port`` for IPv6)."""
    if "://" in text:
        raise ValueError(f"{quoted(text)} is a URL: write the host name alone")
    host, port = _split_port(text)
    try:
        address(host)
    except ValueError:
        host_name(host)
    if port and not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError(f"{quoted(text)}: the port must be a number from 1 to 65535")
    return text


def collector_host(collector_text: str) -> str:
    """The host of a collector, without its port or brackets."""
    return _split_port(collector_text.partition("?")[0])[0]


def collector_port(collector_text: str) -> Optional[int]:
    """The port of a collector, where it names one."""
    port = _split_port(collector_text.partition("?")[0])[1]
    return int(port) if port else None


def _split_port(text: str) -> Tuple[str, str]:
    if text.startswith("["):
        inside, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise ValueError(f"{quoted(text)} is not a host and port (an IPv6 address is written [address]:port)")
        return inside, rest[1:]
    if text.count(":") > 1:
        return text, ""
    host, colon, port = text.partition(":")
    if colon and not port:
        raise ValueError(f"{quoted(text)}: a port is missing after the colon")
    return host, port


def duration_s(text: str) -> int:
    """A duration in seconds, from a number with an optional unit: ``90``, ``90s``, ``10m``, ``8h``, ``2d``."""
    match = _DURATION.match(text.strip())
    if not match or int(match.group(1)) == 0:
        raise ValueError(f"{quoted(text)} is not a duration (a whole number above 0 and s, m, h or d: 90s, 10m, 8h)")
    return int(match.group(1)) * _SECONDS[match.group(2)]


def knob_name(text: str) -> str:
    """The name of an HTCondor knob that a line ``NAME = value`` can set."""
    if not _KNOB_NAME.match(text):
        raise ValueError(f"{quoted(text)} is not the name of an HTCondor knob (letters, digits, '_' and '.')")
    if text.lower() in _DIRECTIVES:
        raise ValueError(f"{quoted(text)} is a directive of HTCondor's configuration language and cannot be set")
    if text.rpartition(".")[2].upper().startswith(("LOCAL_CONFIG_", "REQUIRE_LOCAL_CONFIG_")):
        raise ValueError(
            f"{quoted(text)} changes which files HTCondor reads (or runs); put such a line into the image's config.d"
        )
    return text


def knob_value(text: str) -> str:
    """A knob's value: one line that HTCondor reads back as it was written."""
    value = text.strip()
    if _CONTROL.search(value):
        raise ValueError(f"the value {quoted(value)} holds a control character or a line break")
    if HALF_CHARACTER.search(value):
        raise ValueError(f"the value {quoted(value)} holds half a character (a surrogate)")
    if value.endswith("\\"):
        raise ValueError("the value ends in a backslash, which would swallow the next line")
    return value
