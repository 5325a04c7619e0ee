"""What the watch takes of a machine: memory, processor time, and whether either grows."""

import json
import re
import time
from typing import Iterator, NamedTuple

from ..polls import held
from .measure import Row

POLLS = 2000
_POLL_S = 5
_SETTLED_S = 20.0
_MIB = 1024.0


def polls() -> Iterator[Row]:
    """What many polls without a pause between them leave behind."""
    before, after = held(POLLS)
    detail = f"{before.kib / _MIB:.1f} to {after.kib / _MIB:.1f} MiB"
    yield Row(f"watch: MiB more after {POLLS} polls in all weathers", (after.kib - before.kib) / _MIB, 1.0, detail)
    yield Row("watch: descriptors more after them", float(after.descriptors - before.descriptors), 0.0)


class _Use(NamedTuple):
    """What a process has used up: its most memory in MiB, its memory now, and seconds of a processor."""

    peak: float
    memory: float
    cpu_s: float


def rows(seconds: float) -> Iterator[Row]:
    """A real one, on a worker with its slot in the pool, as its system's own Python runs it."""
    from tests.region.machine import Machine  # noqa: PLC0415 - only root can use them
    from tests.region.region import Region  # noqa: PLC0415
    from tests.region.topology import CM  # noqa: PLC0415
    from tests.region.wait import wait_until  # noqa: PLC0415

    def use(worker: Machine, pid: int) -> _Use:
        status = dict(re.findall(r"(\w+):\s+(\d+)", worker.read(f"/proc/{pid}/status")))
        on_cpu_ns = int(worker.read(f"/proc/{pid}/schedstat").split()[0])
        return _Use(int(status["VmHWM"]) / _MIB, int(status["VmRSS"]) / _MIB, on_cpu_ns / 1e9)

    with Region() as region:
        region.reset_worker()
        settings = {"central_manager": CM.hostname, "interruption": {"poll": f"{_POLL_S}s"}}
        region.imds.update({"user-data": f"#annex-agent\n{json.dumps(settings)}\n"})
        worker = region.worker
        worker.run(["annex-agent", "start"], timeout=200)
        with worker.popen(["annex-agent", "watch"]) as process:
            try:
                wait_until(lambda: _watches(worker.processes()), "a watch", 30)
                (pid,) = _watches(worker.processes())
                time.sleep(_SETTLED_S)
                first, began = use(worker, pid), time.monotonic()
                time.sleep(seconds)
                last, took_s = use(worker, pid), time.monotonic() - began
            finally:
                process.kill()
    yield Row("watch: MiB of memory at most", last.peak, 30.0, f"{first.memory:.1f} to {last.memory:.1f} MiB")
    share = 100 * (last.cpu_s - first.cpu_s) / took_s
    detail = f"{1000 * (last.cpu_s - first.cpu_s):.0f} ms in {took_s:.0f} s; its start: {1000 * first.cpu_s:.0f} ms"
    yield Row(f"watch: % of a core, asking every {_POLL_S} s", share, 0.1, detail)


def _watches(processes: "dict[int, str]") -> "list[int]":
    return [pid for pid, command in processes.items() if command.endswith("annex-agent watch")]
