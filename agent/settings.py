"""The settings: one schema, read from the image's config.yaml and from user-data.

``KEYS`` is the schema, a row a key.  Each source is parsed by itself into a ``Source``; ``merge``
lays them over one another.  Nothing is applied while any source has a problem.
"""

import string
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import grammar
from .errors import ConfigError
from .model import Knob, Settings
from .secret import Reference, reference
from .security import contradictions

CONFIG_FILE = "/etc/annex-agent/config.yaml"
WRAPPER = "annex_agent"
_COLLECTOR_KNOBS = ("COLLECTOR_HOST", "CONDOR_HOST")


class Source(NamedTuple):
    """One source's say: where it comes from, the fields of ``Settings`` it sets, its knobs, its problems."""

    name: str
    fields: Mapping[str, Any] = MappingProxyType({})
    knobs: Tuple[Knob, ...] = ()
    problems: Tuple[str, ...] = ()


class Key(NamedTuple):
    """A row of the schema: the key's path, the field it sets, and how its value is read."""

    path: str
    field: str
    parse: Callable[[Any], Any]


class Merged(NamedTuple):
    """The settings in force, and which source each field that is not a default came from."""

    settings: Settings
    origins: Mapping[str, str]


def merge(sources: Sequence[Source]) -> Merged:
    """Lay the sources over the defaults, the last one on top; raise every problem of all of them at once."""
    given = combine("all sources", sources)
    if given.problems:
        raise ConfigError(given.problems)
    origins: Dict[str, str] = {}
    for source in sources:
        origins.update(dict.fromkeys([*source.fields, *(["condor"] if source.knobs else [])], source.name))
    settings = Settings()._replace(**{**given.fields, "condor": given.knobs})
    _require_consistency(settings)
    return Merged(settings, origins)


def combine(name: str, sources: Sequence[Source]) -> Source:
    """Several sources as one, the last one on top; each problem says which of them it is in."""
    fields: Dict[str, Any] = {}
    knobs: Dict[str, Knob] = {}
    for source in sources:
        if "central_manager" in source.fields:
            for collector in _COLLECTOR_KNOBS:  # an earlier source's knob must not outvote this one
                knobs.pop(collector.lower(), None)
        for knob in source.knobs:
            knobs.pop(knob.name.lower(), None)
            knobs[knob.name.lower()] = knob
        fields.update(source.fields)
    problems = tuple(f"{source.name}: {problem}" for source in sources for problem in source.problems)
    return Source(name, fields, tuple(knobs.values()), problems)


def _require_consistency(settings: Settings) -> None:
    problems = [*_no_central_manager(settings), *contradictions(settings)]
    if problems:
        raise ConfigError(problems)


def _no_central_manager(settings: Settings) -> Iterator[str]:
    named = {knob.name.upper() for knob in settings.condor}
    if not settings.central_manager and not named.intersection(_COLLECTOR_KNOBS):
        yield (
            "no central manager is named: launch the instance with its host name as user-data "
            f"(or COLLECTOR_HOST = NAME), or set central_manager in {CONFIG_FILE}"
        )


def from_yaml(name: str, text: str) -> Source:
    """A document of settings, alone or below a top-level ``annex_agent:``."""
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return Source(name)  # the usual image: every default stands there as a comment
    from .yaml_document import DocumentError, lines, load  # noqa: PLC0415 - the parser is slow to load, and seldom needed

    try:
        document = load(text)
    except DocumentError as err:
        return Source(name, problems=(str(err),))
    is_wrapped = isinstance(document, dict) and set(document) == {WRAPPER}
    given = document[WRAPPER] if is_wrapped else document
    return from_document(name, given, lambda: lines(text, WRAPPER if is_wrapped else None))


def from_document(name: str, document: Any, lines: Callable[[], Mapping[str, int]] = dict) -> Source:
    """Settings that a parser has made plain Python values of; None says nothing.

    ``lines`` is asked only where there is a problem: the dotted path of each key, and its line from 1.
    """
    if document is None:
        return Source(name)
    if not isinstance(document, dict):
        return Source(name, problems=("this must be a mapping of settings, such as central_manager: NAME",))
    given = _from_mapping(name, document)
    return given._replace(problems=_with_lines(given.problems, lines)) if given.problems else given


