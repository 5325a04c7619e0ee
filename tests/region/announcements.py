"""What EC2 announces through the metadata service, as changes to the emulator's profile; times are since the epoch.

The documents' forms: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html,
rebalance-recommendations.html, viewing_scheduled_events.html; lifecycle states: Amazon EC2 Auto Scaling's user guide.
"""

import json
import time
from typing import Any, Optional

from .metadata import profile

_STAMP = "%Y-%m-%dT%H:%M:%SZ"


def spot(at: float, action: str = "terminate") -> dict[str, Any]:
    """A spot instance's interruption notice, and on terminate the older key beside it."""
    notice: dict[str, Any] = {"instance-action": json.dumps({"action": action, "time": _stamp(at)})}
    if action == "terminate":
        notice["termination-time"] = _stamp(at)
    return {"meta-data": {"spot": notice}}


def rebalance(noticed: Optional[float]) -> dict[str, Any]:
    """A recommendation; None: there is none any more."""
    said = None if noticed is None else {"rebalance": json.dumps({"noticeTime": _stamp(noticed)})}
    return {"meta-data": {"events": {"recommendations": said}}}


def scheduled(code: Optional[str], at: float = 0.0, lasting_s: float = 7200.0, state: str = "active") -> dict[str, Any]:
    """One scheduled event, such as ``instance-stop`` or ``system-reboot``; None: none is scheduled."""
    event = {
        "NotBefore": _day(at),
        "Code": code,
        "Description": f"{code} is scheduled",
        "EventId": f"instance-event-{int(at):017x}",
        "NotAfter": _day(at + lasting_s),
        "State": state,
    }
    return {"meta-data": {"events": {"maintenance": {"scheduled": json.dumps([event] if code else [])}}}}


def lifecycle(state: Optional[str]) -> dict[str, Any]:
    """The state into which its Auto Scaling group brings the instance; None: it is in no group."""
    return {"meta-data": {"autoscaling": state and {"target-lifecycle-state": state}}}


def launched(at: float) -> dict[str, Any]:
    """An instance identity document with this ``pendingTime``."""
    said = profile(None)["meta-data"]
    document = {
        "accountId": "123456789012",
        "architecture": "x86_64",
        "availabilityZone": said["placement"]["availability-zone"],
        "imageId": said["ami-id"],
        "instanceId": said["instance-id"],
        "instanceType": said["instance-type"],
        "pendingTime": _stamp(at),
        "privateIp": said["local-ipv4"],
        "region": said["placement"]["region"],
        "version": "2017-09-30",
    }
    return {"dynamic": {"instance-identity": {"document": document}}}


def _stamp(at: float) -> str:
    return time.strftime(_STAMP, time.gmtime(at))


def _day(at: float) -> str:
    return time.strftime("%d %b %Y %H:%M:%S GMT", time.gmtime(at))
