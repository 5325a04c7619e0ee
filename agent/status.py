"""The record of what annex-agent did, and the answer to ``status``.

``/run/annex-agent/status.json`` (0644, no secrets) holds ``runs``, oldest first: the boot's first, and the latest.
A run has ``command``, ``began`` (seconds since the epoch), ``state`` (running, done or failed), ``seconds``, ``error``,
``instance_id``, ``notes`` and ``steps``; a step has ``name``, ``description``, ``result`` (running, done, unchanged or
failed), ``words``, ``said`` and ``seconds``.

The answer has besides how things are now: ``running``, ``daemons``, ``slots``, ``watch`` (``running``, ``pid``) and
``ending`` (see ``watch.ending``).
"""

import json
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from . import pool
from .errors import AnnexError
from .machine import Machine
from .model import MASTER, STARTD
from .progress import Outcome
from .state import boot_id
from .steps import Step
from .system import STATE_DIR, System

PATH = f"{STATE_DIR}/status.json"
_KEPT = 8  # runs beside the first one: enough for a night's debugging


class Record:
    """Writes the record anew after every step, so that a crash leaves the story up to it."""

    def __init__(self, system: System, command: str) -> None:
        self._system = system
        self._steps: List[Dict[str, Any]] = []
        self._run: Dict[str, Any] = {
            "command": command,
            "began": round(time.time(), 3),
            "state": "running",
            "steps": self._steps,
        }
        earlier = read_runs(system)
        self._runs = [*earlier[:1], *earlier[1:][-_KEPT:], self._run]

    def opens(self) -> None:
        """The begin of the run: what comes first, waiting for the metadata service, may take minutes."""
        self._write()

    def learned(self, instance_id: Optional[str], notes: Sequence[str]) -> None:
        """What the run is about, once that is known."""
        self._run.update(instance_id=instance_id, notes=list(notes))
        self._write()

    def begins(self, step: Step) -> None:
        self._steps.append({"name": step.name, "description": step.description, "result": "running"})
        self._write()

    def says(self, step: Step, sentence: str) -> None:  # noqa: ARG002
        self._steps[-1].setdefault("said", []).append(sentence)

    def ends(self, outcome: Outcome) -> None:
        self._steps[-1].update(result=outcome.result, words=outcome.words, seconds=round(outcome.seconds, 3))
        self._write()

    def closes(self, error: Optional[str] = None) -> None:
        """The end of the run."""
        self._run["state"] = "failed" if error else "done"
        if error:
            self._run["error"] = error
        self._run["seconds"] = round(time.time() - self._run["began"], 3)
        self._write()

    def _write(self) -> None:
        text = json.dumps({"runs": self._runs}, indent=1)
        self._system.write_file(PATH, f"{text}\n".encode(), 0o644)


def read_runs(system: System) -> List[Dict[str, Any]]:
    """The recorded runs, oldest first; none where there is no record, or none that can be read."""
    file = system.read_file(PATH)
    try:
        runs = json.loads(file.content)["runs"] if file else []
    except (ValueError, KeyError, TypeError):
        return []
    return [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []


def current(machine: Machine) -> Dict[str, Any]:
    """The record with the daemons and the slots as they are now, ready for JSON."""
    runs = read_runs(machine.system)
    if runs and runs[-1].get("state") == "running" and not machine.system.is_busy():
        runs[-1].update(state="failed", error="it ended without a word: was it killed?")
    running = machine.daemons.running()
    watch = _watch(machine.system)
    answer: Dict[str, Any] = {
        "running": {MASTER, STARTD} <= {daemon.name for daemon in running},
        "daemons": [{"name": daemon.name, "pid": daemon.pid} for daemon in running],
        "slots": [],
        "watch": {"running": watch is not None, "pid": watch},
        "ending": _ending(machine.system),
        "runs": runs,
    }
    instance_id = next((run["instance_id"] for run in reversed(runs) if run.get("instance_id")), None)
    if machine.htcondor.is_installed and instance_id:
        try:
            slots = pool.listed_slots(machine, str(instance_id), machine.htcondor.startd_address_file())
            answer["slots"] = [{"name": s.name, "state": s.state, "activity": s.activity} for s in slots]
        except AnnexError as err:
            answer["slots_unknown"] = str(err)
    return answer


def _watch(system: System) -> Optional[int]:
    from .watch import presence  # noqa: PLC0415 - no boot needs it

    return presence.running(system) if system.is_live else None


def _ending(system: System) -> Dict[str, Any]:
    """What the watch has written down, by the terms that the last start has left: everybody may read both."""
    from . import hold, terms  # noqa: PLC0415 - no boot needs them
    from .watch import ending, memory  # noqa: PLC0415
    from .watch.model import Memory  # noqa: PLC0415

    now, remembered, known = time.time(), memory.read(system), terms.read(system)
    if remembered.boot_id != boot_id(system):
        remembered = Memory()  # of another boot, or another instance: the watch has not looked yet
    found = ending.ending(known or terms.Terms(), remembered, hold.is_held(system, now), now)
    return {**found, "by_settings": known is not None}


def as_text(answer: Mapping[str, Any]) -> str:
    """The answer for a person: the daemons, the slots, the watch, the end, then what was done, step by step."""
    daemons = ", ".join(f"{daemon['name']} (pid {daemon['pid']})" for daemon in answer["daemons"])
    slots = ", ".join(f"{slot['name']} {slot['state']}/{slot['activity']}" for slot in answer["slots"])
    watch = f"pid {answer['watch']['pid']}" if answer["watch"]["running"] else "none runs"
    runs: List[Mapping[str, Any]] = answer["runs"]
    lines = [
        f"daemons   {daemons or 'none'}",
        f"slots     {slots or answer.get('slots_unknown') or 'none listed by the collector'}",
        f"watch     {watch}",
        *_end_in_lines(answer["ending"]),
        *(line for run in runs for line in ["", *_timeline(run)]),
    ]
    return "\n".join(lines if runs else [*lines, "runs      none since this machine booted"])


def _end_in_lines(ending: Mapping[str, Any]) -> Iterator[str]:
    from .watch.ending import as_lines  # noqa: PLC0415 - as above

    lines = as_lines(ending)
    if not ending["by_settings"]:
        lines.append("(what the settings say of it is not known: there was no start since the boot)")
    for number, line in enumerate(lines):
        yield f"{'' if number else 'end':<10}{line}"


def _timeline(run: Mapping[str, Any]) -> Iterator[str]:
    began = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(run.get("began", 0)))
    took = f" in {run['seconds']:.2f} s" if "seconds" in run else ""
    yield f"{run.get('command')}, begun {began}: {run.get('state')}{took}"
    for step in run.get("steps", []):
        seconds = f"{step['seconds']:8.2f} s" if "seconds" in step else " " * 10
        yield f"{seconds}  {step.get('result', ''):<9}  {step.get('description', '')}"
        yield from (f"{'':23}{sentence}" for sentence in step.get("said", []))
    yield from (f"  note: {note}" for note in run.get("notes", []))
    if run.get("error"):
        yield f"  error: {run['error']}"
