"""A user of the pool: submits jobs and looks after them."""

import json
from collections.abc import Mapping
from typing import Any, Optional

from .machine import Machine
from .pool import Pool
from .wait import wait_until

USER = "alice"
_HOME = f"/home/{USER}"
# JobStatus, https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html
IDLE, RUNNING, COMPLETED = 1, 2, 4
_SPOOL = "/var/spool/condor"
# What a script is given if its test does not care.
_ECHO = "#!/bin/sh\ntr a-z A-Z <input.txt >output.txt\n"


class Jobs:
    """Each job has a directory of its own on the submit node."""

    def __init__(self, submit: Machine, pool: Pool) -> None:
        self._submit = submit
        self._pool = pool

    def prepare(self) -> None:
        """The user's account."""
        self._submit.run(["useradd", "--create-home", USER])

    def submit(
        self,
        script: str = _ECHO,
        *,
        inputs: Optional[Mapping[str, str]] = None,
        outputs: str = "output.txt",
        commands: Optional[Mapping[str, str]] = None,
    ) -> int:
        """Queue a shell script with files that HTCondor carries both ways; returns the cluster.

        ``commands`` are further lines of the submit description; ``outputs`` may be empty.
        """
        inputs = {"input.txt": "hello\n"} if inputs is None else inputs
        directory = self._submit.run(["mktemp", "-d", f"{_HOME}/job.XXXXXX"]).stdout.strip()
        files = {**inputs, "job.sh": script, "job.sub": _description(list(inputs), outputs, commands or {})}
        for name, text in files.items():
            self._submit.write(f"{directory}/{name}", text, 0o755)
        self._submit.run(["chown", "-R", USER, directory])
        terse = self._as_user(f"cd {directory} && condor_submit -terse job.sub")
        return int(terse.split(".")[0])

    def ad(self, cluster: int) -> dict[str, Any]:
        """The job's ad, from the queue or, once it has left, from the history; empty if neither has it."""
        for tool in ("condor_q", "condor_history"):
            # A schedd that is too busy to answer makes the tool fail; whoever waits asks again.
            done = self._submit.run([tool, str(cluster), "-json"], check=False)
            if done.returncode == 0 and done.stdout.strip():
                ad: dict[str, Any] = json.loads(done.stdout)[0]
                return ad
        return {}

    def status(self, cluster: int) -> int:
        """HTCondor's JobStatus: 1 idle, 2 running, 3 removed, 4 completed, 5 held."""
        return int(self.ad(cluster).get("JobStatus", 0))

    def wait_for(self, cluster: int, status: int = COMPLETED, timeout: float = 60) -> dict[str, Any]:
        """The job's ad once it is in ``status``."""
        what = f"job {cluster} gets JobStatus {status}"
        wait_until(lambda: self.status(cluster) == status, what, timeout, evidence=self._pool.evidence, interval=0.3)
        return self.ad(cluster)

    def file(self, cluster: int, name: str = "output.txt") -> str:
        """A file in the job's directory: one that came back, or ``job.out``, ``job.err`` and ``job.log``."""
        return self._submit.read(f"{self.ad(cluster)['Iwd']}/{name}")

    def spooled(self, cluster: int, name: str) -> Optional[str]:
        """What a job that was evicted has left for its next run (ON_EXIT_OR_EVICT); None: no such file is there."""
        sandbox = f"{_SPOOL}/{cluster % 10000}/0/cluster{cluster}.proc0.subproc0"
        done = self._submit.run(["cat", f"{sandbox}/{name}"], check=False)
        return None if done.returncode else done.stdout

    def remove(self, cluster: int) -> None:
        """condor_rm."""
        self._submit.run(["condor_rm", str(cluster)])

    def _as_user(self, command: str) -> str:
        switch = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        return self._submit.run([*switch, "sh", "-c", command], env={"HOME": _HOME, "USER": USER}).stdout


def _description(inputs: list[str], outputs: str, commands: Mapping[str, str]) -> str:
    lines = {
        "executable": "job.sh",
        "transfer_input_files": ", ".join(inputs),
        "transfer_output_files": outputs or '""',
        "should_transfer_files": "yes",
        "when_to_transfer_output": "on_exit",
        "output": "job.out",
        "error": "job.err",
        "log": "job.log",
        **commands,
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items()) + "queue\n"
