"""Runs the tools of the host that the region is made with."""

import subprocess
from typing import Optional, Sequence

# The same in every tree and on the host: nothing is inherited from whoever runs the tests.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


class CommandFailed(subprocess.CalledProcessError):
    """A command that ended with an exit code other than 0, and what it said."""

    def __str__(self) -> str:
        said = "\n".join(part for part in (self.stdout, self.stderr) if part)
        return f"{super().__str__()}\n{said[-4000:]}"


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    stdin: Optional[str] = None,
    timeout: float = 60,
    env: Optional[dict[str, str]] = None,
) -> "subprocess.CompletedProcess[str]":
    """Run to the end; ``CommandFailed`` carries the output.  Without ``stdin`` the command's input is empty."""
    done = subprocess.run(
        argv,
        check=False,
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        timeout=timeout,
        env=ENVIRONMENT if env is None else env,
    )
    if check and done.returncode:
        raise CommandFailed(done.returncode, list(argv), done.stdout, done.stderr)
    return done
