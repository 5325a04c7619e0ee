"""The command line: options, wiring, and the one place where errors become exit codes."""

import argparse
import io
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn, Optional, Sequence

from . import __version__, logs
from .errors import AnnexError, ConfigError, UsageError
from .options import Options

_EXIT_CODES = """\
exit codes:
  0  ok
  1  failed
  2  wrong usage
  3  not running (status)
  4  not on EC2, or its metadata service cannot be reached or used
  5  invalid configuration: settings, user-data, or what HTCondor makes of them
  6  a secret could not be had
  7  the daemons did not come up or go down
  130  interrupted (Ctrl-C, SIGTERM)
"""
_COMMANDS = (
    *("start", "configure", "stop", "hold", "status", "check", "clean", "watch", "signal"),
    *("simulate", "validate", "kit"),
)
# The commands that take a word of their own, and what it is.
_ARGUMENT = {"hold": "DURATION", "validate": "FILE", "kit": "PART", "signal": "EVENT"}
_OWN_OPTIONS = {
    "stop": ("mode", "timeout", "within"),
    "hold": ("release",),
    "status": ("json",),
    "check": ("json",),
    "clean": ("keep-condor",),
    "simulate": ("address", "port", "list-profiles"),
    "validate": ("schema", "explain"),
    "kit": (
        *("region", "account", "ami", "instance-type", "spot", "security-group", "instance-profile", "vpc"),
        *("site-cidr", "ccb", "admin-cidr", "worker-cidr", "name", "lifetime", "own-keys", "mime"),
    ),
}
_COMMAND_HELP = """\
commands:
  start      read the instance's metadata, configure HTCondor, start it, wait for the slot (the default)
  configure  the same without starting daemons
  stop       end the daemons cleanly and take the slot off the collector
  hold       keep this machine on, for DURATION or until it is released, whatever its lease or a failure says
  status     what annex-agent did, and how the daemons and the slot are now
  check      look whether this image or instance has all that a worker needs, and what to do where it has not
  clean      remove what belongs to this one instance, before an image is made of its disk
  watch      see the end of this machine coming, and bring it about in time: until it is stopped itself
  simulate   run the embedded metadata service on this machine
  validate   say what is wrong in a file of user-data or settings, or what it sets: validate FILE, on any machine
  signal     tell CloudFormation and Auto Scaling, where the settings ask for it, of success, failure, complete (it may
             be terminated), abandon (at once) or heartbeat (it needs more time): signal EVENT
  kit        print what the pool's site needs for workers with these settings: kit PART, without PART which there are
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command; returns the exit code."""
    began = time.monotonic()
    options = _parsed(argv)
    options.began = began
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal or a pipe that knows only ASCII must not end us
            stream.reconfigure(errors="backslashreplace")
    logs.set_up(options.log_format, options.verbosity, options.command)
    signal.signal(signal.SIGTERM, _terminated)
    code = 0
    try:
        code = _run(options)
        sys.stdout.flush()
    except ConfigError as err:
        for problem in err.problems:
            logs.LOG.error("%s", problem)
        return err.exit_code
    except AnnexError as err:
        logs.LOG.error("%s", err)
        return err.exit_code
    except KeyboardInterrupt:
        logs.LOG.error("interrupted; run annex-agent again to finish or to undo what was begun")
        return 130
    except BrokenPipeError:  # the reader of our answer has seen enough (annex-agent --dry-run | head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _run(options: Options) -> int:
    if options.command == "validate":  # on any machine: what the other commands need is not even loaded
        from . import validation  # noqa: PLC0415

        return validation.validate(options)
    if options.command == "signal":  # likewise, so that it is soon told
        from . import signalling  # noqa: PLC0415

        act = signalling.preview if options.dry_run else signalling.signal
        return act(options.argument, options.root.resolve(), os.environ)
    if options.command == "watch":  # it stays in memory for as long as the machine is on
        if options.dry_run or options.simulate:
            raise UsageError("watch waits for what happens, there is nothing to show before: see annex-agent status")
        from .watch import loop  # noqa: PLC0415

        return loop.watch(options.root, os.environ)
    from . import commands  # noqa: PLC0415

    return int(getattr(commands, options.command)(options))


def _open_streams() -> None:
    if sys.stdout is None or sys.stderr is None:  # closed by our caller (>&-)
        from .system import null_stream  # noqa: PLC0415 - seldom needed, and not on every machine to be had

        sys.stdout, sys.stderr = sys.stdout or null_stream(), sys.stderr or null_stream()


def _parsed(argv: Optional[Sequence[str]]) -> Options:
    parser = _parser()
    # Intermixed: a command's argument may come after options.
    options = parser.parse_intermixed_args(argv, namespace=Options())
    if options.argument is not None and options.command not in _ARGUMENT:
        parser.error(f"{options.command} takes no argument: what is {options.argument!r}?")
    for name in dict.fromkeys(name for names in _OWN_OPTIONS.values() for name in names):
        owners = [command for command, names in _OWN_OPTIONS.items() if name in names]
        field = name.replace("-", "_")
        if options.command not in owners and getattr(options, field) != parser.get_default(field):
            parser.error(f"--{name} is an option of {' and '.join(owners)}")
    return options


