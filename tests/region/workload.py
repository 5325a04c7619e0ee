"""Jobs that meet the end of their machine, each in its own way; what they live through, they write down on its disk."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .booted import BootedMachine
from .jobs import COMPLETED, IDLE, RUNNING, Jobs
from .topology import CM

CPUS = 3  # one for each job that runs, so that a fourth one must wait
# The same inside of a job and outside; and the disk is there when the machine is off.
_DIARY = "/srv/diary"
_SHORT = "#!/bin/sh\nsleep {seconds}\necho done >output.txt\n"
# Nobody signals a job's children: "wait" is what lets the shell hear at once.
_CHECKPOINTING = f"""#!/bin/sh
leave() {{
    date +%s.%N >{_DIARY}/checkpointing-told
    sleep 3
    date +%s.%N >checkpoint
    exit 1
}}
trap leave TERM
sleep 600 & wait
"""
_STUBBORN = f"""#!/bin/sh
trap 'date +%s.%N >{_DIARY}/stubborn-told' TERM
while date +%s.%N >>{_DIARY}/stubborn-alive; do sleep 0.2; done
"""
_SMALL = {"request_cpus": "1", "request_memory": "64", "request_disk": "1MB"}
_EVICT = {"when_to_transfer_output": "on_exit_or_evict"}


def user_data(**sections: Mapping[str, Any]) -> dict[str, str]:
    """The metadata's change: settings of annex-agent for a worker on which ``CPUS`` jobs run."""
    settings = {"central_manager": CM.hostname, "condor": {"NUM_CPUS": str(CPUS), "MEMORY": "1024"}, **sections}
    return {"user-data": f"#annex-agent\n{json.dumps(settings)}"}


class Workload(NamedTuple):
    """The clusters."""

    short: int  # ends by itself
    checkpointing: int  # writes a checkpoint when it is told to leave, which takes it some seconds
    stubborn: int  # goes on
    waiting: int  # has found no place


def start_checkpointing(jobs: Jobs, machine: BootedMachine) -> int:
    """A job that runs until it is told to leave, and then writes a checkpoint."""
    machine.run(["install", "--directory", "--mode=1777", _DIARY])
    cluster = jobs.submit(_CHECKPOINTING, outputs="checkpoint", commands={**_SMALL, **_EVICT})
    jobs.wait_for(cluster, RUNNING)
    return cluster


def start(jobs: Jobs, machine: BootedMachine, seconds: int = 20) -> Workload:
    """Three jobs run on ``machine``, of which the short one takes so many seconds, and a fourth one waits."""
    checkpointing = start_checkpointing(jobs, machine)
    stubborn = jobs.submit(_STUBBORN, outputs="", commands=_SMALL)
    jobs.wait_for(stubborn, RUNNING)
    short = jobs.submit(_SHORT.format(seconds=seconds), commands=_SMALL)
    jobs.wait_for(short, RUNNING)
    waiting = jobs.submit(_SHORT.format(seconds=1), commands=_SMALL)
    return Workload(short, checkpointing, stubborn, waiting)


def remove(jobs: Jobs, clusters: Iterable[int]) -> None:
    """Those that are left, or the next worker would get them."""
    for cluster in clusters:
        if jobs.status(cluster) != COMPLETED:
            jobs.remove(cluster)


def has_never_started(jobs: Jobs, cluster: int) -> bool:
    """JobStatus does not tell: the shadow of one job may ask for the next, before the worker refuses it."""
    return jobs.ad(cluster).get("NumJobStarts", 0) == 0 and "Job executing" not in jobs.file(cluster, "job.log")


def is_requeued(jobs: Jobs, cluster: int) -> bool:
    """It ran once, and waits for another machine."""
    ad = jobs.ad(cluster)
    return bool(ad["JobStatus"] == IDLE and ad["NumJobStarts"] == 1)


def noted(machine: BootedMachine, what: str) -> float:
    """The time of the last line of the diary on the disk of a machine that is off: ``stubborn-alive``, ..."""
    lines = machine.disk.read(f"{_DIARY}/{what}").split("\n")
    return float(lines[-2])  # a last line without its end was cut off