def from_knobs(name: str, knobs: Sequence[Knob], problems: Sequence[str] = ()) -> Source:
    """HTCondor knobs given directly; a collector among them names the central manager."""
    fields: Dict[str, Any] = {}
    by_name = {knob.name.upper(): knob.value for knob in knobs}
    for candidate in _COLLECTOR_KNOBS:
        value = by_name.get(candidate, "")
        if value and "$" not in value:
            try:
                fields["central_manager"] = central_managers(value)
            except ValueError as err:
                problems = [*problems, f"{candidate}: {err}"]
            break
    return Source(name, fields, tuple(knobs), tuple(problems))


def central_managers(value: Any) -> Tuple[str, ...]:
    """One collector or several: a list, or text with commas between them."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError("must be a host name, or a list of host names (each may have :PORT)")
    return tuple(grammar.collector(word.strip()) for word in words)


def _from_mapping(name: str, document: Mapping[Any, Any]) -> Source:
    fields: Dict[str, Any] = {}
    knobs: List[Knob] = []
    problems: List[str] = []
    for path, value in _leaves(document, problems):
        try:
            if path.startswith("condor."):
                knobs.append(Knob(grammar.knob_name(path[len("condor.") :]), grammar.knob_value(_knob_text(value))))
            else:
                key = _KEYS_BY_PATH[path]
                fields[key.field] = key.parse(value)
        except ValueError as err:
            problems.append(f"{path if path.isprintable() else grammar.quoted(path)}: {err}")
    given = from_knobs(name, knobs, problems)
    return given._replace(fields={**given.fields, **fields})


def _with_lines(problems: Sequence[str], lines: Callable[[], Mapping[str, int]]) -> Tuple[str, ...]:
    places = lines()
    told = []
    for problem in problems:
        path = problem.partition(": ")[0] if not problem.startswith("'") else problem[1:].partition("'")[0]
        line = places.get(path) or places.get(f"condor.{path}")
        told.append(f"line {line}: {problem}" if line else problem)
    return tuple(told)


def _leaves(document: Mapping[Any, Any], problems: List[str], prefix: str = "") -> Iterator[Tuple[str, Any]]:
    """Every key that the schema knows, with its value; what it does not know goes to ``problems``."""
    for name, value in document.items():
        path = f"{prefix}{name if isinstance(name, str) else _shown(name)}"
        if path == "annex" and isinstance(value, dict):
            yield from _leaves(value, problems, "annex.")
        elif path in _KEYS_BY_PATH or prefix == "condor.":
            yield path, value
        elif path in _SECTIONS:
            if isinstance(value, dict):
                yield from _leaves(value, problems, f"{path}.")
            elif value is not None:
                problems.append(f"{path}: must be a mapping of {_known(path + '.')}")
        else:
            problems.append(f"{grammar.quoted(path)} is not a setting; known here: {_known(prefix)}")


def _known(prefix: str) -> str:
    if prefix == "condor.":
        return "HTCondor knobs, NAME: value"
    names = [path[len(prefix) :].partition(".")[0] for path in (*_KEYS_BY_PATH, "condor.") if path.startswith(prefix)]
    return ", ".join(dict.fromkeys(names))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - one kind of error for all that a document can have wrong
            f"must be text, not {_shown(value)}{'' if _is_nested(value) else ' (put it in quotes)'}"
        )
    return value


def _shown(value: Any) -> str:
    """A value in a message; never the inside of a list or mapping, which YAML's aliases can make endless."""
    if _is_nested(value):
        return "a mapping" if isinstance(value, dict) else "a list"
    try:
        return grammar.quoted(value if isinstance(value, str) else repr(value))
    except ValueError:  # Python refuses to write out a number of thousands of digits
        return "a number beyond all bounds"


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list, set, tuple))


