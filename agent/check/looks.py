"""All looks, side by side: none waits for another, none hides another, and all of them end in time."""

import threading
import time
from typing import Callable, Dict, Iterator, List, Mapping

from . import configuration, ec2, image, installed, network, secrets, signals, trust, worker
from .finding import Finding, Judgement, Unseen, only_root, problem, warning
from .scene import Scene

Look = Callable[[Scene], Iterator[Judgement]]

LOOKS: Mapping[str, Look] = {
    "htcondor": installed.htcondor,
    "configuration": configuration.configuration,
    "directories": configuration.directories,
    "python": installed.python,
    "settings": ec2.settings,
    "metadata": ec2.metadata,
    "clock": ec2.clock,
    "own-name": network.own_name,
    "way-in": network.way_in,
    "central-manager": network.central_manager,
    "secrets": secrets.secrets,
    "signals": signals.signals,
    "trust": trust.trust,
    "firewall": network.firewall,
    "units": image.units,
    "cloud-init": image.cloud_init,
    "leftovers": image.leftovers,
    "daemons": worker.daemons,
    "slot": worker.slot,
}
# More than the looks' own bounds add up to in one look: this is for what knows none, such as a disk that hangs.
DEADLINE_S = 40.0


def look(scene: Scene, looks: Mapping[str, Look] = LOOKS, deadline_s: float = DEADLINE_S) -> List[Finding]:
    """Every look's findings, in the looks' order."""
    found: Dict[str, List[Judgement]] = {name: [] for name in looks}
    # Not of an executor, which would wait at the end for what hangs.
    threads = {
        name: threading.Thread(target=_look, args=(each, scene, found[name]), daemon=True)
        for name, each in looks.items()
    }
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + deadline_s
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            found[name] = [*found[name], _unfinished(deadline_s)]
    return [Finding(name, *judgement) for name, judgements in found.items() for judgement in judgements]


def _look(each: Look, scene: Scene, found: List[Judgement]) -> None:
    """Whatever happens in a look is a judgement."""
    try:
        for judgement in each(scene):
            found.append(judgement)
    except Exception as err:
        found.append(_failed(err, scene.outside.is_root))


def _failed(err: Exception, is_root: bool) -> Judgement:
    denied = err if isinstance(err, PermissionError) else err.__cause__
    if isinstance(denied, PermissionError) and not is_root:
        err = only_root(str(denied.filename or "what is there"))
    if isinstance(err, Unseen):
        return warning(f"not checked: {err}", err.remedy)
    return problem(f"the look itself failed: {str(err) or type(err).__name__}", "mend what is named")


def _unfinished(deadline_s: float) -> Judgement:
    return problem(f"no answer within {deadline_s:g} s", "look for a disk or a service that hangs (dmesg, mount)")
