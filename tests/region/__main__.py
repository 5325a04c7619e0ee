"""``python -m tests.region``: a worker joins a pool and runs a job, before your eyes."""

import argparse
import signal
import sys

from .prerequisites import PrerequisiteError
from .region import Region
from .topology import HOSTS


def main() -> int:
    """0 if the worker joined and ran a job."""
    options = _parser().parse_args()
    try:
        with Region() as region:
            succeeded = _demonstrate(region)
            if options.keep or sys.stdin.isatty():
                _stay(region)
    except PrerequisiteError as err:
        print(err, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if succeeded else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.region", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C (the default on a terminal)")
    return parser


def _demonstrate(region: Region) -> bool:
    print(f"== {region.worker.hostname}: annex-agent start", flush=True)
    start = region.worker.run(["annex-agent", "start"], check=False, timeout=300)
    print(start.stderr, start.stdout, sep="", flush=True)
    if start.returncode:
        print(f"== annex-agent start failed: exit {start.returncode}\n{region.pool.evidence()}", flush=True)
        return False
    print(f"== {region.cm.hostname}: condor_status")
    print(region.cm.run(["condor_status"]).stdout, flush=True)
    cluster = region.jobs.submit()
    ad = region.jobs.wait_for(cluster)
    print(f"== job {cluster} ran on {ad['LastRemoteHost']} and brought back: {region.jobs.file(cluster)}", flush=True)
    return True


def _stay(region: Region) -> None:
    print("== Shells, for another terminal (as root):")
    for host in HOSTS:
        print(f"{host.name:<10} {region.machine(host.name).shell()}")
    print(f"{'router':<10} ip netns exec {region.network.router} bash")
    print(f"metadata   edit {region.imds.file}\n== Ctrl-C removes everything.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
