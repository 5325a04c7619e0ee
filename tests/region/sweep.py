"""Removes what a region leaves that was killed before it could tidy up."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from .cgroup import Cgroup, hierarchy
from .command import run
from .network import remove_namespace
from .nspawn import residue

_OURS = re.compile(r"annex-(\d+)(?:-[a-z]+)?")


def prefix() -> str:
    """Begins the name of everything that this process makes."""
    return f"annex-{os.getpid()}"


def traces(pid: int, runs: Path) -> dict[str, list[str]]:
    """Everything on this host that the region of process ``pid`` made, by kind."""
    name = f"annex-{pid}"
    return {
        "namespaces": [found for found in namespaces() if found.startswith(f"{name}-")],
        "cgroups": [path.name for path in hierarchy().iterdir() if path.name.startswith(f"{name}-")],
        "directories": [str(path) for path in (*runs.glob(name), *residue(f"{name}-*"))],
        "mounts": [line for line in Path("/proc/mounts").read_text("utf-8").splitlines() if f"/{name}/" in line],
        "processes": [found for found in _command_lines() if re.search(rf"\b{name}\b", found)],
    }


def sweep(runs: Path) -> None:
    """Remove what dead processes left; what belongs to running ones is not touched."""
    stale = [name for name in _names(runs) if not _alive(name)]
    for name in stale:
        Cgroup(name).remove()
        remove_namespace(name)
        for directory in (runs / name, *residue(name)):
            shutil.rmtree(directory, ignore_errors=True)


def namespaces() -> list[str]:
    """The network namespaces of this host that bear a name."""
    return [line.split()[0] for line in run(["ip", "netns", "list"]).stdout.splitlines()]


def _names(runs: Path) -> list[str]:
    groups = [path.name for path in hierarchy().iterdir() if path.is_dir()]
    directories = [path.name for path in runs.iterdir()] if runs.exists() else []
    names = {*namespaces(), *groups, *directories, *(path.name for path in residue("annex-*"))}
    return sorted(name for name in names if _OURS.fullmatch(name))


def _alive(name: str) -> bool:
    found = _OURS.fullmatch(name)
    return found is not None and Path("/proc", found.group(1)).exists()


def _command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_text(encoding="utf-8", errors="replace").replace("\0", " "))
    return found
