"""A directory of the service: keys with values, and further directories."""

from typing import List, Mapping, Union

# None stands for a key that was taken away.
Tree = Mapping[str, Union[str, bytes, "Tree", None]]


def find(tree: Tree, path: List[str]) -> Union[str, bytes, Tree, None]:
    """What stands at ``path``: a value, a directory, or None."""
    found: Union[str, bytes, Tree, None] = tree
    for part in path:
        if not isinstance(found, Mapping):
            return None
        # "0=my-key" is listed so and read as "0": public-keys/0/openssh-key
        indexed = (child for key, child in found.items() if key.startswith(f"{part}=") and isinstance(child, Mapping))
        found = found[part] if part in found else next(indexed, None)
    return found


def listing(tree: Tree, slashes: bool) -> str:
    """A directory as the service lists it: a name a line, directories with a slash."""
    names = (
        f"{key}/" if slashes and isinstance(child, Mapping) and "=" not in key else key
        for key, child in sorted(tree.items())
        if child is not None
    )
    return "\n".join(names)


def with_value(tree: Tree, path: List[str], value: Union[str, bytes, None]) -> Tree:
    """``tree`` with one key set, or removed together with the directories that it leaves empty."""
    below = tree.get(path[0])
    new: Union[str, bytes, Tree, None] = value
    if path[1:]:
        new = with_value(below if isinstance(below, Mapping) else {}, path[1:], value) or None
    rest = {key: child for key, child in tree.items() if key != path[0]}
    return rest if new is None else {**rest, path[0]: new}


def laid_over(below: Tree, above: Tree) -> Tree:
    """Both, mapping by mapping; where both have a value, the upper one's."""
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        merged[key] = laid_over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged
