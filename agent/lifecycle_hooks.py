"""Auto Scaling, which may keep an instance waiting at its launch and before its end until it is told to go on.

Source: EC2 Auto Scaling's API reference, and user guide, "Amazon EC2 Auto Scaling lifecycle hooks".
"""

from typing import Any, Mapping, NamedTuple, Optional, Tuple

from .aws import Session
from .aws_refusals import Trouble
from .errors import SignalError
from .iam_policy import Need, Place, hooks_need
from .model import Settings
from .signal_message import Due, Message, wish
from .terms import Terms

SERVICE = "Auto Scaling"
_OWN = "annex-agent"  # where a hook bears this in its name, the others of its kind are somebody else's


class Phase(NamedTuple):
    """A part of an instance's life in which hooks can keep it waiting; the state is EC2 Auto Scaling's."""

    state: str
    transition: str
    words: str


_LAUNCH = Phase("Pending", "autoscaling:EC2_INSTANCE_LAUNCHING", "launch")
_END = Phase("Terminating", "autoscaling:EC2_INSTANCE_TERMINATING", "end")
_ANSWERS: Mapping[str, Tuple[Phase, str]] = {
    "success": (_LAUNCH, "CONTINUE"),
    "failure": (_LAUNCH, "ABANDON"),
    "complete": (_END, "CONTINUE"),
    "abandon": (_END, "ABANDON"),
}


class Standing(NamedTuple):
    """The group that an instance is in, and the state of its life there."""

    group: str
    state: str

    def is_in(self, phase: Phase) -> bool:
        """Whether it waits for the answers to the phase's hooks, or is about to; also where it is in a warm pool."""
        return self.waits(phase) or self._bare == phase.state

    def waits(self, phase: Phase) -> bool:
        """Whether it waits for them now."""
        return self._bare == f"{phase.state}:Wait"

    @property
    def _bare(self) -> str:
        return self.state.replace("Warmed:", "")


def is_told(settings: Settings, event: str) -> bool:
    """Whether the settings have it told of such an event."""
    return settings.signals_autoscaling and (event in _ANSWERS or event == "heartbeat")


def due(event: str, terms: Terms, instance_id: str, session: Session, region: str) -> Due:
    """What it is to be told, once it is known which hooks the instance waits in."""
    place = Place(region, terms.account_id or "*")
    phases = (_ANSWERS[event][0],) if event in _ANSWERS else (_LAUNCH, _END)
    standing = _standing(instance_id, session, place)
    if standing is None:
        return Due(why_not="this instance is in none of its groups")
    phase = next((phase for phase in phases if standing.is_in(phase)), None)
    if phase is None:
        return _idle(standing, phases)
    hooks = ours(_hooks(standing.group, phase, session, place))
    if not hooks:
        return Due(why_not=f"the group {standing.group} has no hook of {_words((phase,))}")
    if event in _ANSWERS:
        standing = _settled(standing, phase, instance_id, session, place)
    if not standing.waits(phase):
        return _idle(standing, phases)
    return Due(tuple(_message(event, hook, standing, instance_id, place) for hook in hooks))


def ours(hooks: Tuple[str, ...]) -> Tuple[str, ...]:
    """Those that are for us to answer: all of them, unless some bear our name."""
    return tuple(hook for hook in hooks if _OWN in hook) or hooks


def _idle(standing: Standing, phases: Tuple[Phase, ...]) -> Due:
    where = f"this instance is {standing.state} in the group {standing.group}"
    return Due(why_not=f"{where}, and waits in no hook of {_words(phases)}")


def _settled(standing: Standing, phase: Phase, instance_id: str, session: Session, place: Place) -> Standing:
    """For a boot may be faster than Auto Scaling, which takes no answer before it waits for one."""
    attempt, now = 0, standing
    while now.is_in(phase) and not now.waits(phase):
        if not session.deadline.pauses(attempt):
            raise SignalError(
                f"this instance is still {now.state} in the group {now.group}, which takes no answer yet; run "
                "annex-agent signal again"
            )
        now = _standing(instance_id, session, place) or now._replace(state="gone")
        attempt += 1
    return now


def _standing(instance_id: str, session: Session, place: Place) -> Optional[Standing]:
    need = Need("autoscaling:DescribeAutoScalingInstances", "*", place.region)
    wanted = wish("the state of this instance", need)
    return session.ask(wanted, "describe_auto_scaling_instances", _first, InstanceIds=[instance_id])[0]


def _first(answer: Any) -> "Tuple[Optional[Standing]]":
    found = [
        Standing(str(each["AutoScalingGroupName"]), str(each["LifecycleState"]))
        for each in answer["AutoScalingInstances"]
    ]
    return (found[0] if found else None,)


def _hooks(group: str, phase: Phase, session: Session, place: Place) -> Tuple[str, ...]:
    need = Need("autoscaling:DescribeLifecycleHooks", "*", place.region)
    hooks = session.ask(
        wish(f"the list of the hooks of {group}", need),
        "describe_lifecycle_hooks",
        lambda answer: list(answer["LifecycleHooks"]),
        AutoScalingGroupName=group,
    )
    return tuple(str(hook["LifecycleHookName"]) for hook in hooks if hook["LifecycleTransition"] == phase.transition)


def _message(event: str, hook: str, standing: Standing, instance_id: str, place: Place) -> Message:
    parameters = {
        "LifecycleHookName": hook,
        "AutoScalingGroupName": standing.group,
        "InstanceId": instance_id,
    }
    where = f"the hook {hook} of the group {standing.group}"
    moot = f"this instance waits in {where} no more"
    if event not in _ANSWERS:
        words = f"a heartbeat for {where}"
        need = hooks_need("RecordLifecycleActionHeartbeat", place, standing.group)
        told = wish(f"the heartbeat for {where}", need, "cannot be given")
        return Message(told, "record_lifecycle_action_heartbeat", parameters, words, _is_moot, moot)
    result = _ANSWERS[event][1]
    need = hooks_need("CompleteLifecycleAction", place, standing.group)
    told = wish(f"the answer to {where}", need, "cannot be given")
    parameters["LifecycleActionResult"] = result
    return Message(told, "complete_lifecycle_action", parameters, f"{result} to {where}", _is_moot, moot)


def _is_moot(trouble: Trouble) -> bool:
    """Somebody else has answered, or the hook's time is over."""
    return trouble.code == "ValidationError" and "No active Lifecycle Action" in trouble.message


def _words(phases: Tuple[Phase, ...]) -> str:
    return "its " + " or its ".join(phase.words for phase in phases)
