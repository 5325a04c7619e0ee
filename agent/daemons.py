"""HTCondor's processes on this machine: which there are, and ending them."""

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence, Tuple

from .ladder import Rung
from .model import Daemon, Master
from .process_names import named

if TYPE_CHECKING:
    from .process_tree import ProcessTree


class Daemons:
    """Every process that HTCondor has started here; ``ours`` says which may be meant at all.

    What looks at them closely takes longer to load than all else that a boot does before its daemons run, when there
    is none to look at: so first the kernel is asked whether there is any.
    """

    def __init__(self, ours: Optional[Callable[[Any], bool]] = None) -> None:
        self._ours = ours

    def running(self) -> Tuple[Daemon, ...]:
        """Every HTCondor daemon, jobs not counted."""
        return self._tree().running() if _is_any() else ()

    def master(self) -> Optional[Master]:
        """The condor_master, if one runs."""
        return self._tree().master() if _is_any() else None

    def stop(self, rungs: Sequence[Rung], no_more: Callable[[], None], tell: Callable[[str], None]) -> Optional[str]:
        """End every daemon and every job; returns the name of the rung that did it, None if nothing ran.

        Each rung is given its time, then the next one follows.  ``no_more`` has HTCondor take no further job, for the
        peaceful rung; it may fail (it needs a working configuration), and then the next rung follows at once.
        """
        return self._tree().stop(rungs, no_more, tell) if _is_any() else None

    def report_again(self) -> None:
        """Have the daemons read their configuration again, and report to the collector at once; no job notices."""
        master = self.master()
        if master:
            with contextlib.suppress(ProcessLookupError):
                os.kill(master.pid, signal.SIGHUP)

    def _tree(self) -> "ProcessTree":
        from .process_tree import ProcessTree  # noqa: PLC0415 - psutil, see above

        return ProcessTree(self._ours)


def _is_any() -> bool:
    """Whether a process bears such a name; True where the kernel does not tell it in /proc."""
    found = named("condor_")
    return found is None or bool(found)
