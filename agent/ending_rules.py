"""What settings of a worker's end exclude each other, and which will hardly do what was meant."""

from typing import Iterator

from .model import Facts, Settings
from .values import written_duration

# A boot, the way into the pool and the first match take their minutes.
_SHORT_LEASE_S = 600
# NEGOTIATOR_INTERVAL is a minute, and jobs come with one after the other of its cycles.
_SHORT_IDLENESS_S = 180
# A start waits five minutes for the metadata service, and two for the slot.
_SHORT_BOOTSTRAP_S = 420
_LATE_S = 10  # of the two minutes between a spot instance's notice and its end
_STOP_MARGIN_S = 60


def contradictions(settings: Settings) -> Iterator[str]:
    """What cannot be, with its path and remedy."""
    pair = {"stack": settings.cloudformation_stack, "resource": settings.cloudformation_resource}
    missing = [name for name, value in pair.items() if not value]
    if len(missing) == 1:
        yield (
            f"signal.cloudformation.{missing[0]} is missing: CloudFormation is told of a resource of a stack, so name "
            "both, or neither"
        )


def notes(facts: Facts) -> Iterator[str]:
    """What an administrator should know about these settings, one sentence each."""
    yield from _hasty(facts.settings)
    yield from _unheard(facts)


def _hasty(settings: Settings) -> Iterator[str]:
    if settings.lease_s and settings.lease_s < _SHORT_LEASE_S:
        yield (
            f"lifetime.lease: {written_duration(settings.lease_s)} after its launch, booting included, this machine "
            "leaves its pool again: few jobs will have ended"
        )
    if settings.idle_s and settings.idle_s < _SHORT_IDLENESS_S:
        yield (
            f"lifetime.idle: a negotiator that looks once a minute may not have found this machine a job within "
            f"{written_duration(settings.idle_s)}: some minutes more let it get one"
        )
    action = settings.on_unregistered or settings.on_failure
    if action != "keep" and settings.unregistered_s < _SHORT_BOOTSTRAP_S:
        yield (
            f"lifetime.unregistered: {written_duration(settings.unregistered_s)} may end a bootstrap that would have "
            f"succeeded: on a bad day it takes {written_duration(_SHORT_BOOTSTRAP_S)}"
        )


def _unheard(facts: Facts) -> Iterator[str]:
    settings = facts.settings
    if facts.instance.is_spot and settings.on_spot != "ignore" and settings.poll_s > _LATE_S:
        yield (
            f"interruption.poll: EC2's notice may be heard {written_duration(settings.poll_s)} late, of the 2m it gives"
        )
    if settings.on_maintenance == "drain" and settings.lead_s < settings.stop_timeout_s + _STOP_MARGIN_S:
        yield (
            f"interruption.lead: {written_duration(settings.lead_s)} before a scheduled event a stop that may take "
            f"{written_duration(settings.stop_timeout_s)} (stop.timeout) has to have begun"
        )
    if settings.signals_autoscaling and settings.on_autoscaling == "ignore":
        yield (
            "signal.autoscaling: nobody answers the group's lifecycle hook at termination while "
            "interruption.autoscaling is ignore: the group waits until the hook's own timeout"
        )
