"""What can go wrong, and the exit code that each kind ends the program with.

::

    AnnexError                   1  failed
    +-- UsageError               2  the command line asks for something impossible
    +-- MetadataError            4  not on EC2, or its metadata service cannot be used
    |   +-- MetadataUnreachable     nothing answers at its address
    |   +-- MetadataFenced          this user may not read it
    +-- ConfigError              5  settings, user-data or rendered configuration are invalid
    +-- SecretError              6  a secret could not be had
    |   +-- SecretDenied            the instance's role may not: a policy would let it
    +-- DaemonError              7  the daemons did not come up or go down
    +-- FenceError               1  jobs could read the metadata service
    +-- SignalError              1  AWS could not be told how things are here
    |   +-- SignalDenied            the instance's role may not
    +-- Busy                     1  another annex-agent is at work
    +-- CommandError             1
        +-- CommandUnavailable      it could not be run at all
        +-- CommandFailed           it ran, and said no
            +-- CommandTimedOut     it did not end

Every message is a sentence that names what is wrong and what to do about it.
"""

from typing import ClassVar, Sequence, Tuple


class AnnexError(Exception):
    """The base of every error that annex-agent raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(AnnexError):
    """The options contradict each other, or this user may not do this."""

    exit_code = 2


class MetadataError(AnnexError):
    """The instance metadata service is absent, refuses, or says what cannot be true."""

    exit_code = 4


class MetadataUnreachable(MetadataError):  # noqa: N818 - reads as what happened
    """Nothing answers at the metadata service's address."""


class MetadataFenced(MetadataError):  # noqa: N818 - reads as what happened
    """The metadata service is fenced off from everybody but root, and this user is somebody else."""


class ConfigError(AnnexError):
    """Settings are invalid; ``problems`` holds every one of them, in the order found."""

    exit_code = 5

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems: Tuple[str, ...] = tuple(problems)
        super().__init__("; ".join(self.problems))


class SecretError(AnnexError):
    """A secret could not be fetched, or cannot be what it should be; no message holds any part of one."""

    exit_code = 6


class SecretDenied(SecretError):  # noqa: N818 - reads as what happened
    """AWS refuses it to the instance's role; ``own_key``: because of the KMS key that it is encrypted with."""

    def __init__(self, words: str, own_key: bool = False) -> None:
        super().__init__(words)
        self.own_key = own_key


class DaemonError(AnnexError):
    """HTCondor's daemons did not reach the state that was asked for in time."""

    exit_code = 7


class FenceError(AnnexError):
    """The metadata service hands out credentials, and could not be fenced off from the jobs."""


class SignalError(AnnexError):
    """CloudFormation or Auto Scaling could not be told how things are on this instance."""


class SignalDenied(SignalError):  # noqa: N818 - reads as what happened
    """AWS refuses it to the instance's role: a policy would let it."""


class Busy(AnnexError):  # noqa: N818 - reads as what happened
    """Another annex-agent is changing this machine."""


class CommandError(AnnexError):
    """A command that a step needed gave no result."""


class CommandUnavailable(CommandError):  # noqa: N818 - reads as what happened
    """The command is not installed, or could not be executed."""


class CommandFailed(CommandError):  # noqa: N818 - reads as what happened
    """The command ran and ended badly, or did not end in time."""


class CommandTimedOut(CommandFailed):
    """The command was still running when its time was up, and was killed."""
