"""annex-agent hold: a machine that somebody looks at stays on."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from annex_agent import cli, commands, hold
from annex_agent.hold import IMAGE_PATH, PATH, Hold
from annex_agent.machine import Machine
from annex_agent.system import System

from .conftest import PYTHON, LiveTree

IS_ROOT = os.geteuid() == 0
NOW = 1_800_000_000.0


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def put(system: System, text: str, path: str = PATH) -> None:
    real = system.root / path[1:]
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_bytes(text.encode("latin-1"))


class TestTheFile:
    def test_without_one_nothing_is_held(self, system: System) -> None:
        assert hold.current(system, NOW) is None
        assert not hold.is_held(system, NOW)

    @pytest.mark.parametrize("path", [PATH, IMAGE_PATH])
    @pytest.mark.parametrize(
        "text",
        [
            *("", "\n", "x", "2h", "{", "null", "[]", "1", "true", '"2h"', "{}", "\xff\xfe", "[" * 100_000),
            *('{"until": null}', '{"until": "tomorrow"}', '{"until": true}', '{"until": []}'),
            *('{"until": NaN}', '{"until": Infinity}', '{"until": 1e999}', f'{{"until": 1{"0" * 400}}}'),
        ],
        ids=lambda text: repr(text[:12]),
    )
    def test_a_mere_touch_or_any_text_holds_for_ever(self, system: System, text: str, path: str) -> None:
        put(system, text, path)
        assert hold.current(system, NOW) == Hold(path=path)
        assert hold.is_held(system, NOW * 1000)

    @pytest.mark.parametrize("path", [PATH, IMAGE_PATH])
    def test_what_stands_there_and_cannot_be_read_does_too(self, system: System, path: str) -> None:
        (system.root / path[1:]).mkdir(parents=True)
        assert hold.current(system, NOW) == Hold(path=path)

    def test_what_was_written_is_what_is_read(self, system: System) -> None:
        written = Hold(NOW + 7200, NOW, "alice")
        put(system, hold.content(written))
        assert hold.current(system, NOW) == written

    def test_it_ends(self, system: System) -> None:
        put(system, hold.content(Hold(NOW, NOW - 60, "alice")))
        assert hold.is_held(system, NOW - 1)
        assert not hold.is_held(system, NOW)

    @pytest.mark.parametrize(("ours", "images"), [(NOW + 1, NOW + 2), (NOW + 2, None), (NOW - 1, NOW + 1)])
    def test_the_one_that_lasts_longest_counts(self, system: System, ours: float, images: Optional[float]) -> None:
        put(system, hold.content(Hold(ours)))
        put(system, hold.content(Hold(images)), IMAGE_PATH)
        found = hold.current(system, NOW)
        assert found
        assert (found.until, found.path) == (images, IMAGE_PATH)

    def test_a_name_can_neither_add_a_line_nor_fill_the_screen(self, system: System) -> None:
        put(system, json.dumps({"by": "a\n\x1b[2J" + "b" * 999}))
        found = hold.current(system, NOW)
        assert found
        assert found.by.isprintable()
        assert len(found.by) == 64
        put(system, json.dumps({"by": ["alice"]}))
        assert hold.current(system, NOW) == Hold()


class TestWords:
    def test_until_when_and_by_whom(self, monkeypatch: "pytest.MonkeyPatch") -> None:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        assert hold.in_words(Hold(NOW, NOW, "alice")) == "until 2027-01-15 08:00:00 UTC (alice)"
        assert hold.in_words(Hold()) == "until it is released"
        assert hold.in_words(Hold(path=IMAGE_PATH)) == f"until it is released ({IMAGE_PATH})"

    def test_the_longest_hold_has_an_end_that_can_be_written(self) -> None:
        assert hold.in_words(Hold(NOW + 999_999_999 * 86400))


@pytest.mark.skipif(not IS_ROOT, reason="the command needs root; what it changes is a tree that plays the machine")
class TestTheCommand:
    @pytest.fixture(autouse=True)
    def example(self, machine: Machine, monkeypatch: "pytest.MonkeyPatch", quiet_log: None) -> None:
        monkeypatch.setattr(commands, "local_machine", lambda system: machine)
        monkeypatch.setenv("SUDO_USER", "alice")

    @staticmethod
    def holds(live: LiveTree) -> List[Hold]:
        return list(hold.found(live))

    def test_for_ever(self, live: LiveTree, capsys: "pytest.CaptureFixture[str]") -> None:
        assert cli.main(["hold"]) == 0
        (held,) = self.holds(live)
        assert (held.until, held.by) == (None, "alice")
        assert held.since is not None
        said = capsys.readouterr().out
        assert said.startswith("this machine stays on until it is released (alice), whatever its lease, idleness or a ")
        assert (
            "annex-agent hold --release ends that, and so does a reboot; EC2 still takes a spot instance back" in said
        )
        assert said.count("\n") == 1

    def test_twice_is_once(self, live: LiveTree, capsys: "pytest.CaptureFixture[str]") -> None:
        cli.main(["hold"])
        before = (live.root / PATH[1:]).stat().st_ino
        assert cli.main(["hold"]) == 0
        assert (live.root / PATH[1:]).stat().st_ino == before
        assert capsys.readouterr().out.count("stays on until it is released (alice)") == 2

    def test_for_so_long(self, live: LiveTree) -> None:
        assert cli.main(["hold", "2h"]) == 0
        (held,) = self.holds(live)
        assert held.until is not None
        assert held.since is not None
        assert held.until - held.since == pytest.approx(7200)

    @pytest.mark.parametrize(("first", "then"), [(["1h"], ["2h"]), (["2h"], ["1h"]), ([], ["1h"]), (["1h"], [])])
    def test_the_last_word_counts(self, live: LiveTree, first: List[str], then: List[str]) -> None:
        cli.main(["hold", *first])
        assert cli.main(["hold", *then]) == 0
        (held,) = self.holds(live)
        seconds = None if held.until is None or held.since is None else held.until - held.since
        assert seconds == (pytest.approx(int(then[0][0]) * 3600) if then else None)

    def test_what_was_touched_is_held_on(self, live: LiveTree) -> None:
        live.holds(PATH)
        assert cli.main(["hold"]) == 0
        assert [held.until for held in self.holds(live)] == [None]

    def test_all_may_see_it(self, live: LiveTree) -> None:
        cli.main(["hold"])
        assert (live.root / PATH[1:]).stat().st_mode & 0o777 == 0o644

    def test_while_another_run_is_at_work(self, live: LiveTree) -> None:
        with live.exclusive():
            assert cli.main(["hold"]) == 0
        assert hold.is_held(live, time.time())

    def test_released(self, live: LiveTree, capsys: "pytest.CaptureFixture[str]") -> None:
        cli.main(["hold"])
        assert cli.main(["hold", "--release"]) == 0
        assert not self.holds(live)
        assert capsys.readouterr().out.endswith(
            "held no more: what has come due meanwhile (lease, idleness, a failure) is done now\n"
        )
        assert cli.main(["hold", "--release"]) == 0
        assert capsys.readouterr().out == "nothing to do: this machine is not held\n"

    def test_so_is_what_the_image_holds(self, live: LiveTree, capsys: "pytest.CaptureFixture[str]") -> None:
        live.holds(IMAGE_PATH)
        assert cli.main(["hold", "1h"]) == 0
        assert f"until it is released ({IMAGE_PATH})" in capsys.readouterr().out, "an hour would not end it"
        assert cli.main(["hold", "--release"]) == 0
        assert not self.holds(live)

    def test_the_image_s_outlasts_a_reboot_and_that_is_said(
        self, live: LiveTree, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        live.holds(IMAGE_PATH)
        cli.main(["hold", "1h"])
        assert "a reboot does not" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["hold", "soon"], "hold: 'soon' is not a duration"),
            (["hold", "0"], "hold: '0' is not a duration"),
            (["hold", "-1h"], ""),
            (["hold", "1h", "--release"], "hold --release ends it at once: leave '1h' out"),
            (["start", "--release"], "--release is an option of hold"),
        ],
    )
    def test_wrong_usage_is_2_and_holds_nothing(
        self, live: LiveTree, arguments: List[str], words: str, capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        try:
            code: Any = cli.main(arguments)
        except SystemExit as caught:
            code = caught.code
        assert code == 2
        assert words in capsys.readouterr().err
        assert not self.holds(live)

    @pytest.mark.parametrize("arguments", [[], ["2h"], ["--release"]])
    def test_a_dry_run_shows_it_and_changes_nothing(
        self, live: LiveTree, arguments: List[str], capsys: "pytest.CaptureFixture[str]"
    ) -> None:
        live.holds(PATH, "mine")
        assert cli.main(["hold", *arguments, "--dry-run"]) == 0
        assert PATH in capsys.readouterr().out
        assert (live.root / PATH[1:]).read_text() == "mine"


def test_a_tree_is_not_held(tmp_path: Path, quiet_log: None, capsys: "pytest.CaptureFixture[str]") -> None:
    assert cli.main(["hold", "--dry-run", "--root", str(tmp_path)]) == 2
    assert "leave --root out" in capsys.readouterr().err


@pytest.mark.skipif(IS_ROOT, reason="root may do it: run tests/run as another user to see the refusal")
def test_it_is_roots_to_say(capsys: "pytest.CaptureFixture[str]") -> None:
    assert cli.main(["hold", "1s"]) == 2
    assert "needs root" in capsys.readouterr().err


def test_what_the_watch_loads_of_it_is_small() -> None:
    script = "import sys, annex_agent.hold, annex_agent.terms; print(*sys.modules)"
    environ: Dict[str, str] = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run([PYTHON, "-c", script], env=environ, capture_output=True, text=True, check=True, timeout=60)
    heavy = {"requests", "urllib3", "tenacity", "yaml", "jinja2", "psutil", "botocore", "argparse"}
    assert not heavy.intersection(done.stdout.split())
    ours = {name.partition(".")[2] for name in done.stdout.split() if name.startswith("annex_agent.")}
    assert not {"schema", "settings", "plan", "htcondor", "machine"} & ours
