"""validate: what a file of user-data or settings is, and what is wrong in it, on any machine."""

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any, Callable, List, NamedTuple

import jsonschema
import pytest

from annex_agent import cli

from .conftest import PYTHON

HOST = "cm.example.org\n"
MARKED = "#annex-agent\ncentral_manager: cm.example.org\nhostname: keep\n"
CONFIG = "hostname: keep\nstop: {mode: fast}\n"
PARTS = """\
Content-Type: multipart/mixed; boundary="b"
MIME-Version: 1.0

--b
Content-Type: text/x-annex-agent

central_manager: cm.example.org
stop: {timeout: 5m}
--b
Content-Type: text/x-shellscript

#!/bin/sh
--b
Content-Type: text/x-annex-agent

START = False
--b--
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(quiet_log: None, capsys: "pytest.CaptureFixture[str]") -> Run:
    def validate(*arguments: object) -> Said:
        code = cli.main(["validate", *map(str, arguments)])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return validate


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(content: Any, name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


RECOGNISED = [
    (HOST, "user-data (one host name: the central manager); it sets central_manager"),
    ("A = 1\nCOLLECTOR_HOST = cm\n", "it sets central_manager, condor.A, condor.COLLECTOR_HOST"),
    (MARKED, "user-data (an annex-agent document); it sets central_manager, hostname"),
    ("#cloud-config\npackages: [git]\nannex_agent: {hostname: keep}\n", "user-data (cloud-config"),
    ('{"annex_agent": {"hostname": "keep"}}', "user-data (JSON with settings for annex-agent); it sets hostname"),
    (
        gzip.compress(MARKED.encode()),
        "user-data (gzip, in it an annex-agent document); it sets central_manager, hostname",
    ),
    (PARTS, "user-data (MIME multipart, in it part 1: settings; part 3: 1 line KEY = VALUE); it sets central_manager"),
    ("From: me\nMIME-Version: 1.0\nContent-Type: text/x-annex-agent\n\nhostname: keep\n", "user-data ("),
    ("#!/bin/sh\nannex_agent: x\n", "user-data (a script, left to others); it holds nothing for annex-agent"),
    ("#cloud-config\npackages: [git]\n", "it holds nothing for annex-agent"),
    (b"\x7fELF\xff\xfe\0\x01", "user-data (binary data, left to others); it holds nothing for annex-agent"),
    ('{"some": "thing"}', "user-data (JSON, left to others); it holds nothing for annex-agent"),
    (CONFIG, "a config file (as user-data it would need a line #annex-agent above it); it sets hostname, stop.mode"),
    ("# mine\n---\nhostname: keep\n", "a config file"),
    ("annex_agent:\n  hostname: keep\n", "a config file"),
    ("{hostname: keep}", "a config file"),
    ('{"hostname": "keep"}', "a config file"),
    ("\ufeffhostname: keep\n", "a config file"),
    ("", "a config file; it sets nothing: the defaults hold"),
    ("# hostname: keep\n", "a config file; it sets nothing: the defaults hold"),
    ("hostname:\n", None),
]


@pytest.mark.parametrize(("content", "words"), RECOGNISED)
def test_each_file_is_recognised_by_its_content(content: Any, words: Any, run: Run, file: Callable[..., Path]) -> None:
    said = run(file(content))
    if words is None:
        assert said.code == 5
        return
    assert (said.code, said.out.count("\n")) == (0, 1), said
    assert f"{file(content)}: ok, " in said.out
    assert words in said.out


PROBLEMS = [
    ("hostnme: keep\n", ["line 1: hostnme: this is not a setting; did you mean hostname?"]),
    ("stop:\n  mode: slow\n  timeout: x\n", ["line 2: stop.mode: must be one of", "line 3: stop.timeout: 'x' is"]),
    ("hostname: [", ["line 1: this is not YAML"]),
    ("#annex-agent\nhostname: a b\n", ["line 2: hostname: 'a b' is not a host name"]),
    (PARTS.replace("5m", "x").replace("START", "use"), ["part 1: line 2: stop.timeout", "part 3: line 1: 'use' is"]),
    ("#cloud-config\nannex_agent: {hostname: 7}\n", ["line 2: hostname: must be text"]),
    ('{"annex_agent": {"hostname": 7}}', ["line 1: hostname: must be text"]),
    ("two words\n", ["'two words' is not a host name"]),
    ("hostname: keep\n\xe9".encode("latin-1"), ["this is not UTF-8 text: save it as UTF-8"]),
    ("annex_agent: {hostname: keep}\nhostname: keep\n", ["line 1: annex_agent: no other key may stand beside this"]),
    ("hostname: keep\nnetwork.advertise: auto\n", ["line 2: network.advertise: no key has a full stop in it: write "]),
    ("hostname: keep\nSTART: x\n", ["line 2: START: this is not a setting; did you mean condor.START?"]),
    ("security: {token: 'ssm:a', method: host}\n", ["security.token has no use where security.method is host"]),
]


@pytest.mark.parametrize(("content", "parts"), PROBLEMS)
def test_every_problem_is_told_with_its_file_and_line(
    content: Any, parts: List[str], run: Run, file: Callable[..., Path]
) -> None:
    said = run(file(content))
    assert (said.code, said.out) == (5, "")
    told = [line for line in said.err.splitlines() if line.startswith("annex-agent: error: ")]
    assert len(told) == len(parts) == len(said.err.splitlines())
    for part, line in zip(parts, told):
        assert part in line
    assert all(str(file(content)) in line for line in told) or "has no use" in said.err


class TestOneFileAlone:
    def test_a_config_file_may_leave_the_central_manager_to_user_data(
        self, run: Run, file: Callable[..., Path]
    ) -> None:
        assert run(file(CONFIG)).err == ""

    def test_user_data_may_leave_it_to_the_config_file_which_is_said(self, run: Run, file: Callable[..., Path]) -> None:
        said = run(file("A = 1\n"))
        assert said.code == 0
        assert "alone, without config.yaml: no central manager is named" in said.err

    def test_and_so_with_a_method_whose_secret_the_other_names(self, run: Run, file: Callable[..., Path]) -> None:
        said = run(file("security: {method: idtokens}\n"))
        assert said.code == 0
        assert "alone, without user-data: security.method: idtokens needs security.token" in said.err

    def test_others_user_data_has_nothing_to_leave_open(self, run: Run, file: Callable[..., Path]) -> None:
        assert run(file("#!/bin/sh\n")).err == ""

    def test_a_secret_in_the_open_is_warned_about_and_not_shown(self, run: Run, file: Callable[..., Path]) -> None:
        said = run(file("security: {token: 'inline:hush'}\n"), "--explain")
        assert said.code == 0
        assert "warning: security.token is given in the open" in said.err
        assert "inline:***" in said.out
        assert "hush" not in said.out + said.err

    def test_what_is_odd_without_being_wrong_is_said_of_this_file(self, run: Run, file: Callable[..., Path]) -> None:
        path = file(PARTS.replace("--b--\n", ""))
        said = run(path)
        assert said.code == 0
        assert f"warning: {path}: " in said.err


class TestBothFiles:
    def test_they_are_judged_together(self, run: Run, file: Callable[..., Path]) -> None:
        config = file(CONFIG, "config.yaml")
        assert run(file(HOST), "--config", config).code == 0
        missing = run(file("A = 1\n"), "--config", config)
        assert missing.code == 5
        assert "no central manager is named" in missing.err
        contradicting = run(
            file("#annex-agent\ncentral_manager: cm\nsecurity: {method: idtokens}\n"), "--config", config
        )
        assert contradicting.code == 5
        assert "needs security.token" in contradicting.err

    def test_the_problems_of_both_are_told(self, run: Run, file: Callable[..., Path]) -> None:
        config = file("colour: red\n", "config.yaml")
        said = run(file("#annex-agent\nshape: round\n"), "--config", config)
        for part in ("config.yaml: line 1: colour", "file: line 2: shape", "no central manager is named"):
            assert part in said.err

    def test_each_is_a_line(self, run: Run, file: Callable[..., Path]) -> None:
        config, user_data = file(CONFIG, "config.yaml"), file(HOST, "user-data")
        expected = [
            f"{config}: ok, a config file; it sets hostname, stop.mode",
            f"{user_data}: ok, user-data (one host name",
        ]
        for arguments in ([user_data, "--config", config], ["--config", config, "--user-data", user_data]):
            lines = run(*arguments).out.splitlines()
            assert [line[: len(start)] for line, start in zip(lines, expected)] == expected

    def test_the_option_says_what_a_file_is(self, run: Run, file: Callable[..., Path]) -> None:
        assert (
            "these look like settings in YAML: put a line #annex-agent above them"
            in run("--user-data", file(CONFIG)).err
        )
        assert "put a line #annex-agent above" in run(file(CONFIG), "--config", file(CONFIG, "config.yaml")).err
        assert run("--config", file(CONFIG)).out.startswith(f"{file(CONFIG)}: ok, a config file; it sets")
        assert run("--config", file("#!/bin/sh\n")).code == 0
        assert run("--config", file(HOST)).code == 5


class TestExplain:
    def test_it_shows_every_setting_with_its_origin(self, run: Run, file: Callable[..., Path]) -> None:
        config, user_data = file("hostname: keep\ncondor: {A: 1}\n", "config.yaml"), file(PARTS, "user-data")
        said = run(user_data, "--config", config, "--explain")
        lines = [" ".join(line.split()) for line in said.out.splitlines()]
        for line in (
            f"{config}: hostname, condor.A",
            "within part 1: central_manager, stop.timeout",
            "within part 3: condor.START",
            f"central_manager cm.example.org ({user_data}, within part 1)",
            f"hostname keep ({config})",
            f"stop.timeout 5m ({user_data}, within part 1)",
            "stop.mode graceful (default)",
            "network.ports shared (default)",
            f"condor 2 knobs ({config}, {user_data})",
        ):
            assert line in lines

    def test_it_shows_the_steps_and_the_configuration(self, run: Run, file: Callable[..., Path]) -> None:
        text = MARKED + "security: {token: 'secretsmanager:annex/token'}\ncondor: {START: 'Owner == \"alice\"'}\n"
        code, out, err = run(file(text), "--explain")
        assert (code, err) == (0, "")
        assert "the instance is an example" in out
        for line in (
            "  - wait until the collector lists this machine's slot",
            "  COLLECTOR_HOST = cm.example.org",
            "  TCP_FORWARDING_HOST = 203.0.113.10",
            '  START = Owner == "alice"',
            "  SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS",
        ):
            assert line in out.splitlines()
        assert "secretsmanager:annex/token at /etc/condor/" in out

    def test_what_it_cannot_know_it_says(self, run: Run, file: Callable[..., Path]) -> None:
        out = run(file("#annex-agent\nannex: {bundle: 's3://bucket/config-a.tar.gz'}\n"), "--explain").out
        assert "  - s3://bucket/config-a.tar.gz was not fetched" in out
        assert "was not fetched" not in run(file(MARKED), "--explain").out

    def test_there_is_none_for_what_is_wrong(self, run: Run, file: Callable[..., Path]) -> None:
        said = run(file("colour: red\n"), "--explain")
        assert (said.code, said.out) == (5, "")

    def test_nothing_that_a_terminal_obeys_comes_through(self, run: Run, file: Callable[..., Path]) -> None:
        said = run(file('#annex-agent\ncondor: {A: "\u202e\U000e0001"}\n'), "--explain")
        assert said.code == 0
        assert all(line.isprintable() for line in said.out.splitlines())


class TestFilesThatAreNone:
    @pytest.mark.parametrize("name", ["missing", "."])
    def test_what_cannot_be_read_is_wrong_usage(self, name: str, run: Run, tmp_path: Path) -> None:
        said = run(tmp_path / name)
        assert said.code == 2
        assert "cannot be read" in said.err

    def test_so_is_what_is_too_long(self, run: Run, file: Callable[..., Path]) -> None:
        said = run(file(b"#" * 2 * 1024 * 1024))
        assert said.code == 2
        assert "is larger than 1024 KiB" in said.err

    def test_and_no_file_and_one_too_many(self, run: Run, file: Callable[..., Path]) -> None:
        assert run().code == 2
        assert run(file(HOST), "--user-data", file(HOST)).code == 2

    def test_another_command_takes_none(self, quiet_log: None, capsys: "pytest.CaptureFixture[str]") -> None:
        for arguments in (["status", "file"], ["start", "--explain"], ["--schema"]):
            with pytest.raises(SystemExit) as caught:
                cli.main(arguments)
            assert caught.value.code == 2

    @pytest.mark.parametrize(
        "content",
        [
            "\x1b[2J\x1b]0;owned\x07: 1\n",
            '#annex-agent\n"\\e[2J": 1\nhostname: "\\e[2J"\n',
            "\x1b[2J = 1\n",
            'hostname: "\\e[2J\\u202e"\n"\\e[2J": x\ncondor: {"\\e[2J": 1, A: "\\e[2J"}\n',
            f"#annex-agent\n{'x' * 5000}: 1\ncondor: {{{'y' * 5000}-: 1}}\n",
            PARTS.replace("text/x-shellscript", "text/x-\x1b[2J\x07"),
        ],
    )
    def test_nothing_in_it_reaches_the_terminal_as_it_is(
        self, content: str, run: Run, file: Callable[..., Path]
    ) -> None:
        said = run(file(content, "name with \x1b[2J"))
        assert all(line.isprintable() for line in (said.out + said.err).splitlines())
        assert all(len(line) < 1000 for line in (said.out + said.err).splitlines())


def test_the_schema_needs_no_file_and_is_the_published_one(run: Run) -> None:
    said = run("--schema")
    assert said.code == 0
    published = Path(__file__).resolve().parents[2] / "docs/settings.schema.json"
    assert said.out == published.read_text(encoding="utf-8")
    jsonschema.Draft7Validator(json.loads(said.out)).validate({"annex_agent": {"hostname": "keep"}})


# What a laptop may not have, and what must not be asked of it.
BARE = """
import runpy, sys

