"""YAML from a human hand, or a hostile one: plain values only, and strict about keys that are given twice.

What a document may cost is a count of its characters, of its keys and values, and of its depth: never a clock's say.
"""

from typing import Any, Dict, Iterator, List, Optional, Tuple

import yaml

from .budget import LONGEST, MOST, TOO_LONG, TOO_MANY, Budget
from .grammar import HALF_CHARACTER, quoted

_DEEPEST = 32
_LONGEST_PATH = 256  # of a key that a message may want to find
_LONGEST_NUMBER = 64  # digits: what is longer takes Python ever longer to read, and no setting is a number like it

_TAG = "tag:yaml.org,2002:"
_TEXT = (f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value")  # no setting is a date: it is the text that was written
_NUMBERS = (f"{_TAG}int", f"{_TAG}float")
_SCALARS = ("null", "bool", "int", "float", "binary")
_ERRORS = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
# What the library's sentence has in it, and what is to be done then.
_REMEDIES = (
    ("mapping values are not allowed", "put a value with a colon in it into quotes, and check the indentation"),
    ("'\\t' that cannot start", "indent with spaces: YAML takes no tabs"),
    ("that cannot start any token", "put a value that begins with it into quotes"),
    ("could not find expected ':'", "write KEY: VALUE"),
    ("expected <block end>", "check the indentation"),
    ("undefined alias", "put a value that begins with * into quotes"),
    ("end of stream", "close the quotes"),
    ("but got '<stream end>'", "close the brackets"),
    ("but found another document", "leave out the second ---"),
)


class DocumentError(ValueError):
    """The text is no such document; the message is one line: where, what is wrong, what to do."""


def load(text: str, budget: Optional[Budget] = None) -> Any:
    """The document as plain Python values."""
    return _read(text, None, budget or Budget())


def load_value(text: str, key: str, budget: Optional[Budget] = None) -> Any:
    """The value of one key at the top; None without it. The others are another program's: parsed, but not judged."""
    return _read(text, key, budget or Budget())


def lines(text: str, key: Optional[str] = None, budget: Optional[Budget] = None) -> Dict[str, int]:
    """Where each key stands: its dotted path, below ``key`` where one is given, to its line from 1. Also of JSON."""
    found: Dict[str, int] = {}
    try:
        root = _compose(text.replace("\t", " "), budget or Budget())  # JSON may be indented with tabs
        for path, line in _places(root if key is None else _value_of(root, key)):
            found.setdefault(path, line)
            if len(found) >= MOST:
                break
    except _ERRORS:
        pass
    return found


def _read(text: str, key: Optional[str], budget: Budget) -> Any:
    try:
        root = _compose(text, budget)
        node = root if key is None else _value_of(root, key)
        return None if node is None else _plain(node, budget)
    except _MistakeError as err:
        raise DocumentError(str(err)) from err
    except _ERRORS as err:
        raise DocumentError(_told(err, text)) from err


def _compose(text: str, budget: Budget) -> Any:
    if len(text) > LONGEST:
        raise _MistakeError(TOO_LONG, None)
    return _Loader(text, budget).get_single_node()


def _value_of(root: Any, key: str) -> Any:
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found = [(name, value) for name, value in pairs if name.value == key]
    if len(found) > 1:
        raise _given_twice(found[0][0], found[1][0])
    return found[0][1] if found else None


def _plain(node: Any, budget: Budget, depth: int = 0) -> Any:
    if not budget.takes_values(1):
        raise _MistakeError(TOO_MANY, node.start_mark)
    if depth > _DEEPEST:
        raise _too_deep(node.start_mark)
    if node.tag == f"{_TAG}seq" and isinstance(node, yaml.SequenceNode):
        return [_plain(value, budget, depth + 1) for value in node.value]
    if node.tag == f"{_TAG}map" and isinstance(node, yaml.MappingNode):
        return {name: _plain(value, budget, depth + 1) for name, value in _pairs(node)}
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    raise _unknown_tag(node)


def _pairs(node: Any) -> Iterator[Tuple[Any, Any]]:
    seen: Dict[Any, Any] = {}
    for key_node, value in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _MistakeError("a key must be one word, and no list or mapping", key_node.start_mark)
        if key_node.tag == f"{_TAG}merge":
            raise _MistakeError("'<<' is not read here: write out the keys that it stands for", key_node.start_mark)
        key = _scalar(key_node)
        if key in seen:
            raise _given_twice(seen[key], key_node)
        seen[key] = key_node
        yield key, value


def _scalar(node: Any) -> Any:
    if node.tag in _TEXT:
        return _whole(node.value, node) if HALF_CHARACTER.search(node.value) else node.value
    kind = node.tag[len(_TAG) :] if node.tag.startswith(_TAG) else ""
    if kind not in _SCALARS:
        raise _unknown_tag(node)
    if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
        raise _MistakeError(f"a number of more than {_LONGEST_NUMBER} digits", node.start_mark)
    try:
        return getattr(yaml.constructor.SafeConstructor(), f"construct_yaml_{kind}")(node)
    except _ERRORS:
        raise _MistakeError(f"{quoted(node.value)} cannot be read as !!{kind}", node.start_mark) from None


def _whole(text: str, node: Any) -> str:
    """What JSON writes as two escapes is one character; a half by itself is none."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        sentence = "there is half a character in it (a surrogate): write it out"
        raise _MistakeError(sentence, node.start_mark) from None


def _places(root: Any) -> Iterator[Tuple[str, int]]:
    waiting: List[Tuple[str, Any]] = [("", root)]
    while waiting:
        prefix, node = waiting.pop()
        if not isinstance(node, yaml.MappingNode) or len(prefix) > _LONGEST_PATH:  # an alias may stand below itself
            continue
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                path = f"{prefix}{key.value if key.tag in _TEXT else quoted(key.value)}"
                yield path, key.start_mark.line + 1
                waiting.append((f"{path}.", value))


class _MistakeError(ValueError):
    """What this module itself finds wrong, as one line with its place."""

    def __init__(self, sentence: str, mark: Any) -> None:
        super().__init__(f"line {mark.line + 1}: {sentence}" if mark else sentence)


def _given_twice(first: Any, second: Any) -> _MistakeError:
    earlier = first.start_mark.line + 1
    return _MistakeError(f"the key {quoted(second.value)} is given twice, first in line {earlier}", second.start_mark)


def _too_deep(mark: Any) -> _MistakeError:
    return _MistakeError(f"this is nested more than {_DEEPEST} deep, which no settings are", mark)


def _unknown_tag(node: Any) -> _MistakeError:
    tag = f"!!{node.tag[len(_TAG) :]}" if node.tag.startswith(_TAG) else node.tag
    return _MistakeError(f"the tag {quoted(tag)} is not read here: leave it out", node.start_mark)


def _told(err: Exception, text: str) -> str:
    words, line = str(err), None
    if isinstance(err, yaml.MarkedYAMLError):  # the whole of it would quote the document, in which there may be secrets
        words = ", ".join(part for part in (err.context, err.problem) if part and not part.startswith("while "))
        begins_earlier = "end of stream" in words or "<stream end>" in words
        mark = (begins_earlier and err.context_mark) or err.problem_mark or err.context_mark
        line = mark.line + 1 if mark else None
    elif isinstance(err, yaml.reader.ReaderError):
        words, line = f"{err.reason}: U+{err.character:04X}", text.count("\n", 0, err.position) + 1
    remedy = next((f" ({what})" for sign, what in _REMEDIES if sign in words), "")
    shown = " ".join(words.split()).encode("ascii", "backslashreplace").decode("ascii")
    return f"{f'line {line}: ' if line else ''}this is not YAML: {shown[:200]}{remedy}"


class _Loader(yaml.SafeLoader):
    """Counts what it reads, before it goes deeper."""

    def __init__(self, text: str, budget: Budget) -> None:
        super().__init__(text)
        self._budget = budget
        self._depth = 0

    def fetch_more_tokens(self) -> None:
        if self.flow_level > _DEEPEST:  # the scanner looks ahead, and takes the square of the depth to do so
            raise _too_deep(self.get_mark())
        super().fetch_more_tokens()

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if not self._budget.takes_nodes(1):
            raise _MistakeError(TOO_MANY, mark)
        if self._depth > _DEEPEST:
            raise _too_deep(mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node
