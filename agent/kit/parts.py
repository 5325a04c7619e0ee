"""The parts of the kit, and how one is made."""

import json
from typing import Any, Callable, Dict, Iterator, NamedTuple, Sequence, Tuple

from ..errors import AnnexError, ConfigError, UsageError
from . import central_manager, launch_template, role, security_group, submit, token, user_data
from .request import Request


def _none(request: Request) -> Iterator[Any]:  # noqa: ARG001 - a part without problems, or hints
    yield from ()


def _as_json(document: Callable[[Request], Dict[str, Any]]) -> Callable[[Request], str]:
    return lambda request: json.dumps(document(request), indent=2) + "\n"


class Part(NamedTuple):
    """What it is for, all that stands in its way, its text, and what to do with that."""

    meaning: str
    problems: Callable[[Request], Iterator[AnnexError]]
    text: Callable[[Request], str]
    hints: Callable[[Request], Iterator[str]]


PARTS: Dict[str, Part] = {
    "central-manager": Part(
        "HTCondor configuration for the central manager, so that it lets the workers in",
        central_manager.problems,
        central_manager.text,
        central_manager.hints,
    ),
    "submit": Part(
        "HTCondor configuration for the access points, whose jobs run on the workers",
        _none,
        submit.text,
        submit.hints,
    ),
    "token": Part(
        "commands that make the workers' token or pool password and put it where they fetch it",
        token.problems,
        token.text,
        token.hints,
    ),
    "security-group": Part(
        "JSON for aws ec2 create-security-group; with --security-group, for authorize-security-group-ingress",
        security_group.problems,
        _as_json(security_group.document),
        security_group.hints,
    ),
    "iam-policy": Part(
        "JSON for aws iam put-role-policy: to read the workers' secrets, to send their signals, and nothing else",
        role.problems,
        _as_json(role.document),
        role.hints,
    ),
    "user-data": Part("user-data with these settings", user_data.problems, user_data.text, _none),
    "launch-template": Part(
        "JSON for aws ec2 create-launch-template, after which a launch needs only its name",
        launch_template.problems,
        _as_json(launch_template.document),
        launch_template.hints,
    ),
}


class Made(NamedTuple):
    """A part's text, and what to do with it, a sentence each."""

    text: str
    hints: Tuple[str, ...]


def listing() -> str:
    """Every part with its meaning."""
    return "".join(f"{name:<16} {part.meaning}\n" for name, part in PARTS.items())


def find(name: str) -> Part:
    """The part of this name."""
    if name not in PARTS:
        raise UsageError(f"{name!r} is no part of the kit: there are {', '.join(PARTS)}")
    return PARTS[name]


def make(part: Part, request: Request, problems: Sequence[AnnexError] = ()) -> Made:
    """The part's text; or everything that stands in its way, together with the ``problems`` found before."""
    _raise_all([*problems, *part.problems(request)])
    return Made(part.text(request), tuple(part.hints(request)))


def _raise_all(problems: Sequence[AnnexError]) -> None:
    """One error for all of them; wrong settings weigh more than a missing option."""
    sentences = [str(problem) for problem in problems]
    if any(isinstance(problem, ConfigError) for problem in problems):
        raise ConfigError(sentences)
    if sentences:
        raise UsageError("; ".join(sentences))
