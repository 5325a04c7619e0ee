"""Supervision where systemd does not do it: a small process that starts condor_master again when it fails.

It does as condor.service would: an end with exit status 0 or 99 (HTCondor's own settings have it end for good) is an
end, any other one is made good after a pause (Restart=on-failure, RestartSec=1minute), and before that what the dead
master left is ended (KillMode=mixed).  Too many failures within a short time, and it gives up (StartLimitBurst=).  It
lets go as soon as the mark that HTCondor may start is gone, or stands for another configuration: a stop takes the mark
away first.

The process is a Python of its own rather than a fork of the agent, whose libraries it does not need.
"""

import os
import signal
import sys
import syslog
import time
from pathlib import Path
from typing import Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import claimant
from .errors import AnnexError, CommandError, CommandUnavailable, DaemonError
from .processes import Child, Completed, into_background
from .system import CONFIGURED, STATE_DIR, System

LOCK = f"{STATE_DIR}/supervisor"
_MASTER = "condor_master"
_ENDS = (0, 99)  # exit.h; 99: DAEMON_SHUTDOWN and DAEMON_SHUTDOWN_FAST
_LAUNCH_TIMEOUT_S = 30.0
_CLEARING_FAST_S = 10.0
_CLEARING_TIMEOUT_S = 60.0
_LOOK_S = 1.0  # how often the mark is looked at during a pause
_ENDING = frozenset({signal.SIGTERM, signal.SIGQUIT, signal.SIGINT})
# SIGHUP is heard and means nothing: the terminal that we were started from is gone.
_HEARD = _ENDING | {signal.SIGHUP, signal.SIGCHLD}
# The package is found by its folder, which in a checkout is not called like the package.
_CODE = """\
import sys, types
package = types.ModuleType('annex_agent')
package.__path__ = [sys.argv[2]]
sys.modules['annex_agent'] = package
from annex_agent import supervisor
supervisor.{function}()
"""


class Pacing(NamedTuple):
    """Seconds: how long ``start`` waits for a master that ends at once, and what follows a later failure."""

    settle_s: float = 0.3
    pause_s: float = 60.0
    window_s: float = 300.0  # this many failures within it are one too many
    failures: float = 3


PACING = Pacing()


def start(system: System, environ: Mapping[str, str]) -> Completed:
    """Have a supervisor run condor_master; an earlier one ends first.

    ``environ`` is the master's environment; the mark carries one of its variables, as NAME=VALUE.
    Where the master fails at once, the answer has its code and its words in stderr, and nobody tries again.
    """
    end(system)
    master = system.which(_MASTER)
    if master is None:
        raise CommandUnavailable(f"{_MASTER} is on no standard path: is HTCondor installed?")
    argv = (*_python("main", "-S"), str(system.root), master, *map(str, PACING), *environ)
    return system.launch(argv, environ, _LAUNCH_TIMEOUT_S)


def running(system: System) -> Optional[int]:
    """The supervisor's process id, if there is one."""
    return system.holder(LOCK)


def end(system: System) -> None:
    """Have the supervisor end, if there is one; a master that it still runs is asked to end, gracefully, first."""
    pid = claimant.end(system, LOCK)
    if pid is not None:
        raise DaemonError(f"the supervisor of {_MASTER} (pid {pid}) could not be ended, not even by SIGKILL")


def main() -> None:
    """The supervisor's own process; ``sys.argv`` is what ``start`` has made of it."""
    _, _, _, root, master, *more = sys.argv
    numbers, names = more[: len(PACING)], more[len(PACING) :]
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    tell = into_background()
    syslog.openlog("annex-agent", syslog.LOG_PID, syslog.LOG_DAEMON)
    system = System(Path(root))
    if not system.claim(LOCK):
        tell(1, f"it is supervised already (by pid {running(system)})")
        return
    environ = {name: os.environ[name] for name in names}
    try:
        _Supervisor(system, (master, "-f"), environ, Pacing(*map(float, numbers))).run(tell)
    except BaseException as err:
        _log(syslog.LOG_CRIT, f"the supervisor of {_MASTER} fails: {type(err).__name__}: {err}")
        raise


def clear() -> None:
    """End what a dead master has left: run as a process of its own, because it needs the agent's libraries."""
    from .daemons import Daemons  # noqa: PLC0415 - the supervisor itself does without
    from .ladder import ladder  # noqa: PLC0415

    given = {name: os.environ[name] for name in sys.argv[3:]}
    daemons = Daemons(ours=lambda process: given.items() <= process.environ().items())
    daemons.stop(ladder("fast", _CLEARING_FAST_S), no_more=lambda: None, tell=_unheard)


def _unheard(sentence: str) -> None:
    """What is said on the way to an end that is looked at afterwards."""


