"""What ends a worker's life although EC2 would let it live: its lease, idleness, failure, HTCondor's own end."""

from typing import Dict, Iterator, Optional, Tuple

from ..model import Settings
from ..terms import Terms
from . import tempo
from .model import Condition, Memory
from .moment import clock_time, duration
from .reason import BOOTSTRAP, EXIT, FAILURES, IDLE, LEASE, UNREACHABLE, UNREGISTERED, Reason
from .tempo import Tempo

# The setting that says what follows, and the one that does where it is silent.
_ACTIONS: Dict[str, Tuple[str, str]] = {
    LEASE: ("on_lease", "on_exit"),
    IDLE: ("on_idle", "on_exit"),
    EXIT: ("on_exit", "on_exit"),
    BOOTSTRAP: ("on_failure", "on_failure"),
    UNREGISTERED: ("on_unregistered", "on_failure"),
    UNREACHABLE: ("on_unreachable", "on_failure"),
}
_WITH_GRACE = (BOOTSTRAP, UNREGISTERED, UNREACHABLE)


def reasons(now: float, terms: Terms, condition: Condition, memory: Memory) -> Iterator[Reason]:
    """Those that hold now."""
    for why, found in (
        (LEASE, _lease(now, terms, memory)),
        (EXIT, _shutdown(condition)),
        (BOOTSTRAP, _bootstrap(condition)),
        (UNREGISTERED, _unregistered(now, terms.settings, condition, memory)),
        (UNREACHABLE, _unreachable(now, terms.settings, memory)),
        (IDLE, _idle(now, terms.settings, condition, memory)),
    ):
        if found and why not in memory.over:
            at = lease_end(terms, memory) if why == LEASE else None
            yield Reason(why, found, way(why, terms.settings), at)


def way(why: str, settings: Settings) -> Optional[Tempo]:
    """How to leave for this reason; None: not at all."""
    action = action_for(why, settings)
    if action == "keep":
        return None
    is_off = action == "poweroff"
    grace_s = settings.grace_s if is_off and why in _WITH_GRACE else 0
    found = tempo.no_new_jobs(settings, is_off) if why == IDLE else tempo.drain(settings, is_off)
    return found._replace(grace_s=grace_s, heeds_start=why not in FAILURES, is_ours=True)


def action_for(why: str, settings: Settings) -> str:
    """keep, stop or poweroff."""
    own, other = _ACTIONS[why]
    return str(getattr(settings, own) or getattr(settings, other))


def lease_end(terms: Terms, memory: Memory) -> Optional[float]:
    """When the lease ends; None: never, or it is not known since when it runs."""
    since = launched(memory)
    return None if terms.settings.lease_s is None or since is None else since + terms.settings.lease_s


def launched(memory: Memory) -> Optional[float]:
    """When this instance was launched, or at the latest can have been; None: not known."""
    known = [moment for moment in (memory.launched, memory.booted) if moment is not None]
    return min(known, default=None)


def _lease(now: float, terms: Terms, memory: Memory) -> str:
    end = lease_end(terms, memory)
    if end is None or now < end:
        return ""
    return f"the lease of {duration(terms.settings.lease_s or 0)} has ended at {clock_time(end, now)}"


def _shutdown(condition: Condition) -> str:
    return "HTCondor has ended by itself (DAEMON_SHUTDOWN)" if condition.ended == "shutdown" else ""


def _idle(now: float, settings: Settings, condition: Condition, memory: Memory) -> str:
    if condition.ended == "idle":
        return "HTCondor has ended by itself: nobody had claimed a slot for long (STARTD_NOCLAIM_SHUTDOWN)"
    if settings.idle_s is None or memory.idle_since is None or now < memory.idle_since + settings.idle_s:
        return ""
    since = clock_time(memory.idle_since, now)
    return f"no job has run since {since}, and lifetime.idle is {duration(settings.idle_s)}"


def _bootstrap(condition: Condition) -> str:
    """One that fails while HTCondor runs (it is not listed yet) may come up late."""
    if condition.bootstrap != "failed" or condition.runs:
        return ""
    return "the bootstrap has failed (annex-agent status says why)"


def _unregistered(now: float, settings: Settings, condition: Condition, memory: Memory) -> str:
    since = memory.booted if memory.awaited_since is None else memory.awaited_since
    if memory.has_registered or condition.bootstrap == "stopped" or _bootstrap(condition):
        return ""
    if since is None or now < since + settings.unregistered_s:
        return ""
    return (
        f"the pool has listed no slot of this machine within {duration(settings.unregistered_s)}, since "
        f"{clock_time(since, now)} (annex-agent check says what stands in the way)"
    )


def _unreachable(now: float, settings: Settings, memory: Memory) -> str:
    since = memory.unlisted_since
    if settings.unreachable_s is None or since is None or now < since + settings.unreachable_s:
        return ""
    return (
        f"the collector has given no answer, or listed no slot of this machine, since {clock_time(since, now)}, and "
        f"lifetime.unreachable is {duration(settings.unreachable_s)}"
    )
