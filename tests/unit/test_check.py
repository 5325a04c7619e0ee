"""The pre-flight: every look on a machine, and in a world, that are made for it."""

import base64
import json
import re
import socket
import threading
from configparser import ConfigParser
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from annex_agent import cli, commands, simulation
from annex_agent.check import configuration, ec2, image, installed, network, secrets, trust, worker
from annex_agent.check.finding import OK, PROBLEM, WARNING, Finding, Judgement, Unseen, ok, overall, problem, warning
from annex_agent.check.looks import LOOKS, Look, look
from annex_agent.check.outside import Lookup, Outside
from annex_agent.check.report import as_json, as_text
from annex_agent.check.scene import Once, Scene
from annex_agent.errors import AnnexError
from annex_agent.fence_steps import FENCE
from annex_agent.gather import Wanted
from annex_agent.htcondor import CONFIG_FILE, HTCondor, Setting
from annex_agent.machine import Machine
from annex_agent.model import State
from annex_agent.settings import CONFIG_FILE as SETTINGS_FILE
from annex_agent.state import PATH as RECORD
from annex_agent.state import state_text
from annex_agent.status import Record
from annex_agent.system import CONFIGURED, FileState
from annex_agent.systemd import AGENT_UNIT, CONDOR_UNIT, WATCH_UNIT, Systemd
from annex_agent.trust_secrets import tokens_in
from annex_agent.watch import presence

from .conftest import FixedDaemons, LiveTree, holding

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
NOWHERE = {ENDPOINT: "http://127.0.0.1:1"}
INSTANCE = "i-10a64379"  # of the profile "wiki"
NOW = 1_800_000_000.0
TOKENS = "/etc/condor/tokens.d"
POOL = "/etc/condor/passwords.d/POOL"
KNOBS = {
    "CONDOR_VERSION": "23.9.6",
    "LOCAL_CONFIG_DIR": "/usr/share/condor/config.d,/etc/condor/config.d",
    "LOCAL_CONFIG_DIR_EXCLUDE_REGEXP": r"^((\..*)|(.*~))$",
    "DAEMON_LIST": "MASTER",
    "LOG": "/var/log/condor",
    "SPOOL": "/var/spool/condor",
    "EXECUTE": "/var/lib/condor/execute",
    "SEC_TOKEN_SYSTEM_DIRECTORY": TOKENS,
    "SEC_PASSWORD_DIRECTORY": POOL.rpartition("/")[0],
    "SEC_PASSWORD_FILE": POOL,
    "TRUST_DOMAIN": "example.org",
}


class FixedOutside(Outside):
    """A world that answers as it is told."""

    def __init__(self) -> None:
        self.names: Dict[str, Lookup] = {}
        self.refusals: Dict[Tuple[str, int], OSError] = {}
        self.synchronized: Optional[bool] = True
        self.time: Optional[float] = None
        self.root = True

    def look_up(self, name: str, timeout_s: float) -> Lookup:
        return self.names.get(name, Lookup(("10.0.0.1",)))

    def refusal(self, addresses: Any, port: int, timeout_s: float) -> Optional[OSError]:
        return self.refusals.get((addresses[0], port))

    def clock_is_synchronized(self) -> Optional[bool]:
        return self.synchronized

    def now(self) -> float:
        return super().now() if self.time is None else self.time

    @property
    def is_root(self) -> bool:
        return self.root


