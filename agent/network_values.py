"""The kinds of value that name hosts, addresses and ports."""

import re
from typing import Any, Optional, Tuple

from . import grammar
from .values import Kind, matching, shown, text

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = rf"(?=[^\n]{{1,254}}$)(?!(?:[^\n]*\.)?[0-9]+\.?$){_LABEL}(?:\.{_LABEL})*\.?"
_HOST_AND_PORT = r"(?:[A-Za-z0-9.:-]+|\[[A-Za-z0-9.:-]+\](?::[0-9]+)?)"
_COLLECTOR = rf"\s*{_HOST_AND_PORT}(?:\?sock={grammar.SOCKET_NAME})?\s*"
_LOCATIONS = ("availability_zone", "region", "vpc_id")
_FILLED_IN = re.compile(r"\{([^{}]*)\}")


def central_managers(value: Any) -> Tuple[str, ...]:
    """One collector or several: a list, or text with commas between them."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError("must be a host name, or a list of host names (each may have :PORT and ?sock=NAME)")
    return tuple(grammar.collector(word.strip()) for word in words)


def network_name_fields(template: str) -> Tuple[str, ...]:
    """The names in braces in a private network name."""
    return tuple(_FILLED_IN.findall(template))


def _network_name(value: Any) -> str:
    template = text(value)
    for name in network_name_fields(template):
        if name not in _LOCATIONS:
            known = ", ".join(f"{{{location}}}" for location in _LOCATIONS)
            raise ValueError(f"{{{grammar.quoted(name)[1:-1]}}} is unknown: use {known}")
    grammar.network_name(_FILLED_IN.sub("x", template))
    return template


def _host_name_choice(value: Any) -> str:
    given = text(value)
    return given if given in ("public", "private", "keep") else grammar.host_name(given)


def _ports(value: Any) -> Optional[Tuple[int, int]]:
    if value == "shared":
        return None
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text(value))
    if not match:
        raise ValueError(f"must be shared, or a range such as 40000-40050, not {shown(value)}")
    low, high = map(int, match.groups())
    if not 1023 < low <= high < 65536:
        raise ValueError(f"{shown(value)} is not a range of ports from 1024 to 65535, the lower one first")
    if high - low < 2:
        raise ValueError(
            f"{shown(value)} is too narrow: condor_master, condor_startd and each running job take a port, "
            "so it needs three or more"
        )
    return low, high


def _written_ports(ports: Optional[Tuple[int, int]]) -> str:
    return f"{ports[0]}-{ports[1]}" if ports else "shared"


def _proxy(value: Any) -> str:
    scheme, separator, rest = text(value).partition("://")
    if scheme not in ("http", "https") or not separator or not rest:
        raise ValueError("must be the URL of a proxy, http://HOST:PORT")
    if "@" in rest:  # what stands before it may be a password, and is not repeated
        raise ValueError("must be the URL of a proxy that wants no password, http://HOST:PORT")
    grammar.host_and_port(rest.rstrip("/"))
    return str(value)


CENTRAL_MANAGER = Kind(
    central_managers,
    {
        "oneOf": [
            matching(rf"{_COLLECTOR}(?:,{_COLLECTOR})*"),
            {"type": "array", "items": matching(_COLLECTOR), "minItems": 1},
        ]
    },
    "a host name, or a list of them; each may have `:PORT` and `?sock=NAME`",
    beyond="which texts are host names, IPv6 addresses and ports",
)
DOMAIN = Kind(
    lambda value: grammar.host_name(text(value)), matching(_HOST_NAME), "a name", plain="a name like that of a host"
)
HOST_NAME = Kind(
    _host_name_choice,
    {"anyOf": [{"enum": ["public", "private", "keep"]}, matching(_HOST_NAME)]},
    "`public`, `private` (EC2's name for that address), `keep` (it stays), or a name",
)
NETWORK_NAME = Kind(
    _network_name,
    matching(r"(?:[A-Za-z0-9]|\{(?:%s)\})(?:[A-Za-z0-9._-]|\{(?:%s)\})*" % (("|".join(_LOCATIONS),) * 2)),
    "text with `{availability_zone}`, `{region}`, `{vpc_id}`",
    beyond="more than 128 characters",
)
PORTS = Kind(
    _ports,
    {"anyOf": [{"enum": ["shared"]}, matching("[0-9]{4,5}-[0-9]{4,5}")]},
    "`shared` (one, 9618), or a range such as `40000-40050` (two and one a job)",
    beyond="ranges that are upside down, narrower than three ports, or outside of 1024 to 65535",
    write=_written_ports,
)
PROXY = Kind(
    _proxy,
    matching(rf"https?://{_HOST_AND_PORT}/*"),
    "`http://HOST:PORT`",
    beyond="which texts are host names, IPv6 addresses and ports",
)