def refuse(event, given):
    asks = event in ("subprocess.Popen", "socket.connect", "socket.getaddrinfo", "os.system", "os.posix_spawn")
    looks = event == "open" and str(given[0]).startswith(("/proc", "/sys", "/run", "/etc/condor", "/etc/annex-agent"))
    if asks or looks:
        raise RuntimeError(f"{event} {given} is not to be had here")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ImportError(f"{name} is not to be had here")

sys.addaudithook(refuse)
sys.meta_path.insert(0, Absent())
sys.argv = ["annex-agent", *sys.argv[1:]]
runpy.run_module("annex_agent", run_name="__main__", alter_sys=True)
"""
NEVER = ("psutil", "boto3", "botocore")
NOT_TO_CHECK = (*NEVER, "requests", "urllib3", "tenacity", "jinja2", "syslog", "fcntl", "pwd", "grp", "subprocess")


def on_a_laptop(absent: "tuple[str, ...]", *arguments: object, given: str = "") -> "subprocess.CompletedProcess[str]":
    command = [PYTHON, "-c", BARE.replace("{ABSENT}", repr(set(absent))), *map(str, arguments)]
    bare = {"PATH": "/nonexistent"}
    return subprocess.run(command, input=given, text=True, capture_output=True, env=bare, timeout=60, check=False)


class TestOnALaptop:
    @pytest.mark.parametrize("content", [HOST, MARKED, CONFIG, PARTS, '{"annex_agent": {}}', "#!/bin/sh\n"])
    def test_a_file_is_checked_without_what_a_worker_needs(self, content: str, file: Callable[..., Path]) -> None:
        done = on_a_laptop(NOT_TO_CHECK, "validate", file(content))
        assert done.returncode == 0, done.stderr
        assert ": ok, " in done.stdout

    def test_so_are_mistakes(self, file: Callable[..., Path]) -> None:
        done = on_a_laptop(NOT_TO_CHECK, "validate", file("hostnme: x\n"))
        assert (done.returncode, done.stdout) == (5, "")
        assert "did you mean hostname?" in done.stderr

    def test_the_explanation_asks_neither_the_machine_nor_the_network(self, file: Callable[..., Path]) -> None:
        done = on_a_laptop(NEVER, "validate", "--explain", file(MARKED))
        assert done.returncode == 0, done.stderr
        assert "COLLECTOR_HOST = cm.example.org" in done.stdout

    @pytest.mark.parametrize(("given", "code"), [(HOST, 0), (CONFIG, 0), ("", 0), ("two words", 5)])
    def test_standard_input_is_read(self, given: str, code: int) -> None:
        done = on_a_laptop(NOT_TO_CHECK, "validate", "-", given=given)
        assert done.returncode == code
        assert "standard input: " in (done.stdout if code == 0 else done.stderr)

    def test_the_refusal_works(self, file: Callable[..., Path]) -> None:
        assert "fcntl is not to be had here" in on_a_laptop(("fcntl",), "--dry-run").stderr
        assert "/run/annex-agent/status.json" in on_a_laptop((), "status").stderr
