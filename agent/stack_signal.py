"""CloudFormation, which may wait with a resource of a stack until its instances have told how they started.

Source: CloudFormation's API reference, SignalResource, and user guide, "CreationPolicy attribute".
"""

import re

from .aws import Session
from .aws_refusals import Trouble
from .errors import SignalError
from .iam_policy import Place, stack_need
from .model import Settings
from .signal_message import Due, Message, wish
from .terms import Terms

SERVICE = "CloudFormation"
_STATUS = {"success": "SUCCESS", "failure": "FAILURE"}
# "Stack ... is in UPDATE_COMPLETE state and cannot be signaled", "Signal with ID ... for resource ... already exists".
_NOBODY_WAITS = re.compile(r"signaled|already exists")


def is_told(settings: Settings, event: str) -> bool:
    """Whether the settings have it told of such an event."""
    return bool(settings.cloudformation_stack and settings.cloudformation_resource) and event in _STATUS


def due(event: str, terms: Terms, instance_id: str, session: Session, region: str) -> Due:  # noqa: ARG001
    """What it is to be told; it is not asked for anything before."""
    stack, resource = str(terms.settings.cloudformation_stack), str(terms.settings.cloudformation_resource)
    status = _STATUS[event]
    parameters = {"StackName": stack, "LogicalResourceId": resource, "UniqueId": instance_id, "Status": status}
    place = f"{resource} in the stack {stack}"
    message = Message(
        wish(f"the signal for {place}", stack_need(stack, Place(region, terms.account_id or "*")), "cannot be given"),
        "signal_resource",
        parameters,
        f"{status} for {place}",
        lambda trouble: _is_moot(trouble, stack, resource, region),
        f"it waits for no signal of this instance for {place}",
    )
    return Due((message,))


def _is_moot(trouble: Trouble, stack: str, resource: str, region: str) -> bool:
    if trouble.code == "ValidationError" and "does not exist" in trouble.message:
        raise SignalError(
            f"there is no stack {stack} in {region}, or no resource {resource} in it; correct signal.cloudformation in "
            "the settings"
        )
    return trouble.code == "ValidationError" and bool(_NOBODY_WAITS.search(trouble.message))
