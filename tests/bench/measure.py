"""Run commands by turns and compare their medians: a ratio survives a noisy machine, a second does not."""

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence


@dataclass(frozen=True)
class Cost:
    """What one run of a command took, in seconds; ``cpu`` counts its children too."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    what: str
    ratio: float
    bar: float
    detail: str = ""

    def __str__(self) -> str:
        verdict = "ok  " if self.ratio <= self.bar else "OVER"
        return (
            f"{verdict} {self.ratio:6.2f} (bar {self.bar:g})  {self.what}{f'  [{self.detail}]' if self.detail else ''}"
        )


def once(argv: Sequence[str], environ: Optional[Mapping[str, str]] = None) -> Cost:
    """Run a command to its end, its output thrown away; it must succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environ)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
    if process.returncode:
        raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}")
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


def by_turns(
    commands: Mapping[str, Sequence[str]], times: int, environ: Optional[Mapping[str, str]] = None
) -> Dict[str, Cost]:
    """The median cost of each command, all of them run one after the other ``times`` times."""
    costs: Dict[str, List[Cost]] = {name: [once(argv, environ)][:0] for name, argv in commands.items()}
    for _ in range(times):
        for name, argv in commands.items():
            costs[name].append(once(argv, environ))
    return {name: median(found) for name, found in costs.items()}


def median(costs: Sequence[Cost]) -> Cost:
    """The medians of wall and CPU time, each by itself."""
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))
