"""A profile: what the emulated metadata service says, and how it misbehaves.

A profile is a YAML file whose ``meta-data`` is nested as the service's paths are.  Every scalar
is kept as its author typed it (``0123`` stays four characters, a date stays a date), except that
``null`` takes a key away.  ``profiles/wiki.yaml`` explains the format key by key.
"""

import json
import re
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import yaml

from .tree import Tree, laid_over

_Problems = List[str]
_MAX_DEPTH = 16  # EC2's own paths end at 7; a YAML anchor that contains itself never ends
_MAX_BODY = 64 * 1024 * 1024  # bytes
_UNANSWERED = ("reset", "black_hole")
_EFFECTS = ("status", "delay", "truncate", "body", "size", *_UNANSWERED)


class ProfileError(ValueError):
    """A profile cannot be used; ``problems`` holds every reason, in the order found."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems: Tuple[str, ...] = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class Service:
    """Which ways into the service are open."""

    v1: bool = True  # requests without a token are answered
    v2: bool = True  # tokens are given out; False is an older look-alike of EC2
    enabled: bool = True  # False: 403 for everything, as when the instance's owner turned it off
    token_status: int = 404  # what "v2: false" answers to a token request
    max_token_ttl: int = 21600  # seconds; EC2's own limit, a profile may lower it


@dataclass(frozen=True)
class Fault:
    """One way to misbehave, for the requests that match ``path`` and ``method``."""

    path: str = "*"  # a glob on the path without slash and version: "api/token", "meta-data/*"
    method: Optional[str] = None  # None: any
    times: Optional[int] = None  # None: for ever
    status: Optional[int] = None
    retry_after: Optional[int] = None  # seconds, sent beside the status
    delay: float = 0.0  # seconds before the answer, or before the reset
    reset: bool = False  # the connection ends in a TCP RST
    black_hole: bool = False  # the request is read and never answered
    truncate: Optional[int] = None  # bytes of the body that are sent; the announced length stays whole
    body: Optional[bytes] = None
    size: Optional[int] = None  # bytes of a filler body

    def matches(self, method: str, path: str) -> bool:
        """Whether a request for ``path`` (without slash and version) is to suffer."""
        return self.method in (None, method) and fnmatchcase(path, self.path)


@dataclass(frozen=True)
class Profile:
    """Everything that the emulator can be told."""

    meta_data: Tree = field(default_factory=dict)
    user_data: Optional[bytes] = None  # None: 404, the instance was started without any
    dynamic: Tree = field(default_factory=dict)  # laid over what is derived from meta_data
    service: Service = Service()
    faults: Tuple[Fault, ...] = ()  # the first that matches and is not spent applies
    launched: Optional[str] = None  # when, as the identity document says it; None: when the emulator was started
    refuse_for: float = 0.0  # seconds after the start in which connections are refused


def bundled_names() -> Tuple[str, ...]:
    """The names that ``bundled`` knows, sorted."""
    names = (entry.name for entry in _bundle().iterdir())
    return tuple(sorted(name[: -len(".yaml")] for name in names if name.endswith(".yaml")))


def bundled(name: str) -> Profile:
    """A profile that comes with the package; ``ProfileError`` names the others."""
    if name not in bundled_names():
        choices = ", ".join(bundled_names())
        raise ProfileError((f"there is no bundled profile {name!r}; choose one of {choices}, or give a file",))
    return loads((_bundle() / f"{name}.yaml").read_bytes())


def load(path: Path) -> Profile:
    """The profile in a YAML file; ``ProfileError`` says everything that is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as err:
        raise ProfileError((f"{path} cannot be read ({err.strerror}); name a readable YAML file",)) from err
    return loads(content)


def loads(content: bytes) -> Profile:
    """The profile in YAML text, UTF-8; ``ProfileError`` says everything that is wrong with it."""
    try:
        loader = _TextLoader(content)
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as err:
        line = err.problem_mark.line + 1 if err.problem_mark else 1
        raise ProfileError((f"line {line} is not YAML ({err.problem}); mind indentation and quotes",)) from err
    except yaml.YAMLError as err:
        raise ProfileError(("it is not text in UTF-8; save it as UTF-8, and binary user-data as !!binary",)) from err
    return _checked(value, loader.duplicates)


