"""Which annex a launch was for, and where its archive may be: what the names and the policies say."""

import uuid
from typing import Any, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.annex_launch import annex_of, places_in
from annex_agent.grammar import annex_name

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
ARN = "arn:aws:s3:::bucket/config-*.tar.gz"


@pytest.mark.parametrize(
    ("token", "annex"),
    [
        (f"myannex_{GUID}", "myannex"),
        (f"my_annex_{GUID}", "my_annex"),
        (f"my_second_annex_{GUID.upper()}", "my_second_annex"),
        (f"a_{GUID}", "a"),
        (f"a__{GUID}", "a_"),
        (f"my-annex.2_{GUID}", "my-annex.2"),
        ("", None),
        ("_", None),
        (GUID, None),
        (f"_{GUID}", None),
        (f"my annex_{GUID}", None),
        (f"my/annex_{GUID}", None),
        (f"../annex_{GUID}", None),
        (f"annex_{GUID}\n", None),
        (f"annex_{GUID[:-1]}", None),
        (f"annex_{GUID}0", None),
        (f"annex_{GUID.replace('-', '')}", None),
        (f"annex-{GUID}", None),
        # The tokens of others: an auto scaling group's, a fleet's, the AWS CLI's, Terraform's.
        ("b0b4f1c4-3b4d-3a1e-9a5e-3d1f0b1c2d3e_subnet-0a1b2c3d_1", None),
        ("fleet-73fbd2ce-aa30-494c-8788-1cee4fe5f3d1-0", None),
        (str(uuid.UUID(int=7)), None),
        ("terraform-20260101000000000000000001", None),
    ],
)
def test_the_annex_of_a_client_token(token: str, annex: Any) -> None:
    assert annex_of(token) == annex


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,26}", fullmatch=True), st.uuids())
def test_every_name_comes_back_whatever_underscores_it_has(name: str, guid: uuid.UUID) -> None:
    assert annex_of(f"{name}_{guid}") == name


@given(st.text())
def test_no_other_token_gives_a_name_that_is_none(token: str) -> None:
    found = annex_of(token)
    assert found is None or (annex_name(found) == found and token.startswith(f"{found}_"))


def policy(*statements: Any) -> Any:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Any = "s3:GetObject", resource: Any = ARN, effect: str = "Allow") -> Any:
    return {"Effect": effect, "Action": action, "Resource": resource}


@pytest.mark.parametrize(
    ("document", "places"),
    [
        (policy(allow()), ["bucket/"]),
        (policy(allow(["s3:GetObject"], [ARN])), ["bucket/"]),
        ({"Statement": allow()}, ["bucket/"]),
        (policy(allow("S3:Get*")), ["bucket/"]),
        (policy(allow("*")), ["bucket/"]),
        (policy(allow(resource="arn:aws-us-gov:s3:::bucket/config-*.tar.gz")), ["bucket/"]),
        (policy(allow(resource="arn:aws:s3:::bucket/annexes/of/mine/config-*.tar.gz")), ["bucket/annexes/of/mine/"]),
        (policy(allow("ec2:*", "*"), allow(resource=["arn:aws:s3:::other/x", ARN])), ["bucket/"]),
        (policy(allow(), allow(resource="arn:aws:s3:::second/config-*.tar.gz")), ["bucket/", "second/"]),
        (policy(allow("s3:PutObject")), []),
        (policy(allow("s3:ListBucket", ARN)), []),
        (policy(allow(effect="Deny")), []),
        (policy(allow(resource="*")), []),
        (policy(allow(resource="arn:aws:s3:::bucket/*")), []),
        (policy(allow(resource="arn:aws:s3:::*/config-*.tar.gz")), []),
        (policy(allow(resource="arn:aws:s3:::bucket/*/config-*.tar.gz")), []),
        (policy(allow(resource="arn:aws:s3:::bucket/config-mine.tar.gz")), []),
        (policy(allow(resource=f"{ARN}\n")), []),
        (policy({"Effect": "Allow", "NotAction": "s3:GetObject", "NotResource": ARN}), []),
        (policy("Allow", None, 7), []),
        ({}, []),
        ("not parsed", []),
        (None, []),
    ],
)
def test_where_a_policy_lets_archives_be_read(document: Any, places: List[str]) -> None:
    assert list(places_in(document)) == places


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["Allow", "s3:*", "s3:GetObject", ARN]) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Statement", "Effect", "Action", "Resource"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_like)
def test_whatever_a_policy_is_it_is_read(document: Any) -> None:
    assert {*places_in(document)} <= {"bucket/"}
