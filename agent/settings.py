"""The settings from all their sources: the image's config.yaml, and user-data, each of which may have parts.

Each source is read by itself, by the ``schema``, into a ``Source``; ``merge`` lays them over one another.  Nothing is
applied while any source has a problem.
"""

import re
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import ending_rules
from .errors import ConfigError
from .mapping import COLLECTOR_KNOBS, read, read_collector
from .model import Knob, Settings
from .schema import CONDOR, KEYS, WRAPPER
from .security import contradictions
from .values import SECRET

CONFIG_FILE = "/etc/annex-agent/config.yaml"
NO_POOL = (
    "no central manager is named: launch the instance with its host name as user-data "
    f"(or COLLECTOR_HOST = NAME), or set central_manager in {CONFIG_FILE}"
)
_WIDTH = max(len(key.path) for key in KEYS) + 1
_MOST_PROBLEMS = 200  # a person reads no more of them before mending some


class Source(NamedTuple):
    """One source's say: where it comes from, the fields of ``Settings`` it sets, its knobs, its problems."""

    name: str
    fields: Mapping[str, Any] = MappingProxyType({})
    knobs: Tuple[Knob, ...] = ()
    problems: Tuple[str, ...] = ()
    doubtful: Optional[Tuple[str, ...]] = None  # the paths that the problems are about; None: any
    parts: Tuple["Source", ...] = ()  # what it was put together from, if it was

    def sets(self, field: str) -> bool:
        """Whether it has a say about a field of ``Settings``."""
        return field in self.fields or (field == CONDOR.field and bool(self.knobs))

    def paths(self) -> List[str]:
        """What it sets, in the order of the schema."""
        knobs = [f"{CONDOR.path}.{knob.name}" for knob in self.knobs]
        return [*(key.path for key in KEYS if key.field in self.fields), *knobs]

    def origin(self, field: str) -> str:
        """Where exactly its say about ``field`` comes from: the last of its parts to have one."""
        part = next((part for part in reversed(self.parts) if part.sets(field)), None)
        return f"{self.name}, {part.origin(field)}" if part else self.name


class Merged(NamedTuple):
    """The settings in force, and which source each field that is not a default came from."""

    settings: Settings
    origins: Mapping[str, str]
    unsettled: Tuple[str, ...] = ()  # problems that a source which is missing here can solve


def merge(sources: Sequence[Source], are_all: bool = True, may_lack_pool: bool = False) -> Merged:
    """Lay the sources over the defaults, the last one on top; raise every problem of all of them at once.

    Unless they ``are_all``, what another source can still solve is no problem yet; nor is, where it ``may_lack_pool``,
    that nothing names the pool.
    """
    given = combine("all sources", sources)
    settings = Settings()._replace(**{**given.fields, "condor": given.knobs})
    found = [sentence for sentence in _inconsistencies(settings, given) if not (may_lack_pool and sentence is NO_POOL)]
    unsettled = () if are_all else tuple(sentence for sentence in found if not _is_settled(sentence, given))
    problems = [*given.problems, *(sentence for sentence in found if sentence not in unsettled)]
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        raise ConfigError([*problems[:_MOST_PROBLEMS], *([f"and {more} more problems"] if more > 0 else [])])
    origins: Dict[str, str] = {}
    for source in sources:
        origins.update({field: source.origin(field) for field in Settings._fields if source.sets(field)})
    if given.knobs:
        origins[CONDOR.field] = ", ".join(source.name for source in sources if source.knobs)
    return Merged(settings, origins, unsettled)


def combine(name: str, sources: Sequence[Source]) -> Source:
    """Several sources as one, the last one on top; each problem says which of them it is in."""
    fields: Dict[str, Any] = {}
    knobs: Dict[str, Knob] = {}
    for source in sources:
        if "central_manager" in source.fields:
            for collector in COLLECTOR_KNOBS:  # an earlier source's knob must not outvote this one
                knobs.pop(collector.lower(), None)
        for knob in source.knobs:
            knobs.pop(knob.name.lower(), None)
            knobs[knob.name.lower()] = knob
        fields.update(source.fields)
    problems = tuple(f"{source.name}: {problem}" for source in sources for problem in source.problems)
    doubtful = tuple(path for source in sources if source.problems for path in _doubtful(source))
    return Source(name, fields, tuple(knobs.values()), problems, doubtful, tuple(sources))


def _doubtful(source: Source) -> Tuple[str, ...]:
    return ("",) if source.doubtful is None else source.doubtful


def inconsistencies(settings: Settings) -> Iterator[str]:
    """What no source has wrong by itself, each with its path and remedy."""
    if lacks_pool(settings):
        yield NO_POOL
    yield from contradictions(settings)
    yield from ending_rules.contradictions(settings)


def lacks_pool(settings: Settings) -> bool:
    """Whether neither a central manager is named nor what condor_annex has packed, which names one."""
    named = {knob.name.upper() for knob in settings.condor}
    return not (settings.central_manager or settings.bundle or named.intersection(COLLECTOR_KNOBS))


def _inconsistencies(settings: Settings, given: Source) -> Iterator[str]:
    """Those that are not the mere consequence of another problem."""
    for sentence in inconsistencies(settings):
        if not any(_mentions(sentence, path) for path in _doubtful(given)):
            yield sentence


def _is_settled(sentence: str, given: Source) -> bool:
    """Whether all that the sentence is about was given: what contradicts itself nothing can solve."""
    return all(given.sets(key.field) for key in KEYS if _mentions(sentence, key.path))


def _mentions(sentence: str, path: str) -> bool:
    """Whether it is about the setting, or about one in that section; every sentence mentions the empty path."""
    return not path or bool(re.search(rf"\b{re.escape(path)}(?![\w/-])", sentence))


def open_secrets(merged: Merged) -> List[str]:
    """A warning for each secret that stands in the settings themselves."""
    given = [(key, getattr(merged.settings, key.field)) for key in KEYS if key.kind is SECRET]
    return [
        f"{key.path} is given in the open, by {merged.origins[key.field]}, to be read by whoever may describe this "
        "instance or has its image: keep it in Secrets Manager or the Parameter Store, and name it there"
        for key, place in given
        if place and place.scheme == "inline"
    ]


def from_bytes(name: str, content: bytes) -> Source:
    """A file of settings, as ``from_yaml``."""
    try:
        return from_yaml(name, content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Source(name, problems=("this is not UTF-8 text: save it as UTF-8",))


def from_yaml(name: str, text: str) -> Source:
    """A document of settings, alone or below a top-level ``annex_agent:``."""
    if says_nothing(text):
        return Source(name)  # the usual image: every default stands there as a comment
    from .yaml_document import DocumentError, lines, load  # noqa: PLC0415 - the parser is slow to load, and seldom needed

    try:
        document = load(text)
    except DocumentError as err:
        return Source(name, problems=(str(err),))
    is_wrapped = isinstance(document, dict) and set(document) == {WRAPPER}
    given = document[WRAPPER] if is_wrapped else document
    return from_document(name, given, lambda: lines(text, WRAPPER if is_wrapped else None))


def says_nothing(text: str) -> bool:
    """Whether there is nothing but comments."""
    return all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())


def from_document(name: str, document: Any, lines: Callable[[], Mapping[str, int]] = dict) -> Source:
    """Settings that a parser has made plain Python values of; None says nothing.

    ``lines`` is asked only where there is a problem: the dotted path of each key, and its line from 1.
    """
    if document is None:
        return Source(name)
    if not isinstance(document, dict):
        return Source(name, problems=("this must be a mapping of settings, such as central_manager: NAME",))
    found = read(document)
    if not found.problems:
        return Source(name, found.fields, found.knobs)
    places = lines()
    told: List[str] = []
    for problem in found.problems:
        line: Optional[int] = places.get(problem.path)
        told.append(f"line {line}: {problem}" if line else str(problem))
    doubtful = tuple(path for problem in found.problems for path in problem.doubtful)
    return Source(name, found.fields, found.knobs, tuple(told), doubtful)


def from_knobs(name: str, knobs: Sequence[Knob], problems: Sequence[str] = ()) -> Source:
    """HTCondor knobs given directly; a collector among them names the central manager."""
    fields, mistakes = read_collector(knobs)
    return Source(name, fields, tuple(knobs), (*problems, *map(str, mistakes)))


def in_words(merged: Merged) -> Iterator[str]:
    """The settings in force, a line each: path, value, and where the value comes from."""
    for key in KEYS:
        value = key.in_words(merged.settings)
        if value:
            yield f"{key.path:<{_WIDTH}} {value}  ({merged.origins.get(key.field, 'default')})"
    knobs = len(merged.settings.condor)
    if knobs:
        words = f"{knobs} knob{'s' if knobs > 1 else ''}"
        yield f"{CONDOR.path:<{_WIDTH}} {words}  ({merged.origins.get(CONDOR.field, 'default')})"
