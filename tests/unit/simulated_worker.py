"""A worker that lives turn by turn, without a machine: time passes, jobs end, what is decided has its effect."""

from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple

from annex_agent.model import Settings
from annex_agent.terms import Terms
from annex_agent.watch import memory as notes
from annex_agent.watch.decision import decide
from annex_agent.watch.model import (
    AUTOSCALING,
    MAINTENANCE,
    REBALANCE,
    SPOT,
    Act,
    Announcement,
    Condition,
    Heard,
    Memory,
    NoNewJobs,
    PowerOff,
    Say,
    Stop,
    TakeJobs,
    Tell,
)

BOOT = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
KINDS = frozenset((SPOT, REBALANCE, MAINTENANCE, AUTOSCALING))
NEVER = float("inf")
_STOP_S, _START_S, _TELL_S = 2.0, 6.0, 3.0
# Where the ladder of a stop places its rungs before the end of ``within_s``, and what they take without one.
_FAST_BEFORE_S, _KILL_BEFORE_S, _KILL_AFTER_S = 15.0, 7.0, 30.0


class Event(NamedTuple):
    """Something that was decided, or came of it."""

    at: float
    act: Act


class Worker:
    """By default it came up well, an hour ago; all can be changed between two turns.

    ``stop_takes``: how long HTCondor takes to end its daemons, once no job runs; ``job_takes``: how long a job takes to
    leave once it is told to; None: it does not, and has to be killed.
    """

    def __init__(self, **settings: Any) -> None:
        own = {name: settings.pop(name) for name in ("stop_takes", "job_takes") if name in settings}
        self.terms = Terms(Settings(**settings), "i-10a64379", "us-east-1")
        self.now = BOOT + 3600.0  # as EC2 knows it
        self.uptime = 3600.0
        self.boot_id = "boot-1"
        self.skew = 0.0  # of what the machine takes for EC2's time
        self.memory = Memory()
        self.announcements: List[Announcement] = []
        self.answers = True
        self.launched: Optional[float] = BOOT - 30.0
        self.jobs: List[float] = []  # when each ends by itself
        self.runs = self.is_wanted = True
        self.bootstrap, self.ended = "done", ""
        self.is_held = False
        self.listed: Optional[bool] = None
        self.stop_takes: float = own.get("stop_takes", _STOP_S)
        self.job_takes: Optional[float] = own.get("job_takes", 5.0)
        self.takes_jobs = True
        self.under_way: Dict[str, Tuple[float, Any]] = {}  # by name: when it began, and what
        self.events: List[Event] = []
        self.job_ends: List[Tuple[float, str]] = []  # finished, left, killed
        self.off_at: Optional[float] = None
        self.restarts: FrozenSet[int] = frozenset()  # the turns before which the watch was ended, and is started again
        self.deaf: FrozenSet[int] = frozenset()  # the turns in which the metadata service has no answer
        self.turns = 0

    # What happens

    def announces(self, kind: str, what: str, in_s: Optional[float] = None, until_s: Optional[float] = None) -> float:
        """EC2 says something from now on; the answer is the time of the action."""
        at, until = (None if s is None else self.now + s for s in (in_s, until_s))
        self.announcements.append(Announcement(kind, what, f"{kind} {what} {at or ''}".strip(), at, until))
        return self.now if at is None else at

    def runs_a_job(self, seconds: float) -> None:
        self.jobs.append(self.now + seconds)

    def reboots(self, after_s: float = 60.0) -> None:
        self._passes(after_s)
        self.boot_id += "1"
        self.uptime, self.runs, self.is_wanted, self.bootstrap, self.takes_jobs = 0.0, False, False, "running", True
        self.jobs, self.under_way = [], {"take-jobs": (self.now, None)}

    def loses_its_children(self) -> None:
        """The watch's control group is ended, and it is started again."""
        self.under_way = {}

    def somebody_starts(self) -> None:
        self.runs = self.is_wanted = True
        self.bootstrap = "done"

    # Turns

    def lives(self, seconds: float, every: float = 4.0) -> "Worker":
        """Turn after turn until so much time has passed, or the machine is off."""
        end = self.now + seconds
        while self.now < end and self.off_at is None:
            self.turn()
            self._passes(min(every, end - self.now) or every)
        return self

    def turn(self) -> Tuple[Act, ...]:
        """One turn of the watch; the answer is what it decided, without what it said."""
        if self.turns in self.restarts:
            self.memory = notes.parsed(notes.text(self.memory).encode())
        heard = self._heard()
        self.turns += 1
        time = self.now + self.skew
        decision = decide(time, self.terms, heard, self.condition(time), self.memory)
        self.memory = decision.memory
        for act in decision.acts:
            self.events.append(Event(self.now, act))
            self._carry_out(act)
        return tuple(act for act in decision.acts if not isinstance(act, Say))

    def condition(self, time: float) -> Condition:
        return Condition(
            boot_id=self.boot_id,
            booted=time - self.uptime,
            bootstrap=self.bootstrap,
            is_wanted=self.is_wanted,
            runs=self.runs,
            has_jobs=bool(self.jobs),
            ended=self.ended,
            listed=self.listed,
            is_held=self.is_held,
            working=frozenset(self.under_way),
        )

    def _heard(self) -> Heard:
        if not self.answers or self.turns in self.deaf:
            return Heard(trouble="the metadata service answers 503", instance_id=self.memory.instance_id)
        return Heard(tuple(self.announcements), KINDS, None, 0.0, "i-10a64379", self.launched)

    def _carry_out(self, act: Act) -> None:
        if isinstance(act, Tell) or (isinstance(act, Stop) and self._is_to_be_earlier(act)):
            self.under_way[act.name] = (self.now, act)
        elif isinstance(act, NoNewJobs):
            self.takes_jobs = False
        elif isinstance(act, TakeJobs):
            self.takes_jobs = True
            if act.start:
                self.bootstrap = "running"
                self.under_way[act.name] = (self.now, act)
        elif isinstance(act, PowerOff):
            self.off_at = self.now

    def _is_to_be_earlier(self, act: Stop) -> bool:
        """At most one stop is under way; another one takes its place if it has less time."""
        began, other = self.under_way.get("stop", (self.now, None))
        ends = began + (other.within_s or NEVER) if other else NEVER
        return other is None or self.now + (act.within_s or NEVER) < ends

    def _passes(self, seconds: float) -> None:
        """Time, in steps so small that the order of things is as it would be."""
        end = self.now + seconds
        while self.now < end:
            step = min(0.5, end - self.now)
            self.now, self.uptime = self.now + step, self.uptime + step
            self._end_jobs([end for end in self.jobs if end <= self.now], "finished")
            for name, (began, act) in list(self.under_way.items()):
                self._goes_on(name, began, act)

    def _goes_on(self, name: str, began: float, act: Any) -> None:
        age = self.now - began
        if name == "stop":
            self._stops(began, act)
        elif name == "take-jobs" and age >= _START_S:
            self.runs = self.is_wanted = True
            self.bootstrap = "done"
            del self.under_way[name]
        elif name.startswith("signal ") and age >= _TELL_S:
            del self.under_way[name]

    def _stops(self, began: float, act: Stop) -> None:
        age = self.now - began
        if act.within_s is not None:
            fast, kill = act.within_s - _FAST_BEFORE_S, act.within_s - _KILL_BEFORE_S
        else:
            fast = act.timeout_s or 600.0
            kill = fast + _KILL_AFTER_S
        if act.mode == "fast":
            fast = 0.0
        if self.job_takes is not None and age >= self.job_takes:
            self._end_jobs(self.jobs, "left")
        if age >= fast:
            self._end_jobs(self.jobs, "killed")
        is_through = not self.jobs and age >= self.stop_takes
        if is_through or (age >= kill + 1.0 and self.stop_takes < NEVER):
            self.runs = self.is_wanted = False
            self.ended, self.bootstrap = "", "stopped"
            del self.under_way["stop"]

    def _end_jobs(self, ends: Iterable[float], how: str) -> None:
        for end in list(ends):
            self.jobs.remove(end)
            self.job_ends.append((self.now, how))

    # What was seen

    def times(self, name: str) -> List[float]:
        """When an act of this name was decided."""
        return [event.at for event in self.events if event.act.name == name]

    def story(self) -> List[Tuple[str, float]]:
        """The acts, without words, each with its time from the first turn on."""
        return [(event.act.name, event.at) for event in self.events if not isinstance(event.act, Say)]

    @property
    def names(self) -> List[str]:
        """The acts in their order, without words."""
        return [name for name, _ in self.story()]

    @property
    def lines(self) -> List[str]:
        """What was said."""
        return [event.act.words for event in self.events if isinstance(event.act, Say)]
