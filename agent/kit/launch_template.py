"""The launch template: input for the AWS CLI, after which a launch needs nothing but the template's name."""

import base64
from typing import Any, Dict, Iterator

from ..errors import AnnexError
from ..iam_policy import asks_aws
from . import user_data
from .request import Request, missing


def problems(request: Request) -> Iterator[AnnexError]:
    """What a launch could not do without, and user-data that must not be."""
    yield from missing(request.site, "ami", "instance_type", "security_group")
    if asks_aws(request.settings):
        yield from missing(request.site, "instance_profile")
    yield from user_data.problems(request)


def document(request: Request) -> Dict[str, Any]:
    """Input of create-launch-template (EC2 API reference, RequestLaunchTemplateData)."""
    site = request.site
    data: Dict[str, Any] = {
        "ImageId": site.ami,
        "InstanceType": site.instance_type,
        "SecurityGroupIds": list(site.security_group),
        "UserData": base64.b64encode(user_data.text(request).encode("ascii")).decode("ascii"),
        # One hop: what asks from behind a bridge of the instance's own, as containers do, gets no answer.
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "InstanceMetadataTags": "enabled",
        },
        # A worker that powers itself off (lifetime, interruption) must cost nothing more; EC2's default is to stop it.
        "InstanceInitiatedShutdownBehavior": "terminate",
        "TagSpecifications": [{"ResourceType": kind, "Tags": _tags(request)} for kind in ("instance", "volume")],
    }
    if site.instance_profile:
        kind = "Arn" if site.instance_profile.startswith("arn:") else "Name"
        data["IamInstanceProfile"] = {kind: site.instance_profile}
    if site.spot:
        # The one kind of spot instance that a worker is: gone when it is taken back, and not asked for again.
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        data["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
    return {
        "LaunchTemplateName": site.name,
        "VersionDescription": "HTCondor execute node (annex-agent)",
        "LaunchTemplateData": data,
    }


def hints(request: Request) -> Iterator[str]:
    """What to do with it."""
    yield "next: aws ec2 create-launch-template --cli-input-json file://FILE"
    yield f"and then: aws ec2 run-instances --launch-template LaunchTemplateName={request.site.name} --count N"


def _tags(request: Request) -> "list[dict[str, str]]":
    tags = {"Name": request.site.name}
    if request.settings.annex:
        tags["AnnexName"] = request.settings.annex
    return [{"Key": key, "Value": value} for key, value in tags.items()]
