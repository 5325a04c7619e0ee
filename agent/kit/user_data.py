"""User-data that says what these settings say: read on a worker, it gives the same settings again."""

import json
import re
from typing import Any, Iterator, List, Sequence

from ..errors import AnnexError, ConfigError
from ..schema import KEYS
from .request import Request

LIMIT = 16 * 1024  # EC2 user guide, "Instance user data": before base64
_MARK = "#annex-agent"
_BOUNDARY = "annex-agent"
# Plain to read, and text to every parser of YAML.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?::[A-Za-z0-9_./-]+)*\Z")
_NOT_TEXT = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def problems(request: Request) -> Iterator[AnnexError]:
    """A secret that everybody could read, and more than EC2 takes."""
    for field, place in request.settings.secrets.items():
        if place.scheme == "inline":
            yield ConfigError(
                [
                    f"{_path(field)} is inline:, and whoever may describe the instance reads its user-data: keep the "
                    "secret with secretsmanager:NAME, ssm:NAME or s3://BUCKET/KEY"
                ]
            )
    if len(text(request).encode("ascii")) > LIMIT:
        yield ConfigError(
            [f"these settings make more than {LIMIT // 1024} KiB of user-data: put some into the image's config.yaml"]
        )


def text(request: Request) -> str:
    """The document, all ASCII; with ``--mime`` as the one part of a message, to which others can be added."""
    document = "\n".join([_MARK, *_lines(request)]) + "\n"
    if not request.site.mime:
        return document
    return (
        f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BOUNDARY}"\n\n'
        f"--{_BOUNDARY}\nContent-Type: text/x-annex-agent\n\n{document}--{_BOUNDARY}--\n"
    )


def _lines(request: Request) -> Iterator[str]:
    above: Sequence[str] = ()
    for key in KEYS:
        if key.field not in request.given:
            continue
        *sections, name = key.path.split(".")
        for depth, section in enumerate(sections):
            if sections[: depth + 1] != list(above)[: depth + 1]:
                yield f"{'  ' * depth}{section}:"
        above = sections
        yield f"{'  ' * len(sections)}{name}: {_value(key.written(request.settings))}"
    if request.settings.condor:
        yield "condor:"
        yield from (f"  {_quoted(knob.name)}: {_quoted(knob.value)}" for knob in request.settings.condor)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_quoted, value))}]" if isinstance(value, list) else _scalar(value)


def _scalar(text: str) -> str:
    return text if _PLAIN.match(text) and text.lower() not in _NOT_TEXT else _quoted(text)


def _quoted(text: str) -> str:
    """Double quotes are read alike by JSON and YAML; only beyond the first plane they write a character otherwise."""
    parts: List[str] = [json.dumps(char)[1:-1] if ord(char) < 0x10000 else f"\\U{ord(char):08x}" for char in text]
    return f'"{"".join(parts)}"'


def _path(field: str) -> str:
    return next((key.path for key in KEYS if key.field == field), field)