class _Supervisor:
    """Runs the master again and again; a signal is looked at only between two other things."""

    def __init__(self, system: System, argv: Sequence[str], environ: Mapping[str, str], pacing: Pacing) -> None:
        self._system, self._argv, self._environ, self._pacing = system, argv, environ, pacing
        self._failures: List[float] = []
        self._told_to_end = False

    def run(self, tell: Callable[[int, str], None]) -> None:
        """Until the master ends as it should, or is not wanted any more; ``tell`` is told how the first one begins."""
        if not self._is_wanted():  # a stop that came while we were being started, and may not have seen us
            tell(1, f"{_MASTER} is not started: a stop has taken this machine out of its pool meanwhile")
            return
        try:
            child = self._system.start_child(self._argv, self._environ)
        except CommandUnavailable as err:
            tell(127, str(err))
            return
        code = self._end_of(child, time.monotonic() + self._pacing.settle_s)
        if code is not None:
            tell(code, child.last_words())
            return
        tell(0, "")
        code, words = self._rest_of(child)
        while self._shall_go_on(code, words):
            code, words = self._life()

    def _life(self) -> Tuple[int, str]:
        try:
            return self._rest_of(self._system.start_child(self._argv, self._environ))
        except CommandUnavailable as err:  # while its package is being replaced, perhaps
            return 127, str(err)

    def _rest_of(self, child: Child) -> Tuple[int, str]:
        _log(syslog.LOG_INFO, f"{_MASTER} runs (pid {child.pid})")
        code = self._end_of(child)
        return (0 if code is None else code), child.last_words()

    def _end_of(self, child: Child, deadline: float = float("inf")) -> Optional[int]:
        """How it ended, or None when the time is up; what shall end us is passed on to it."""
        code = child.ended()
        while code is None:
            heard = _signal_before(deadline)
            if heard is None:
                return None
            if heard in _ENDING:
                self._told_to_end = True
                os.kill(child.pid, heard)
            code = child.ended()
        return code

    def _shall_go_on(self, code: int, words: str) -> bool:
        if code in _ENDS or self._told_to_end:
            _log(syslog.LOG_INFO, f"{_MASTER} has ended")
            return False
        _log(syslog.LOG_ERR, f"{_MASTER} failed ({_told(code)}){': ' if words else ''}{words}")
        if not self._is_wanted():
            return False
        self._clear()
        return self._may_try_again() and self._pause()

    def _may_try_again(self) -> bool:
        now = time.monotonic()
        self._failures = [*(then for then in self._failures if then > now - self._pacing.window_s), now]
        if len(self._failures) < self._pacing.failures:
            return True
        _log(
            syslog.LOG_ERR,
            f"{_MASTER} failed {len(self._failures)} times within {self._pacing.window_s:g} s and is not started "
            "again: look at its log, mend what it complains of, then run annex-agent start",
        )
        return False

    def _pause(self) -> bool:
        """Whether the master is still wanted when the pause is over."""
        deadline = time.monotonic() + self._pacing.pause_s
        while self._is_wanted():
            if time.monotonic() >= deadline:
                return True
            if _signal_before(min(deadline, time.monotonic() + _LOOK_S)) in _ENDING:
                return False
        return False

    def _is_wanted(self) -> bool:
        try:
            mark = self._system.read_file(CONFIGURED)
        except AnnexError:
            return False
        return mark is not None and stands_for(mark.content.decode("utf-8", "replace"), self._environ)

    def _clear(self) -> None:
        try:
            self._system.run((*_python("clear"), *self._environ), _CLEARING_TIMEOUT_S, self._environ)
        except CommandError as err:
            _log(syslog.LOG_WARNING, f"what the dead {_MASTER} left cannot be ended: {err}")


def stands_for(mark: str, environ: Mapping[str, str]) -> bool:
    """Whether the mark's first line is one of the variables: NAME=VALUE, or VALUE alone as 0.1.0 wrote it."""
    line = mark.partition("\n")[0]
    return line in environ.values() or line in {f"{name}={value}" for name, value in environ.items()}


def _python(function: str, *options: str) -> Tuple[str, ...]:
    """The command line that runs a function of this module in a fresh interpreter."""
    code = _CODE.format(function=function)
    return (sys.executable, "-I", *options, "-c", code, "annex-agent-supervisor", str(Path(__file__).parent))


def _signal_before(deadline: float) -> Optional[int]:
    """The next signal that is heard, None when the time is up."""
    if deadline == float("inf"):
        return signal.sigwaitinfo(_HEARD).si_signo
    found = signal.sigtimedwait(_HEARD, max(0.0, deadline - time.monotonic()))
    return found.si_signo if found else None


def _told(code: int) -> str:
    return f"signal {code - 128}" if code > 128 else f"exit status {code}"


def _log(priority: int, sentence: str) -> None:
    syslog.syslog(priority, sentence)
