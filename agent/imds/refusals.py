"""Why the metadata service could not be read, each reason with its remedy.

Status codes and metadata options: EC2 user guide, "Use IMDS" and "Modify instance metadata options".
"""

from ..errors import MetadataError, MetadataUnreachable
from .access import Access
from .reply import TransientError


def gave_up(access: Access, endpoint: str, err: TransientError, has_token: bool) -> MetadataError:
    """Every try until the deadline failed, the last one with ``err``."""
    waited = f"within {access.deadline_s:g} s"
    if err.unconnected:
        return MetadataUnreachable(
            f"no metadata service answers at {' or '.join(access.endpoints)} {waited} ({err}): this is not an EC2 "
            "instance, or its metadata options have HttpEndpoint disabled, or a firewall rule or route is in the way; "
            "check AWS_EC2_METADATA_SERVICE_ENDPOINT if it is set, and off EC2 use --simulate"
        )
    if err.silent and not has_token:
        return MetadataError(
            f"{endpoint} accepts connections but never answers the token request ({waited}): in a container or behind "
            "a bridge the instance's hop limit is too low (aws ec2 modify-instance-metadata-options --http-tokens "
            "required --http-put-response-hop-limit 2), or a firewall drops the reply; IMDSv1 is not used in its place"
        )
    return MetadataError(
        f"the metadata service at {endpoint} is there, but gave no usable answer {waited}: {err}; "
        "look for what throttles it or cuts its replies, then run annex-agent again"
    )


def token_refused(endpoint: str, status: int) -> MetadataError:
    """The token request was answered, but not with a token."""
    if status != 403:
        return refused(f"{endpoint}/latest/api/token", status, has_token=False)
    return MetadataError(
        f"{endpoint} refuses a session token (403): the metadata service is switched off for this instance, or the "
        "request went through a proxy; check the instance's metadata options http-endpoint, http-tokens and hop "
        "limit. IMDSv1 is not used in its place"
    )


def only_v1(access: Access, endpoint: str, status: int) -> MetadataError:
    """The service does not know the token request, and version 1 is forbidden."""
    return MetadataError(
        f"{endpoint} answered the token request with {status}: it knows only IMDSv1, which {access.v1_forbidden_by} "
        "forbids; allow it with metadata: {v1: fallback}, or use a service that speaks IMDSv2"
    )


def no_token(endpoint: str) -> MetadataError:
    """The token request was answered with something that no header can carry."""
    return MetadataError(
        f"{endpoint} gave a session token that cannot be one: check AWS_EC2_METADATA_SERVICE_ENDPOINT and what listens "
        "at that address"
    )


def refused(url: str, status: int, has_token: bool) -> MetadataError:
    """A key was neither served nor absent."""
    if status == 401:
        what = "the token it just gave" if has_token else "IMDSv1 reads (http-tokens is required)"
        return MetadataError(
            f"{url} answered 401: this is EC2's service or a look-alike, but it refuses {what}; "
            "check what stands between this machine and the metadata service"
        )
    if status == 403:
        return MetadataError(
            f"{url} answered 403: the metadata service forbids this read; check the instance's metadata options "
            "(http-endpoint) and any firewall or proxy in front of it"
        )
    return MetadataError(
        f"{url} answered {status}, which EC2's metadata service does not do here: check "
        "AWS_EC2_METADATA_SERVICE_ENDPOINT and what listens at that address"
    )
