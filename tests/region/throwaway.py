"""Runs something in a root tree that forgets it: what is written goes into memory."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .command import ENVIRONMENT, run
from .nspawn import residue


def run_in(
    tree: Path,
    argv: Sequence[str],
    binds: Mapping[Path, str],
    *,
    timeout: float,
    boot: bool = False,
    network: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Run ``argv`` as root in ``tree``, without a network or in the host's, to its end; its output is not checked.

    ``binds`` are paths of the host and where they are, read-only, inside.  With ``boot`` the tree's init system runs
    and ``argv`` are its arguments.
    """
    machine = f"throwaway-{os.getpid()}"
    how = ("--boot", "--console=read-only") if boot else ("--pipe",)
    try:
        return run(
            [
                *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={machine}"),
                *(f"--directory={tree}", "--read-only", "--volatile=overlay"),
                *(() if network else ("--private-network",)),
                *(f"--bind-ro={outside}:{inside}" for outside, inside in binds.items()),
                *(*how, "--", *argv),
            ],
            check=False,
            timeout=timeout,
            env={**ENVIRONMENT, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
    finally:
        for directory in residue(machine):
            with suppress(OSError):
                directory.rmdir()
