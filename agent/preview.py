"""A dry run's text: the facts, then each step as it would be applied to the machine as it is now."""

from typing import List, Optional, Tuple

from .errors import AnnexError
from .gather import Gathered
from .machine import Machine
from .plan import Plan
from .settings import Merged, in_words
from .steps import Step


def show_facts(gathered: Gathered) -> str:
    """What was seen, a line a fact."""
    instance, host = gathered.facts.instance, gathered.facts.host
    rows: List[Tuple[str, Optional[str]]] = [
        ("instance", _joined(instance.instance_id, instance.instance_type, instance.life_cycle, instance.ami_id)),
        ("placement", _joined(instance.availability_zone, instance.region, instance.vpc_id)),
        ("public", _joined(instance.public_ipv4, instance.public_hostname) or "no public address"),
        ("private", _joined(instance.local_ipv4, instance.local_hostname)),
        ("role", instance.iam_role),
        ("tags", ", ".join(f"{key}={ascii(value)[1:-1]}" for key, value in sorted(instance.tags.items()))),
        ("metadata", gathered.metadata),
        ("user-data", gathered.user_data),
        ("secrets", ", ".join(f"{secret.origin} can be had" for secret in gathered.facts.secrets if secret)),
        ("HTCondor", host.condor.version if host.condor else "not installed here"),
    ]
    facts = [f"  {name:<12} {value}" for name, value in rows if value]
    settings = in_words(Merged(gathered.facts.settings, gathered.origins))
    return "\n".join(["Facts", *facts, "", "Settings", *(f"  {line}" for line in settings)])


def show_plan(plan: Plan, machine: Machine) -> "tuple[str, AnnexError | None]":
    """Every step with what it would change, and the first error met on the way; nothing is changed."""
    lines, failure = ["Steps"], None
    for step in plan.steps:
        try:
            lines += _step_lines(step, machine)
        except AnnexError as err:
            failure = failure or err
            lines += [f"  ! {step.description}", f"      {err}"]
    lines += ["", "Notes", *(f"  - {note}" for note in plan.notes)] if plan.notes else []
    return "\n".join(lines), failure


def _step_lines(step: Step, machine: Machine) -> List[str]:
    change = step.pending(machine)
    if change is None:
        return [f"  = {step.description}"]
    details = change.summary.splitlines() + change.detail.splitlines()
    return [f"  ~ {step.description}", *(f"      {line}".rstrip() for line in details)]


def _joined(*parts: object) -> str:
    return "  ".join(str(part) for part in parts if part)
