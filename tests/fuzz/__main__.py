"""Read random and mutated user-data, and tell what broke: python -m tests.fuzz [--count N] [--seed S] [--jobs J].

A document fails that raises anything, takes more than a second of the processor, or makes the process grow by more than
64 MiB; that is applied in part, or lets a line into HTCondor's configuration that is not NAME = value.  What fails is
saved.  The same seed makes the same documents.
"""

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List

from . import documents

HANGS_AFTER_S = 60  # without a document more: not even the alarm gets through


def main() -> int:
    """Run it; 1 where a document failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the reading of user-data.")
    parser.add_argument("--count", type=int, default=200_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--jobs", type=int, default=2, metavar="J")
    options = parser.parse_args()
    began = time.monotonic()
    share = -(-options.count // options.jobs)
    firsts = range(0, options.count, share)
    with ThreadPoolExecutor(options.jobs) as jobs:
        results = list(jobs.map(lambda first: _run(options.seed, first, min(share, options.count - first)), firsts))
    failures = [failure for result in results for failure in result["failures"]]
    _print(results, time.monotonic() - began)
    _save(failures, options.seed)
    return 1 if failures else 0


def _run(seed: int, first: int, count: int) -> Dict[str, Any]:
    with tempfile.NamedTemporaryFile() as progress:
        progress.write(struct.pack("<q", first))
        progress.flush()
        command = [sys.executable, "-m", "tests.fuzz.run", str(seed), str(first), str(count), progress.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            hung = _wait(process, Path(progress.name))
            out, err = process.communicate()
        if process.returncode == 0:
            result: Dict[str, Any] = json.loads(out)
            return result
        what = "hangs" if hung else f"the process ended with {process.returncode}: {err[-300:]}"
        number = struct.unpack("<q", Path(progress.name).read_bytes())[0]
        failure = {"number": number, "what": what}
    return {"documents": number - first + 1, "failures": [failure], "outcomes": {}, "kinds": {}, "slowest": (0, -1)}


def _wait(process: "subprocess.Popen[str]", progress: Path) -> bool:
    """Wait for the end, or for a document that has none."""
    last = b""
    while True:
        try:
            process.wait(HANGS_AFTER_S)
        except subprocess.TimeoutExpired:
            now = progress.read_bytes()
            if now == last:
                process.kill()
                return True
            last = now
        else:
            return False


def _print(results: List[Dict[str, Any]], seconds: float) -> None:
    outcomes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for result in results:
        outcomes.update(result["outcomes"])
        kinds.update(result["kinds"])
    total = sum(result["documents"] for result in results)
    slowest, number = max(tuple(result["slowest"]) for result in results)
    print(f"{total} documents in {seconds:.0f} s: {', '.join(f'{count} {what}' for what, count in outcomes.items())}")
    print(f"slowest: {slowest * 1000:.0f} ms (document {number})")
    for result in results:
        if "peak_kib" in result:
            print(
                f"memory: {result['peak_kib'] // 1024} MiB at most, {result['growth_kib'] // 1024} MiB more than before"
            )
    for kind, count in kinds.most_common():
        print(f"{count:8} {kind}")


def _save(failures: List[Dict[str, Any]], seed: int) -> None:
    if not failures:
        print("nothing failed")
        return
    folder, known = Path(tempfile.mkdtemp(prefix="annex-agent-fuzz-")), documents.corpus()
    for failure in failures:
        path = folder / str(failure["number"])
        path.write_bytes(documents.document(known, seed, failure["number"]))
        print(f"FAILED: {path}: {failure['what']}")


if __name__ == "__main__":
    sys.exit(main())
