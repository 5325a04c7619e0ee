"""The plan: which steps, in which order, with which content."""

import json
from typing import Any, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent import state
from annex_agent.daemon_steps import ReadBack, StartDaemons, WaitForSlot
from annex_agent.errors import AnnexError
from annex_agent.fence_steps import LowerFence, RaiseFence
from annex_agent.grammar import Address, knob_name, knob_value
from annex_agent.htcondor import CONFIG_FILE
from annex_agent.leftovers import CLOUD_INIT_FILE
from annex_agent.model import Bundle, Condor, ConfigFile, Facts, Host, Knob, SecretFile, State
from annex_agent.plan import Goal, Plan, build_clean_plan, build_plan, build_stop_plan
from annex_agent.secret import Secret, Secrets, reference
from annex_agent.secret_steps import ForgetSecret, StoreSecret
from annex_agent.steps import EmptyDirectory, RemoveFile, SetHostName, WriteFile
from annex_agent.stop_steps import StopDaemons, WithdrawSlot
from annex_agent.system import CONFIGURED
from annex_agent.unit_steps import EndWatch, FollowUnit

from .conftest import WIKI as BARE

CONDOR = Condor(
    "23.9.6",
    ("/var/log/condor",),
    "/var/log/condor/.startd_address",
    "/usr/libexec/condor/linux_kernel_tuning",
    ("/var/log/condor", "/var/lib/condor/execute"),
)
INSTANCE = BARE.instance
FACTS = BARE._replace(host=Host(condor=CONDOR))


def names(plan: Plan) -> List[str]:
    return [step.name for step in plan.steps]


def file(plan: Plan, path: str) -> WriteFile:
    (found,) = [step for step in plan.steps if isinstance(step, WriteFile) and step.path == path]
    return found


def test_a_start_configures_before_it_starts_anything() -> None:
    assert names(build_plan(FACTS, Goal.START)) == [
        "terms",
        "fence",
        "state",
        "hostname-file",
        "host-name",
        "read-back",
        "condor-config",
        "configured",
        "directories",
        "daemons",
        "slot",
        "unit",
    ]


ROLE = FACTS._replace(instance=INSTANCE._replace(iam_role="annex-worker"))


def with_fence(facts: Facts, wanted: bool) -> Plan:
    return build_plan(facts._replace(settings=facts.settings._replace(restrict_to_root=wanted)), Goal.CONFIGURE)


@pytest.mark.parametrize(("facts", "role"), [(FACTS, None), (ROLE, "annex-worker")])
def test_the_fence_is_raised_before_anything_is_done_and_knows_what_is_at_stake(
    facts: Facts, role: Optional[str]
) -> None:
    assert names(with_fence(facts, wanted=True))[0] == "terms"
    assert with_fence(facts, wanted=True).steps[1] == RaiseFence(role)
    assert not [note for note in with_fence(facts, wanted=True).notes if "credentials" in note]


def test_a_fence_that_is_not_wanted_is_lowered_and_a_role_is_told() -> None:
    plan = with_fence(ROLE, wanted=False)
    assert plan.steps[1] == LowerFence()
    assert "jobs can take the credentials of the instance's role annex-worker" in plan.notes[-1]
    assert with_fence(FACTS, wanted=False).notes == ()


@pytest.mark.parametrize("wanted", [True, False])
def test_a_tree_that_is_prepared_has_no_kernel_to_fence_in(wanted: bool) -> None:
    tree = ROLE._replace(host=ROLE.host._replace(is_live=False))
    assert "fence" not in names(with_fence(tree, wanted=wanted))


def test_configure_is_the_same_without_daemons() -> None:
    start, configure = build_plan(FACTS, Goal.START), build_plan(FACTS, Goal.CONFIGURE)
    assert configure.steps == start.steps[: len(configure.steps)]
    assert not [step for step in configure.steps if isinstance(step, (StartDaemons, WaitForSlot))]


