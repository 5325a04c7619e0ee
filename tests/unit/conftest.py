"""Builders for several modules: facts, a tree below tmp_path, a tree that passes for the running machine, steps."""

import contextlib
import os
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import pytest
from hypothesis import settings

from annex_agent.daemons import Daemons
from annex_agent.htcondor import HTCondor
from annex_agent.logs import LOG
from annex_agent.machine import Machine
from annex_agent.model import Daemon, Facts, Host, Instance, Master, Settings
from annex_agent.processes import Completed, MemoryFile
from annex_agent.steps import Change, Tell
from annex_agent.system import System
from annex_agent.systemd import Systemd

# A machine under load is no fault of the code's: no example is timed.
settings.register_profile("unit", deadline=None, max_examples=30)
settings.register_profile("quick", deadline=None, max_examples=8)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unit"))

PYTHON = sys.executable

WIKI = Facts(
    Instance(
        instance_id="i-10a64379",
        availability_zone="us-east-1c",
        local_ipv4=ip_address("10.253.191.243"),
        instance_type="m1.large",
        ami_id="ami-2b5fba42",
        region="us-east-1",
        vpc_id="vpc-1a2b3c4d",
        local_hostname="domU-12-31-38-01-B8-05.compute-1.internal",
        public_ipv4=ip_address("67.202.60.66"),
        public_hostname="ec2-67-202-60-66.compute-1.amazonaws.com",
    ),
    Settings(central_manager=("cm.example.org",)),
    Host(),
)


