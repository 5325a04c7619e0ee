"""The operating system below a root directory: files, the host name, locks, and commands (``processes``).

The only module that writes files.  Every write is atomic.
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import socket
import stat
import struct
import time
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple, Optional, Sequence, TextIO, Tuple

from . import processes
from .errors import AnnexError, Busy
from .processes import COMMAND_PATH, Child, Completed, MemoryFile

STATE_DIR = "/run/annex-agent"
LOCK = f"{STATE_DIR}/lock"
# The mark that HTCondor may start: the condition of its unit's start, and of every restart.
CONFIGURED = f"{STATE_DIR}/configured"
LEAVING_FILE = f"{STATE_DIR}/leaving.config"  # knobs that HTCondor reads while this machine is leaving its pool
STOPPING_FILE = f"{STATE_DIR}/stopping.config"  # and those that it reads during a peaceful stop
_CAP_NET_ADMIN = 12  # linux/capability.h
_LOCK_PATIENCE_S = 0.5
_LOCK_PAUSE_S = 0.05
_MOMENT_S = 0.5
_FLOCK = "hhlli"  # fcntl(2): struct flock


class FileState(NamedTuple):
    """A regular file as it is on disk; ``owner`` is (uid, gid)."""

    content: bytes
    mode: int
    owner: Tuple[int, int]


class System:
    """Paths are absolute, as the machine itself would name them; ``root`` is put in front."""

    def __init__(self, root: Path = Path("/"), ends_at: float = float("inf")) -> None:
        """``ends_at``: when, by ``time.monotonic()``, no command may be waited for any more."""
        self.root = root
        self.ends_at = ends_at

    @property
    def is_live(self) -> bool:
        """Whether this is the running machine and not a tree that is being prepared."""
        return self.root == Path("/")

    @property
    def owner(self) -> Tuple[int, int]:
        """Who shall own what is written: root, or the user who prepares a tree of their own."""
        return (0, 0) if self.is_live or os.geteuid() == 0 else (os.geteuid(), os.getegid())

    @property
    def left_s(self) -> float:
        """For how long commands may still be waited for; not negative."""
        return max(0.0, self.ends_at - time.monotonic())

    @property
    def uid(self) -> int:
        """Who we are: 0 is root."""
        return os.geteuid()

    @property
    def may_filter(self) -> bool:
        """Whether we may look at the kernel's firewall, and change it (CAP_NET_ADMIN)."""
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
        return bool(int(effective, 16) >> _CAP_NET_ADMIN & 1)

    @property
    def cores(self) -> Optional[int]:
        """How many processors the running machine has; None where that is not known, or not the question."""
        return os.cpu_count() if self.is_live else None

    def read_file(self, path: str, limit: int = -1) -> Optional[FileState]:
        """The file at ``path``, or its first ``limit`` bytes; None where there is none."""
        real = self._real(path)
        if not self.is_live and self.root.resolve() not in real.resolve().parents:
            return None  # a link to another machine's file, this one's: not what the tree holds
        try:
            # Without waiting: what stands there may be a FIFO that nobody writes to.
            with open(os.open(real, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - of a descriptor
                info = os.fstat(file.fileno())
                if not stat.S_ISREG(info.st_mode):
                    raise AnnexError(f"{path} is no regular file: look at what stands there, and remove it")
                return FileState(file.read(limit), stat.S_IMODE(info.st_mode), (info.st_uid, info.st_gid))
        except FileNotFoundError:
            return None
        except OSError as err:
            raise AnnexError(f"{path} cannot be read ({err.strerror}): run as root, or mend what stands there") from err

    def read_end(self, path: str, limit: int) -> bytes:
        """The last ``limit`` bytes of the file at ``path``; nothing where there is none, or none that can be read."""
        try:
            with self._real(path).open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
                return file.read(limit)
        except OSError:
            return b""

    def stamp(self, path: str) -> Optional[Tuple[int, ...]]:
        """Another one whenever ``path`` is written anew, None where there is nothing: cheaper than to read it."""
        try:
            info = self._real(path).stat()
        except OSError:
            return None
        return info.st_mtime_ns, info.st_size, info.st_ino

    def has_remains(self, path: str) -> bool:
        """Whether an interrupted write of ``path`` has left its temporary file."""
        return _temporary(self._real(path)).exists()

    def write_file(self, path: str, content: bytes, mode: int) -> None:
        """Put ``content`` at ``path`` whole or not at all, with ``mode`` and our owner."""
        real = self._real(path)
        try:
            _make_directories(real.parent)
            _replace(real, content, mode, self.owner)
        except OSError as err:
            raise AnnexError(
                f"{path} cannot be written ({err.strerror}): is the disk full, or the file system read-only?"
            ) from err

    def remove_file(self, path: str) -> None:
        """Remove ``path`` if it is there, with what an interrupted write of it has left."""
        for real in (self._real(path), _temporary(self._real(path))):
            if not os.path.lexists(real):  # a read-only file system would complain even then
                continue
            try:
                with contextlib.suppress(FileNotFoundError):
                    real.unlink()
            except OSError as err:
                raise AnnexError(f"{path} cannot be removed ({err.strerror}): look at what stands there") from err

    def remove_directory(self, path: str) -> None:
        """Remove ``path`` with all that is in it, if it is there; a symbolic link there is not followed."""
        real = self._real(path)
        if not os.path.lexists(real):
            return
        try:
            shutil.rmtree(real)
        except OSError as err:
            raise AnnexError(f"{path} cannot be removed ({err}): look at what stands there") from err

    def entries(self, path: str) -> Tuple[str, ...]:
        """The names in the directory ``path``; none where there is no directory."""
        try:
            return tuple(sorted(entry.name for entry in self._real(path).iterdir()))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as err:
            raise AnnexError(f"{path} cannot be listed ({err.strerror}): run as root") from err

    def owner_name(self, path: str) -> str:
        """The user that ``path`` belongs to, by name or number; empty where there is nothing."""
        try:
            uid = self._real(path).stat().st_uid
        except OSError:
            return ""
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)

    def mode(self, path: str) -> Optional[int]:
        """The permission bits of what is at ``path``; None where there is nothing."""
        try:
            return stat.S_IMODE(self._real(path).stat().st_mode)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise AnnexError(f"{path} cannot be looked at ({err.strerror}): run as root") from err

    def free_bytes(self, path: str) -> int:
        """What may still be written at ``path``, or, while it is missing, where it would be made."""
        real = self._real(path)
        try:
            return shutil.disk_usage(next(place for place in (real, *real.parents) if place.exists())).free
        except OSError as err:
            raise AnnexError(f"the free space at {path} cannot be told ({err.strerror}): look at its disk") from err

    def empty_directory(self, path: str) -> None:
        """Remove all that is in the directory ``path``; symbolic links in it go, what they lead to stays."""
        for name in self.entries(path):
            entry = self._real(path) / name
            if entry.is_dir() and not entry.is_symlink():
                self.remove_directory(f"{path}/{name}")
            else:
                self.remove_file(f"{path}/{name}")

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory at ``path``."""
        return self._real(path).is_dir()

    def make_directory(self, path: str, mode: int, owner: str) -> None:
        """Make ``path`` and what is missing above it; it belongs to the user ``owner`` and their group."""
        real = self._real(path)
        try:
            user = pwd.getpwnam(owner)
            # Through symbolic links whose target is still missing, too: /var/lock -> /run/lock in a fresh /run.
            real = Path(os.path.realpath(real))
            _make_directories(real)
            real.chmod(mode)
            os.chown(real, user.pw_uid, user.pw_gid)
        except (OSError, KeyError) as err:
            raise AnnexError(
                f"{path} cannot be made for the user {owner} ({err}): is HTCondor installed whole?"
            ) from err

    def make_private_directory(self, path: str) -> None:
        """Make ``path``, for our eyes only, if there is none; what is missing above it is open to all readers."""
        real = self._real(path)
        try:
            _make_directories(real.parent)
            with contextlib.suppress(FileExistsError):
                real.mkdir(0o700)
                real.chmod(0o700)
                os.chown(real, *self.owner)
        except OSError as err:
            raise AnnexError(
                f"{path} cannot be made ({err.strerror}): is the disk full, or the file system read-only?"
            ) from err

    def host_name(self) -> str:
        """The running machine's host name."""
        return socket.gethostname()

    def set_host_name(self, name: str) -> None:
        """Set the running kernel's host name (until the next boot)."""
        try:
            socket.sethostname(name)
        except OSError as err:
            raise AnnexError(f"the host name cannot be set to {name} ({err.strerror}): run as root") from err

    def which(self, command: str) -> Optional[str]:
        """Where a command is installed, looked up on the fixed path that ``run`` uses."""
        return shutil.which(command, path=COMMAND_PATH)

    def run(
        self,
        argv: Sequence[str],
        timeout_s: float,
        environ: Optional[Mapping[str, str]] = None,
        text_input: str = "",
        inherit: Sequence[MemoryFile] = (),
    ) -> Completed:
        """Run a command to its end, whatever its exit status; it sees no environment but what is given.

        Where time runs out it has at most what is left, but always a moment: most commands need no more.
        """
        return processes.run(argv, min(timeout_s, max(self.left_s, _MOMENT_S)), environ, text_input, inherit)

    def launch(self, argv: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> Completed:
        """Start a daemon that puts itself into the background, with no descriptor of ours kept open."""
        return processes.launch(argv, environ, timeout_s)

    def start_child(self, argv: Sequence[str], environ: Mapping[str, str], speaks: bool = False) -> Child:
        """Start a process in the foreground, in a process group of its own; ``argv[0]`` is its path.

        ``speaks``: what it writes goes to our stderr, not to a file in memory.
        """
        return processes.start_child(argv, environ, speaks)

    def claim(self, path: str) -> bool:
        """Hold the lock at ``path`` until this process ends; False where another process holds it."""
        lock = self._real(path)
        _make_directories(lock.parent)
        try:
            fcntl.lockf(os.open(lock, os.O_RDWR | os.O_CREAT, 0o644), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def holder(self, path: str) -> Optional[int]:
        """The process that has claimed ``path``: the kernel knows, so no pid file can be out of date.

        None also where it is outside of this container, which cannot name it.
        """
        with contextlib.suppress(FileNotFoundError), self._real(path).open("rb") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0))
            kind, *_, pid = struct.unpack(_FLOCK, answer)
            return pid if kind != fcntl.F_UNLCK and pid > 0 else None  # 0 would be a whole process group to kill(2)
        return None

    @contextlib.contextmanager
    def exclusive(self, patience_s: float = _LOCK_PATIENCE_S, ends_at: float = float("inf")) -> Iterator[None]:
        """Hold the lock that lets only one annex-agent change this machine at a time; wait so long for another one.

        Others can see whose it is (``holder``) and, in the file, by when it has ended everything.  Raises ``Busy``.
        """
        lock = self._real(LOCK)
        with contextlib.ExitStack() as stack:
            try:
                _make_directories(lock.parent)
                file = stack.enter_context(lock.open("a+", encoding="ascii"))
                _lock(file, patience_s)
                _sign(file, ends_at)
            except BlockingIOError:
                raise Busy(
                    "another annex-agent is at work on this machine: see annex-agent status, try again when it is done"
                ) from None
            except OSError as err:
                raise AnnexError(f"{LOCK} cannot be made ({err.strerror}): run as root, or mend what is there") from err
            yield

    def is_busy(self) -> bool:
        """Whether another annex-agent is at work on this machine; False where this user may not see it."""
        try:
            with self._real(LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _real(self, path: str) -> Path:
        """Where ``path`` really is; a symbolic link must not lead out of the root."""
        real = self.root / path.lstrip("/")
        if not self.is_live:
            inside, parent = self.root.resolve(), real.parent.resolve()
            if inside != parent and inside not in parent.parents:
                raise AnnexError(f"{path} leads out of {self.root} ({parent}): a symbolic link there must be relative")
        return real


def _lock(file: TextIO, patience_s: float) -> None:
    """Take the lock, or raise BlockingIOError; also ``is_busy`` of another process may hold it for a moment."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_LOCK_PAUSE_S)


def _sign(file: TextIO, ends_at: float) -> None:
    """Say who has the lock: flock(2) does not tell, a lock of fcntl(2) does, until we close any descriptor of it."""
    os.ftruncate(file.fileno(), 0)
    os.write(file.fileno(), f"{ends_at}\n".encode())
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def null_stream() -> TextIO:
    """Somewhere to write that keeps nothing."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _make_directories(path: Path) -> None:
    """Make what is missing down to ``path``, open to all readers whatever the umask is."""
    for missing in reversed([parent for parent in (path, *path.parents) if not parent.exists()]):
        missing.mkdir(exist_ok=True)
        missing.chmod(0o755)


def _temporary(path: Path) -> Path:
    # One fixed name: what a crash leaves is overwritten by the next run. HTCondor skips names with a leading dot.
    return path.with_name(f".{path.name}.annex-agent-new")


def _replace(path: Path, content: bytes, mode: int, owner: Tuple[int, int]) -> None:
    temporary = _temporary(path)
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(str(temporary), flags, 0o600), "wb") as file:
        file.write(content)
        os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(str(path.parent), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