def test_the_same_facts_give_the_same_plan() -> None:
    assert build_plan(FACTS, Goal.START) == build_plan(FACTS, Goal.START)


def test_what_is_read_back_is_what_is_written_and_what_the_daemons_are_marked_with() -> None:
    plan = build_plan(FACTS, Goal.START)
    (read_back,) = [step for step in plan.steps if isinstance(step, ReadBack)]
    (daemons,) = [step for step in plan.steps if isinstance(step, StartDaemons)]
    assert read_back.text == file(plan, CONFIG_FILE).content
    assert file(plan, CONFIGURED).content.splitlines() == [
        f"ANNEX_AGENT_CONFIG={daemons.fingerprint}",
        "ANNEX_AGENT_INSTANCE_ID=i-10a64379",
        "ANNEX_AGENT_BOOT_ID=",
    ]


def test_another_public_address_is_another_fingerprint() -> None:
    other = FACTS._replace(instance=INSTANCE._replace(public_ipv4=None))
    assert (
        file(build_plan(FACTS, Goal.START), CONFIGURED).content
        != file(build_plan(other, Goal.START), CONFIGURED).content
    )


def test_the_configuration_is_readable_by_all_and_holds_every_knob_once_on_its_own_line() -> None:
    step = file(build_plan(FACTS, Goal.CONFIGURE), CONFIG_FILE)
    assert step.mode == 0o644
    lines = [line for line in step.content.splitlines() if line and not line.startswith("#")]
    assert "TCP_FORWARDING_HOST = 67.202.60.66" in lines
    assert len({line.partition(" = ")[0] for line in lines}) == len(lines)
    assert step.content.endswith("\n")


def test_the_host_name_is_kept_for_the_next_boot_and_from_cloud_init() -> None:
    plan = build_plan(FACTS._replace(host=Host(has_cloud_init=True, condor=CONDOR)), Goal.CONFIGURE)
    assert file(plan, "/etc/hostname").content == "ec2-67-202-60-66.compute-1.amazonaws.com\n"
    assert "preserve_hostname: true" in file(plan, CLOUD_INIT_FILE).content
    assert SetHostName("ec2-67-202-60-66.compute-1.amazonaws.com") in plan.steps


def test_a_kept_host_name_is_left_to_cloud_init() -> None:
    settings = FACTS.settings._replace(hostname="keep")
    plan = build_plan(FACTS._replace(settings=settings, host=Host(has_cloud_init=True, condor=CONDOR)), Goal.CONFIGURE)
    assert [step.path for step in plan.steps if isinstance(step, RemoveFile)] == [CLOUD_INIT_FILE]
    assert "/etc/hostname" not in [getattr(step, "path", None) for step in plan.steps]


def test_a_tree_that_is_being_prepared_does_not_rename_the_running_machine() -> None:
    plan = build_plan(FACTS._replace(host=Host(is_live=False)), Goal.CONFIGURE)
    assert not [step for step in plan.steps if isinstance(step, SetHostName)]
    assert "hostname-file" in names(plan)


def test_where_htcondor_is_missing_nothing_can_be_read_back_and_that_is_said() -> None:
    plan = build_plan(BARE, Goal.START)
    assert "read-back" not in names(plan)
    assert any("cannot read the configuration back" in note for note in plan.notes)
    tree = build_plan(BARE._replace(host=Host(is_live=False)), Goal.CONFIGURE)
    assert tree.notes == ()


def test_the_kernel_is_tuned_by_htcondors_script_where_the_image_wants_that() -> None:
    plan = build_plan(FACTS._replace(host=Host(condor=CONDOR)), Goal.START)
    (daemons,) = [step for step in plan.steps if isinstance(step, StartDaemons)]
    assert "linux_kernel_tuning" in daemons.description


