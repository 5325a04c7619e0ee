"""The steps that store secrets as HTCondor wants them, each in a file of root's alone, and that take them away.

What a file holds is never shown, and neither is how it differs.
"""

from contextlib import contextmanager
from typing import Iterator, NamedTuple, Optional

from .errors import AnnexError, CommandError, SecretError
from .machine import Machine
from .secret import Secret
from .steps import Change, RemoveFile, Tell, changes
from .system import FileState
from .trust_secrets import password_text, token_file

_MODE = 0o600
_NOT_SHOWN = "(secret: not shown)"


class StoreSecret(NamedTuple):
    """A token, verbatim, or a pool password, as HTCondor's own tool writes it."""

    name: str
    what: str
    path: str
    origin: str  # where it is kept, in words
    secret: Optional[Secret]  # None: it could not be had
    is_password: bool = False
    is_ready: bool = False  # it is HTCondor's own file already

    @property
    def description(self) -> str:
        return f"store {self.what} from {self.origin} at {self.path}"

    def pending(self, machine: Machine) -> Optional[Change]:
        if self.secret is None:
            return Change("it could not be had: see below")
        try:
            with _seeing(machine):
                found, remains = machine.system.read_file(self.path), machine.system.has_remains(self.path)
        except _Unseen:
            return Change("only root can see what is stored there now", _NOT_SHOWN)
        differences = changes(found, FileState(self._content(machine, self.secret), _MODE, machine.system.owner))
        if not differences and not remains:
            return None
        summary = ", ".join(differences) or "remains of an interrupted write"
        return Change(f"{summary} ({_MODE:04o})", _NOT_SHOWN)

    def perform(self, machine: Machine, tell: Tell) -> str:  # noqa: ARG002
        if self.secret is None:
            raise SecretError(f"the secret {self.origin} could not be had")
        content = self._content(machine, self.secret)
        machine.system.make_private_directory(self.path.rpartition("/")[0])
        machine.system.write_file(self.path, content, _MODE)
        return f"stored {self.what} at {self.path}"

    def _content(self, machine: Machine, secret: Secret) -> bytes:
        if self.is_ready:
            return secret.reveal()
        if not self.is_password:
            return token_file(secret)
        try:
            return machine.htcondor.scrambled(password_text(secret))
        except CommandError as err:
            raise SecretError(f"the secret {self.origin} cannot be stored: {err}") from err


class ForgetSecret(NamedTuple):
    """A file that annex-agent has stored a secret in."""

    name: str
    path: str
    purpose: str

    @property
    def description(self) -> str:
        return self._removal.description

    def pending(self, machine: Machine) -> Optional[Change]:
        try:
            with _seeing(machine):
                return self._removal.pending(machine)
        except _Unseen:
            return Change("only root can see whether it is there")

    def perform(self, machine: Machine, tell: Tell) -> str:
        return self._removal.perform(machine, tell)

    @property
    def _removal(self) -> RemoveFile:
        return RemoveFile(self.name, self.path, self.purpose)


class _Unseen(Exception):  # noqa: N818 - reads as what happened
    """This user may not look into a directory that is root's alone."""


@contextmanager
def _seeing(machine: Machine) -> Iterator[None]:
    try:
        yield
    except (AnnexError, PermissionError) as err:
        if machine.system.uid != 0:
            raise _Unseen from err
        raise
