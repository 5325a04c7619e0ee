"""The values that travel from listening and looking to the decision, and from there to what acts.

Times are seconds since the epoch, by EC2's clock (``Heard.ahead_s`` is how far that is ahead of this machine's).
"""

from typing import FrozenSet, NamedTuple, Optional, Tuple, Union

SPOT, REBALANCE, MAINTENANCE, AUTOSCALING = "spot", "rebalance", "maintenance", "autoscaling"


class Announcement(NamedTuple):
    """What EC2 has said that it will do, or advises.

    ``what`` is EC2's own word: terminate, stop, hibernate; rebalance; system-reboot, instance-stop, ...; Terminated.
    Two announcements with the same ``key`` are one, however often, and after whatever restart, they are heard.
    """

    kind: str
    what: str
    key: str
    at: Optional[float] = None  # when EC2 acts; None: it does not say, or there is no such time
    until: Optional[float] = None  # when it is over (scheduled events)


class Heard(NamedTuple):
    """One look at the metadata service."""

    announcements: Tuple[Announcement, ...] = ()
    answered: FrozenSet[str] = (
        frozenset()
    )  # the kinds about which it gave a usable answer this time: who is missing is gone
    trouble: Optional[str] = None  # why other kinds could not be asked, or not be understood; a sentence
    ahead_s: float = 0.0
    instance_id: Optional[str] = None
    launched: Optional[float] = None  # the identity document's pendingTime; None: not known yet


class Condition(NamedTuple):
    """How this machine is."""

    boot_id: str
    booted: float  # by the same clock as "now", and found anew each time: the difference of the two is the uptime
    # How the last annex-agent start ended: done, failed; running; empty: there was none since the boot; stopped: an
    # annex-agent stop came after it, and is done.
    bootstrap: str = ""
    is_wanted: bool = False  # the mark that HTCondor may run is there: nobody has taken the machine out of its pool
    runs: bool = False  # a condor_master does
    has_jobs: bool = False  # a condor_starter runs
    ended: str = (
        ""  # why HTCondor ended by itself while it was wanted: idle, shutdown; empty: it did not, or somebody ended it
    )
    listed: Optional[bool] = None  # whether the collector lists a slot of this instance; None: not asked, or not needed
    is_held: bool = False  # annex-agent hold
    working: FrozenSet[str] = (
        frozenset()
    )  # the acts of earlier decisions that are still being carried out, by their ``name``


# In this order; grace: a failure's power-off is announced, and HTCondor left alone.
PHASES = GRACE, DRAINING, STOPPING, STOPPED, POWERING_OFF = "grace", "draining", "stopping", "stopped", "powering-off"


class Leaving(NamedTuple):
    """Why and how this machine is leaving its pool."""

    why: str  # spot, rebalance, maintenance, autoscaling, lease, idle, bootstrap, unregistered, unreachable, exit
    words: str  # a sentence's end, for people: "EC2 terminates this spot instance at 12:34:56 UTC"
    since: float
    at: Optional[float] = None  # when EC2 acts, or the lease ends: what is not done by then is not done
    phase: str = DRAINING
    key: str = ""  # of the announcement
    stopping: Optional[float] = None  # when we last began to stop HTCondor; None: we have not


class Memory(NamedTuple):
    """What survives a restart of the watch; kept in ``/var/lib/annex-agent/watch.json``."""

    instance_id: Optional[str] = None
    boot_id: str = ""
    launched: Optional[float] = None
    announced: Tuple[Announcement, ...] = ()  # heard, and neither over nor taken back
    over: Tuple[str, ...] = ()  # keys of announcements that were dealt with: heard again, they mean nothing
    leaving: Optional[Leaving] = None
    idle_since: Optional[float] = None
    unlisted_since: Optional[float] = None
    has_registered: bool = False  # since this boot the pool has listed a slot
    signalled: Tuple[
        str, ...
    ] = ()  # what was told outward, once and for all: "cloudformation", "autoscaling launch", ...
    heartbeat: Optional[float] = None  # when Auto Scaling last heard that we are still at it
    said: Tuple[str, ...] = ()  # what was said once, and holds on: not to be said at each turn
    booted: Optional[float] = None  # by EC2's clock, as it was last heard
    bootstrap: str = ""  # as it was last seen
    awaited_since: Optional[float] = None  # since when the pool has been to list us; None: since the boot


class NoNewJobs(NamedTuple):
    """START becomes false, and the ads say why."""

    leaving: Leaving
    name: str = "no-new-jobs"


class TakeJobs(NamedTuple):
    """It was taken back: START is the owner's again; and HTCondor is started, if it was stopped."""

    start: bool = False
    name: str = "take-jobs"


class Stop(NamedTuple):
    """annex-agent stop; ``within_s``: by when all must be ended, the harder rungs placed backwards from it."""

    mode: str
    timeout_s: Optional[float] = None  # for the first rung; None: as long as ``within_s`` leaves, or stop.timeout
    within_s: Optional[float] = None
    name: str = "stop"


class PowerOff(NamedTuple):
    """The log is flushed, then the machine goes off."""

    words: str
    name: str = "power-off"


class Tell(NamedTuple):
    """annex-agent signal: ``what`` is success, failure, complete, abandon or heartbeat."""

    what: str

    @property
    def name(self) -> str:
        """Several may be under way, each once."""
        return f"signal {self.what}"


class Say(NamedTuple):
    """A line for the log: ``level`` as in ``logging``."""

    words: str
    level: int = 20
    name: str = "say"


Act = Union[NoNewJobs, TakeJobs, Stop, PowerOff, Tell, Say]


class Decision(NamedTuple):
    """What is to be done now, in order, and what is to be remembered."""

    memory: Memory
    acts: Tuple[Act, ...] = ()