def test_an_owner_who_decides_about_kernel_tuning_is_left_alone() -> None:
    settings = FACTS.settings._replace(condor=(Knob("Enable_Kernel_Tuning", "True"),))
    plan = build_plan(FACTS._replace(host=Host(condor=CONDOR), settings=settings), Goal.START)
    (daemons,) = [step for step in plan.steps if isinstance(step, StartDaemons)]
    assert "linux_kernel_tuning" not in daemons.description


def test_where_systemd_keeps_htcondor_it_is_systemd_that_starts_it() -> None:
    plan = build_plan(FACTS._replace(host=Host(condor=CONDOR, keeps_condor=True)), Goal.START)
    (daemons,) = [step for step in plan.steps if isinstance(step, StartDaemons)]
    assert daemons.by_systemd
    assert daemons.description.startswith("start condor.service")


def strange(host_name: Optional[str]) -> Host:
    return Host(condor=CONDOR, state=State("i-strange", "another-boot", host_name))


def test_what_another_instance_left_is_removed_before_the_disk_is_this_one_s() -> None:
    plan = build_plan(FACTS._replace(host=strange("ec2-1-2-3-4.compute-1.amazonaws.com")), Goal.START)
    assert names(plan)[: names(plan).index("state")] == [
        "terms",
        "fence",
        "strange-daemons",
        "forget-mark",
        "forget-config",
        "forget-cloud-init",
        "forget-hostname",
        "empty-1",
        "empty-2",
    ]
    assert [type(step) for step in plan.steps].count(WithdrawSlot) == 0, "that instance may be alive"
    assert any("i-strange's" in note for note in plan.notes)


def test_this_instances_own_remains_stay() -> None:
    host = Host(condor=CONDOR, boot_id="b2", state=State(INSTANCE.instance_id, "b1", "a-name"))
    plan = build_plan(FACTS._replace(host=host), Goal.START)
    assert names(plan) == names(build_plan(FACTS, Goal.START))
    assert '"boot_id": "b2"' in file(plan, "/var/lib/annex-agent/instance.json").content


def test_an_image_keeps_nothing_of_one_instance_and_the_record_goes_last() -> None:
    plan = build_clean_plan(strange("a-name"), keep_condor=False)
    assert LowerFence() in plan.steps
    assert plan.steps[0] == EndWatch(), "it would write its own record again"
    assert [getattr(step, "path", None) for step in plan.steps[1:]] == [
        CONFIGURED,
        CONFIG_FILE,
        CLOUD_INIT_FILE,
        "/etc/hostname",
        "/var/log/condor",
        "/var/lib/condor/execute",
        None,
        "/run/annex-agent",
        "/var/lib/annex-agent",
    ]


def test_the_watch_of_this_machine_is_none_of_a_trees() -> None:
    steps = build_clean_plan(strange(None)._replace(is_live=False), keep_condor=False).steps
    assert {type(step) for step in steps}.isdisjoint({EndWatch, LowerFence})


def test_a_host_name_that_was_left_as_it_was_stays() -> None:
    for host in (strange(None), Host()):
        paths = [getattr(step, "path", None) for step in build_clean_plan(host, keep_condor=False).steps]
        assert "/etc/hostname" not in paths


def test_htcondors_own_files_can_be_kept() -> None:
    steps = build_clean_plan(strange(None), keep_condor=True).steps
    assert [step for step in steps if isinstance(step, EmptyDirectory)] == []


def test_a_stop_ends_the_daemons_and_then_looks_at_the_collector() -> None:
    plan = build_stop_plan("i-10a64379", "graceful", 600)
    assert [type(step) for step in plan.steps] == [RemoveFile, StopDaemons, WithdrawSlot, FollowUnit]
    assert [type(step) for step in build_stop_plan(None, "fast", 60).steps] == [RemoveFile, StopDaemons, FollowUnit]


