"""What is left for the watch: the terms of this worker, and before they are known those of its image."""

import json
import os
from pathlib import Path
from typing import Any, Iterator

import pytest

from annex_agent import cli, commands, terms
from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import bundled
from annex_agent.machine import Machine
from annex_agent.model import Condor, Host, Settings
from annex_agent.system import System
from annex_agent.terms import PATH, Terms

from .conftest import WIKI, LiveTree

FACTS = WIKI._replace(
    settings=WIKI.settings._replace(lease_s=28_800, on_failure="poweroff", cloudformation_stack="my-annex"),
    host=Host(condor=Condor("23.9.6", startd_address_file="/var/log/condor/.startd_address"), boot_id="boot-1"),
)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def file(system: System) -> Path:
    return system.root / PATH[1:]


class TestTheFile:
    def test_what_is_left_is_what_is_read(self, system: System) -> None:
        terms.leave(system, terms.of(FACTS))
        found = terms.read(system)
        assert found
        assert (found.instance_id, found.region, found.boot_id) == ("i-10a64379", "us-east-1", "boot-1")
        assert found.startd_address_file == "/var/log/condor/.startd_address"
        settings = found.settings
        assert (settings.lease_s, settings.on_failure, settings.cloudformation_stack) == (
            28_800,
            "poweroff",
            "my-annex",
        )

    def test_every_setting_of_a_worker_s_end_is_in_it(self) -> None:
        of_the_end = {name for name in Settings._fields if name.startswith("on_")}
        assert of_the_end <= set(terms.FIELDS) <= set(Settings._fields)
        assert len(set(terms.FIELDS)) == len(terms.FIELDS)

    def test_no_secret_is_nor_where_one_is_kept(self) -> None:
        assert not {"token", "pool_password", "bundle", "condor"} & set(terms.FIELDS)

    def test_all_may_read_it(self, system: System) -> None:
        terms.leave(system, terms.of(FACTS))
        assert file(system).stat().st_mode & 0o777 == 0o644

    def test_what_is_there_already_is_not_written_again(self, system: System) -> None:
        terms.leave(system, terms.of(FACTS))
        before = file(system).stat()
        terms.leave(system, terms.of(FACTS))
        assert (file(system).stat().st_ino, file(system).stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    @pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", '{"settings": 7}', "{}", "\xff", '{"settings": [1]}'])
    def test_one_that_cannot_be_read_is_none(self, system: System, text: str) -> None:
        file(system).parent.mkdir(parents=True)
        file(system).write_bytes(text.encode("latin-1"))
        assert terms.read(system) is None

    def test_neither_is_one_that_is_no_file(self, system: System) -> None:
        assert terms.read(system) is None
        file(system).mkdir(parents=True)
        assert terms.read(system) is None

    def test_another_version_s_is_read_as_far_as_it_is_known(self, system: System) -> None:
        record = json.loads(terms.text(terms.of(FACTS)))
        del record["settings"]["poll_s"]
        record["settings"]["colour"] = record["colour"] = "red"
        file(system).parent.mkdir(parents=True)
        file(system).write_text(json.dumps(record))
        found = terms.read(system)
        assert found
        assert (found.settings.lease_s, found.settings.poll_s) == (28_800, Settings().poll_s)


class TestWhatTheImageForesees:
    def test_counts_where_nothing_else_is_known(self, system: System) -> None:
        terms.foresee(system, {"on_failure": "poweroff"}, "boot-1")
        assert terms.read(system) == Terms(Settings()._replace(on_failure="poweroff"), boot_id="boot-1")

    def test_is_foreseen_anew_when_the_image_says_otherwise(self, system: System) -> None:
        terms.foresee(system, {"on_failure": "poweroff"}, "boot-1")
        terms.foresee(system, {"on_failure": "stop"}, "boot-1")
        assert terms.read(system) == Terms(Settings()._replace(on_failure="stop"), boot_id="boot-1")

    def test_does_not_take_the_place_of_this_boot_s_own(self, system: System) -> None:
        terms.leave(system, terms.of(FACTS))
        terms.foresee(system, {"on_failure": "keep"}, "boot-1")
        found = terms.read(system)
        assert found
        assert (found.instance_id, found.settings.on_failure) == ("i-10a64379", "poweroff")

    def test_takes_the_place_of_another_boot_s(self, system: System) -> None:
        terms.leave(system, terms.of(FACTS))
        terms.foresee(system, {}, "boot-2")
        assert terms.read(system) == Terms(boot_id="boot-2")


@pytest.mark.skipif(os.geteuid() != 0, reason="a start needs root; what it changes is a tree that plays the machine")
class TestABootstrapThatFails:
    """The machine is played by a tree with commands of its own."""

    @pytest.fixture(autouse=True)
    def imds(
        self, machine: Machine, live: LiveTree, monkeypatch: "pytest.MonkeyPatch", quiet_log: None
    ) -> Iterator[Emulator]:
        live.configured(CONDOR_VERSION="23.9.6", STARTD_ADDRESS_FILE="/var/log/condor/.startd_address")
        monkeypatch.setattr(commands, "local_machine", lambda system: machine)
        with Emulator(bundled("wiki")) as emulator:
            monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", emulator.url)
            yield emulator

    @staticmethod
    def left(live: LiveTree) -> Any:
        found = terms.read(live)
        return found and (found.instance_id, found.settings.on_failure, found.settings.lease_s)

    def test_for_its_user_data_ends_as_the_image_says(self, live: LiveTree, imds: Emulator) -> None:
        live.holds("/etc/annex-agent/config.yaml", "lifetime: {on_failure: poweroff}\n")
        imds.set("user-data", "#annex-agent\nlifetime: {lease: 8h, on_failure: stop}\ncolour: red\n")
        assert cli.main(["start"]) == 5
        assert self.left(live) == (None, "poweroff", None), "nothing of a source with a mistake is applied"

    def test_for_its_metadata_service_too(self, live: LiveTree, monkeypatch: "pytest.MonkeyPatch") -> None:
        live.holds("/etc/annex-agent/config.yaml", "lifetime: {on_failure: poweroff, lease: 1h}\n")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "nonsense")
        assert cli.main(["start"]) == 4
        assert self.left(live) == (None, "poweroff", 3600)

    def test_for_want_of_htcondor_too_and_that_is_on_record(self, live: LiveTree) -> None:
        live.holds("/etc/annex-agent/config.yaml", "lifetime: {on_failure: poweroff}\n")
        (live.commands / "condor_config_val").unlink()
        assert cli.main(["start"]) == 1
        assert self.left(live) == (None, "poweroff", None)
        (run,) = json.loads((live.root / "run/annex-agent/status.json").read_text())["runs"]
        assert run["state"] == "failed"
        assert "HTCondor is not installed" in run["error"]

    def test_what_is_wrong_in_config_yaml_is_as_by_default_and_the_rest_counts(self, live: LiveTree) -> None:
        live.holds("/etc/annex-agent/config.yaml", "lifetime: {on_failure: poweroff, lease: soon}\ncolour: red\n")
        assert cli.main(["start"]) == 5
        assert self.left(live) == (None, "poweroff", None)

    def test_and_all_of_it_where_it_cannot_be_read(self, live: LiveTree, capsys: "pytest.CaptureFixture[str]") -> None:
        (live.root / "etc/annex-agent/config.yaml").mkdir(parents=True)
        assert cli.main(["start"]) == 1
        assert self.left(live) == (None, "keep", None)
        assert capsys.readouterr().err.count("config.yaml") == 1, "it is told once"

    def test_for_a_secret_ends_as_its_settings_say(self, live: LiveTree, imds: Emulator) -> None:
        text = (
            "central_manager: cm\nsecurity: {token: 'file:/there/is/none'}\nlifetime: {on_failure: stop, lease: 8h}\n"
        )
        imds.set("user-data", f"#annex-agent\n{text}")
        assert cli.main(["start"]) == 6
        assert self.left(live) == ("i-10a64379", "stop", 28_800)

    def test_for_settings_that_do_not_suit_the_instance_too(self, live: LiveTree, imds: Emulator) -> None:
        text = "central_manager: cm\nnetwork: {advertise: public}\nlifetime: {on_failure: stop}\n"
        imds.set("public-ipv4", None)
        imds.set("user-data", f"#annex-agent\n{text}")
        assert cli.main(["start"]) == 5
        assert self.left(live) == ("i-10a64379", "stop", None)

    def test_for_htcondor_itself_too(self, live: LiveTree, imds: Emulator) -> None:
        live.command("condor_master", "echo no >&2; exit 4")
        imds.set("user-data", "#annex-agent\ncentral_manager: cm\nlifetime: {on_failure: stop}\n")
        assert cli.main(["start"]) == 7
        assert self.left(live) == ("i-10a64379", "stop", None)

    def test_later_does_not_forget_what_the_instance_s_terms_are(self, live: LiveTree, imds: Emulator) -> None:
        imds.set("user-data", "#annex-agent\ncentral_manager: cm\nlifetime: {on_failure: stop, lease: 8h}\n")
        assert cli.main(["configure"]) == 0
        imds.set("user-data", "a b")
        assert cli.main(["start"]) == 5
        assert self.left(live) == ("i-10a64379", "stop", 28_800)


def test_a_dry_run_leaves_nothing(
    machine: Machine, live: LiveTree, monkeypatch: "pytest.MonkeyPatch", quiet_log: None
) -> None:
    monkeypatch.setattr(commands, "local_machine", lambda system: machine)
    for arguments in (["--dry-run", "--simulate"], ["--dry-run"]):
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "nonsense")
        cli.main(arguments)
        assert not (live.root / "run").exists()


def test_a_tree_that_is_prepared_foresees_nothing(
    tmp_path: Path, monkeypatch: "pytest.MonkeyPatch", quiet_log: None
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "nonsense")
    assert cli.main(["configure", "--root", str(tmp_path)]) == 4
    assert not (tmp_path / PATH[1:]).exists()
