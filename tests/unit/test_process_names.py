"""Processes by name, of the kernel that this test runs on, and of one that is written down."""

import os
import time
from pathlib import Path
from typing import Iterator

import pytest

from annex_agent import process_names

from .conftest import PYTHON, started

NAME = "condor_test_of_names"  # longer than what the kernel keeps


@pytest.fixture
def process(tmp_path: Path) -> Iterator[int]:
    """A process of that name, with a child."""
    script = tmp_path / NAME
    script.write_text(f"#!{PYTHON} -IS\nimport os, sys\nif os.fork(): print(flush=True)\nsys.stdin.read()\n")
    script.chmod(0o755)
    with started([str(script)], stdin=-1, stdout=-1) as running:
        assert running.stdout
        running.stdout.readline()
        yield running.pid


def test_it_is_found_by_the_begin_of_its_name(process: int) -> None:
    names = process_names.named("condor_test_of")
    assert names is not None
    assert names[process] == NAME[:15]
    assert process_names.named("condor_test_of_other") == {}
    assert process_names.name(process) == NAME[:15]


def test_its_command_line(process: int) -> None:
    assert process_names.arguments(process)[-1].endswith(NAME)


def test_children_and_parent(process: int) -> None:
    names = process_names.named("condor_test_of") or {}
    (child,) = [pid for pid in names if process_names.parent(pid) == process]
    assert process_names.children(process) in ((child,), ())  # a kernel may be without
    assert process_names.parent(process) == os.getpid()


def test_when_it_was_started(process: int) -> None:
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - (process_names.began_s(process) or 0.0)
    assert -1 < age_s < 600


def test_what_is_not_there_has_no_name() -> None:
    gone = 2**22 + 1  # above what a process id may be
    assert process_names.name(gone) == ""
    assert process_names.children(gone) == ()
    assert process_names.arguments(gone) == ()
    assert process_names.parent(gone) is None
    assert process_names.began_s(gone) is None


def written(proc: Path, pid: int, name: str, state: str = "S", namespace: str = "pid:[1]") -> None:
    place = proc / str(pid)
    (place / "ns").mkdir(parents=True)
    (place / "comm").write_text(f"{name}\n")
    (place / "stat").write_text(f"{pid} ({name}) {state} 1 {' '.join(map(str, range(48)))}\n")
    target = proc / namespace
    target.touch()
    (place / "ns/pid").symlink_to(target)


def test_what_has_ended_and_what_is_in_a_container_is_left_out(tmp_path: Path) -> None:
    written(tmp_path, 1, "init")
    (tmp_path / "self").symlink_to("1")
    written(tmp_path, 10, "condor_master")
    written(tmp_path, 11, "condor_x) Z (y")
    written(tmp_path, 12, "condor_startd", state="Z")
    written(tmp_path, 13, "condor_master", namespace="pid:[2]")
    assert process_names.named("condor_", str(tmp_path)) == {10: "condor_master", 11: "condor_x) Z (y"}


def test_a_kernel_that_tells_nothing(tmp_path: Path) -> None:
    assert process_names.named("condor_", str(tmp_path)) is None
    assert process_names.named("condor_", str(tmp_path / "none")) is None
