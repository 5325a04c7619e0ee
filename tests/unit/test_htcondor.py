"""HTCondor's tools: their words are the real ones (23.9.6); the tools here are scripts that say them."""

import json
from pathlib import Path, PurePosixPath
from typing import Dict, List, Mapping, Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.errors import AnnexError, CommandFailed, CommandUnavailable, ConfigError
from annex_agent.htcondor import CONFIG_DIR, CONFIG_FILE, HTCondor, Setting, Slot, _parsed, _place, _root_file
from annex_agent.model import StagedFile
from annex_agent.processes import Completed
from annex_agent.system import System

from .conftest import LiveTree

DUMP = """\
# Configuration from machine: vm

# Parameters with names that match ^(FOO|HASH|Q|UPDATE_INTERVAL|FULL_HOSTNAME)$:
FOO = /var/log/condor/x
 # at: /proc/self/fd/3, line 2
 # raw: $(LOG)/x
FULL_HOSTNAME = vm
 # at: <Detected>
 # raw: vm
HASH = 5 # five
 # at: /proc/self/fd/3, line 6
 # raw: 5 # five
COLLECTOR_HOST =\x20
 # at: <Default>
 # raw:\x20
UPDATE_INTERVAL = 357
 # at: /proc/self/fd/3, line 4
 # raw: $RANDOM_INTEGER(230, 370)
 # default: 300
"""
ROOT, LOCAL = "/etc/condor/condor_config", "/etc/condor/condor_config.local"
LISTING = f"""\
Configuration source:
\t{ROOT}
Local configuration sources:
\t{CONFIG_DIR}/00-htcondor-9.0.config
\t{LOCAL}
"""


def parsed(dump: str) -> Dict[str, Setting]:
    return _parsed(Completed((), 0, dump, ""))


@pytest.fixture
def condor(live: LiveTree) -> HTCondor:
    return HTCondor(live)


class TestParsing:
    def test_the_real_output(self) -> None:
        assert parsed(DUMP) == {
            "FOO": Setting("/var/log/condor/x", "/proc/self/fd/3, line 2"),
            "FULL_HOSTNAME": Setting("vm", "<Detected>"),
            "HASH": Setting("5 # five", "/proc/self/fd/3, line 6"),
            "COLLECTOR_HOST": Setting("", "<Default>"),
            "UPDATE_INTERVAL": Setting("357", "/proc/self/fd/3, line 4"),
        }

    def test_nothing_is_nothing(self) -> None:
        assert parsed("") == {}
        assert parsed("# Configuration from machine: vm\n\n# Parameters with names that match ^(X)$:\n") == {}

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ("X = a = b", "a = b"),
            ("X = # no comment", "# no comment"),
            ('X = "quoted = text"', '"quoted = text"'),
            ("X =", ""),
            ("X = ", ""),
            ("X = =", "="),
        ],
    )
    def test_a_value_is_all_that_follows_the_first_equals_sign(self, line: str, value: str) -> None:
        assert parsed(f"{line}\n # at: /f, line 1\n # raw: y = z\n") == {"X": Setting(value, "/f, line 1")}

    def test_names_are_in_upper_case(self) -> None:
        assert parsed("CloudInstanceID = x\n # at: /f, line 1\n").keys() == {"CLOUDINSTANCEID"}

    def test_a_line_that_a_template_of_htcondors_set_keeps_its_source_whole(self) -> None:
        source = "/etc/condor/config.d/00-security, line 3, use security:recommended+5"
        assert parsed(f"X = 1\n # at: {source}\n")["X"].source == source

    printable = st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp"))

    @given(st.dictionaries(st.from_regex("[A-Z_][A-Z0-9_.]*", fullmatch=True), st.text(printable).map(str.strip)))
    def test_every_value_comes_back_as_it_was_printed(self, knobs: Dict[str, str]) -> None:
        dump = "".join(f"{name} = {value}\n # at: /f, line 1\n # raw: {value}\n" for name, value in knobs.items())
        assert {name: setting.value for name, setting in parsed(dump).items()} == knobs


