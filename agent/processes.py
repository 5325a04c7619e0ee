"""Processes: commands that run to their end, daemons, children; the only module that starts any.

Every command is an argv tuple with a scrubbed environment and a timeout.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from typing import Callable, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

from .errors import CommandFailed, CommandTimedOut, CommandUnavailable

# What nohup, a shell's "&" and Python itself make their children ignore.
_DEFAULT = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
COMMAND_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


class Completed(NamedTuple):
    """A command that ran to its end."""

    argv: Tuple[str, ...]
    code: int
    stdout: str
    stderr: str


class Child(NamedTuple):
    """A process of ours that runs on; what it writes goes to a file in memory, or, with None, where ours goes."""

    pid: int
    output: Optional[int] = None

    def ended(self) -> Optional[int]:
        """How it ended, as a shell would say it (128 and more: by a signal); None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def last_words(self) -> str:
        """The end of what it wrote, on one line; it can be asked for once."""
        if self.output is None:
            return ""
        with os.fdopen(self.output, "rb") as file:
            file.seek(max(0, os.fstat(self.output).st_size - 500))
            return " ".join(_text(file.read()).split())

    def send(self, number: signal.Signals) -> None:
        """A signal for it and all of its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class MemoryFile(NamedTuple):
    """A file without a disk: ``path`` is valid in a command that inherits ``handle``."""

    handle: int
    path: str

    def content(self) -> bytes:
        """What it holds now."""
        return os.pread(self.handle, os.fstat(self.handle).st_size, 0)


def run(
    argv: Sequence[str],
    timeout_s: float,
    environ: Optional[Mapping[str, str]] = None,
    text_input: str = "",
    inherit: Sequence[MemoryFile] = (),
) -> Completed:
    """Run a command to its end, whatever its exit status; it sees no environment but what is given."""
    env = {"PATH": COMMAND_PATH, "LANG": "C", "LC_ALL": "C", **(environ or {})}
    try:
        process = subprocess.Popen(
            list(argv),
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(file.handle for file in inherit),
            cwd="/",
            start_new_session=True,  # so that what it starts can be ended with it
        )
    except OSError as err:
        raise CommandUnavailable(f"{argv[0]} cannot be run ({err.strerror}): is it installed?") from err
    with process:
        stdout, stderr = _outputs(process, argv[0], text_input, timeout_s)
    return Completed(tuple(argv), process.returncode, _text(stdout), _text(stderr))


def launch(argv: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> Completed:
    """Start a daemon that puts itself into the background, with no descriptor of ours kept open.

    Its output goes to a file, not a pipe: a pipe would be held open by the daemon for ever.
    """
    with tempfile.TemporaryFile() as output:
        env = {"PATH": COMMAND_PATH, "LANG": "C", **environ}
        try:
            code = subprocess.run(
                list(argv),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=timeout_s,
                check=False,
                cwd="/",
            ).returncode
        except OSError as err:
            raise CommandUnavailable(f"{argv[0]} cannot be run ({err.strerror}): is it installed?") from err
        except subprocess.TimeoutExpired as err:
            raise CommandFailed(f"{argv[0]} did not go into the background within {timeout_s:g} s") from err
        output.seek(0)
        return Completed(tuple(argv), code, "", _text(output.read()))


def start_child(argv: Sequence[str], environ: Mapping[str, str], speaks: bool = False) -> Child:
    """Start a process in the foreground, in a process group of its own; ``argv[0]`` is its path.

    Signals that the caller has blocked are not blocked there, and those that it ignores are not ignored.
    ``speaks``: what it writes goes to our stderr.
    """
    output = None if speaks else os.memfd_create("output")
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        *((os.POSIX_SPAWN_DUP2, 2 if output is None else output, stream) for stream in (1, 2)),
    ]
    name = os.path.basename(argv[0])  # noqa: PTH119 - of a word, not of a file
    env = {"PATH": COMMAND_PATH, "LANG": "C", **environ}
    try:
        pid = os.posix_spawn(
            *(argv[0], [name, *argv[1:]], env), file_actions=files, setpgroup=0, setsigmask=(), setsigdef=_DEFAULT
        )
    except OSError as err:
        if output is not None:
            os.close(output)
        raise CommandUnavailable(f"{argv[0]} cannot be run ({err.strerror}): is it installed?") from err
    return Child(pid, output)


@contextlib.contextmanager
def memory_file(text: str) -> Iterator[MemoryFile]:
    """A text that a command can read at a path, although nothing is written to any disk."""
    handle = os.memfd_create("annex-agent")
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(text.encode("utf-8"))
        yield MemoryFile(handle, f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def into_background() -> Callable[[int, str], None]:
    """Go on as a daemon: another process, in a session of its own, with no terminal and none of the caller's streams.

    The process that was started stays, and with it whoever waits for it, until the returned function is called: the
    exit status and the words on stderr are then those that it was given.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as report:
            code, _, words = report.read().partition(b" ")
        os.write(2, words)
        os._exit(int(code or 1))
    os.close(reading)
    os.setsid()
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)

    def tell(code: int, words: str) -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as report:
            report.write(f"{code} {words}".encode())

    return tell


def _outputs(process: "subprocess.Popen[bytes]", name: str, text_input: str, timeout_s: float) -> Tuple[bytes, bytes]:
    try:
        return process.communicate(text_input.encode(), timeout_s)
    except BaseException as err:
        # All of its session: a grandchild that keeps the pipe open would make us wait for ever.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if isinstance(err, subprocess.TimeoutExpired):
            raise CommandTimedOut(f"{name} did not end within {timeout_s:g} s") from err
        raise


def _text(stream: bytes) -> str:
    return stream.decode("utf-8", "replace")
