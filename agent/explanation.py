"""What a worker would make of its settings, told on a machine that is none: with an example's instance."""

from ipaddress import ip_address
from typing import Iterator, Sequence

from .grammar import printable
from .htcondor import CONFIG_FILE
from .model import Condor, Facts, Host, Instance
from .plan import Goal, build_plan
from .settings import Merged, Source, in_words
from .steps import Step, WriteFile

# Addresses and a name that are nobody's: RFC 5737, RFC 2606.
_INSTANCE = Instance(
    instance_id="i-0123456789abcdef0",
    availability_zone="us-east-1a",
    local_ipv4=ip_address("10.0.0.10"),
    instance_type="m7i.large",
    ami_id="ami-0123456789abcdef0",
    region="us-east-1",
    vpc_id="vpc-0123456789abcdef0",
    local_hostname="ip-10-0-0-10.ec2.internal",
    public_ipv4=ip_address("203.0.113.10"),
    public_hostname="ec2-203-0-113-10.example.com",
)
_HOST = Host(has_cloud_init=True, condor=Condor("as it is installed"), keeps_condor=True)


def explain(sources: Sequence[Source], merged: Merged) -> str:
    """What each source contributes, the settings in force with their origins, and the steps of a start."""
    plan = build_plan(Facts(_INSTANCE, merged.settings, _HOST), Goal.START)
    configuration = next(step for step in plan.steps if isinstance(step, WriteFile) and step.path == CONFIG_FILE)
    example = (
        f"{_INSTANCE.instance_id}, {_INSTANCE.instance_type} in {_INSTANCE.availability_zone}, public "
        f"{_INSTANCE.public_ipv4}, private {_INSTANCE.local_ipv4}"
    )
    sections = {
        "Sources, the later ones on top": ["built-in defaults", *_contributions(sources)],
        "Settings": list(in_words(merged)),
        f"What annex-agent start would do; the instance is an example ({example})": [*map(_in_words, plan.steps)],
        f"HTCondor's configuration there, {CONFIG_FILE}": configuration.content.splitlines(),
        "Notes": [f"- {note}" for note in (*_unseen(merged), *plan.notes)],
    }
    return "\n\n".join(_section(title, lines) for title, lines in sections.items() if lines)


def _unseen(merged: Merged) -> Iterator[str]:
    if merged.settings.bundle:
        yield f"{merged.settings.bundle} was not fetched: a worker also takes the configuration and secrets in it"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {printable(line)}".rstrip() for line in lines)])


def _contributions(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        yield from _contribution(source)


def _contribution(source: Source, indent: str = "") -> Iterator[str]:
    if not source.parts:
        yield f"{indent}{source.name}: {', '.join(source.paths()) or 'nothing'}"
        return
    yield f"{indent}{source.name}"
    for part in source.parts:
        yield from _contribution(part, f"{indent}  ")


def _in_words(step: Step) -> str:
    return f"- {step.description}"