class CondorsTree(LiveTree):
    """A machine whose directories belong to the user that HTCondor's package makes, and its files to root."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.free = 1 << 40
        self.owners: Dict[str, str] = {}

    def owner_name(self, path: str) -> str:
        return self.owners.get(path, "condor") if super().owner_name(path) else ""

    def free_bytes(self, path: str) -> int:
        return self.free

    def read_file(self, path: str, limit: int = -1) -> Optional[FileState]:
        file = super().read_file(path, limit)
        return file._replace(owner=(0, 0)) if file else None


@pytest.fixture
def outside() -> FixedOutside:
    return FixedOutside()


@pytest.fixture
def tree(tmp_path: Path) -> CondorsTree:
    """A machine with HTCondor as a package leaves it."""
    tree = CondorsTree(tmp_path / "machine")
    tree.configured(**KNOBS)
    for command in ("condor_master", "condor_startd", "condor_status", "condor_advertise", "nft"):
        tree.command(command, "exit 0")
    for path in ("/proc/self", KNOBS["LOG"], KNOBS["SPOOL"], KNOBS["EXECUTE"]):
        tree.holds(f"{path}/x").unlink()
    return tree


def machine_of(tree: LiveTree, *daemons: str) -> Machine:
    return Machine(tree, HTCondor(tree), FixedDaemons(*daemons), Systemd(tree))


def scene_of(
    tree: LiveTree, outside: Outside, *daemons: str, environ: Dict[str, str] = NOWHERE, **wanted: Any
) -> Scene:
    # What listens nowhere refuses at once: nothing is won by trying again.
    return Scene(
        machine_of(tree, *daemons),
        environ,
        Wanted(deadline_s=30.0 if environ is not NOWHERE else 0.1, **wanted),
        outside,
    )


@pytest.fixture
def scene(tree: CondorsTree, outside: FixedOutside) -> Scene:
    """That machine, which is no instance."""
    return scene_of(tree, outside)


@pytest.fixture
def imds() -> Iterator[Dict[str, str]]:
    with simulation.running("wiki") as url:
        yield {ENDPOINT: url}


def verdicts(judgements: Iterator[Judgement]) -> List[str]:
    return [judgement.verdict for judgement in judgements]


def only(judgements: Iterator[Judgement], verdict: str, *words: str) -> Judgement:
    """The one judgement that there is, after looking at it."""
    (judgement,) = judgements
    assert judgement.verdict == verdict, judgement
    for word in words:
        assert word in f"{judgement.words} {judgement.remedy}"
    assert bool(judgement.remedy) == (verdict != OK)
    return judgement


def gives(*judgements: Judgement) -> Look:
    return lambda scene: iter(judgements)


class TestSideBySide:
    def test_findings_come_in_the_looks_order_each_under_its_name(self, scene: Scene) -> None:
        looks = {"b": gives(ok("fine"), warning("hm", "do")), "a": gives(problem("no", "mend"))}
        assert look(scene, looks) == [
            Finding("b", OK, "fine"),
            Finding("b", WARNING, "hm", "do"),
            Finding("a", PROBLEM, "no", "mend"),
        ]

    def test_a_look_that_fails_hides_neither_itself_nor_others(self, scene: Scene) -> None:
        def fails(scene: Scene) -> Iterator[Judgement]:
            yield ok("so far")
            raise ZeroDivisionError("by nothing")

        findings = look(scene, {"bad": fails, "good": gives(ok("fine"))})
        assert [finding[:2] for finding in findings] == [("bad", OK), ("bad", PROBLEM), ("good", OK)]
        assert "by nothing" in findings[1].words

    def test_a_look_that_hangs_is_left_behind(self, scene: Scene) -> None:
        release = threading.Event()

        def hangs(scene: Scene) -> Iterator[Judgement]:
            release.wait()
            yield ok("at last")

        try:
            found = look(scene, {"hung": hangs, "good": gives(ok("fine"))}, 0.05)
        finally:
            release.set()
        assert [finding[:2] for finding in found] == [("hung", PROBLEM), ("good", OK)]
        assert "no answer" in found[0].words

    def test_all_hanging_looks_together_take_the_time_of_one(self, scene: Scene) -> None:
        release, entered = threading.Event(), []

        def hangs(scene: Scene) -> Iterator[Judgement]:
            entered.append(1)
            release.wait()
            yield ok("at last")

        try:
            found = look(scene, {str(number): hangs for number in range(20)}, 0.2)
        finally:
            release.set()
        assert len(entered) == 20, "none waits for another"
        assert {finding.verdict for finding in found} == {PROBLEM}

    @pytest.mark.parametrize("root", [True, False])
    def test_what_only_root_may_see_is_no_fault_of_the_machine(
        self, scene: Scene, outside: FixedOutside, root: bool
    ) -> None:
        outside.root = root

        def denied(scene: Scene) -> Iterator[Judgement]:
            yield ok("so far")
            raise AnnexError("it cannot be read") from PermissionError(13, "Permission denied", "/etc/secret")

        _, finding = look(scene, {"denied": denied})
        assert finding.verdict == (PROBLEM if root else WARNING)
        assert ("only root can see /etc/secret" in finding.words) is not root
        assert ("sudo" in finding.remedy) is not root

    def test_what_several_looks_need_is_read_once_and_fails_for_all(self) -> None:
        made = []

        def make() -> int:
            made.append(1)
            raise AnnexError("no")

        once = Once(make)
        for _ in range(3):
            with pytest.raises(AnnexError, match="no"):
                once()
        assert made == [1]

    def test_on_a_machine_without_anything_every_look_has_a_word_and_a_remedy(
        self, live: LiveTree, outside: FixedOutside
    ) -> None:
        findings = look(scene_of(live, outside))
        assert {finding.name for finding in findings} == set(LOOKS) - {"slot"}
        assert not [finding for finding in findings if bool(finding.remedy) == (finding.verdict == OK)]
        assert not [finding for finding in findings if "itself failed" in finding.words]
        assert overall(findings) == PROBLEM

    def test_it_writes_nothing(self, tree: CondorsTree, outside: FixedOutside, imds: Dict[str, str]) -> None:
        before = sorted((str(path), path.stat().st_mtime_ns) for path in tree.root.rglob("*"))
        look(scene_of(tree, outside, environ=imds))
        assert sorted((str(path), path.stat().st_mtime_ns) for path in tree.root.rglob("*")) == before


class TestTheAnswer:
    FINDINGS = (
        Finding("python", OK, "3.11"),
        Finding("own-name", WARNING, "slow", "mend it"),
        Finding("trust", PROBLEM, "none\nat \x1b[31mall", "make one"),
    )

    def test_it_is_aligned_with_remedies_below_and_counts_at_the_end(self) -> None:
        assert as_text(self.FINDINGS) == (
            "ok       python    3.11\n"
            "warning  own-name  slow\n"
            "                     mend it\n"
            "problem  trust     none at \\x1b[31mall\n"
            "                     make one\n"
            "1 ok, 1 warning, 1 problem"
        )

    def test_for_programs(self) -> None:
        answer = json.loads(as_json(self.FINDINGS))
        assert answer["overall"] == PROBLEM
        assert answer["findings"][1] == {
            "name": "own-name",
            "verdict": WARNING,
            "words": "slow",
            "remedy": "mend it",
        }

    def test_the_worst_decides(self) -> None:
        assert overall(self.FINDINGS[:2]) == WARNING
        assert overall(()) == OK


class TestTheCommand:
    @pytest.fixture
    def run(self, tree: CondorsTree, monkeypatch: "pytest.MonkeyPatch", quiet_log: None) -> Machine:
        machine = machine_of(tree)
        monkeypatch.setattr(commands, "local_machine", lambda system: machine)
        return machine

    def test_a_problem_is_1(self, run: Machine, tree: CondorsTree, capsys: "pytest.CaptureFixture[str]") -> None:
        (tree.commands / "condor_master").unlink()
        assert cli.main(["check", "--simulate", "--json"]) == 1
        answer = json.loads(capsys.readouterr().out)
        assert answer["overall"] == PROBLEM
        assert "condor_master" in next(each for each in answer["findings"] if each["name"] == "htcondor")["words"]

    def test_warnings_are_0(
        self, run: Machine, tree: CondorsTree, tmp_path: Path, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as collector:
            (tmp_path / "user-data").write_text(f"127.0.0.1:{collector.getsockname()[1]}\n")
            tree.named = "localhost"
            code = cli.main(["check", "--simulate", "--user-data", str(tmp_path / "user-data")])
        said = capsys.readouterr().out
        assert code == 0, said
        assert re.search(r"^\d+ ok, [1-9]\d* warnings?, 0 problems$", said, re.MULTILINE)


class TestInstalled:
    def test_a_whole_htcondor(self, scene: Scene) -> None:
        only(installed.htcondor(scene), OK, "23.9.6")

    def test_none(self, live: LiveTree, outside: FixedOutside) -> None:
        only(installed.htcondor(scene_of(live, outside)), PROBLEM, "not installed", "install")

    def test_tools_without_daemons(self, tree: CondorsTree, scene: Scene) -> None:
        (tree.commands / "condor_startd").unlink()
        first, second = installed.htcondor(scene)
        assert (first.verdict, second.verdict) == (PROBLEM, OK)
        assert "condor_startd" in first.words
        assert "condor_master" not in first.words

    def test_a_configuration_that_cannot_be_read_hides_the_version_only(self, tree: CondorsTree, scene: Scene) -> None:
        tree.command("condor_config_val", "echo 'Syntax error' >&2; exit 1")
        only(installed.htcondor(scene), WARNING, "version cannot be told")

    @pytest.mark.parametrize(
        ("text", "verdict"),
        [
            ("25.0.1", OK),
            ("23.0.0", OK),
            ("10.9.0", WARNING),
            ("9.0.1", WARNING),
            ("8.9.13", PROBLEM),
            ("", WARNING),
            ("?", WARNING),
        ],
    )
    def test_versions(self, text: str, verdict: str) -> None:
        assert installed.version(text).verdict == verdict

    def test_python_and_the_libraries_of_these_tests_will_do(self, scene: Scene) -> None:
        only(installed.python(scene), OK, "boto3")

    @pytest.mark.parametrize(
        ("found", "enough"),
        [("2.25.1", True), ("2.25.0", False), ("3.0", True), ("2.26.0.dev1", True), ("2.25", False), ("dev", True)],
    )
    def test_library_versions(self, found: str, enough: bool) -> None:
        judgement = installed.library_version(installed.Library("requests", "requests", (2, 25, 1)), found)
        assert (judgement is None) is enough

    def test_a_library_that_is_missing(self, scene: Scene, monkeypatch: "pytest.MonkeyPatch") -> None:
        absent = installed.Library("no_such_module", "NoSuch", (1,))
        monkeypatch.setattr(installed, "LIBRARIES", (absent,))
        only(installed.python(scene), PROBLEM, "NoSuch is missing", "python3-nosuch")

    def test_a_library_whose_package_left_its_metadata_out(
        self, scene: Scene, monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        monkeypatch.setattr(installed, "LIBRARIES", (installed.Library("json", "no-such-distribution", (1,)),))
        only(installed.python(scene), OK)

    def test_the_floors_are_those_that_are_installed_by(self) -> None:
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        required = [line.split(" >= ") for line in setup["options"]["install_requires"].split("\n") if line]
        ours = [[each.distribution, ".".join(map(str, each.floor))] for each in installed.LIBRARIES]
        assert ours == required


class TestConfiguration:
    def test_as_it_should_be(self, scene: Scene) -> None:
        only(configuration.configuration(scene), OK)

    def test_what_htcondor_cannot_read_is_told_in_its_words(self, tree: CondorsTree, scene: Scene) -> None:
        tree.command("condor_config_val", "echo 'Error while reading /etc/condor/config.d/x' >&2; exit 1")
        only(configuration.configuration(scene), PROBLEM, "/etc/condor/config.d/x")
        with pytest.raises(Unseen):
            next(configuration.directories(scene))

    def test_a_tool_that_hangs_is_a_problem_and_named(self, tree: CondorsTree, scene: Scene) -> None:
        tree.patience_s = 0.1
        tree.command("condor_config_val", "sleep 1000")
        only(configuration.configuration(scene), PROBLEM, "did not end", "own-name")

    @pytest.mark.parametrize("value", ["/etc/condor/config.d", "/a /etc/condor/config.d/", "/etc/condor/config.d,/b"])
    def test_our_directory_is_read(self, value: str) -> None:
        assert list(configuration.directory_is_read(Setting(value, "/etc/condor/condor_config, line 3"))) == []

    @pytest.mark.parametrize("value", ["", "/etc/condor/config.d2", "/etc/condor"])
    def test_our_directory_is_not_read(self, value: str) -> None:
        only(configuration.directory_is_read(Setting(value, "/etc/x, line 3")), PROBLEM, "LOCAL_CONFIG_DIR", "line 3")

    def test_daemons_that_no_worker_runs(self) -> None:
        found = configuration.other_daemons(Setting("MASTER, COLLECTOR startd SCHEDD", "/etc/x, line 3"))
        only(found, WARNING, "COLLECTOR, SCHEDD", "/etc/x, line 3")
        assert list(configuration.other_daemons(Setting("MASTER STARTD, SHARED_PORT", ""))) == []

    def test_a_file_that_overrules_ours_is_named(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds(CONFIG_FILE, "# why\nCONDOR_HOST = cm.example.org\nA = $(B)\nC = 1\n")
        tree.configured(**KNOBS, CONDOR_HOST="other", A="x", C="1")
        tree.command(
            "condor_config_val",
            (tree.commands / "condor_config_val").read_text().replace("cat <<", '[ "$1" = -config ] && exit 0\ncat <<'),
        )
        only(configuration.configuration(scene), WARNING, "CONDOR_HOST shall be cm.example.org", "remove the line")


class TestDirectories:
    def test_as_they_should_be(self, scene: Scene) -> None:
        only(configuration.directories(scene), OK, "1024.0 GiB")

    def test_what_is_missing_is_made_by_a_start(self, tree: CondorsTree, scene: Scene) -> None:
        (tree.root / KNOBS["EXECUTE"][1:]).rmdir()
        only(configuration.directories(scene), OK, f"a start makes {KNOBS['EXECUTE']}")

    def test_of_another_user(self, tree: CondorsTree, scene: Scene) -> None:
        tree.owners = {KNOBS["LOG"]: "root"}
        only(configuration.directories(scene), PROBLEM, "belongs to root", "chown condor /var/log/condor")

    def test_a_file_in_its_place(self, tree: CondorsTree, scene: Scene) -> None:
        (tree.root / KNOBS["SPOOL"][1:]).rmdir()
        tree.holds(KNOBS["SPOOL"])
        only(configuration.directories(scene), PROBLEM, "no directory")

    @pytest.mark.parametrize("value", ["", "spool"])
    def test_no_directory_at_all(self, tree: CondorsTree, outside: FixedOutside, value: str) -> None:
        tree.configured(**{**KNOBS, "SPOOL": value})
        only(configuration.directories(scene_of(tree, outside)), PROBLEM, "SPOOL is")

    def test_little_room(self, tree: CondorsTree, scene: Scene) -> None:
        tree.free = 5 << 20
        only(configuration.directories(scene), WARNING, "5 MiB", "EXECUTE")

    def test_the_room_where_a_directory_would_be_made(self, live: LiveTree) -> None:
        # Others write to the same disk meanwhile.
        assert live.free_bytes("/not/yet") == pytest.approx(live.free_bytes("/"), abs=1 << 30)
        assert live.free_bytes("/not/yet") > 0


def a_token(**claims: Any) -> bytes:
    """A JSON Web Token of the shape that HTCondor makes."""
    parts = [{"alg": "HS256", "kid": "POOL"}, {"iss": "example.org", "sub": "condor@example.org", **claims}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*encoded, b"c2lnbmF0dXJl"]) + b"\n"


FRESH, STALE, SOON = a_token(exp=NOW + 86400), a_token(exp=NOW - 1), a_token(exp=NOW + 60)


class TestTrust:
    def look(self, tree: CondorsTree, outside: FixedOutside, **knobs: str) -> List[Judgement]:
        tree.configured(**{**KNOBS, **knobs})
        outside.time = NOW
        return list(trust.trust(scene_of(tree, outside)))

    def held(self, *contents: bytes) -> List[trust.Held]:
        return [trust.Held(f"{TOKENS}/{n}", tokens_in(content)) for n, content in enumerate(contents)]

    def judged(self, *contents: bytes, domain: str = "example.org") -> List[str]:
        return verdicts(trust.tokens(self.held(*contents), NOW, domain))

    def test_a_token(self, tree: CondorsTree, outside: FixedOutside) -> None:
        tree.holds(f"{TOKENS}/pool", FRESH.decode(), 0o600)
        (tree.root / TOKENS[1:]).chmod(0o700)
        only(iter(self.look(tree, outside)), OK, "1 token")

    def test_nothing_at_all(self, tree: CondorsTree, outside: FixedOutside) -> None:
        only(iter(self.look(tree, outside)), WARNING, TOKENS, POOL, "condor_token_create")

    def test_what_htcondor_passes_over_is_no_token(self, tree: CondorsTree, outside: FixedOutside) -> None:
        for name in (".pool", "pool~"):
            tree.holds(f"{TOKENS}/{name}", FRESH.decode(), 0o600)
        (tree.root / TOKENS[1:]).chmod(0o700)
        only(iter(self.look(tree, outside)), WARNING, "no token")
        only(iter(self.look(tree, outside, LOCAL_CONFIG_DIR_EXCLUDE_REGEXP="(*")), WARNING, "no token")

    def test_an_open_file_and_an_open_directory(self, tree: CondorsTree, outside: FixedOutside) -> None:
        tree.holds(f"{TOKENS}/pool", FRESH.decode(), 0o644)
        (tree.root / TOKENS[1:]).chmod(0o755)
        directory, file = self.look(tree, outside)
        assert (directory.verdict, file.verdict) == (WARNING, PROBLEM)
        assert "0644" in file.words

    @pytest.mark.parametrize(
        ("mode", "verdict"), [(0o700, None), (0o500, None), (0o755, WARNING), (0o770, PROBLEM), (0o777, PROBLEM)]
    )
    def test_modes_of_the_directory(self, mode: int, verdict: Optional[str]) -> None:
        assert verdicts(trust.closed(TOKENS, mode)) == ([verdict] if verdict else [])

    @pytest.mark.parametrize(
        ("mode", "uid", "good"),
        [(0o600, 0, True), (0o400, 0, True), (0o640, 0, False), (0o604, 0, False), (0o600, 7, False)],
    )
    def test_only_a_file_that_is_roots_alone_counts(self, mode: int, uid: int, good: bool) -> None:
        assert verdicts(trust.private("/t", FileState(FRESH, mode, (uid, 0)))) == ([] if good else [PROBLEM])

    def test_expiry(self) -> None:
        assert self.judged(FRESH) == [OK]
        assert self.judged(a_token()) == [OK]
        assert self.judged(STALE) == [PROBLEM]
        assert self.judged(FRESH, STALE) == [WARNING, OK]
        assert self.judged(b"# comment\n\n" + FRESH + STALE) == [WARNING, OK]
        assert self.judged(SOON) == [WARNING, OK]

    def test_another_pools(self) -> None:
        assert self.judged(FRESH, domain="other.org") == [WARNING, OK]
        assert self.judged(FRESH, domain="") == [OK]

    @pytest.mark.parametrize(
        "content", [b"", b"not a token\n", b"a.b.c\n", b"\xff\n", b"a.W10.c\n", FRESH.replace(b".", b"")]
    )
    def test_what_is_no_token(self, content: bytes) -> None:
        assert self.judged(content) == [PROBLEM]
        assert self.judged(content, FRESH) == [PROBLEM, OK]

    def test_a_trust_domain_counts_only_where_the_image_sets_it(self, tree: CondorsTree, outside: FixedOutside) -> None:
        tree.holds(POOL, "scrambled", 0o600)
        only(iter(self.look(tree, outside)), OK, "example.org")
        script = tree.commands / "condor_config_val"
        default = script.read_text().replace(
            "TRUST_DOMAIN = example.org\n # at: /etc/condor/x, line 1", "TRUST_DOMAIN = vm\n # at: <Default>"
        )
        tree.command("condor_config_val", default)
        only(trust.trust(scene_of(tree, outside)), WARNING, "TRUST_DOMAIN")

    def test_a_pool_password_that_others_can_read(self) -> None:
        found = trust.pool_password(POOL, FileState(b"x", 0o644, (0, 0)), "example.org")
        only(found, PROBLEM, "0644")

    def told(self, tree: CondorsTree, outside: FixedOutside, settings: str, *held: str) -> List[Judgement]:
        """What the look says with these settings in the image, and a good token in each of these files."""
        tree.holds("/etc/annex-agent/config.yaml", settings)
        for path in held:
            tree.holds(path, FRESH.decode(), 0o600)
        for path in ("etc/condor/tokens.d", "etc/condor/passwords.d"):
            (tree.root / path).mkdir(mode=0o700, parents=True, exist_ok=True)
            (tree.root / path).chmod(0o700)
        return self.look(tree, outside)

    OURS = f"{TOKENS}/annex-agent"
    BY_TOKEN = "security: {token: 'ssm:/annex/token'}\n"
    BY_PASSWORD = "security: {pool_password: 'ssm:/annex/password'}\n"

    def test_a_secret_that_the_start_will_store(self, tree: CondorsTree, outside: FixedOutside) -> None:
        only(iter(self.told(tree, outside, self.BY_TOKEN)), OK, "ssm:/annex/token", self.OURS, "idtokens")
        only(iter(self.told(tree, outside, self.BY_PASSWORD)), OK, "passwords.d/annex-agent", "password")

    def test_a_secret_that_is_stored(self, tree: CondorsTree, outside: FixedOutside) -> None:
        found = self.told(tree, outside, self.BY_TOKEN, self.OURS)
        assert verdicts(iter(found)) == [OK, OK]
        assert f"stored at {self.OURS}" in found[1].words

    def test_a_secret_that_should_have_been_stored(self, tree: CondorsTree, outside: FixedOutside) -> None:
        tree.holds(CONFIGURED)
        only(iter(self.told(tree, outside, self.BY_TOKEN)), PROBLEM, "is not stored", "annex-agent start")

    def test_a_secret_that_is_not_named_any_more(self, tree: CondorsTree, outside: FixedOutside) -> None:
        tree.holds(RECORD, state_text(State(INSTANCE, "b", None, (self.OURS,))))
        found = self.told(tree, outside, "", self.OURS)
        assert verdicts(iter(found)) == [OK, WARNING]
        assert "do not name" in found[1].words
        assert verdicts(iter(self.told(tree, outside, self.BY_TOKEN))) == [OK, OK]

    def test_trust_by_address(self, tree: CondorsTree, outside: FixedOutside) -> None:
        only(iter(self.told(tree, outside, "security: {method: host}\n")), WARNING, "security.method is host")

    @pytest.mark.parametrize(
        ("name", "domain", "is_shown"), [("00", "", True), ("pool", "", False), ("00", "b", False)]
    )
    def test_another_token_of_the_same_pool_that_comes_first(
        self, tree: CondorsTree, outside: FixedOutside, name: str, domain: str, is_shown: bool
    ) -> None:
        tree.holds(f"{TOKENS}/{name}", (a_token(iss=domain) if domain else FRESH).decode(), 0o600)
        said = [judgement.words for judgement in self.told(tree, outside, self.BY_TOKEN, self.OURS)]
        assert any("in place of annex-agent's" in words for words in said) == is_shown

    def test_the_directory_that_users_and_daemons_share_where_it_is_set(
        self, tree: CondorsTree, outside: FixedOutside
    ) -> None:
        tree.holds("/pool/tokens/one", FRESH.decode(), 0o600)
        (tree.root / "pool/tokens").chmod(0o700)
        only(iter(self.look(tree, outside, SEC_TOKEN_DIRECTORY="/pool/tokens")), OK, "1 token")

    def test_a_pool_password_by_itself_needs_no_trust_domain(self, tree: CondorsTree, outside: FixedOutside) -> None:
        tree.holds(POOL, "scrambled", 0o600)
        tree.holds("/etc/annex-agent/config.yaml", self.BY_PASSWORD)
        (tree.root / "etc/condor/passwords.d").chmod(0o700)
        assert verdicts(iter(self.look(tree, outside, TRUST_DOMAIN=""))) == [OK]
        tree.holds(POOL, "scrambled", 0o644)
        assert verdicts(iter(self.look(tree, outside, TRUST_DOMAIN=""))) == [OK, PROBLEM]

    def test_nothing_of_a_secret_is_shown(self, tree: CondorsTree, outside: FixedOutside) -> None:
        contents = {"good": FRESH, "stale": STALE, "soon": SOON, "half": FRESH[:40], "word": b"hunter2hunter2\n"}
        for name, content in contents.items():
            tree.holds(f"{TOKENS}/{name}", content.decode(), 0o600)
        tree.holds(POOL, "hunter3hunter3", 0o644)
        said = as_text([Finding("trust", *judgement) for judgement in self.look(tree, outside, TRUST_DOMAIN="other")])
        secrets = {part.decode() for content in contents.values() for part in re.findall(rb"[\w-]{12,}", content)}
        assert secrets | {"hunter3"}
        assert not [secret for secret in secrets | {"hunter3", "condor@example.org"} if secret in said]


class TestSettingsAndMetadata:
    def test_an_image_leaves_the_central_manager_to_user_data(self, scene: Scene) -> None:
        only(ec2.settings(scene), OK, "user-data is to name it")
        only(ec2.metadata(scene), WARNING, "this is not an EC2 instance", "image")

    def test_an_image_that_names_it(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds(SETTINGS_FILE, "central_manager: cm.example.org\n")
        only(ec2.settings(scene), OK, "cm.example.org")

    def test_every_problem_is_a_line(self, tree: CondorsTree, outside: FixedOutside, tmp_path: Path) -> None:
        tree.holds(SETTINGS_FILE, "colour: red\nstop: {mode: slowly}\n")
        (tmp_path / "user-data").write_text("A = 1\nno knob\n")
        found = list(ec2.settings(scene_of(tree, outside, user_data=tmp_path / "user-data")))
        assert [judgement.verdict for judgement in found] == [PROBLEM] * 3
        for judgement, word in zip(found, ("colour", "stop.mode", "line 2")):
            assert word in judgement.words

    def test_an_instance(self, tree: CondorsTree, outside: FixedOutside, imds: Dict[str, str]) -> None:
        scene = scene_of(tree, outside, environ=imds)
        only(ec2.settings(scene), OK, "cm.example.org")
        only(ec2.metadata(scene), OK, INSTANCE, "IMDSv2")

    def test_an_instance_without_a_central_manager(
        self, tree: CondorsTree, outside: FixedOutside, imds: Dict[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "user-data").write_text("#!/bin/sh\n")
        scene = scene_of(tree, outside, environ=imds, user_data=tmp_path / "user-data")
        only(ec2.settings(scene), PROBLEM, "no central manager is named", "launch the instance", "script")

    def test_a_service_that_cannot_be_used_is_a_problem(self, tree: CondorsTree, outside: FixedOutside) -> None:
        scene = scene_of(tree, outside, environ={ENDPOINT: "nonsense"})
        only(ec2.metadata(scene), PROBLEM, "nonsense")
        with pytest.raises(Unseen, match="user-data"):
            list(ec2.settings(scene))

    def test_a_service_of_another_age(self, tree: CondorsTree, outside: FixedOutside, tmp_path: Path) -> None:
        profile = tmp_path / "old.yaml"
        wiki = (ROOT / "agent/emulator/profiles/wiki.yaml").read_text()
        profile.write_text(wiki.replace("  v2: true ", "  v2: false"))
        with simulation.running(str(profile)) as url:
            only(ec2.metadata(scene_of(tree, outside, environ={ENDPOINT: url})), WARNING, "IMDSv1")
        tree.holds(SETTINGS_FILE, "metadata: {v1: never}\n")
        with simulation.running(str(profile)) as url:
            only(ec2.metadata(scene_of(tree, outside, environ={ENDPOINT: url})), PROBLEM, "metadata.v1: never")

    def test_a_user_who_is_fenced_off_is_told_to_be_root(
        self, tree: CondorsTree, outside: FixedOutside, monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        monkeypatch.setattr("annex_agent.metadata.IPV4_ENDPOINT", NOWHERE[ENDPOINT])  # refuses, as the fence does
        tree.holds(FENCE, "nft\n")
        outside.root, tree.user = False, 1000
        scene = scene_of(tree, outside)
        for each in (ec2.metadata, ec2.settings, image.leftovers):
            (finding,) = look(scene, {"x": each})
            assert finding.verdict == WARNING
            assert "fenced off" in finding.words
            assert "sudo" in finding.remedy
        outside.root, tree.user = True, 0
        only(ec2.metadata(scene_of(tree, outside)), WARNING, "not an EC2 instance")


class TestSecrets:
    """Those in AWS are tried in tests/aws, where there is one."""

    def test_none_is_fine(self, scene: Scene) -> None:
        only(secrets.secrets(scene), OK, "name none")

    def test_a_file_and_what_is_given_in_the_open(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds("/etc/token", "hush", 0o600)
        tree.holds(SETTINGS_FILE, "security: {token: 'file:/etc/token', pool_password: 'inline:hush'}\n")
        said = only(secrets.secrets(scene), OK, "can be had: file:/etc/token, inline:***").words
        assert "hush" not in said

    def test_a_file_that_is_missing_or_open_to_others(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds("/etc/token", "hush", 0o644)
        tree.holds(SETTINGS_FILE, "security: {token: 'file:/etc/token', pool_password: 'file:/etc/password'}\n")
        is_open, missing = secrets.secrets(scene)
        assert (is_open.verdict, missing.verdict) == (WARNING, PROBLEM)
        assert "others than root can use /etc/token (mode 0644)" in is_open.words
        assert "the secret file:/etc/password is not there" in missing.words

    def test_a_file_that_only_root_can_read_is_no_problem_to_others(
        self, tree: CondorsTree, scene: Scene, outside: FixedOutside, monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        def denied(path: str, limit: int = -1) -> None:
            raise AnnexError(f"{path} cannot be read") from PermissionError(13, "Permission denied", path)

        tree.holds("/etc/token", "hush", 0o600)
        tree.holds(SETTINGS_FILE, "security: {token: 'file:/etc/token'}\n")
        assert scene.settings().token is not None  # read before nothing can be any more
        monkeypatch.setattr(tree, "read_file", denied)
        outside.root = False
        (finding,) = look(scene, {"x": secrets.secrets})
        assert (finding.verdict, finding.words) == (
            WARNING,
            "not checked: only root can see the secret file:/etc/token",
        )
        outside.root = True
        only(secrets.secrets(scene), PROBLEM, "cannot be read")

    def test_where_there_is_no_instance_aws_is_not_asked(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds("/etc/token", "hush", 0o600)
        tree.holds(SETTINGS_FILE, "security: {token: 'ssm:/annex/token', pool_password: 'file:/etc/token'}\n")
        not_tried, had = secrets.secrets(scene)
        assert (not_tried.verdict, had.verdict) == (WARNING, OK)
        assert "not tried, as this is no instance: ssm:/annex/token" in not_tried.words
        assert had.words == "can be had: file:/etc/token"

    def test_an_instance_without_a_role_is_told_the_policy_that_one_needs(
        self, tree: CondorsTree, outside: FixedOutside, imds: Dict[str, str]
    ) -> None:
        tree.holds(SETTINGS_FILE, "security: {token: 'secretsmanager:annex/token'}\n")
        found = only(secrets.secrets(scene_of(tree, outside, environ=imds)), PROBLEM, "this instance has no role")
        policy = json.loads(found.remedy[found.remedy.index("{") :])
        (statement,) = policy["Statement"]
        assert statement["Resource"] == "arn:aws:secretsmanager:us-east-1:123456789012:secret:annex/token-??????"

    def test_settings_that_cannot_be_read_are_another_looks_business(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds(SETTINGS_FILE, "security: {token: 'hush'}\n")
        with pytest.raises(Unseen, match="the settings cannot be read"):
            list(secrets.secrets(scene))


class TestClock:
    @pytest.mark.parametrize(("state", "verdict"), [(True, OK), (False, WARNING), (None, WARNING)])
    def test_whether_it_is_kept(self, scene: Scene, outside: FixedOutside, state: Optional[bool], verdict: str) -> None:
        outside.synchronized = state
        only(ec2.clock(scene), verdict)

    @pytest.mark.parametrize(("wrong_by_s", "word"), [(600, "ahead of"), (-600, "behind"), (20, None)])
    def test_against_the_metadata_services(
        self, tree: CondorsTree, outside: FixedOutside, imds: Dict[str, str], wrong_by_s: int, word: Optional[str]
    ) -> None:
        outside.time = Outside.now(outside) + wrong_by_s
        found = list(ec2.clock(scene_of(tree, outside, environ=imds)))
        assert [judgement.verdict for judgement in found] == ([PROBLEM, OK] if word else [OK])
        assert not word or word in found[0].words

    def test_the_kernel_says(self) -> None:
        assert Outside().clock_is_synchronized() in (True, False, None)


class TestNames:
    @pytest.mark.parametrize(
        ("found", "verdict"),
        [
            (Lookup(("10.0.0.1",)), OK),
            (Lookup(("10.0.0.1",), seconds=3.0), WARNING),
            (Lookup((), "temporary failure in name resolution", is_temporary=True), PROBLEM),
            (Lookup((), "name or service not known"), WARNING),
        ],
    )
    def test_its_own(self, scene: Scene, outside: FixedOutside, found: Lookup, verdict: str) -> None:
        outside.names["ip-10-253-191-243"] = found
        only(network.own_name(scene), verdict, "ip-10-253-191-243")

    def test_the_resolver(self) -> None:
        found = Outside().look_up("127.0.0.1", 10)
        assert found.addresses == ("127.0.0.1",)
        assert Outside().look_up("not a host name", 10).complaint
        assert Outside().look_up("x" * 300, 10).complaint

    @pytest.mark.parametrize(("number", "temporary"), [(socket.EAI_AGAIN, True), (socket.EAI_NONAME, False)])
    def test_try_again_is_another_answer_than_unknown(
        self, monkeypatch: "pytest.MonkeyPatch", number: int, temporary: bool
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise socket.gaierror(number, "No")

        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        assert Outside().look_up("cm.example.org", 10)._replace(seconds=0) == Lookup((), "no", temporary)

    def test_a_resolver_that_does_not_come_back(self, monkeypatch: "pytest.MonkeyPatch") -> None:
        release = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait() and [])
        try:
            found = Outside().look_up("slow.example.org", 0.05)
        finally:
            release.set()
        assert found.is_temporary
        assert "no answer" in found.complaint


class TestCentralManager:
    def scene(self, tree: CondorsTree, outside: Outside, *managers: str) -> Scene:
        tree.holds(SETTINGS_FILE, f"central_manager: [{', '.join(repr(manager) for manager in managers)}]\n")
        return scene_of(tree, outside)

    def test_one_that_listens(self, tree: CondorsTree) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            name = f"127.0.0.1:{server.getsockname()[1]}"
            only(network.central_manager(self.scene(tree, Outside(), name)), OK, name)

    def test_of_its_addresses_one_is_enough(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert Outside().refusal(["127.0.0.1", "127.0.0.2"], port, 10) is None
            assert Outside().refusal(["127.0.0.2", "127.0.0.1"], port, 10) is None
            assert isinstance(Outside().refusal(["127.0.0.2", "127.0.0.3"], port, 10), ConnectionRefusedError)

    def test_one_that_does_not(self, tree: CondorsTree) -> None:
        only(network.central_manager(self.scene(tree, Outside(), "127.0.0.1:1")), PROBLEM, "refuses", "port 1")

    def test_the_port_is_the_collectors_unless_another_is_named(self, tree: CondorsTree, outside: FixedOutside) -> None:
        outside.refusals = {("10.0.0.1", 9618): TimeoutError("timed out")}
        found = only(network.central_manager(self.scene(tree, outside, "cm.example.org")), PROBLEM, "port 9618")
        assert "security group" in found.remedy
        only(network.central_manager(self.scene(tree, outside, "cm.example.org:9620")), OK)

    def test_a_name_that_nobody_knows(self, tree: CondorsTree, outside: FixedOutside) -> None:
        outside.names["cm.example.org"] = Lookup((), "name or service not known")
        only(network.central_manager(self.scene(tree, outside, "cm.example.org")), PROBLEM, "looked up", "not known")

    def test_of_two_one_is_enough(self, tree: CondorsTree, outside: FixedOutside) -> None:
        outside.names["b.example.org"] = Lookup((), "name or service not known")
        scene = self.scene(tree, outside, "a.example.org", "b.example.org")
        assert verdicts(network.central_manager(scene)) == [WARNING, OK]

    def test_where_none_is_named_nothing_is_tried(self, scene: Scene) -> None:
        with pytest.raises(Unseen, match="no central manager"):
            list(network.central_manager(scene))


class TestWayIn:
    @pytest.mark.parametrize(
        ("profile", "settings", "expected"),
        [
            ("wiki", "", (OK, "67.202.60.66", "TCP 9618", "only a try from")),
            ("wiki", 'network: {ports: "40000-40050"}', (OK, "67.202.60.66", "TCP 40000-40050")),
            ("wiki", "network: {advertise: private}", (WARNING, "10.253.191.243", "leave it at auto")),
            ("wiki", "network: {advertise: private}\ncondor: {CCB_ADDRESS: x}", (OK, "CCB")),
            ("no-public-address", "", (OK, "no public address", "CCB")),
            ("no-public-address", "network: {advertise: private}", (WARNING, "themselves")),
            ("no-public-address", "network: {advertise: public}", (PROBLEM, "network.advertise")),
        ],
    )
    def test_what_daemons_outside_are_told(
        self, tree: CondorsTree, outside: FixedOutside, profile: str, settings: str, expected: Tuple[str, ...]
    ) -> None:
        tree.holds(SETTINGS_FILE, f"{settings}\n")
        with simulation.running(profile) as url:
            only(network.way_in(scene_of(tree, outside, environ={ENDPOINT: url})), *expected)

    def test_on_no_instance_there_is_no_address(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds(SETTINGS_FILE, 'network: {ports: "40000-40050"}\n')
        only(network.way_in(scene), OK, "advertise is auto", "TCP 40000-40050")

    def test_settings_that_cannot_be_read_are_another_looks(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds(SETTINGS_FILE, "network: {advertise: maybe}\n")
        with pytest.raises(Unseen, match="settings"):
            list(network.way_in(scene))


class TestFirewall:
    def test_nft(self, tree: CondorsTree, scene: Scene) -> None:
        only(network.firewall(scene), OK, "nft")
        assert tree.ran == [("nft", "list", "tables")]

    def test_iptables_in_its_place(self, tree: CondorsTree, scene: Scene) -> None:
        (tree.commands / "nft").unlink()
        for command in ("iptables", "ip6tables"):
            tree.command(command, "exit 0")
        only(network.firewall(scene), OK, "iptables and ip6tables")
        tree.command("ip6tables", "echo 'No such module' >&2; exit 3")
        only(network.firewall(scene), WARNING, "No such module")

    def test_none(self, tree: CondorsTree, scene: Scene) -> None:
        (tree.commands / "nft").unlink()
        tree.command("iptables", "exit 0")
        only(network.firewall(scene), WARNING, "install nftables")

    def test_one_that_cannot_be_used(self, tree: CondorsTree, scene: Scene) -> None:
        tree.command("nft", "echo 'Operation not supported' >&2; exit 1")
        only(network.firewall(scene), WARNING, "Operation not supported")

    def test_only_root_can_try(self, scene: Scene, outside: FixedOutside) -> None:
        outside.root = False
        with pytest.raises(Unseen, match="only root"):
            list(network.firewall(scene))

    def test_a_fence_that_was_raised_has_to_stand(self, tree: CondorsTree, scene: Scene) -> None:
        tree.command("nft", '[ "$2" = tables ]')
        only(network.firewall(scene), OK)
        tree.holds(FENCE, "nft 123\n")
        only(
            network.firewall(scene), PROBLEM, "the fence around the metadata service does not hold", "annex-agent start"
        )


class TestUnits:
    def booted(
        self, tree: CondorsTree, agent: str, condor: str, environment: str = CONFIGURED, *, watch: str = ""
    ) -> None:
        (tree.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        tree.command(
            "systemctl",
            f'[ "$2" = {AGENT_UNIT} ] && cat <<END && exit\n{agent}\nEND\n'
            f'[ "$2" = {WATCH_UNIT} ] && cat <<END && exit\n{watch or self.is_("enabled")}\nEND\n'
            f"cat <<END\n{condor}\nEnvironmentFiles={environment} (ignore_errors=yes)\nEND",
        )

    def is_(self, file_state: str, load: str = "loaded", active: str = "inactive") -> str:
        return f"LoadState={load}\nUnitFileState={file_state}\nActiveState={active}"

    def test_without_systemd(self, scene: Scene) -> None:
        only(image.units(scene), WARNING, "not checked")

    def test_as_they_should_be(self, tree: CondorsTree, scene: Scene) -> None:
        self.booted(tree, self.is_("enabled"), self.is_("enabled"))
        assert verdicts(image.units(scene)) == [OK, OK, OK]

    @pytest.mark.parametrize(
        ("agent", "verdict", "word"),
        [
            (("", "not-found", "inactive"), WARNING, "not installed"),
            (("disabled", "loaded", "inactive"), WARNING, "systemctl enable"),
            (("masked", "masked", "inactive"), WARNING, "unmask"),
            (("enabled", "loaded", "failed"), PROBLEM, "journalctl"),
            (("enabled-runtime", "loaded", "active"), OK, "enabled-runtime"),
        ],
    )
    def test_ours(self, tree: CondorsTree, scene: Scene, agent: Tuple[str, str, str], verdict: str, word: str) -> None:
        self.booted(tree, self.is_(*agent), self.is_("enabled"))
        only(iter([next(iter(image.units(scene)))]), verdict, word)

    @pytest.mark.parametrize(
        ("state", "verdict", "word"),
        [
            (("", "not-found"), WARNING, f"no {CONDOR_UNIT}"),
            (("masked", "masked"), PROBLEM, "unmask"),
            (("disabled", "loaded"), OK, "waits"),
        ],
    )
    def test_htcondors(self, tree: CondorsTree, scene: Scene, state: Tuple[str, str], verdict: str, word: str) -> None:
        self.booted(tree, self.is_("enabled"), self.is_(*state))
        only(iter(list(image.units(scene))[2:]), verdict, word)

    @pytest.mark.parametrize(
        ("watch", "verdict", "words"),
        [
            (("", "not-found", "inactive"), WARNING, ("not installed", "install annex-agent")),
            (("disabled", "loaded", "active"), WARNING, ("is disabled", "systemctl enable")),
            (("masked", "masked", "inactive"), WARNING, ("is masked", "systemctl unmask", "systemctl enable")),
            (("enabled", "loaded", "inactive"), WARNING, ("does not run", "systemctl start")),
            (("enabled", "loaded", "activating"), WARNING, ("does not run", "systemctl start")),
            (("enabled", "loaded", "active"), OK, ("is enabled",)),
        ],
    )
    def test_the_watchs(
        self, tree: CondorsTree, scene: Scene, watch: Tuple[str, str, str], verdict: str, words: Tuple[str, ...]
    ) -> None:
        self.booted(tree, self.is_("enabled", active="active"), self.is_("enabled"), watch=self.is_(*watch))
        only(iter([list(image.units(scene))[1]]), verdict, *words)

    def test_on_an_image_the_watch_has_not_to_run(self, tree: CondorsTree, scene: Scene) -> None:
        self.booted(tree, self.is_("enabled"), self.is_("enabled"), watch=self.is_("enabled"))
        only(iter([list(image.units(scene))[1]]), OK)

    def test_without_a_watch_what_is_set_for_it_is_named(self, tree: CondorsTree, scene: Scene) -> None:
        of_the_watch = "lifetime: {lease: 8h, grace: 1m}, interruption: {rebalance: drain}"
        tree.holds(SETTINGS_FILE, f"{{{of_the_watch}, stop: {{timeout: 5m}}}}")
        self.booted(tree, self.is_("enabled"), self.is_("enabled"), watch=self.is_("masked", "masked"))
        found = list(image.units(scene))[1]
        assert found.words.endswith(" is seen to, and without effect: lifetime.lease, interruption.rebalance")

    def test_without_a_watch_settings_that_cannot_be_read_are_another_looks_business(
        self, tree: CondorsTree, scene: Scene
    ) -> None:
        tree.holds(SETTINGS_FILE, "lifetime: soon")
        self.booted(tree, self.is_("enabled"), self.is_("enabled"), watch=self.is_("", "not-found"))
        assert list(image.units(scene))[1].words.endswith(" is seen to")

    def test_without_systemd_a_worker_has_a_watch_all_the_same(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds(CONFIGURED)
        without = list(image.units(scene))
        assert [(found.verdict, "no watch runs" in found.words) for found in without] == [
            (WARNING, False),
            (WARNING, True),
        ]
        with holding(tree, presence.LOCK):
            only(image.units(scene), WARNING, "not checked")

    def test_htcondors_without_our_drop_in(self, tree: CondorsTree, scene: Scene) -> None:
        self.booted(tree, self.is_("enabled"), self.is_("enabled"), "/etc/sysconfig/condor")
        only(iter(list(image.units(scene))[2:]), WARNING, "drop-in")


class TestImage:
    def test_cloud_init_is_fine_either_way(self, tree: CondorsTree, scene: Scene) -> None:
        only(image.cloud_init(scene), OK, "not installed")
        tree.holds("/etc/cloud/cloud.cfg.d/05_logging.cfg")
        only(image.cloud_init(scene), OK, "host name")

    def test_a_clean_disk(self, scene: Scene) -> None:
        only(image.leftovers(scene), OK, "none")

    def test_what_one_machine_left(self, tree: CondorsTree, scene: Scene) -> None:
        tree.holds(CONFIG_FILE)
        tree.holds(f"{KNOBS['LOG']}/StartLog")
        only(image.leftovers(scene), WARNING, CONFIG_FILE, KNOBS["LOG"], "annex-agent clean")

    def test_on_a_builder_that_is_an_instance_too(
        self, tree: CondorsTree, outside: FixedOutside, imds: Dict[str, str]
    ) -> None:
        tree.holds(f"{KNOBS['LOG']}/StartLog")
        only(image.leftovers(scene_of(tree, outside, environ=imds)), WARNING, KNOBS["LOG"])

    @pytest.mark.parametrize(("owner", "verdict"), [(INSTANCE, OK), ("i-other", WARNING)])
    def test_whose_the_disk_is(
        self, tree: CondorsTree, outside: FixedOutside, imds: Dict[str, str], owner: str, verdict: str
    ) -> None:
        tree.holds(RECORD, state_text(State(owner, "boot")))
        found = only(image.leftovers(scene_of(tree, outside, environ=imds)), verdict, "annex-agent clean")
        assert verdict == OK or "i-other" in found.words

    def test_without_proc_neither_remains_nor_processes_are_seen(self, tree: CondorsTree, scene: Scene) -> None:
        (tree.root / "proc/self").rmdir()
        for each in (image.leftovers, worker.daemons):
            with pytest.raises(Unseen, match="no /proc"):
                list(each(scene))

    def test_what_htcondor_does_not_say_is_not_known(self, tree: CondorsTree, scene: Scene) -> None:
        tree.command("condor_config_val", "exit 1")
        with pytest.raises(Unseen):
            list(image.leftovers(scene))


class TestWorker:
    NAMES = ("condor_master", "condor_startd")
    ADDRESS = "<67.202.60.66:9618?noUDP&sock=startd_7_ab>"

    def test_before_a_start(self, scene: Scene) -> None:
        only(worker.daemons(scene), OK, "none")
        assert list(worker.slot(scene)) == []

    def test_daemons_that_somebody_else_started(self, tree: CondorsTree, outside: FixedOutside) -> None:
        only(worker.daemons(scene_of(tree, outside, "condor_master")), WARNING, "condor_master (pid 100)", "disable")

    def started(self, tree: CondorsTree, error: str = "") -> None:
        tree.holds(CONFIGURED)
        record = Record(tree, "start")
        record.learned(INSTANCE, ())
        record.closes(error)

    def test_daemons_that_have_gone(self, tree: CondorsTree, outside: FixedOutside) -> None:
        self.started(tree)
        only(worker.daemons(scene_of(tree, outside, "condor_master")), PROBLEM, "condor_startd", "annex-agent status")
        only(worker.daemons(scene_of(tree, outside)), PROBLEM, "condor_master and condor_startd")
        only(worker.daemons(scene_of(tree, outside, *self.NAMES)), OK, "condor_startd (pid 101)")

    def test_what_is_only_configured_need_not_run(self, tree: CondorsTree, outside: FixedOutside) -> None:
        tree.holds(CONFIGURED)
        Record(tree, "configure").closes()
        only(worker.daemons(scene_of(tree, outside)), OK, "none")
        assert list(worker.slot(scene_of(tree, outside))) == []
        only(worker.daemons(scene_of(tree, outside, "condor_master")), PROBLEM, "condor_startd")

    def test_after_a_stop_nothing_has_to_run(self, tree: CondorsTree, outside: FixedOutside) -> None:
        self.started(tree)
        tree.remove_file(CONFIGURED)
        Record(tree, "stop").closes()
        only(worker.daemons(scene_of(tree, outside)), OK, "none")

    def test_a_start_that_failed(self, tree: CondorsTree, outside: FixedOutside) -> None:
        Record(tree, "start").closes("no metadata service answers")
        failed, none = worker.daemons(scene_of(tree, outside))
        assert (failed.verdict, none.verdict) == (PROBLEM, OK)
        assert "no metadata service answers" in failed.words

    def test_a_start_that_goes_on(self, tree: CondorsTree, outside: FixedOutside) -> None:
        self.started(tree)
        with tree.exclusive():
            only(worker.daemons(scene_of(tree, outside)), WARNING, "at work")
            assert list(worker.slot(scene_of(tree, outside))) == []

    def listed(self, tree: CondorsTree, ads: List[Dict[str, str]]) -> None:
        tree.configured(**KNOBS, STARTD_ADDRESS_FILE="/log/.startd_address")
        tree.holds("/log/.startd_address", f"{self.ADDRESS}\n")
        tree.command("condor_status", f"cat <<'END'\n{json.dumps(ads)}\nEND")
        self.started(tree)

    def test_its_slot(self, tree: CondorsTree, outside: FixedOutside) -> None:
        self.listed(tree, [{"Name": "slot1@w", "State": "Unclaimed", "Activity": "Idle", "MyAddress": self.ADDRESS}])
        only(worker.slot(scene_of(tree, outside, *self.NAMES)), OK, "slot1@w Unclaimed/Idle")

    def test_no_slot(self, tree: CondorsTree, outside: FixedOutside) -> None:
        self.listed(tree, [])
        only(worker.slot(scene_of(tree, outside, *self.NAMES)), PROBLEM, "lists no slot", "trust")

        outside.root = False
        only(worker.slot(scene_of(tree, outside, *self.NAMES)), PROBLEM, "lists no slot")

    def test_a_collector_that_does_not_answer(self, tree: CondorsTree, outside: FixedOutside) -> None:
        self.listed(tree, [])
        tree.command("condor_status", "echo 'no route' >&2; exit 1")
        only(worker.slot(scene_of(tree, outside, *self.NAMES)), PROBLEM, "no route")
        outside.root = False
        with pytest.raises(Unseen, match="only root"):
            list(worker.slot(scene_of(tree, outside, *self.NAMES)))


def test_every_look_is_documented() -> None:
    manual = (ROOT / "docs/checks.md").read_text(encoding="utf-8")
    assert [name for name in LOOKS if f"\n| `{name}` |" not in manual] == []
    assert re.findall(r"^\| `([\w-]+)` \|", manual, re.MULTILINE) == list(LOOKS)
