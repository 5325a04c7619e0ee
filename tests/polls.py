"""Many turns of the watch in a process of its own, with no time between them: what it holds before and after."""

import gc
import json
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Dict, NamedTuple

from annex_agent.emulator import Emulator, Fault
from annex_agent.emulator.profile import bundled

WARM_UP = 300
# What the service does by turns meanwhile: a leak is most likely where something goes wrong.
_DAYS = (
    (),
    (Fault(path="meta-data/spot/*", status=503),),
    (Fault(path="meta-data/*", status=401),),
    (Fault(path="meta-data/*", reset=True),),
    (Fault(path="*", body=b"<html>garbage"),),
)
_DAY_S = 0.1


class Held(NamedTuple):
    """What a process holds: its memory in KiB, its descriptors, its children."""

    kib: int
    descriptors: int
    children: int


def held(turns: int) -> "tuple[Held, Held]":
    """After ``WARM_UP`` turns, and after so many more."""
    over = threading.Event()
    with Emulator(bundled("spot")) as service, tempfile.TemporaryDirectory() as root:
        weather = threading.Thread(target=_change, args=(service, over))
        weather.start()
        try:
            argv = [sys.executable, "-m", "tests.polls", root, service.url, str(turns)]
            answer = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        finally:
            over.set()
            weather.join()
    before, after = json.loads(answer.stdout)
    return Held(*before), Held(*after)


def _change(service: Emulator, over: threading.Event) -> None:
    days = 0
    while not over.wait(_DAY_S):
        days += 1
        service.profile = replace(service.profile, faults=_DAYS[days % len(_DAYS)])
        if days % 7 == 0:
            service.refuse()
            over.wait(_DAY_S / 4)
            service.listen()


def _run(root: str, url: str, turns: int) -> None:
    from annex_agent import terms  # noqa: PLC0415 - what follows is the process that is measured
    from annex_agent.htcondor import HTCondor  # noqa: PLC0415
    from annex_agent.model import Settings  # noqa: PLC0415
    from annex_agent.system import System  # noqa: PLC0415
    from annex_agent.systemd import Systemd  # noqa: PLC0415
    from annex_agent.watch import actions, condition, fencing, leaving, listener, loop, power  # noqa: PLC0415
    from annex_agent.watchdog import Watchdog  # noqa: PLC0415

    system, environ = System(Path(root)), {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}
    now = [0.0]
    senses = loop.Senses(
        listener.Listener(environ, clock=lambda: now[0]),
        condition.Lookout(system, HTCondor(system), lambda begins: {}, clock=lambda: now[0]),
    )
    systemd = Systemd(system)
    errands = actions.Errands(system, environ, ("/bin/true",))
    hands = loop.Hands(
        leaving.Notice(system, lambda begins: {}),
        errands,
        power.Power(system, systemd),
        systemd,
        fencing.Fencing(system),
    )
    watch = loop.Loop(system, senses, hands, clock=lambda: now[0])
    found = []
    gc.freeze()  # as the watch does
    for turn in range(WARM_UP + turns):
        now[0] += 4.0
        if turn % 50 == 0:  # as each start does
            settings = Settings(poll_s=4, unregistered_s=900 + turn)
            system.write_file(terms.PATH, terms.text(terms.Terms(settings)).encode(), 0o600)
        watch.turn()
        loop.rest(0.0, Watchdog({}))
        if turn + 1 in (WARM_UP, WARM_UP + turns):
            senses.listener.close()  # which may be open just now, or not
            found.append(_held())
    print(json.dumps(found))


def _held() -> Held:
    status: Dict[str, str] = dict(re.findall(r"(\w+):\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii")))
    children = Path("/proc/self/task/self/children")
    running = children.read_text(encoding="ascii").split() if children.exists() else ()
    return Held(int(status["VmRSS"]), len(list(Path("/proc/self/fd").iterdir())), len(running))


if __name__ == "__main__":
    _run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
