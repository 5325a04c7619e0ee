"""Who waits for signals: the calls of CloudFormation and EC2 Auto Scaling that moto does not know, with their state.

moto has no SignalResource, no CompleteLifecycleAction, no RecordLifecycleActionHeartbeat, and no instance that waits in
a hook.  What is asked is checked as the API references say (required parameters, their lengths, patterns and values),
and refused in the services' own words; stacks, their resources and the hooks themselves are moto's.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Optional
from xml.sax.saxutils import escape

_ERROR = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    "<RequestId>0</RequestId></ErrorResponse>"
)
_ANSWER = (
    "<{0}Response><{0}Result>{1}</{0}Result><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></{0}Response>"
)
_TEXT = r"[\x20-\ud7ff]"
_HOOK = {"LifecycleHookName": r"[A-Za-z0-9_/-]{1,255}", "AutoScalingGroupName": rf"{_TEXT}{{1,1600}}"}
_WHOSE = {"InstanceId": rf"{_TEXT}{{1,19}}", "LifecycleActionToken": r".{36}"}
# Each parameter of the API's reference, as a pattern; all of the first are required, of the second one is enough.
_PARAMETERS: Mapping[str, "tuple[Mapping[str, str], Mapping[str, str]]"] = {
    "SignalResource": (
        {
            "StackName": r"[a-zA-Z][-a-zA-Z0-9]*|arn:aws[a-z-]*:[-a-zA-Z0-9:/._+]*",
            "LogicalResourceId": r"[A-Za-z0-9]+",
            "UniqueId": r".{1,64}",
            "Status": r"SUCCESS|FAILURE",
        },
        {},
    ),
    "CompleteLifecycleAction": ({**_HOOK, "LifecycleActionResult": r"CONTINUE|ABANDON"}, _WHOSE),
    "RecordLifecycleActionHeartbeat": (_HOOK, _WHOSE),
    "DescribeAutoScalingInstances": ({}, {"InstanceIds.member.1": rf"{_TEXT}{{1,19}}"}),
}
_TRANSITIONS = {"Pending": "autoscaling:EC2_INSTANCE_LAUNCHING", "Terminating": "autoscaling:EC2_INSTANCE_TERMINATING"}


class Answer(NamedTuple):
    """A status of HTTP, and XML."""

    status: int
    body: str


class Refused(Exception):
    """ValidationError, in the service's words."""


