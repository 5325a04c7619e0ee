"""The look at the signals that the settings ask for: whether the instance's role may give them."""

import json
from typing import Iterator

from .. import lifecycle_hooks, stack_signal
from ..aws import Deadline
from ..entrusted import ATTENDED
from ..errors import SignalDenied, SignalError
from ..iam_policy import Place, least_policy, stack_need
from ..model import Instance, Settings
from ..role_session import role_session
from ..terms import Terms
from .finding import Judgement, ok, problem, warning
from .scene import Scene

_MEND = "or what waits for the signal waits until its own timeout"


def signals(scene: Scene) -> Iterator[Judgement]:
    """Auto Scaling is asked what must be known before an answer; of a signal itself every try would be one."""
    settings = scene.readable_settings()
    told = {module.SERVICE: module.is_told(settings, "success") for module in (stack_signal, lifecycle_hooks)}
    if not any(told.values()):
        yield ok("the settings ask for none")
        return
    if not scene.is_instance:
        yield warning("not tried, as this is no instance", "check again on one of the image")
        return
    instance = scene.metadata().reading.instance
    if instance.iam_role is None:
        yield problem("this instance has no role that could give them", _policy(scene, settings, instance))
        return
    if told[stack_signal.SERVICE]:
        yield _of_stack(settings, instance)
    if told[lifecycle_hooks.SERVICE]:
        yield _of_group(scene, settings, instance)


def _of_stack(settings: Settings, instance: Instance) -> Judgement:
    need = stack_need(str(settings.cloudformation_stack), Place(instance.region or "*", instance.account_id or "*"))
    return ok(
        f"CloudFormation: not tried, for that would be to tell it; the role {instance.iam_role} must be allowed "
        f"{need.action} on {need.resource}"
    )


def _of_group(scene: Scene, settings: Settings, instance: Instance) -> Judgement:
    region = instance.region or scene.environ.get("AWS_REGION")
    if region is None:
        return problem("Auto Scaling: the metadata service names no region", "set AWS_REGION")
    terms = Terms(settings, instance.instance_id, region, instance.account_id)
    deadline = Deadline(ATTENDED.secrets_s, ATTENDED.propagation_s)
    with scene.open_metadata() as imds:
        session = role_session(instance, imds, settings, deadline, scene.environ)
        try:
            # The one event that is never waited with.
            due = lifecycle_hooks.due("heartbeat", terms, instance.instance_id, session, region)
        except SignalDenied as err:
            return problem(f"Auto Scaling: {str(err).partition('; ')[0]}", _policy(scene, settings, instance))
        except SignalError as err:
            words, _, remedy = str(err).partition("; ")
            return problem(f"Auto Scaling: {words}", remedy or _MEND)
    waits = " and ".join(message.parameters["LifecycleHookName"] for message in due.messages)
    return ok(f"Auto Scaling: {due.why_not or f'this instance waits in {waits}'}")


def _policy(scene: Scene, settings: Settings, instance: Instance) -> str:
    region = instance.region or scene.environ.get("AWS_REGION") or "*"
    policy = json.dumps(least_policy(settings, region, instance.account_id or "*"))
    return f"give the instance a role with this policy: {policy}"
