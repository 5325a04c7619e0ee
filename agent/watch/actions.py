"""What the watch has done by others: its own commands as child processes, which it never waits for."""

import signal
import sys
import time
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Mapping, NamedTuple, Optional, Tuple, Union

from ..errors import CommandError
from ..logs import LOG
from ..processes import Child
from ..system import System
from .model import Stop, TakeJobs, Tell

_SPARE_S = 120.0  # what a command may take beside what it was given to wait for
_START_S = 900.0
_SIGNAL_S = 45.0
_AGAIN_S = 2.0  # before one that failed is tried again
_CLEARLY_S = 5.0  # an earlier end than that of the stop that is under way
Errand = Union[Stop, TakeJobs, Tell]


class _Running(NamedTuple):
    errand: Errand
    child: Child
    patience_until: float
    ends_by: float  # when what it does is to be done; for ever, if nothing says


class Errands:
    """The commands that run for us, each once at a time."""

    def __init__(
        self,
        system: System,
        environ: Mapping[str, str],
        command: Optional[Tuple[str, ...]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system, self._environ, self._clock = system, environ, clock
        self._command = command or own_command()
        self._running: Dict[str, _Running] = {}
        self._failed: Dict[str, float] = {}  # when, by name

    def working(self) -> FrozenSet[str]:
        """The names of those that still run."""
        for name, running in list(self._running.items()):
            code = running.child.ended()
            if code is not None:
                del self._running[name]
                if code:
                    self._failed[name] = self._clock()
                    LOG.error("annex-agent %s ended with %d", " ".join(_arguments(running.errand)), code)
            elif self._clock() > running.patience_until:
                LOG.error("annex-agent %s does not end: it is killed", " ".join(_arguments(running.errand)))
                running.child.send(signal.SIGKILL)
        return frozenset(self._running)

    @property
    def are_under_way(self) -> bool:
        """Whether any ran when they were last looked at."""
        return bool(self._running)

    def run(self, errand: Errand, stop_timeout_s: float) -> None:
        """Start a command, unless it runs; a stop that must be through clearly earlier takes the place of another."""
        if self._clock() - self._failed.get(errand.name, float("-inf")) < _AGAIN_S:
            return
        ends_by = self._clock() + _within_s(errand)
        under_way = self._running.get(errand.name)
        if under_way is not None:
            if ends_by >= under_way.ends_by - _CLEARLY_S:
                return
            self._end(under_way)
        words = " ".join(_arguments(errand))
        try:
            child = self._system.start_child((*self._command, *_arguments(errand)), self._environ, speaks=True)
        except CommandError as err:
            LOG.error("annex-agent %s: %s", words, err)
            return
        LOG.info("annex-agent %s begins (pid %d)", words, child.pid)
        patience_until = self._clock() + _patience_s(errand, stop_timeout_s)
        self._running[errand.name] = _Running(errand, child, patience_until, ends_by)

    def _end(self, running: _Running) -> None:
        """It unwinds within a moment; what does not is killed."""
        for number, patience_s in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0)):
            running.child.send(number)
            deadline = self._clock() + patience_s
            while self._clock() < deadline:
                if running.child.ended() is not None:
                    return
                time.sleep(0.01)


def own_command(argv: Optional[str] = None) -> Tuple[str, ...]:
    """How this program is called again: the script that a package or a virtual environment has, or the module."""
    script = Path(argv or sys.argv[0]).absolute()
    if script.name == "__main__.py":
        return (sys.executable, "-m", "annex_agent")
    return (str(script),)


def _arguments(errand: Errand) -> Tuple[str, ...]:
    if isinstance(errand, Tell):
        return ("signal", errand.what)
    if isinstance(errand, TakeJobs):
        return ("start",)
    timeout = () if errand.timeout_s is None else ("--timeout", _duration(errand.timeout_s))
    within = () if errand.within_s is None else ("--within", _duration(errand.within_s))
    return ("stop", "--mode", errand.mode, *timeout, *within)


def _duration(seconds: float) -> str:
    return f"{max(1, int(seconds))}s"


def _within_s(errand: Errand) -> float:
    within_s = errand.within_s if isinstance(errand, Stop) else None
    return float("inf") if within_s is None else within_s


def _patience_s(errand: Errand, stop_timeout_s: float) -> float:
    if isinstance(errand, Tell):
        return _SIGNAL_S
    if isinstance(errand, TakeJobs):
        return _START_S
    if errand.within_s is not None:
        return errand.within_s + _SPARE_S
    return (stop_timeout_s if errand.timeout_s is None else errand.timeout_s) + _SPARE_S
