"""The kinds of value that a setting can have; those of the network are in ``network_values``.

A kind's parser and its JSON Schema stand together: what the schema refuses the parser refuses, and ``beyond`` says what
the parser alone can see.  A parser takes what YAML and JSON make of a document, and raises ``ValueError`` with a
sentence that can follow the setting's path.  It never looks inside of a list or mapping that it does not expect:
YAML's aliases can make one endless.
"""

from typing import Any, Callable, Mapping, NamedTuple, Optional

from . import grammar
from .model import Knob
from .secret import SCHEMES, Reference, reference

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_MOST_DIGITS = 999_999_999  # of a duration's number, in any unit
_LONGEST_S = _MOST_DIGITS * 86400
_WITH_POINT = "a number with a point, even if only noughts follow"
_INT64 = 2**63  # HTCondor calculates with no more


def _as_it_is(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Reference) else value


class Kind(NamedTuple):
    """How a value is read, and written again; and what people and JSON Schema (draft-07) are told of it."""

    parse: Callable[[Any], Any]
    schema: Mapping[str, Any]
    words: str  # the values, in Markdown
    plain: str = ""  # the same where it cannot be read up elsewhere; empty: as ``words``
    beyond: str = ""  # what the parser refuses and the schema does not
    write: Callable[[Any], Any] = _as_it_is  # a parsed value as a document would have it; secrets are masked


def shown(value: Any) -> str:
    """A value in a message; never the inside of a list or mapping."""
    if _is_nested(value):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return "a number beyond all bounds"  # Python refuses to write it out, or takes its time
    return grammar.quoted(value if isinstance(value, str) else repr(value))


def text(value: Any) -> str:
    """Text as it stands, and nothing that YAML takes for something else."""
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - one kind of error for all that a document can have wrong
            f"must be text, not {shown(value)}{'' if _is_nested(value) else ' (put it in quotes)'}"
        )
    return value


def matching(pattern: str, **more: Any) -> Mapping[str, Any]:
    """The JSON Schema of a text that is wholly ``pattern``, which both Python and ECMA 262 understand."""
    return {"type": "string", "pattern": f"^{pattern}$", **more}


def knob(name: Any, value: Any) -> Knob:
    """One of HTCondor's knobs, from a key and a value of a mapping."""
    if not isinstance(name, str):
        raise ValueError("the name of a knob must be text (put it in quotes)")  # noqa: TRY004 - as text does
    return Knob(grammar.knob_name(name), grammar.knob_value(_knob_text(value)))


def choice(**words: str) -> Kind:
    """One of these words, each with what it means, or nothing where the word itself says it."""
    allowed = tuple(words)

    def parse(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {shown(value)}")
        return str(value)

    meanings = [f"`{word}`{f' ({meaning})' if meaning else ''}" for word, meaning in words.items()]
    return Kind(parse, {"enum": list(allowed)}, ", ".join(meanings))


def duration(at_least: int = 1, at_most: int = _LONGEST_S) -> Kind:
    """How long something takes: whole seconds, within bounds."""
    lowest, highest = written_duration(at_least), written_duration(at_most)
    has_end, is_bounded = at_most != _LONGEST_S, (at_least, at_most) != (1, _LONGEST_S)
    bounds = f"from {lowest} to {highest}" if has_end else f"at least {lowest}"
    examples = f"`90s`, `10m`, `8h`{f'; {bounds}' if is_bounded else ''}"

    def parse(value: Any) -> int:
        seconds = _seconds(value)
        if not at_least <= seconds <= at_most:
            unit = " (a number without a unit is seconds)" if str(value).strip().isdigit() else ""
            raise ValueError(f"must be {bounds}, not {shown(value)}{unit}")
        return seconds

    whole = {"type": "integer", "minimum": at_least, "maximum": min(at_most, _MOST_DIGITS)}
    return Kind(
        parse,
        {"oneOf": [matching(r"\s*(?=0*[1-9])[0-9]{1,9}[smhd]?\s*"), whole]},
        f"`{lowest}` to `{highest}`" if has_end else examples,
        beyond=f"text that is not {bounds}, and {_WITH_POINT}" if is_bounded else _WITH_POINT,
        write=written_duration,
    )


def written_duration(seconds: Optional[int]) -> Optional[str]:
    """Seconds as settings have them, in the largest unit that leaves nothing over."""
    if seconds is None:
        return None
    return next(f"{seconds // size}{unit}" for unit, size in _UNITS if seconds % size == 0)


def _seconds(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if -_INT64 <= value < _INT64 else shown(value)
    return grammar.duration_s(text(value))


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list, set, tuple))


def _knob_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, (int, float)):
        raise ValueError("a knob's value must be text, a number, or true or false")  # noqa: TRY004 - as text does
    if not -_INT64 <= value < _INT64:
        raise ValueError("a number must be one that 64 bits can hold (or put it in quotes)")
    return str(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {shown(value)}")  # noqa: TRY004 - as text does
    return value


def _secret(value: Any) -> Reference:
    if not isinstance(value, str):
        raise ValueError("must be text that says where the secret is kept")  # noqa: TRY004 - as text does
    return reference(value)


TRUTH = Kind(_truth, {"type": "boolean"}, "`true`, `false`")
DURATION = duration()
NAME = Kind(
    lambda value: grammar.annex_name(text(value)),
    matching("[A-Za-z0-9][A-Za-z0-9._-]*", maxLength=128),
    "a name",
    plain="letters, digits, '.', '_', '-'",
)
SECRET = Kind(
    _secret,
    matching(rf"(?:{'|'.join(SCHEMES)}):[\s\S]+"),
    "where it is [kept](#secrets)",
    plain="kept in secretsmanager:NAME, ssm:NAME, s3://BUCKET/KEY or file:/PATH",
    beyond="which paths, buckets and names there can be",
)
# Its values are read one by one, by ``knob``.
KNOBS = Kind(
    lambda value: tuple(knob(*pair) for pair in value.items()),
    {
        "type": ["object", "null"],
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_.]*$"},
        "additionalProperties": {
            "type": ["string", "number", "boolean"],
            "pattern": r"^\s*(?:[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\x00-\x1f\x7f-\x9f\u2028\u2029\\\s])?\s*$",
            "minimum": -_INT64,
            "exclusiveMaximum": _INT64,
        },
    },
    "a mapping of HTCondor knobs, `NAME: value`",
    beyond="directives (use, include, if, ...), LOCAL_CONFIG_*, and numbers that are none (.nan)",
)
