"""YAML from a human hand: safe, and strict about keys that are given twice."""

from typing import Any, Dict, List

import yaml

from .grammar import quoted


class DocumentError(ValueError):
    """The text is no such document; the message is one line, with its place."""


def load(text: str) -> Any:
    """The document as plain Python values."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that accepts less
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        raise DocumentError(" ".join(str(err).split())) from err


class _StrictLoader(yaml.SafeLoader):
    """A key that is given twice is an error: the first would be lost without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
        seen: List[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {quoted(str(key))} is given twice", key_node.start_mark
                )
            seen.append(key)
        return super().construct_mapping(node, deep)
