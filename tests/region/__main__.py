"""``python -m tests.region``: a worker joins a pool and runs a job, before your eyes."""

import argparse
import signal
import sys

from . import image
from .booted import BootedMachine
from .machine import Machine
from .prerequisites import PrerequisiteError
from .region import Region
from .sweep import sweep
from .topology import HOSTS, WORKER


def main() -> int:
    """0 if the worker joined and ran a job."""
    options = _parser().parse_args()
    if options.sweep:
        sweep(image.runs())
        return 0
    try:
        with Region() as region:
            worker = region.booted_worker() if options.boot else region.worker
            succeeded = _joins(region, worker) and _runs_a_job(region)
            if options.keep or sys.stdin.isatty():
                _stay(region, worker)
    except PrerequisiteError as err:
        print(err, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if succeeded else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.region", description=__doc__)
    parser.add_argument("--boot", action="store_true", help="the worker is a whole OS, and annex-agent its service")
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C (the default on a terminal)")
    parser.add_argument("--sweep", action="store_true", help="only remove what regions left that were killed")
    return parser


def _joins(region: Region, worker: Machine) -> bool:
    joined, said = _boot(worker) if isinstance(worker, BootedMachine) else _start_agent(worker)
    print(said, flush=True)
    if not joined:
        print(f"== annex-agent start failed\n{region.pool.evidence()}", flush=True)
    return joined


def _boot(worker: BootedMachine) -> tuple[bool, str]:
    """Whether annex-agent is active after it, and what it has logged."""
    print(f"== {worker.hostname}: power on", flush=True)
    worker.start()
    return worker.state("annex-agent.service") == "active", worker.journal("annex-agent.service")


def _start_agent(worker: Machine) -> tuple[bool, str]:
    """Whether annex-agent says that it worked, and what else it says."""
    print(f"== {worker.hostname}: annex-agent start", flush=True)
    start = worker.run(["annex-agent", "start"], check=False, timeout=300)
    return start.returncode == 0, start.stderr + start.stdout


def _runs_a_job(region: Region) -> bool:
    print(f"== {region.cm.hostname}: condor_status")
    print(region.cm.run(["condor_status"]).stdout, flush=True)
    cluster = region.jobs.submit()
    ad = region.jobs.wait_for(cluster)
    print(f"== job {cluster} ran on {ad['LastRemoteHost']} and brought back: {region.jobs.file(cluster)}", flush=True)
    return True


def _stay(region: Region, worker: Machine) -> None:
    print("== Shells, for another terminal (as root):")
    for host in HOSTS:
        machine = worker if host is WORKER else region.machine(host.name)
        print(f"{host.name:<10} {machine.shell()}")
    print(f"{'router':<10} ip netns exec {region.network.router} bash")
    print(f"metadata   edit {region.imds.file}\n== Ctrl-C removes everything.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