@pytest.mark.parametrize(
    ("mode", "rungs"),
    [
        ("peaceful", [("peaceful", 60), ("graceful", 30), ("fast", 30), ("kill", 10)]),
        ("graceful", [("graceful", 60), ("fast", 30), ("kill", 10)]),
        ("fast", [("fast", 60), ("kill", 10)]),
    ],
)
def test_the_ladder_goes_down_from_the_mode(mode: str, rungs: object) -> None:
    (_, stop, *_) = build_stop_plan(None, mode, 60).steps
    assert isinstance(stop, StopDaemons)
    assert [(rung.name, rung.wait_s) for rung in stop.rungs] == rungs


def _knobs(pairs: "list[tuple[str, str]]") -> "tuple[Knob, ...]":
    accepted = []
    for name, value in pairs:
        try:
            accepted.append(Knob(knob_name(name), knob_value(value)))
        except ValueError:
            continue
    return tuple(accepted)


@given(pairs=st.lists(st.tuples(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.]{0,8}\Z"), st.text(max_size=30)), max_size=5))
def test_no_accepted_knob_adds_a_line_to_the_configuration(pairs: "list[tuple[str, str]]") -> None:
    knobs = _knobs(pairs)
    facts: Facts = FACTS._replace(settings=FACTS.settings._replace(condor=knobs))
    plain = file(build_plan(FACTS, Goal.CONFIGURE), CONFIG_FILE).content.splitlines()
    text = file(build_plan(facts, Goal.CONFIGURE), CONFIG_FILE).content
    *head, empty, why, include = plain
    assert text.split("\n")[-4:] == [empty, why, include, ""]
    added = text.split("\n")[len(head) : -4]
    assert [line for line in added if line and not line.startswith("#")] == [f"{k.name} = {k.value}" for k in knobs]


def test_facts_that_exclude_the_settings_are_an_error_before_any_step() -> None:
    settings = FACTS.settings._replace(advertise="public")
    facts = FACTS._replace(settings=settings, instance=INSTANCE._replace(public_ipv4=None))
    with pytest.raises(AnnexError):
        build_plan(facts, Goal.START)


@pytest.mark.parametrize("public", [None, INSTANCE.public_ipv4])
def test_a_slot_that_is_reached_through_the_collector_has_to_have_a_contact_there(public: Optional[Address]) -> None:
    plan = build_plan(FACTS._replace(instance=INSTANCE._replace(public_ipv4=public)), Goal.START)
    (wait,) = [step for step in plan.steps if isinstance(step, WaitForSlot)]
    assert wait.relayed is (public is None)


TOKENS, PASSWORDS = "/etc/condor/tokens.d/annex-agent", "/etc/condor/passwords.d/annex-agent"
TOKEN, PASSWORD = reference("ssm:/annex/token"), reference("ssm:/annex/password")


def trusting(facts: Facts = FACTS, **settings: Any) -> Facts:
    return facts._replace(settings=facts.settings._replace(**settings))


def having_stored(*paths: str, instance_id: str = INSTANCE.instance_id) -> Facts:
    return FACTS._replace(host=FACTS.host._replace(state=State(instance_id, "b", None, paths)))


def of_secrets(plan: Plan) -> List[Tuple[str, str]]:
    return [(step.name, step.path) for step in plan.steps if isinstance(step, (StoreSecret, ForgetSecret))]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, []),
        (trusting(token=TOKEN), [("token", TOKENS)]),
        (trusting(pool_password=PASSWORD), [("pool-password", PASSWORDS)]),
        (trusting(security_method="host"), []),
        (having_stored(TOKENS), [("secret-1", TOKENS)]),
        (trusting(having_stored(TOKENS), token=TOKEN), [("token", TOKENS)]),
        (trusting(having_stored(TOKENS), pool_password=PASSWORD), [("pool-password", PASSWORDS), ("secret-1", TOKENS)]),
        (having_stored(TOKENS, instance_id="i-0ff"), [("forget-secret-1", TOKENS)]),
        (
            trusting(having_stored(TOKENS, instance_id="i-0ff"), token=TOKEN),
            [("forget-secret-1", TOKENS), ("token", TOKENS)],
        ),
    ],
)
def test_the_secrets_that_are_named_are_stored_and_those_that_were_go(
    facts: Facts, expected: List[Tuple[str, str]]
) -> None:
    assert of_secrets(build_plan(facts, Goal.CONFIGURE)) == expected


