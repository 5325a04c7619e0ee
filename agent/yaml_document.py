"""YAML from a human hand: safe, and strict about keys that are given twice."""

from typing import Any, Dict, List

import yaml

from .grammar import quoted

_ERRORS = (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, RecursionError)


class DocumentError(ValueError):
    """The text is no such document; the message is one line, with its place."""


def load(text: str) -> Any:
    """The document as plain Python values."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that accepts less
    except _ERRORS as err:
        raise _told(err) from err


def load_value(text: str, key: str) -> Any:
    """The value of one key at the top; None without it. The others are another program's: parsed, but not judged."""
    try:
        loader = _StrictLoader(text)
        root = loader.get_single_node()
        pairs = root.value if isinstance(root, yaml.MappingNode) else []
        found = [(name, value) for name, value in pairs if name.value == key]
        if len(found) > 1:
            raise _given_twice(key, found[1][0])
        return loader.construct_document(found[0][1]) if found else None
    except _ERRORS as err:
        raise _told(err) from err


def _told(err: Exception) -> DocumentError:
    # The parser quotes the document, in which there may be what a terminal should not see.
    return DocumentError(" ".join(str(err).split()).encode("ascii", "backslashreplace").decode("ascii"))


def _given_twice(key: Any, node: Any) -> Exception:
    mistake: Exception = yaml.constructor.ConstructorError(
        None, None, f"the key {quoted(str(key))} is given twice", node.start_mark
    )
    return mistake


class _StrictLoader(yaml.SafeLoader):
    """A key that is given twice is an error: the first would be lost without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
        seen: List[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _given_twice(key, key_node)
            seen.append(key)
        return super().construct_mapping(node, deep)
