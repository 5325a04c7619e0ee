"""``validate``: what is wrong in files of user-data and settings, and what they set.

It works on any machine: nothing is needed, and nothing loaded, that belongs to HTCondor, to systemd or to EC2.
"""

import json
from pathlib import Path
from typing import List, NamedTuple, Tuple

from .document import UserData
from .errors import UsageError
from .forms import is_marked
from .given import name_given, read_given
from .logs import LOG
from .multipart import is_message
from .options import Options
from .schema import SECTIONS, WRAPPER
from .settings import NO_POOL, Source, from_bytes, merge, open_secrets, says_nothing
from .unmarked import begins_with_key
from .userdata import NAME, parse

_MOST_NAMED = 30
_MARK_IT = " (as user-data it would need a line #annex-agent above it)"


class Document(NamedTuple):
    """A file: what it is, and what it says."""

    kind: str
    source: Source
    is_ours: bool = True  # whether it is addressed to annex-agent at all
    is_config: bool = False
    notices: Tuple[str, ...] = ()


def validate(options: Options) -> int:
    """Say of each file what it is and sets; raises all that is wrong in them at once."""
    if options.schema:
        from . import json_schema  # noqa: PLC0415 - seldom needed

        print(json.dumps(json_schema.document(), indent=2))
        return 0
    documents = _documents(options)
    for document in documents:
        for notice in document.notices:
            LOG.warning("%s", notice)
    merged = merge([document.source for document in documents], are_all=len(documents) > 1)
    for warning in (*_unsettled(documents[0], merged.unsettled), *open_secrets(merged)):
        LOG.warning("%s", warning)
    for document in documents:
        print(_in_words(document))
    if options.explain:
        from .explanation import explain  # noqa: PLC0415 - it needs the plan, and so much more than a check

        print(f"\n{explain([document.source for document in documents], merged)}")
    return 0


def _documents(options: Options) -> List[Document]:
    """The config file first, as it is at a boot."""
    file = Path(options.argument) if options.argument is not None else None
    if file and options.user_data:
        raise UsageError(f"{name_given(file)} and --user-data {name_given(options.user_data)}: one of them is enough")
    if not (file or options.config or options.user_data):
        raise UsageError("validate needs a file: validate FILE, or - for standard input")
    documents = [_config(options.config, read_given(options.config))] if options.config else []
    if options.user_data:
        documents.append(_user_data(options.user_data, read_given(options.user_data)))
    elif file:
        content = read_given(file)
        is_config = not documents and _is_config(content)
        found = _config(file, content) if is_config else _user_data(file, content)
        is_unmarked = is_config and not says_nothing(content.decode("utf-8", "replace"))
        documents.append(found._replace(kind=f"{found.kind}{_MARK_IT}") if is_unmarked else found)
    return documents


def _config(path: Path, content: bytes) -> Document:
    return Document("a config file", from_bytes(name_given(path), content), is_config=True)


def _user_data(path: Path, content: bytes) -> Document:
    found: UserData = parse(content)
    name = name_given(path)
    notices = tuple(f"{name}{notice[len(NAME) :]}" for notice in found.notices)
    return Document(f"user-data ({found.kind})", found.source._replace(name=name), found.is_ours, notices=notices)


def _is_config(content: bytes) -> bool:
    """Whether these are settings that user-data would have to have marked: YAML, with or without ``annex_agent:``."""
    text = content.decode("utf-8", "replace").lstrip("\ufeff")
    if text.lstrip().startswith("{"):
        return not parse(content).is_ours and _has_settings(text)
    return not is_marked(text) and not is_message(content) and (begins_with_key(text) or says_nothing(text))


def _has_settings(text: str) -> bool:
    from .yaml_document import DocumentError, load  # noqa: PLC0415 - slow to load, and seldom needed

    try:
        document = load(text)
    except DocumentError:
        return False
    return isinstance(document, dict) and any(name in (*SECTIONS[""], WRAPPER) for name in document)


def _unsettled(document: Document, sentences: Tuple[str, ...]) -> List[str]:
    """What one file alone leaves to the other; that a config file names no central manager is how it should be."""
    name, other = document.source.name, "user-data" if document.is_config else "config.yaml"
    told = [sentence for sentence in sentences if not (document.is_config and sentence == NO_POOL)]
    return [f"{name} alone, without {other}: {sentence}" for sentence in told] if document.is_ours else []


def _in_words(document: Document) -> str:
    if not document.is_ours:
        return f"{document.source.name}: ok, {document.kind}; it holds nothing for annex-agent"
    names = document.source.paths()
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    says = f"sets {', '.join(names[:_MOST_NAMED])}{more}" if names else "sets nothing: the defaults hold"
    return f"{document.source.name}: ok, {document.kind}; it {says}"