def parse(mapping: Mapping[str, object]) -> Profile:
    """The profile in a mapping shaped like the YAML; Python's numbers and booleans are welcome too."""
    return _checked(mapping, [])


def _bundle() -> Any:  # Traversable has no name that every supported Python shares
    return resources.files(__name__.rpartition(".")[0]) / "profiles"


class _TextLoader(yaml.SafeLoader):
    """Safe YAML in which a plain scalar is text or null; ``!!binary`` still gives bytes."""

    yaml_implicit_resolvers: Dict[str, Any] = {}  # noqa: RUF012  PyYAML's own class attribute

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.duplicates: _Problems = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                self.duplicates.append(f"line {key.start_mark.line + 1}: {key.value!r} is there twice; remove one")
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


_TextLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|)\Z"), ["~", "n", ""])


def _checked(value: object, problems: _Problems) -> Profile:
    known = ("like", "meta-data", "user-data", "dynamic", "service", "faults", "launched", "refuse_for")
    given = _like(_mapping(value, "the profile", problems), problems)
    problems.extend(_unknown(given, known, ""))
    profile = Profile(
        meta_data=_tree(given.get("meta-data", {}), "meta-data", problems),
        user_data=_field(_bytes, given.get("user-data"), "user-data", problems),
        dynamic=_tree(_field(_json_document, given.get("dynamic"), "dynamic", problems) or {}, "dynamic", problems),
        service=_service(given.get("service", {}), problems),
        faults=_faults(given.get("faults", []), problems),
        launched=_field(_moment, given.get("launched"), "launched", problems),
        refuse_for=_field(_seconds, given.get("refuse_for"), "refuse_for", problems) or 0.0,
    )
    if problems:
        raise ProfileError(problems)
    return profile


def _like(given: Mapping[str, Any], problems: _Problems) -> Mapping[str, Any]:
    """What is given, laid over the bundled profile that it says it is like."""
    name = given.get("like")
    if name is None:
        return given
    if name not in bundled_names():
        problems.append(f"like: must be one of {', '.join(bundled_names())}")
        return given
    below = _TextLoader((_bundle() / f"{name}.yaml").read_bytes()).get_single_data()
    return laid_over(_like(below, problems), given)


def _service(value: object, problems: _Problems) -> Service:
    service = Service(**_section(value, "service", _SERVICE, problems))
    if not service.v1 and not service.v2:
        problems.append("service: v1 and v2 are both false; for a service that is off, write enabled: false")
    return service


def _faults(value: object, problems: _Problems) -> Tuple[Fault, ...]:
    if not isinstance(value, (list, tuple)):
        problems.append("faults: must be a list; begin each fault with '- '")
        return ()
    return tuple(_fault(one, f"faults[{index}]", problems) for index, one in enumerate(value))


def _fault(value: object, place: str, problems: _Problems) -> Fault:
    given = _section(value, place, _FAULT, problems)
    effects = [name for name in _EFFECTS if name in given and given[name] is not False]
    problems.extend(f"{place}: {problem}" for problem in _contradictions(given, effects))
    return Fault(**given)


def _contradictions(given: Mapping[str, Any], effects: Sequence[str]) -> Iterator[str]:
    if not effects:
        yield f"it does nothing; give at least one of {', '.join(_EFFECTS)}"
    if "retry_after" in given and "status" not in given:
        yield "retry_after goes with a status; add, for example, status: 503"
    if "body" in effects and "size" in effects:
        yield "body and size are both the body; remove one"
    silent = [name for name in _UNANSWERED if name in effects]
    if silent and set(effects) - {silent[0], "delay"}:
        yield f"after {silent[0]} nothing is answered; remove everything else but path, method, times and delay"


def _section(value: object, place: str, fields: "_Fields", problems: _Problems) -> Dict[str, Any]:
    """The keyword arguments that a mapping holds; what is unknown or wrong is left out."""
    given = _mapping(value, place, problems)
    problems.extend(_unknown(given, tuple(fields), f"{place}."))
    read = {name: _field(fields[name], given[name], f"{place}.{name}", problems) for name in fields if name in given}
    return {name: parsed for name, parsed in read.items() if parsed is not None}


