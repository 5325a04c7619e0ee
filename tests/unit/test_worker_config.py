"""What the worker is told: the wiki's example first, then what differs."""

from typing import Any, Dict

import pytest

from annex_agent.errors import ConfigError
from annex_agent.model import Bundle, Facts, Knob
from annex_agent.secret import reference
from annex_agent.worker_config import notes, worker_blocks, worker_host_name

from .conftest import WIKI

FACTS = WIKI
INSTANCE, SETTINGS = WIKI.instance, WIKI.settings


def knobs(facts: Facts) -> Dict[str, str]:
    return {knob.name: knob.value for block in worker_blocks(facts) for knob in block.knobs}


def with_settings(**changes: Any) -> Facts:
    return FACTS._replace(settings=SETTINGS._replace(**changes))


def with_instance(**changes: Any) -> Facts:
    return FACTS._replace(instance=INSTANCE._replace(**changes))


def test_the_wikis_worker() -> None:
    seen = knobs(FACTS)
    assert seen["COLLECTOR_HOST"] == "cm.example.org"
    assert seen["CONDOR_HOST"] == "cm.example.org"
    assert seen["TCP_FORWARDING_HOST"] == "67.202.60.66"
    assert seen["PRIVATE_NETWORK_NAME"] == "amazon-ec2-us-east-1c"
    assert seen["PRIVATE_NETWORK_INTERFACE"] == "10.253.191.243"
    assert seen["DAEMON_LIST"] == "MASTER, STARTD"
    assert "CCB_ADDRESS" not in seen


def test_the_ads_carry_htcondors_own_cloud_names() -> None:
    seen = knobs(with_settings(annex="my-annex"))
    names = seen["STARTD_ATTRS"].split()
    assert names[0] == "$(STARTD_ATTRS)"
    assert seen["MASTER_ATTRS"].split()[1:] == names[1:]
    assert {name: seen[name] for name in names[1:]} == {
        "CloudProvider": '"AWS"',
        "CloudPlatform": '"EC2"',
        "CloudRegion": '"us-east-1"',
        "CloudZone": '"us-east-1c"',
        "CloudVMType": '"m1.large"',
        "CloudInstanceID": '"i-10a64379"',
        "CloudImage": '"ami-2b5fba42"',
        "CloudInterruptible": "False",
        "AnnexName": '"my-annex"',
        "IsAnnex": "True",
    }


def test_what_a_look_alike_does_not_know_is_left_out_of_the_ads() -> None:
    seen = knobs(with_instance(region=None, instance_type=None, ami_id=None))
    for name in ("CloudRegion", "CloudVMType", "CloudImage", "AnnexName"):
        assert name not in seen
        assert name not in seen["STARTD_ATTRS"].split()


def test_several_central_managers() -> None:
    seen = knobs(with_settings(central_manager=("cm1:9620", "cm2")))
    assert seen["COLLECTOR_HOST"] == "cm1:9620, cm2"
    assert seen["CONDOR_HOST"] == "cm1"


def test_a_spot_instance_bounds_its_jobs_vacate_time_below_the_notice() -> None:
    seen = knobs(with_instance(life_cycle="spot"))
    assert seen["CloudInterruptible"] == "True"
    assert int(seen["MachineMaxVacateTime"]) < 120
    assert "MachineMaxVacateTime" not in knobs(FACTS)


def test_the_private_network_name_may_be_the_vpcs() -> None:
    assert knobs(with_settings(private_network_name="{region}.{vpc_id}"))["PRIVATE_NETWORK_NAME"] == (
        "us-east-1.vpc-1a2b3c4d"
    )


def test_a_private_network_name_of_something_unknown_is_an_error() -> None:
    facts = with_settings(private_network_name="{vpc_id}")._replace(instance=INSTANCE._replace(vpc_id=None))
    with pytest.raises(ConfigError, match="vpc_id"):
        worker_blocks(facts)


def test_the_owners_knobs_have_the_last_word() -> None:
    facts = with_settings(condor=(Knob("RUNBENCHMARKS", "True"), Knob("X", "1")))
    assert worker_blocks(facts)[-1].knobs == facts.settings.condor
    assert knobs(facts)["RUNBENCHMARKS"] == "True"


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [
        ("public", "ec2-67-202-60-66.compute-1.amazonaws.com"),
        ("private", "domU-12-31-38-01-B8-05.compute-1.internal"),
        ("keep", None),
        ("worker-1.example.org", "worker-1.example.org"),
    ],
)
def test_host_names(hostname: str, expected: str) -> None:
    assert worker_host_name(with_settings(hostname=hostname)) == expected


def test_without_a_public_host_name_the_private_one_is_used_and_that_is_said() -> None:
    facts = with_instance(public_hostname=None)
    assert worker_host_name(facts) == INSTANCE.local_hostname
    assert any("public host name" in note for note in notes(facts))


def test_nothing_is_noted_where_all_is_as_usual() -> None:
    assert list(notes(FACTS)) == []


def annexed(*knobs_of_its_own: str) -> Facts:
    facts = with_settings(central_manager=(), bundle=reference("s3://bucket/config-x.tar.gz"), annex="my_annex")
    return facts._replace(bundle=Bundle((), (), frozenset(knobs_of_its_own)))


def test_condor_annex_names_the_pool_itself() -> None:
    seen = knobs(annexed("COLLECTOR_HOST", "CONDOR_HOST", "ANNEXNAME"))
    assert "COLLECTOR_HOST" not in seen
    assert "CONDOR_HOST" not in seen
    assert seen["AnnexName"] == '"my_annex"'
    assert "SEC_DEFAULT_AUTHENTICATION_METHODS" not in seen


def test_what_only_suits_most_pools_gives_way_to_condor_annexs_word() -> None:
    seen = knobs(annexed("UPDATE_INTERVAL", "RUNBENCHMARKS", "MACHINEMAXVACATETIME"))
    assert "UPDATE_INTERVAL" not in seen
    assert "RUNBENCHMARKS" not in seen
    assert seen["MASTER_UPDATE_INTERVAL"] == "$RANDOM_INTEGER(230, 370)"


def test_what_this_instance_needs_does_not_give_way() -> None:
    needed = ("DAEMON_LIST", "TCP_FORWARDING_HOST", "PRIVATE_NETWORK_NAME", "NETWORK_INTERFACE", "CLOUDINSTANCEID")
    assert {*needed} <= {name.upper() for name in knobs(annexed(*needed))}


def test_condor_annexs_own_names_are_advertised() -> None:
    seen = knobs(annexed())
    assert seen["EC2InstanceID"] == '"i-10a64379"'
    assert seen["EC2PublicIP"] == "67.202.60.66"
    assert seen["QuotedEC2PublicIP"] == '"67.202.60.66"'
    for attributes in ("MASTER_ATTRS", "STARTD_ATTRS"):
        lines = [knob.value for block in worker_blocks(annexed()) for knob in block.knobs if knob.name == attributes]
        assert lines[1:] == [f"$({attributes}) EC2InstanceID QuotedEC2PublicIP"]


def test_without_a_public_address_only_the_instance_is_advertised() -> None:
    facts = annexed()._replace(instance=INSTANCE._replace(public_ipv4=None))
    assert "EC2PublicIP" not in knobs(facts)
    assert knobs(facts)["STARTD_ATTRS"] == "$(STARTD_ATTRS) EC2InstanceID"