def _terminated(number: int, frame: Optional[FrameType]) -> NoReturn:  # noqa: ARG001
    # As Ctrl-C: steps end where they are, files are whole or untouched, the record says so.
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="annex-agent",
        description="Turns an Amazon EC2 instance into an HTCondor execute node.",
        epilog=f"{_COMMAND_HELP}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", nargs="?", choices=tuple(_COMMANDS), default="start", metavar="COMMAND")
    parser.add_argument("argument", nargs="?", metavar="|".join(_ARGUMENT.values()))
    parser.add_argument("--version", action="version", version=f"annex-agent {__version__}")
    _general_options(parser.add_argument_group("what to read and where to write"))
    _log_options(parser.add_argument_group("log (stderr)"))
    _command_options(parser)
    return parser


def _general_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--dry-run", action="store_true", help="change nothing: show the facts and the plan")
    group.add_argument("--simulate", action="store_true", help="read the embedded metadata service, not EC2's")
    group.add_argument(
        "--profile", default="wiki", metavar="NAME|FILE", help="what the embedded service serves (default: wiki)"
    )
    group.add_argument("--config", type=Path, metavar="FILE", help="instead of /etc/annex-agent/config.yaml")
    group.add_argument("--user-data", type=Path, metavar="FILE", help="instead of the instance's user-data")
    group.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="configure a tree below DIR")


def _log_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--log-format", choices=("text", "json"), default="text")
    group.add_argument("-v", "--verbose", dest="verbosity", action="store_const", const=1, default=0)
    group.add_argument(
        "-q", "--quiet", dest="verbosity", action="store_const", const=-1, help="warnings and errors only"
    )


def _command_options(parser: argparse.ArgumentParser) -> None:
    stop = parser.add_argument_group("stop")
    stop.add_argument("--mode", choices=("graceful", "peaceful", "fast"), help="the first rung (default: stop.mode)")
    stop.add_argument("--timeout", metavar="DURATION", help="for the first rung: 90s, 10m (default: stop.timeout)")
    stop.add_argument(
        "--within", metavar="DURATION", help="all is ended by then: the harder rungs come as late as that allows"
    )
    parser.add_argument_group("hold").add_argument("--release", action="store_true", help="hold it no more")
    parser.add_argument_group("status, check").add_argument("--json", action="store_true", help="for programs")
    parser.add_argument_group("clean").add_argument(
        "--keep-condor", action="store_true", help="leave HTCondor's own logs, spool and job directories alone"
    )
    simulate = parser.add_argument_group("simulate")
    simulate.add_argument("--address", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    simulate.add_argument("--port", type=int, default=1338, help="default: 1338; 0 takes a free one")
    simulate.add_argument("--list-profiles", action="store_true", help="name the profiles that come with it")
    validate = parser.add_argument_group("validate")
    validate.add_argument("--explain", action="store_true", help="show the settings, their origin, and the steps")
    validate.add_argument("--schema", action="store_true", help="print the JSON Schema of the settings; needs no FILE")
    _kit_options(parser.add_argument_group("kit (each part says which it needs)"))


def _kit_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--region", metavar="REGION", help="of the workers and their secrets: us-east-1")
    group.add_argument("--account", metavar="NUMBER", help="the AWS account, 12 digits")
    group.add_argument("--ami", metavar="ID", help="the image that annex-agent is in")
    group.add_argument("--instance-type", metavar="TYPE", help="m5.large")
    group.add_argument("--spot", action="store_true", default=None, help="launch spot instances")
    group.add_argument("--security-group", action="append", metavar="ID", help="the workers' (may be repeated)")
    group.add_argument("--instance-profile", metavar="NAME|ARN", help="with the role that reads the secrets")
    group.add_argument("--vpc", metavar="ID", help="for the security group (default: the default VPC)")
    group.add_argument("--site-cidr", action="append", metavar="CIDR", help="where the pool's hosts are (repeatable)")
    group.add_argument(
        "--ccb", action="store_true", default=None, help="workers have no public address: nothing comes in"
    )
    group.add_argument(
        "--admin-cidr", action="append", metavar="CIDR", help="who may use SSH (repeatable; default: nobody)"
    )
    group.add_argument(
        "--worker-cidr",
        action="append",
        metavar="CIDR",
        help="where workers come from, for the method host (repeatable)",
    )
    group.add_argument("--name", metavar="NAME", help="of what is made in AWS (default: annex-agent-worker)")
    group.add_argument("--lifetime", metavar="DURATION", help="of the token: 12h, 30d (default: 90d)")
    group.add_argument("--own-keys", action="store_true", default=None, help="secrets have KMS keys of your own")
    group.add_argument("--mime", action="store_true", default=None, help="user-data as a MIME message, to add parts to")
