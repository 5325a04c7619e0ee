"""A mapping of settings, read by the schema: what it sets, and everything that is wrong in it."""

import difflib
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from . import grammar, values
from .model import Knob
from .network_values import central_managers
from .schema import BY_PATH, CONDOR, SECTIONS, WRAPPER
from .values import KNOBS

COLLECTOR_KNOBS = ("COLLECTOR_HOST", "CONDOR_HOST")
_MOST_UNKNOWN = 20  # in one mapping: whoever has more has given the wrong document
_LONGEST_NAME = 40  # for which what might be meant is looked up


class Problem(NamedTuple):
    """A mistake: the key's dotted path, what is wrong with it, and which settings are in doubt because of it."""

    path: str
    sentence: str
    doubtful: Tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{as_shown(self.path)}: {self.sentence}"


class Read(NamedTuple):
    """The fields of ``Settings`` that a document sets, its knobs, and its mistakes."""

    fields: Mapping[str, Any]
    knobs: Tuple[Knob, ...]
    problems: Tuple[Problem, ...]


def read(document: Mapping[Any, Any]) -> Read:
    """All that the document says; nothing of it is in the result twice."""
    fields: Dict[str, Any] = {}
    knobs: List[Knob] = []
    problems: List[Problem] = []
    for path, name, value in _leaves(document, problems):
        try:
            if path in BY_PATH:
                fields[BY_PATH[path].field] = BY_PATH[path].kind.parse(value)
            else:
                knobs.append(values.knob(name, value))
        except ValueError as err:
            problems.append(Problem(path, str(err), _in_doubt(path)))
    named, mistakes = read_collector(knobs, f"{CONDOR.path}.")
    return Read({**named, **fields}, tuple(knobs), (*problems, *_repeated(knobs), *mistakes))


def read_collector(knobs: Sequence[Knob], prefix: str = "") -> Tuple[Mapping[str, Any], Tuple[Problem, ...]]:
    """The central manager that the knobs name, unless in words that only HTCondor can expand."""
    by_name = {knob.name.upper(): knob for knob in knobs}
    for candidate in COLLECTOR_KNOBS:
        knob = by_name.get(candidate)
        if knob and knob.value and "$" not in knob.value:
            try:
                return {"central_manager": central_managers(knob.value)}, ()
            except ValueError as err:
                return {}, (Problem(f"{prefix}{knob.name}", str(err), ("central_manager", candidate)),)
        if knob and knob.value:
            break
    return {}, ()


def _repeated(knobs: Sequence[Knob]) -> Iterator[Problem]:
    """A mapping has no order by which one of two could be the last word."""
    first: Dict[str, str] = {}
    for knob in knobs:
        other = first.setdefault(knob.name.upper(), knob.name)
        if other != knob.name:
            path = f"{CONDOR.path}.{knob.name}"
            yield Problem(path, f"for HTCondor this is the same as {other}: leave one of them", _in_doubt(path))


def as_shown(path: str) -> str:
    """A path as it may stand in a message."""
    return path if path and path.isprintable() and len(path) <= 100 else grammar.quoted(path)


def _leaves(document: Mapping[Any, Any], problems: List[Problem], section: str = "") -> Iterator[Tuple[str, Any, Any]]:
    """Path, key and value of each setting that the schema knows; what it does not know goes to ``problems``."""
    unknown = 0
    for name, value in document.items():
        path = f"{section}{'.' if section else ''}{name if isinstance(name, str) else values.shown(name)}"
        if section == CONDOR.path:
            yield path, name, value
        elif name not in SECTIONS[section]:
            unknown += 1
            if unknown <= _MOST_UNKNOWN:
                problems.append(_unknown(path, name, section))
        elif path not in SECTIONS:
            yield path, name, value
        elif isinstance(value, dict):
            yield from _leaves(value, problems, path)
        elif value is not None:  # a section may be empty, or have a short form
            if path in BY_PATH:
                yield path, name, value
            else:
                problems.append(Problem(path, f"must be a mapping of {_known(path)}", _in_doubt(path)))
    if unknown > _MOST_UNKNOWN:
        sentence = f"{unknown - _MOST_UNKNOWN} more keys are no settings: is this the right document?"
        problems.append(Problem(section or "this document", sentence))


def _unknown(path: str, name: Any, section: str) -> Problem:
    meant = _nearest(path, name, section) if isinstance(name, str) else ""
    if path == WRAPPER:
        return Problem(path, "no other key may stand beside this one: put the others below it")
    if meant and meant == path:
        section, _, name = path.rpartition(".")
        return Problem(path, f"no key has a full stop in it: write {name} below {section}", _in_doubt(meant))
    if meant:
        return Problem(path, f"this is not a setting; did you mean {meant}?", _in_doubt(meant))
    return Problem(path, f"this is not a setting; known here: {_known(section)}")


def _in_doubt(path: str) -> Tuple[str, ...]:
    """What a mistake at this path may have meant to say something about; a knob is also known by its bare name."""
    if path == CONDOR.path:
        return (path, *COLLECTOR_KNOBS)
    section, _, name = path.partition(".")
    return (path, name.upper()) if section == CONDOR.path else (path,)


def _known(section: str) -> str:
    return ", ".join(SECTIONS[section]) or KNOBS.words.replace("`", "").replace("a mapping of ", "")


def _nearest(path: str, name: str, section: str) -> str:
    """The setting that is most probably meant; empty where none comes near."""
    if len(path) > _LONGEST_NAME:
        return ""
    beside = {known: f"{section}.{known}" if section else known for known in SECTIONS[section]}
    paths = [*(known for known in SECTIONS if known), *reversed(list(BY_PATH))]
    anywhere = {**{known.rpartition(".")[2]: known for known in paths}, **{known: known for known in paths}}
    # Paths as a whole are alike for what they begin with: only a name with a full stop is compared as one.
    looks = [(path, anywhere)] if "." in name else []
    for wanted, candidates in (*looks, (name, beside), (name, anywhere)):
        found = difflib.get_close_matches(wanted.lower().replace("-", "_"), candidates, 1, 0.75)
        if found:
            return candidates[found[0]]
    is_knob = name.isupper() and name.isidentifier() and name.isascii()
    return f"{CONDOR.path}.{name}" if is_knob else ""