class TestThePlaceOfOurFile:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ([], []),
            ([ROOT], []),
            ([ROOT], [LOCAL]),
            ([ROOT, f"{CONFIG_DIR}/00-htcondor-9.0.config"], [LOCAL]),
            ([ROOT], [f"{CONFIG_DIR}/60-annex-agent.config.local", f"{CONFIG_DIR}/99-site", LOCAL]),
            ([ROOT, f"{CONFIG_DIR}/00-a", f"{CONFIG_DIR}/60-annex"], [f"{CONFIG_DIR}/60-annex-b", f"{CONFIG_DIR}/a"]),
            (
                [ROOT, "/usr/share/condor/config.d/10-a", "/usr/share/condor/config.d/99-z"],
                [f"{CONFIG_DIR}/70-b", LOCAL],
            ),
        ],
    )
    def test_it_is_where_htcondor_would_read_it(self, before: List[str], after: List[str]) -> None:
        assert _place([*before, *after]) == len(before)

    @given(st.lists(st.from_regex("[0-9A-Za-z][0-9A-Za-z._-]{0,12}", fullmatch=True), unique=True))
    def test_within_its_directory_it_is_in_lexical_order(self, names: List[str]) -> None:
        own = PurePosixPath(CONFIG_FILE).name
        others = [f"{CONFIG_DIR}/{name}" for name in sorted(set(names) - {own})]
        place = _place([ROOT, *others, LOCAL])
        found = [*[ROOT, *others][:place], CONFIG_FILE, *[ROOT, *others][place:]]
        assert found == [ROOT, *sorted([*others, CONFIG_FILE])]

    def test_ours_stands_in_for_the_file_that_is_there(self) -> None:
        sources = [ROOT, f"{CONFIG_DIR}/10-a", CONFIG_FILE, f"{CONFIG_DIR}/70-b", LOCAL]
        included = self.included(sources, {CONFIG_FILE: "/proc/self/fd/9"})
        assert included == [ROOT, f"{CONFIG_DIR}/10-a", "/proc/self/fd/9", f"{CONFIG_DIR}/70-b", LOCAL]

    def test_what_comes_with_ours_stands_where_its_name_sorts(self) -> None:
        staged = {
            CONFIG_FILE: "/fd/9",
            f"{CONFIG_DIR}/00ec2-dynamic.config": "/fd/10",
            f"{CONFIG_DIR}/99-site": "/fd/11",
        }
        sources = [ROOT, f"{CONFIG_DIR}/00-htcondor-9.0.config", f"{CONFIG_DIR}/70-b", f"{CONFIG_DIR}/99-site", LOCAL]
        assert self.included(sources, staged) == [
            *(ROOT, f"{CONFIG_DIR}/00-htcondor-9.0.config", "/fd/10", "/fd/9", f"{CONFIG_DIR}/70-b", "/fd/11", LOCAL)
        ]

    names = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z._-]{0,6}", fullmatch=True)

    @given(st.sets(names), st.sets(names))
    def test_the_order_is_that_of_the_names_whatever_comes(self, there: Set[str], coming: Set[str]) -> None:
        sources = [ROOT, *(f"{CONFIG_DIR}/{name}" for name in sorted(there)), LOCAL]
        staged = {path: path for path in (CONFIG_FILE, *(f"{CONFIG_DIR}/{name}" for name in coming))}
        assert self.included(sources, staged) == [ROOT, *sorted({*sources[1:-1], *staged}), LOCAL]

    @staticmethod
    def included(sources: List[str], staged: Mapping[str, str]) -> List[str]:
        lines = _root_file(sources, staged).splitlines()
        return [line.split(" : ")[1] for line in lines if line.startswith("include")]

    def test_htcondor_is_kept_from_reading_the_directory_a_second_time(self) -> None:
        lines = _root_file([ROOT], {CONFIG_FILE: "/proc/self/fd/9"}).split("\n")
        last = max(index for index, line in enumerate(lines) if line.startswith("include"))
        assert "LOCAL_CONFIG_DIR =" in lines[last:]
        assert "LOCAL_CONFIG_FILE =" in lines[last:]
        assert lines[-1] == ""

    def test_a_command_among_the_sources_stays_one(self) -> None:
        assert "include : /usr/bin/site-config |\n" in _root_file(
            [ROOT, "/usr/bin/site-config |"], {CONFIG_FILE: "/proc/self/fd/9"}
        )