def _field(read: Callable[[object], Any], value: object, place: str, problems: _Problems) -> Any:
    """The parsed value, or None if there is none or it is wrong."""
    try:
        return None if value is None else read(value)
    except ValueError as err:
        problems.append(f"{place}: {err}")
        return None


def _unknown(given: Mapping[str, object], known: Sequence[str], prefix: str) -> Iterator[str]:
    return (f"{prefix}{key}: is not known here; use {', '.join(known)}" for key in given if key not in known)


def _mapping(value: object, place: str, problems: _Problems) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    problems.append(f"{place}: must be a mapping; write it as 'key: value' lines")
    return {}


def _tree(value: object, place: str, problems: _Problems, depth: int = 0) -> Tree:
    if depth > _MAX_DEPTH:
        problems.append(f"{place[:40]}...: is nested deeper than {_MAX_DEPTH} levels; no path of EC2 is")
        return {}
    tree: Dict[str, Union[str, bytes, Tree, None]] = {}
    for key, child in _mapping(value, place, problems).items():
        inside = f"{place}/{key}"
        if not _is_name(key):
            problems.append(f"{inside!r}: is not one part of a path; nest mappings instead of writing a slash")
        elif isinstance(child, Mapping):
            tree[str(key)] = _tree(child, inside, problems, depth + 1)
        else:
            tree[str(key)] = _field(_leaf, child, inside, problems)
    return tree


def _is_name(key: object) -> bool:
    return isinstance(key, (str, int)) and re.fullmatch(r"[^/\x00-\x1f\x7f]+", str(key)) is not None


def _json_document(value: object) -> object:
    """``dynamic`` with an identity document that was given as a mapping turned into its JSON text."""
    identity = value.get("instance-identity") if isinstance(value, Mapping) else None
    document = identity.get("document") if isinstance(identity, Mapping) else None
    if not (isinstance(value, Mapping) and isinstance(identity, Mapping) and isinstance(document, Mapping)):
        return value
    text = json.dumps(document, indent=2, default=str, skipkeys=True)
    return {**value, "instance-identity": {**identity, "document": text}}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(f"must be text, not a {type(value).__name__}; quote it, or write several lines after '|'")


def _leaf(value: object) -> Union[str, bytes]:
    return value if isinstance(value, bytes) else _text(value)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else _text(value).encode()


def _flag(value: object) -> bool:
    text = _text(value).lower()
    if text not in ("true", "false"):
        raise ValueError(f"must be true or false, not {text!r}")
    return text == "true"


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        text = _text(value)
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return read


def _seconds(value: object) -> float:
    text = _text(value)
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        raise ValueError(f"must be a number of seconds such as 2 or 0.5, not {text!r}")
    return float(text)


def _moment(value: object) -> str:
    text = _text(value)
    try:
        time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise ValueError(f"must be a time such as 2026-01-01T12:00:00Z, not {text!r}") from None
    return text


def _glob(value: object) -> str:
    text = _text(value)
    if re.match(r"/|latest(/|$)|[0-9]{4}-", text):
        raise ValueError(f"{text!r} never matches; leave the first slash and the version away: meta-data/*, api/token")
    return text


def _method(value: object) -> str:
    return _text(value).upper()


_Fields = Mapping[str, Callable[[object], Any]]

_SERVICE: _Fields = {
    "v1": _flag,
    "v2": _flag,
    "enabled": _flag,
    "token_status": _whole(400, 599),
    "max_token_ttl": _whole(1, 21600),
}

_FAULT: _Fields = {
    "path": _glob,
    "method": _method,
    "times": _whole(1, 10**9 - 1),
    "status": _whole(200, 599),
    "retry_after": _whole(0, 10**9 - 1),
    "delay": _seconds,
    "reset": _flag,
    "black_hole": _flag,
    "truncate": _whole(0, _MAX_BODY),
    "body": _bytes,
    "size": _whole(0, _MAX_BODY),
}