class Waiting:
    """Those who wait; ``call`` asks moto as the account's owner."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.reset()

    def reset(self) -> None:
        """Nobody waits, nothing was told."""
        self.told: list[dict[str, str]] = []  # what was taken, oldest first: the parameters, and the Action
        self._settled: dict[str, str] = {}
        self._signals: dict[tuple[str, str, str], str] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self._answered: set[tuple[str, str]] = set()

    def settle(self, stack: str, status: str = "CREATE_COMPLETE") -> None:
        """The stack waits no more: as every stack of moto's, which else counts as one that is being created."""
        self._settled[stack] = status

    def place(self, instance: str, group: str, state: str) -> None:
        """Put an instance into a group, in a state such as ``Pending:Wait``."""
        self._places[instance] = (group, state)
        self._answered = {(hook, whose) for hook, whose in self._answered if whose != instance}

    def state(self, instance: str) -> str:
        """The instance's state."""
        return self._places[instance][1]

    def answer(self, action: str, parameters: Mapping[str, str]) -> Optional[Answer]:
        """The answer to what another than the owner asks; None: it is for moto."""
        if action not in _PARAMETERS:
            return None
        answers: dict[str, Callable[[Mapping[str, str]], str]] = {
            "SignalResource": self._signal_resource,
            "CompleteLifecycleAction": self._complete,
            "RecordLifecycleActionHeartbeat": self._heartbeat,
            "DescribeAutoScalingInstances": self._describe,
        }
        try:
            _check(action, parameters)
            result = answers[action](parameters)
        except Refused as err:
            return Answer(400, error("ValidationError", str(err)))
        if not action.startswith("Describe"):
            known = {name: parameters[name] for part in _PARAMETERS[action] for name in part if name in parameters}
            self.told.append({"Action": action, **known})
        return Answer(200, _ANSWER.format(action, result))

    def _signal_resource(self, asked: Mapping[str, str]) -> str:
        stack, resource, unique, status = (asked[name] for name in _PARAMETERS["SignalResource"][0])
        try:
            self._call("cloudformation", "describe_stack_resource", StackName=stack, LogicalResourceId=resource)
        except Exception as err:
            raise Refused(str(err).rpartition("operation: ")[2]) from err
        if stack in self._settled:
            raise Refused(
                f"Stack arn:aws:cloudformation:us-east-1:123456789012:stack/{stack}/0f4ae510 is in "
                f"{self._settled[stack]} state and cannot be signaled"
            )
        if (stack, resource, unique) in self._signals and status != "FAILURE":
            raise Refused(
                f"Signal with ID {unique} for resource {resource} already exists. Signals may only be updated with a "
                "FAILURE status."
            )
        self._signals[stack, resource, unique] = status
        return ""

    def _describe(self, asked: Mapping[str, str]) -> str:
        ids = [value for name, value in asked.items() if name.startswith("InstanceIds.member.")]
        members = [
            f"<member><InstanceId>{whose}</InstanceId><AutoScalingGroupName>{escape(group)}</AutoScalingGroupName>"
            "<AvailabilityZone>us-east-1a</AvailabilityZone><HealthStatus>HEALTHY</HealthStatus>"
            f"<LifecycleState>{state}</LifecycleState><ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
            for whose, (group, state) in self._places.items()
            if whose in ids
        ]
        return f"<AutoScalingInstances>{''.join(members)}</AutoScalingInstances>"

    def _complete(self, asked: Mapping[str, str]) -> str:
        instance, hook = asked["InstanceId"], asked["LifecycleHookName"]
        others = self._active(asked) - {hook}
        self._answered.add((hook, instance))
        group, state = self._places[instance]
        if not others or asked["LifecycleActionResult"] == "ABANDON":
            self._places[instance] = (group, state.replace(":Wait", ":Proceed"))
        return ""

    def _heartbeat(self, asked: Mapping[str, str]) -> str:
        self._active(asked)
        return ""

    def _active(self, asked: Mapping[str, str]) -> set[str]:
        """The hooks that the instance waits in, the one that is asked for among them."""
        instance, group = asked["InstanceId"], asked["AutoScalingGroupName"]
        own, state = self._places.get(instance, ("", ""))
        phase = state.replace("Warmed:", "").partition(":")[0]
        hooks = self._call("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=group)["LifecycleHooks"]
        active = {
            hook["LifecycleHookName"]
            for hook in hooks
            if own == group and state.endswith(":Wait") and hook["LifecycleTransition"] == _TRANSITIONS.get(phase)
        }
        active = {hook for hook in active if (hook, instance) not in self._answered}
        if asked["LifecycleHookName"] not in active:
            raise Refused(f"No active Lifecycle Action found with instance ID {instance}")
        return active


def error(code: str, message: str) -> str:
    """As the services of the query protocol refuse."""
    return _ERROR.format(code=code, message=escape(message))


def _check(action: str, parameters: Mapping[str, str]) -> None:
    required, one_of = _PARAMETERS[action]
    for name, pattern in {**required, **one_of}.items():
        if name in parameters and not re.fullmatch(pattern, parameters[name]):
            raise Refused(f"1 validation error detected: Value '{parameters[name]}' at '{name}' is not valid")
        if name in required and name not in parameters:
            raise Refused(f"1 validation error detected: Value null at '{name}' failed to satisfy constraint")
    if one_of and not set(one_of).intersection(parameters):
        raise Refused(f"1 validation error detected: one of {', '.join(one_of)} is required")