def _knob_text(value: Any) -> str:
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError("a knob's value must be text, a number, or true or false")


def _choice(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {_shown(value)}")
        return str(value)

    return parse


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - one kind of error for all that a document can have wrong
            f"must be true or false, not {grammar.quoted(str(value))}"
        )
    return value


def _host_name_choice(value: Any) -> str:
    text = _text(value)
    return text if text in ("public", "private", "keep") else grammar.host_name(text)


def _duration(value: Any) -> int:
    return grammar.duration_s(str(value) if isinstance(value, int) else _text(value))


def network_name_fields(template: str) -> Tuple[str, ...]:
    """The names in braces in a private network name."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as err:
        raise ValueError(f"{grammar.quoted(template)}: {err}") from None
    return tuple(name for _, name, _, _ in parts if name is not None)


def _ports(value: Any) -> Optional[Tuple[int, int]]:
    if value == "shared":
        return None
    low, dash, high = _text(value).partition("-")
    if not (dash and low.isascii() and low.isdigit() and high.isascii() and high.isdigit()):
        raise ValueError(f"must be shared, or a range such as 40000-40050, not {_shown(value)}")
    if not 1023 < int(low) <= int(high) < 65536:
        raise ValueError(f"{_shown(value)} is not a range of ports from 1024 to 65535, the lower one first")
    if int(high) - int(low) < 2:
        raise ValueError(
            f"{_shown(value)} is too narrow: condor_master, condor_startd and each running job take a port, "
            "so it needs three or more"
        )
    return int(low), int(high)


def _secret(value: Any) -> Reference:
    if not isinstance(value, str):
        raise ValueError("must be text that says where the secret is kept")  # noqa: TRY004 - as _text does
    return reference(value)


def _proxy(value: Any) -> str:
    text = _text(value)
    scheme, separator, rest = text.partition("://")
    if scheme not in ("http", "https") or not separator or not rest:
        raise ValueError("must be the URL of a proxy, http://HOST:PORT")
    grammar.collector(rest.rstrip("/"))
    return text


def _network_name(value: Any) -> str:
    template = _text(value)
    allowed = ("availability_zone", "region", "vpc_id")
    for name in network_name_fields(template):
        if name not in allowed:
            raise ValueError(f"{{{name}}} is unknown: use {', '.join('{' + known + '}' for known in allowed)}")
    grammar.network_name(template.format(**dict.fromkeys(allowed, "x")))
    return template


KEYS: Tuple[Key, ...] = (
    Key("central_manager", "central_manager", central_managers),
    Key("annex.name", "annex", lambda value: grammar.annex_name(_text(value))),
    Key("annex.bundle", "bundle", _secret),
    Key("security.method", "security_method", _choice("image", "idtokens", "password", "host")),
    Key("security.token", "token", _secret),
    Key("security.pool_password", "pool_password", _secret),
    Key("security.trust_domain", "trust_domain", lambda value: grammar.host_name(_text(value))),
    Key("hostname", "hostname", _host_name_choice),
    Key("network.advertise", "advertise", _choice("auto", "public", "private")),
    Key("network.private_network_name", "private_network_name", _network_name),
    Key("network.ports", "ports", _ports),
    Key("aws.proxy", "aws_proxy", _proxy),
    Key("aws.timeout", "aws_timeout_s", _duration),
    Key("metadata.v1", "metadata_v1", _choice("fallback", "never")),
    Key("metadata.restrict_to_root", "restrict_to_root", _truth),
    Key("stop.mode", "stop_mode", _choice("graceful", "peaceful", "fast")),
    Key("stop.timeout", "stop_timeout_s", _duration),
)
_KEYS_BY_PATH: Mapping[str, Key] = {key.path: key for key in KEYS}
_KEYS_BY_PATH = {**_KEYS_BY_PATH, "annex": _KEYS_BY_PATH["annex.name"]}  # annex: NAME, for short
_SECTIONS = frozenset({"condor", *(key.path.partition(".")[0] for key in KEYS if "." in key.path)})