def test_a_secret_is_stored_once_the_configuration_is_known_to_be_good_and_before_it_is_in_place() -> None:
    plan = names(build_plan(trusting(having_stored(PASSWORDS), token=TOKEN), Goal.START))
    order = ["state", "read-back", "token", "condor-config", "secret-1", "configured", "daemons"]
    assert [name for name in plan if name in order] == order


def test_where_secrets_are_is_remembered_before_they_are_there_and_until_the_disk_is_cleaned() -> None:
    plan = build_plan(trusting(having_stored(PASSWORDS), token=TOKEN), Goal.CONFIGURE)
    assert json.loads(file(plan, state.PATH).content)["secrets"] == [PASSWORDS, TOKENS]
    plan = build_plan(trusting(having_stored(PASSWORDS, instance_id="i-0ff"), token=TOKEN), Goal.CONFIGURE)
    assert json.loads(file(plan, state.PATH).content)["secrets"] == [TOKENS]


def test_a_cleaned_disk_holds_no_secret() -> None:
    host = having_stored(TOKENS, PASSWORDS).host
    assert [path for _, path in of_secrets(build_clean_plan(host, keep_condor=True))] == [TOKENS, PASSWORDS]


def test_the_secrets_are_where_the_installed_htcondor_looks_for_them() -> None:
    condor = CONDOR._replace(token_directory="/pool/tokens", password_directory="/pool/passwords")
    facts = FACTS._replace(host=FACTS.host._replace(condor=condor))
    assert of_secrets(build_plan(trusting(facts, token=TOKEN), Goal.CONFIGURE)) == [
        ("token", "/pool/tokens/annex-agent")
    ]
    assert of_secrets(build_plan(trusting(facts, pool_password=PASSWORD), Goal.CONFIGURE)) == [
        ("pool-password", "/pool/passwords/annex-agent")
    ]


def test_a_tree_gets_its_token_and_is_told_that_the_password_comes_later() -> None:
    tree = BARE._replace(host=Host(is_live=False))
    assert of_secrets(build_plan(trusting(tree, token=TOKEN), Goal.CONFIGURE)) == [("token", TOKENS)]
    plan = build_plan(trusting(tree, pool_password=PASSWORD), Goal.CONFIGURE)
    assert of_secrets(plan) == []
    assert "first start" in plan.notes[-1]


def test_another_secret_is_no_other_configuration_so_no_daemon_is_restarted() -> None:
    def fingerprint(value: bytes) -> str:
        facts = trusting(token=TOKEN)._replace(secrets=Secrets(token=Secret(value, "ssm:/annex/token")))
        (step,) = [step for step in build_plan(facts, Goal.START).steps if isinstance(step, StartDaemons)]
        return step.fingerprint

    assert fingerprint(b"one") == fingerprint(b"other")


def test_the_wait_knows_whom_to_name_when_the_collector_refuses() -> None:
    (wait,) = [step for step in build_plan(trusting(token=TOKEN), Goal.START).steps if isinstance(step, WaitForSlot)]
    assert (wait.trust.collector, wait.trust.method) == ("cm.example.org", "idtokens")
    assert str(TOKEN) in wait.trust.doubt


def test_what_an_image_says_more_precisely_is_overruled_in_the_configuration() -> None:
    condor = CONDOR._replace(trust=("SEC_DAEMON_ENCRYPTION",))
    facts = trusting(FACTS._replace(host=FACTS.host._replace(condor=condor)), token=TOKEN, trust_domain="example.org")
    text = file(build_plan(facts, Goal.CONFIGURE), CONFIG_FILE).content
    assert "\nSEC_DAEMON_ENCRYPTION = REQUIRED\n" in text
    assert "\nTRUST_DOMAIN = example.org\n" in text


