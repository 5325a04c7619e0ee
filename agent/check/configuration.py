"""The looks at HTCondor's configuration as the image has it, and at the directories that it names."""

import re
from typing import Iterator, Tuple

from ..daemon_steps import ReadBack
from ..errors import AnnexError
from ..htcondor import CONFIG_DIR, CONFIG_FILE, Setting
from ..leftovers import CONDOR_USER
from ..model import Knob
from .finding import Judgement, Unseen, ok, problem, warning
from .scene import Scene

_DIRECTORIES = ("LOG", "SPOOL", "EXECUTE")
_ENOUGH_BYTES = 1 << 30
_WORKERS = {"MASTER", "STARTD", "SHARED_PORT"}


def configuration(scene: Scene) -> Iterator[Judgement]:
    """HTCondor can read it, will read ours, and nothing in it takes our word back."""
    if not scene.machine.htcondor.is_installed:
        raise Unseen("HTCondor is not installed", "see htcondor")
    try:
        scene.readable_knobs()
    except AnnexError as err:
        yield unreadable(err)
        return
    troubles = [*directory_is_read(scene.knob("LOCAL_CONFIG_DIR")), *_overruled(scene), *_other_daemons(scene)]
    yield from troubles or [ok("HTCondor reads it, and nothing in it stands against annex-agent's")]


def unreadable(err: AnnexError) -> Judgement:
    """Why HTCondor does not read its own configuration."""
    return problem(
        str(err), "condor_config_val -dump shows it again; where that hangs, see own-name, or a knob refers to itself"
    )


def directory_is_read(setting: Setting) -> Iterator[Judgement]:
    """A problem where HTCondor does not look into the directory that ours is written to."""
    if CONFIG_DIR not in [path.rstrip("/") for path in re.split(r"[,\s]+", setting.value)]:
        where = f" ({setting.source})" if setting.source else ""
        yield problem(
            f"HTCondor does not read {CONFIG_DIR}, where annex-agent's file goes: "
            f"LOCAL_CONFIG_DIR is {setting.value or 'empty'}{where}",
            f"add {CONFIG_DIR} to LOCAL_CONFIG_DIR in /etc/condor/condor_config",
        )


def other_daemons(setting: Setting) -> Iterator[Judgement]:
    """A warning where the image means to run more than a worker does; annex-agent's file leaves that out."""
    more = [name for name in re.split(r"[,\s]+", setting.value) if name and name.upper() not in _WORKERS]
    if more:
        yield warning(
            f"DAEMON_LIST also has {', '.join(more)} ({setting.source}), which a worker does not run",
            "take the line out: annex-agent's file replaces it, unless its own file sorts after that",
        )


def _other_daemons(scene: Scene) -> Iterator[Judgement]:
    yield from other_daemons(scene.knob("DAEMON_LIST"))


def _overruled(scene: Scene) -> Iterator[Judgement]:
    file = scene.machine.system.read_file(CONFIG_FILE)
    if file is None:
        return
    text = file.content.decode("utf-8", "replace")
    change = ReadBack(text, knobs_of(text)).pending(scene.machine)
    for sentence in change.summary.splitlines() if change else ():
        words, _, remedy = sentence.rpartition(": ")
        yield warning(words, remedy)


def knobs_of(text: str) -> Tuple[Knob, ...]:
    """The knobs that a file of ours sets."""
    pairs = (line.split(" = ", 1) for line in text.splitlines() if " = " in line and not line.startswith("#"))
    return tuple(Knob(name, value) for name, value in pairs)


def directories(scene: Scene) -> Iterator[Judgement]:
    """Where the daemons write: theirs, and with room for jobs."""
    paths = {name: scene.knob(name).value for name in _DIRECTORIES}
    troubles = [trouble for name, path in paths.items() for trouble in _directory(scene, name, path)]
    yield from troubles
    free = scene.machine.system.free_bytes(paths["EXECUTE"]) if paths["EXECUTE"] else 0
    if free < _ENOUGH_BYTES:
        yield warning(
            f"only {free >> 20} MiB are free in {paths['EXECUTE']}, where jobs write",
            "give the image a larger disk, or set EXECUTE to another one",
        )
    elif not troubles:
        missing = [path for path in paths.values() if not scene.machine.system.is_directory(path)]
        made = f"; a start makes {', '.join(missing)}" if missing else ""
        yield ok(f"{free / 2**30:.1f} GiB free for jobs{made}")


def _directory(scene: Scene, name: str, path: str) -> Iterator[Judgement]:
    owner = scene.machine.system.owner_name(path) if path else ""
    if not path.startswith("/"):
        yield problem(f"{name} is {path or 'empty'}, which is no directory", f"set {name} to a directory's whole path")
    elif owner and not scene.machine.system.is_directory(path):
        yield problem(f"{path} ({name}) is no directory", "remove what stands there: a start makes the directory")
    elif owner and owner != CONDOR_USER:
        yield problem(f"{path} ({name}) belongs to {owner}", f"chown {CONDOR_USER} {path}")