class Clock:
    """Time that passes only where somebody sleeps; ``at`` runs something when a moment has come."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: List[float] = []
        self._events: List[Any] = []

    def __call__(self) -> float:
        return self.now

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        self._events.append((1000.0 + seconds, event))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        for moment, event in list(self._events):
            if self.now >= moment:
                self._events.remove((moment, event))
                event()


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; another process or thread is about to bring it about."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


@contextlib.contextmanager
def started(argv: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A process that talks in text, and that a failing assertion does not wait for."""
    with subprocess.Popen(argv, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def bearing(name: str, directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process of that name, as the kernel knows it, that does nothing."""
    program = directory / name
    program.symlink_to(Path(PYTHON).resolve())
    argv = [str(program), "-IS", "-c", "import time; print(flush=True); time.sleep(600)"]
    with started(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


_HOLDER = """
import signal, sys
from pathlib import Path
from annex_agent.system import System
# What our parent ignores or blocks is not the matter here.
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[3:] else signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
assert System(Path(sys.argv[1])).claim(sys.argv[2])
print("holds", flush=True)
signal.pause()
"""


@contextlib.contextmanager
def holding(system: System, lock: str, *, deaf: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """A process that has claimed ``lock``, and does nothing else; one that is deaf does not hear SIGTERM."""
    argv = [PYTHON, "-c", _HOLDER, str(system.root), lock, *(["deaf"] if deaf else [])]
    with started(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        yield process


class LiveTree(System):
    """A tree that passes for the running machine: ``is_live``, with commands of its own and a host name of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.commands = root / "commands"
        self.commands.mkdir(parents=True)
        self.patience_s = 30.0  # at most; less where a test wants a tool to hang
        self.ran: List[Tuple[str, ...]] = []
        self.named = "ip-10-253-191-243"
        self.user = 0

    @property
    def is_live(self) -> bool:
        return True

    @property
    def owner(self) -> Tuple[int, int]:
        return (os.geteuid(), os.getegid())

    @property
    def uid(self) -> int:
        return self.user

    def command(self, name: str, script: str, interpreter: str = "/bin/sh") -> Path:
        """Install a command."""
        path = self.commands / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{interpreter}\n{script}\n")
        path.chmod(0o755)
        return path

    def configured(self, **knobs: str) -> None:
        """Install a ``condor_config_val`` that answers with these knobs, in the words of the real one."""
        answer = "".join(
            f"{name} = {value}\n # at: /etc/condor/x, line 1\n # raw: {value}\n" for name, value in knobs.items()
        )
        self.command("condor_config_val", f"cat <<'END'\n# Configuration from machine: vm\n\n{answer}END")

    def holds(self, path: str, text: str = "", mode: int = 0o644) -> Path:
        """Put a file into the tree, as something other than annex-agent would."""
        real = self.root / path.lstrip("/")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text)
        real.chmod(mode)
        return real

    def which(self, command: str) -> Optional[str]:
        path = self.commands / command
        return str(path) if path.exists() else None

    def run(
        self,
        argv: Sequence[str],
        timeout_s: float,
        environ: Optional[Mapping[str, str]] = None,
        text_input: str = "",
        inherit: Sequence[MemoryFile] = (),
    ) -> Completed:
        self.ran.append(tuple(argv))
        return super().run(self._here(argv), min(timeout_s, self.patience_s), environ, text_input, inherit)

    def launch(self, argv: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> Completed:
        self.ran.append(tuple(argv))
        here = argv if argv[0] == PYTHON else self._here(argv)  # the supervisor is ours, not the machine's
        return super().launch(here, environ, min(timeout_s, self.patience_s))

    def host_name(self) -> str:
        return self.named

    def set_host_name(self, name: str) -> None:
        self.named = name

    def _here(self, argv: Sequence[str]) -> Tuple[str, ...]:
        return (str(self.commands / argv[0].lstrip("/")), *argv[1:])


class FixedDaemons(Daemons):
    """Daemons that are said to run; none does."""

    def __init__(self, *names: str, fingerprint: Optional[str] = "") -> None:
        super().__init__(ours=lambda process: False)
        self.names = names
        self.fingerprint = fingerprint
        self.reports = 0

    def report_again(self) -> None:
        self.reports += 1

    def running(self) -> Tuple[Daemon, ...]:
        return tuple(Daemon(100 + index, name) for index, name in enumerate(self.names))

    def master(self) -> Optional[Master]:
        return Master(100, self.fingerprint) if "condor_master" in self.names else None


class Scripted:
    """A step that does as it is told, and remembers what it was asked."""

    def __init__(self, name: str, pending: object, perform: object, says: Sequence[str], asked: List[str]) -> None:
        self.name = name
        self.description = f"see to {name}"
        self._pending, self._perform, self._says, self._asked = pending, perform, says, asked

    def pending(self, machine: Machine) -> Optional[Change]:
        self._asked.append(f"pending {self.name}")
        if isinstance(self._pending, BaseException):
            raise self._pending
        return Change(str(self._pending)) if self._pending else None

    def perform(self, machine: Machine, tell: Tell) -> str:
        self._asked.append(f"perform {self.name}")
        for sentence in self._says:
            tell(sentence)
        if isinstance(self._perform, BaseException):
            raise self._perform
        return str(self._perform)


class Steps:
    """Makes scripted steps that share one memory of what they were asked."""

    def __init__(self) -> None:
        self.asked: List[str] = []

    def __call__(
        self, name: str, pending: object = "something to do", perform: object = "did it", says: Sequence[str] = ()
    ) -> Scripted:
        return Scripted(name, pending, perform, says, self.asked)


@pytest.fixture
def facts() -> Callable[..., Facts]:
    """The wiki's instance and its settings; any field of Instance, Settings or Host can be given another value.

    ``condor`` is the settings' knobs; the HTCondor of the host is ``installed``.
    """

    def build(**overrides: Any) -> Facts:
        host = WIKI.host._replace(condor=overrides.pop("installed", None))
        parts: Dict[str, Any] = {"instance": WIKI.instance, "settings": WIKI.settings, "host": host}
        for place, part in parts.items():
            own = {name: overrides.pop(name) for name in part._fields if name in overrides}
            parts[place] = part._replace(**own)
        assert not overrides, f"no part of Facts has {', '.join(overrides)}"
        return Facts(**parts)

    return build


@pytest.fixture
def tree(tmp_path: Path) -> System:
    """An empty tree, as for ``--root``."""
    root = tmp_path / "tree"
    root.mkdir()
    return System(root)


@pytest.fixture
def live(tmp_path: Path) -> LiveTree:
    """An empty tree that passes for the running machine."""
    return LiveTree(tmp_path / "live")


@pytest.fixture
def machine(live: LiveTree) -> Machine:
    """A machine on which no daemon runs."""
    return Machine(live, HTCondor(live), FixedDaemons(), Systemd(live))


@pytest.fixture
def step() -> Steps:
    """A maker of scripted steps."""
    return Steps()


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """``os.umask``, undone at the end."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.fixture
def quiet_log() -> Iterator[None]:
    """The log as it was, once a test has set it up for itself."""
    before = (LOG.handlers[:], LOG.propagate, LOG.level)
    yield
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers[:], LOG.propagate = before[:2]
    LOG.setLevel(before[2])


@pytest.fixture
def listened_log(caplog: "pytest.LogCaptureFixture", monkeypatch: "pytest.MonkeyPatch") -> None:
    """What is logged, ``caplog`` hears; nobody else, whose stream may be another test's and closed."""
    monkeypatch.setattr(LOG, "handlers", [])
    monkeypatch.setattr(LOG, "propagate", True)
    caplog.set_level("INFO", LOG.name)