class TestInstalled:
    def test_where_its_tools_are(self, condor: HTCondor, live: LiveTree) -> None:
        assert not condor.is_installed
        live.configured()
        assert condor.is_installed

    def test_never_in_a_tree_that_is_being_prepared(self, live: LiveTree) -> None:
        class Tree(System):
            def which(self, command: str) -> str:
                return f"/usr/bin/{command}"

        assert not HTCondor(Tree(live.root)).is_installed


class TestSettings:
    def test_the_tool_is_asked_for_these_names_and_no_others(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_config_val", f"cat <<'END'\n{DUMP}END")
        assert condor.settings(["FOO", "SCHEDD.X"])["FOO"].value == "/var/log/condor/x"
        assert live.ran == [("condor_config_val", "-dump", "-expand", "-verbose", r"^(FOO|SCHEDD\.X)$")]

    def test_a_configuration_that_cannot_be_read_is_an_error_with_htcondors_words(
        self, condor: HTCondor, live: LiveTree
    ) -> None:
        live.command("condor_config_val", "echo 'Configuration Error Line 3'>&2; echo ' in x' >&2; exit 1")
        with pytest.raises(AnnexError, match=r"cannot be read \(Configuration Error Line 3 in x\): mend the file"):
            condor.settings(["FOO"])

    def test_a_tool_that_hangs_is_an_error(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_config_val", "exec sleep 600")
        live.patience_s = 0.2
        with pytest.raises(CommandFailed, match="condor_config_val did not end within"):
            condor.settings(["FOO"])

    def test_a_tool_that_is_missing_is_an_error(self, condor: HTCondor) -> None:
        with pytest.raises(CommandUnavailable, match="condor_config_val cannot be run"):
            condor.settings(["FOO"])


class TestReadingBack:
    """The tool here writes down the root configuration and ours, as it can read them."""

    def install(self, live: LiveTree, then: str = "") -> None:
        find = 'sed -n "s|^include.* : \\(/proc/.*\\)|\\1|p" "$CONDOR_CONFIG"'
        live.command(
            "condor_config_val",
            f"""if test "$1" = -config; then env > {live.root}/asked; printf '{LISTING}'; exit; fi
cat "$CONDOR_CONFIG" > {live.root}/root; ours=$({find}); cat $ours > {live.root}/ours
{then}""",
        )

    def test_the_tool_can_read_the_root_and_ours_although_neither_is_on_a_disk(
        self, condor: HTCondor, live: LiveTree
    ) -> None:
        self.install(live)
        before = {path for path in live.root.rglob("*") if "condor" in str(path)}
        condor.read_back("FOO = bar\n", ["FOO"])
        assert (live.root / "ours").read_text() == "FOO = bar\n"
        root = (live.root / "root").read_text().splitlines()
        assert [line.split(" : ")[1] for line in root if f": {CONFIG_DIR}" in line or LOCAL in line] == [
            f"{CONFIG_DIR}/00-htcondor-9.0.config",
            LOCAL,
        ]
        assert {path for path in live.root.rglob("*") if "condor" in str(path)} == before

    def test_beside_ours_what_comes_is_read_and_what_goes_is_not(self, condor: HTCondor, live: LiveTree) -> None:
        self.install(live, 'printf "Error at $ours" >&2; exit 1')
        gone = f"{CONFIG_DIR}/00-htcondor-9.0.config"
        beside = [StagedFile(gone, None), StagedFile(f"{CONFIG_DIR}/00ec2-dynamic.config", "BAR = 1\n")]
        with pytest.raises(ConfigError) as caught:
            condor.read_back("FOO = 1\n", ["FOO"], beside=beside)
        assert str(caught.value).endswith(f": Error at {CONFIG_DIR}/00ec2-dynamic.config {CONFIG_FILE}")
        assert (live.root / "ours").read_text() == "BAR = 1\nFOO = 1\n"
        assert gone not in (live.root / "root").read_text()

    def test_the_sources_are_those_of_the_machine(self, condor: HTCondor, live: LiveTree) -> None:
        self.install(live)
        condor.read_back("", ["FOO"])
        assert "CONDOR_CONFIG=" not in (live.root / "asked").read_text()

    def test_ours_is_named_by_the_place_it_will_have(self, condor: HTCondor, live: LiveTree) -> None:
        self.install(live, 'printf "FOO = bar\\n # at: $ours, line 2\\nLOG = /l\\n # at: /etc/x, line 1\\n"')
        assert condor.read_back("\nFOO = bar\n", ["FOO"]) == {
            "FOO": Setting("bar", f"{CONFIG_FILE}, line 2"),
            "LOG": Setting("/l", "/etc/x, line 1"),
        }

    def test_what_htcondor_refuses_is_told_in_its_words_and_with_the_files_place(
        self, condor: HTCondor, live: LiveTree
    ) -> None:
        self.install(live, 'printf "Error at $ours, line 2\\n included from $CONDOR_CONFIG\\n" >&2; exit 1')
        with pytest.raises(ConfigError) as caught:
            condor.read_back("FOO\n", ["FOO"])
        assert caught.value.problems == (
            f"HTCondor refuses the configuration: Error at {CONFIG_FILE}, line 2 "
            "included from the staged configuration",
        )

    def test_a_knob_that_is_never_done_expanding_is_an_invalid_configuration(
        self, condor: HTCondor, live: LiveTree
    ) -> None:
        self.install(live, "exec sleep 600")
        live.patience_s = 0.5
        with pytest.raises(ConfigError, match=r"cannot expand the configuration .*: does one of the knobs"):
            condor.read_back("FOO = $(BAR)\nBAR = $(FOO)\n", ["FOO"])

    def test_sources_that_cannot_be_listed_are_not_blamed_on_ours(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_config_val", "echo 'no root' >&2; exit 1")
        with pytest.raises(AnnexError, match=r"on this machine cannot be read \(no root\)") as caught:
            condor.read_back("", ["FOO"])
        assert not isinstance(caught.value, ConfigError)


AD = {
    "Name": "slot1@w",
    "Machine": "w",
    "State": "Claimed",
    "Activity": "Busy",
    "MyAddress": "<10.0.0.1:9618?sock=startd_1>",
    "CloudInstanceID": "i-1",
}


class TestSlots:
    def test_what_the_collector_lists(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_status", f"echo '{json.dumps([AD])}'")
        assert condor.slots('CloudInstanceID == "i-1"') == (
            Slot("slot1@w", "w", "Claimed", "Busy", "<10.0.0.1:9618?sock=startd_1>"),
        )
        (argv,) = live.ran
        assert argv[:3] == ("condor_status", "-constraint", 'CloudInstanceID == "i-1"')

    @pytest.mark.parametrize("answer", ["", "\n", "[]", "[\n]\n"])
    def test_no_slot(self, condor: HTCondor, live: LiveTree, answer: str) -> None:
        live.holds("/answer", answer)
        live.command("condor_status", f"cat {live.root}/answer")
        assert condor.slots("true") == ()

    def test_an_attribute_that_an_ad_lacks_is_empty(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_status", """echo '[{"Name": "slot1@w"}]'""")
        assert condor.slots("true") == (Slot("slot1@w", "", "", "", ""),)

    def test_a_collector_that_gives_no_answer_is_an_error_with_its_first_words(
        self, condor: HTCondor, live: LiveTree
    ) -> None:
        live.command("condor_status", r"printf '\nError: communication error\nCEDAR:6001:x\n\n c\nd\n' >&2; exit 1")
        with pytest.raises(CommandFailed) as caught:
            condor.slots("true")
        assert str(caught.value) == "the collector gave no answer: Error: communication error CEDAR:6001:x c"

    def test_a_silent_failure_is_one_too(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_status", "exit 1")
        with pytest.raises(CommandFailed, match="the collector gave no answer: no reason given"):
            condor.slots("true")

    def test_an_answer_that_is_no_json_is_an_error_too(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_status", "echo 'WARNING: x is deprecated'; echo '[]'")
        with pytest.raises(AnnexError):
            condor.slots("true")


class TestWithdrawing:
    def test_the_startds_and_the_masters_ads_are_asked_for(
        self, condor: HTCondor, live: LiveTree, tmp_path: Path
    ) -> None:
        live.command("condor_advertise", f'echo "$1 $2" >> {tmp_path}/query; cat >> {tmp_path}/query')
        condor.withdraw('CloudInstanceID == "i-1"')
        assert (tmp_path / "query").read_text() == (
            "INVALIDATE_STARTD_ADS -\n"
            'MyType = "Query"\nTargetType = "Machine"\nRequirements = CloudInstanceID == "i-1"\n'
            "INVALIDATE_MASTER_ADS -\n"
            'MyType = "Query"\nTargetType = "DaemonMaster"\nRequirements = CloudInstanceID == "i-1"\n'
        )

    def test_a_collector_that_refuses_is_an_error_with_its_words(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_advertise", "echo 'DENIED' >&2; exit 1")
        with pytest.raises(CommandFailed, match="condor_advertise INVALIDATE_STARTD_ADS: DENIED"):
            condor.withdraw("true")


class TestRefusal:
    def said(self, condor: HTCondor, live: LiveTree, script: str) -> str:
        live.command("condor_ping", script)
        refusal = condor.refusal()
        assert live.ran[-1] == ("condor_ping", "-type", "collector", "-verbose", "ADVERTISE_STARTD")
        return refusal

    def test_none(self, condor: HTCondor, live: LiveTree) -> None:
        assert self.said(condor, live, "echo 'Authorized: TRUE'; echo 'once DENIED' >&2") == ""

    def test_in_htcondors_words(self, condor: HTCondor, live: LiveTree) -> None:
        denied = 'SECMAN:2010:Received "DENIED" from server for user condor@example.org using method IDTOKENS.'
        assert self.said(condor, live, f"echo 'ADVERTISE_STARTD failed!'; echo '{denied}'; exit 1") == denied
        lines = [f"AUTHENTICATE:{number}:Failed" for number in range(1001, 1006)]
        script = "".join(f"echo {line} >&2;" for line in lines)
        assert self.said(condor, live, f"{script} exit 1") == "; ".join(lines[:3])

    @pytest.mark.parametrize(
        "script", ["echo 'CEDAR:6001:Failed to connect to <198.51.100.10:9618>' >&2; exit 1", "exit 1", "sleep 60"]
    )
    def test_a_collector_that_cannot_be_reached_refuses_nothing(
        self, condor: HTCondor, live: LiveTree, script: str
    ) -> None:
        live.patience_s = 1.0
        assert self.said(condor, live, script) == ""

    def test_a_tool_that_is_missing_knows_of_none(self, condor: HTCondor) -> None:
        assert condor.refusal() == ""


def test_what_matches_a_pattern_comes_with_the_names(condor: HTCondor, live: LiveTree) -> None:
    live.command("condor_config_val", f"case $1 in -config) printf '{ROOT}\n';; *) echo FOO = 1;; esac")
    condor.read_back("", ["FOO", "A.B"], "SEC_.*")
    assert live.ran[-1][-1] == r"^(FOO|A\.B|SEC_.*)$"


def test_no_tool_sees_a_variable_that_overrides_the_configuration(
    condor: HTCondor, live: LiveTree, monkeypatch: "pytest.MonkeyPatch"
) -> None:
    monkeypatch.setenv("_CONDOR_COLLECTOR_HOST", "stray")
    monkeypatch.setenv("CONDOR_CONFIG", "/stray")
    live.command("condor_config_val", f"env > {live.root}/env; env | grep -q stray && exit 1; exit 0")
    condor.settings(["FOO"])
    assert "stray" not in (live.root / "env").read_text()


class TestHanging:
    """HTCondor's tools wait for minutes, and have two reasons for it."""

    @pytest.mark.parametrize("tool", ["condor_status", "condor_advertise"])
    def test_what_asks_the_collector_names_it(self, condor: HTCondor, live: LiveTree, tool: str) -> None:
        live.command(tool, "exec sleep 600")
        live.patience_s = 0.2
        with pytest.raises(CommandFailed, match="the collector does not answer, unless .*own name"):
            condor.slots("True") if tool == "condor_status" else condor.withdraw("True")

    def test_what_asks_nobody_can_only_wait_for_this_machines_own_name(self, condor: HTCondor, live: LiveTree) -> None:
        live.command("condor_config_val", "exec sleep 600")
        live.patience_s = 0.2
        with pytest.raises(CommandFailed, match="own name cannot be looked up") as caught:
            condor.read_back("", ["FOO"])
        assert "collector" not in str(caught.value)