BUNDLE = Bundle(
    (ConfigFile("/etc/condor/config.d/00ec2-dynamic.config", "UPDATE_INTERVAL = 5\n", "s3://bucket/config-x.tar.gz"),),
    (SecretFile("/etc/condor/passwords.d/POOL", Secret(b"scrambled\xff", "s3://bucket/config-x.tar.gz")),),
    frozenset(["UPDATE_INTERVAL", "COLLECTOR_HOST"]),
)
ANNEXED = FACTS._replace(
    settings=FACTS.settings._replace(central_manager=(), bundle=reference("s3://bucket/config-x.tar.gz")), bundle=BUNDLE
)


class TestCondorAnnexsArchive:
    def test_its_files_come_before_ours_and_before_the_mark(self) -> None:
        steps = names(build_plan(ANNEXED, Goal.CONFIGURE))
        assert steps[steps.index("read-back") :] == [
            *("read-back", "bundle-config-1", "bundle-secret-1", "condor-config", "configured")
        ]

    def test_the_configuration_is_for_everybody_and_the_secrets_are_roots_as_they_are(self) -> None:
        plan = build_plan(ANNEXED, Goal.CONFIGURE)
        assert file(plan, "/etc/condor/config.d/00ec2-dynamic.config").mode == 0o644
        assert file(plan, "/etc/condor/config.d/00ec2-dynamic.config").content == "UPDATE_INTERVAL = 5\n"
        (secret,) = [step for step in plan.steps if isinstance(step, StoreSecret)]
        assert secret.path == "/etc/condor/passwords.d/POOL"
        assert secret.is_ready
        assert "scrambled" not in repr(plan)

    def test_each_is_remembered_before_it_is_there(self) -> None:
        text = file(build_plan(ANNEXED, Goal.CONFIGURE), state.PATH).content
        assert json.loads(text)["secrets"] == [
            "/etc/condor/config.d/00ec2-dynamic.config",
            "/etc/condor/passwords.d/POOL",
        ]

    def test_htcondor_reads_it_beside_ours_before_either_is_in_place(self) -> None:
        assert read_back(ANNEXED).beside == (("/etc/condor/config.d/00ec2-dynamic.config", "UPDATE_INTERVAL = 5\n"),)

    def test_what_it_holds_no_longer_goes_and_is_not_read_back(self) -> None:
        kept = State(INSTANCE.instance_id, "", None, ("/etc/condor/config.d/99-old", "/etc/condor/passwords.d/POOL"))
        facts = ANNEXED._replace(host=ANNEXED.host._replace(state=kept))
        gone = [step.path for step in build_plan(facts, Goal.CONFIGURE).steps if isinstance(step, ForgetSecret)]
        assert gone == ["/etc/condor/config.d/99-old"]
        assert ("/etc/condor/config.d/99-old", None) in read_back(facts).beside

    def test_a_preview_without_it_takes_nothing_away(self) -> None:
        kept = State(INSTANCE.instance_id, "", None, ("/etc/condor/config.d/00ec2-dynamic.config",))
        facts = ANNEXED._replace(host=ANNEXED.host._replace(state=kept), bundle=None)
        assert not [step for step in build_plan(facts, Goal.CONFIGURE).steps if isinstance(step, ForgetSecret)]

    def test_other_configuration_from_it_is_for_other_daemons(self) -> None:
        other = BUNDLE._replace(config=(BUNDLE.config[0]._replace(text="UPDATE_INTERVAL = 6\n"),))
        marks = {
            file(build_plan(facts, Goal.CONFIGURE), CONFIGURED).content
            for facts in (ANNEXED, ANNEXED._replace(bundle=other))
        }
        assert len(marks) == 2


def read_back(facts: Facts) -> ReadBack:
    (step,) = [step for step in build_plan(facts, Goal.CONFIGURE).steps if isinstance(step, ReadBack)]
    return step
