"""The commands: each wires gather, plan, and apply or preview together, and prints its answer."""

import contextlib
import json
import os
import sys
import time
from typing import Any, Iterator, Mapping, Optional, Tuple

from . import grammar, terms
from . import hold as holding
from . import status as status_module
from .apply import apply
from .entrusted import ATTENDED
from .errors import AnnexError, ConfigError, DaemonError, SecretError, UsageError
from .gather import IMDS_DEADLINE_DRY_S, IMDS_DEADLINE_S, Gathered, Wanted, gather, read_config, read_files
from .host import read_host
from .ladder import NEVER, SLOT_OVER_S, ladder
from .logs import LOG, know
from .machine import Machine, local_machine
from .model import Settings
from .options import Options
from .plan import (
    SLOT_DEADLINE_S,
    Goal,
    Plan,
    build_clean_plan,
    build_hold_plan,
    build_plan,
    build_release_plan,
    build_stop_plan,
)
from .precedence import after_others, ahead_of_others
from .preview import show_facts, show_plan
from .progress import LiveView, LogLines, Outcome, Progress, Several
from .state import boot_id
from .system import System

# Somebody may start us while systemd does, and the other way round: the second one finds that nothing is left to do.
_OTHERS_RUN_S = {Goal.START: SLOT_DEADLINE_S + 30, Goal.CONFIGURE: 0.5}


def start(options: Options) -> int:
    """The whole bootstrap, until the slot is in the pool."""
    return _bootstrap(options, Goal.START)


def configure(options: Options) -> int:
    """The bootstrap without daemons."""
    return _bootstrap(options, Goal.CONFIGURE)


def stop(options: Options) -> int:
    """Out of the pool, with no process left."""
    ends_at = _stop_ends_at(options)
    machine = local_machine(System(options.root, ends_at - SLOT_OVER_S))
    _require_live(machine, "stop")
    mode, timeout_s = _stop_settings(options, machine)
    instance_id = _configured_instance(machine)
    plan = build_stop_plan(instance_id, mode, timeout_s, ends_at)
    if options.dry_run:
        return _print_preview("stop", "", plan, machine)
    _require_root("stop")
    patience_s = sum(rung.wait_s for rung in ladder(mode, timeout_s))
    with ahead_of_others(machine.system, ends_at) if options.within else after_others(machine.system, patience_s):
        _recorded(options, machine, instance_id, plan)
    return 0


def clean(options: Options) -> int:
    """Nothing that belongs to one instance is left on the disk: for an image to be made of it."""
    options.root = options.root.resolve()
    machine = local_machine(System(options.root))
    plan = build_clean_plan(read_host(machine), options.keep_condor)
    if options.dry_run:
        return _print_preview("clean", "", plan, machine)
    if machine.system.is_live:
        _require_root("clean")
    _require_no_daemons(machine)
    with machine.system.exclusive():
        apply(plan, machine, _shown(options))
    print("nothing of one instance is left")
    return 0


def status(options: Options) -> int:
    """What was done, and how things are; 3 when the daemons do not run."""
    options.root = options.root.resolve()
    answer = status_module.current(local_machine(System(options.root)))
    print(json.dumps(answer, indent=1) if options.json else status_module.as_text(answer))
    return 0 if answer["running"] else 3


def hold(options: Options) -> int:
    """Keep this machine on for somebody who looks at it, or no longer."""
    machine = local_machine(System(options.root))
    _require_live(machine, "hold")
    if options.release and options.argument:
        raise UsageError(f"hold --release ends it at once: leave {grammar.quoted(options.argument)} out")
    try:
        seconds = grammar.duration_s(options.argument) if options.argument else None
    except ValueError as err:
        raise UsageError(f"hold: {err}") from None
    now, by = time.time(), os.environ.get("SUDO_USER") or "root"
    wanted = holding.wanted(machine.system, seconds, now, by)
    plan = build_release_plan() if options.release else build_hold_plan(wanted)
    if options.dry_run:
        return _print_preview("hold", "", plan, machine)
    _require_root("hold")
    was_held = holding.is_held(machine.system, now)
    # Without the lock: a start that does not end may be what somebody wants to look at.
    apply(plan, machine, _shown(options))
    print(holding.told(holding.current(machine.system, now), was_held))
    return 0


def check(options: Options) -> int:
    """Whether this image or instance has all that a worker needs; 1 where there is a problem."""
    from .check import finding, looks, report, scene  # noqa: PLC0415 - no boot needs them

    machine = local_machine(System(options.root.resolve()))
    _require_live(machine, "check")
    with _environment(options) as environ:
        seen = scene.Scene(machine, environ, Wanted(options.config, options.user_data, scene.IMDS_DEADLINE_S))
        seen.require_given()
        findings = looks.look(seen)
    print(report.as_json(findings) if options.json else report.as_text(findings))
    return 1 if finding.overall(findings) == finding.PROBLEM else 0


def simulate(options: Options) -> int:
    """Serve the embedded metadata service until interrupted."""
    from . import simulation  # noqa: PLC0415 - the emulator is not loaded on an instance

    return simulation.serve(options.profile, options.address, options.port, options.list_profiles)


def kit(options: Options) -> int:
    """Print what the pool's site needs for the workers of these settings; without a part, which parts there are."""
    from .kit import parts, request  # noqa: PLC0415 - no instance needs them

    if options.argument is None:
        print(parts.listing(), end="")
        return 0
    part = parts.find(options.argument)
    site, problems = request.read_site(vars(options))
    try:
        merged = read_files(local_machine(System(options.root.resolve())), Wanted(options.config, options.user_data))
    except ConfigError as err:
        raise ConfigError([*err.problems, *map(str, problems)]) from err
    made = parts.make(part, request.request(merged, site), problems)
    print(made.text, end="")
    for hint in made.hints:
        LOG.info("%s", hint)
    return 0


def _bootstrap(options: Options, goal: Goal) -> int:
    options.root = options.root.resolve()
    machine = local_machine(System(options.root))
    with _environment(options) as environ:
        if options.dry_run:
            return _dry_run(options, machine, goal, environ)
        _require_possible(options, machine, goal)
        with machine.system.exclusive(_OTHERS_RUN_S[goal]):
            return _real_run(options, machine, goal, environ)


def _dry_run(options: Options, machine: Machine, goal: Goal, environ: Mapping[str, str]) -> int:
    gathered = gather(machine, Wanted(options.config, options.user_data, IMDS_DEADLINE_DRY_S, ATTENDED), environ)
    plan = _plan(gathered, goal)
    _print_preview(goal.value, show_facts(gathered), plan, machine)
    _require_secrets(gathered)
    return 0


def _print_preview(command: str, facts: str, plan: Plan, machine: Machine) -> int:
    text, failure = show_plan(plan, machine)
    print("\n\n".join(part for part in (f"annex-agent {command}, dry run: nothing is changed", facts, text) if part))
    sys.stdout.flush()
    if failure:
        raise failure
    return 0


def _real_run(options: Options, machine: Machine, goal: Goal, environ: Mapping[str, str]) -> int:
    record = status_module.Record(machine.system, goal.value)
    with _closing(record):
        _foresee(options, machine)
        _require_htcondor(machine)
        gathered = gather(machine, Wanted(options.config, options.user_data, IMDS_DEADLINE_S), environ)
        with _kept_to(gathered, machine):
            _require_secrets(gathered)
            plan = _plan(gathered, goal)
        know(instance_id=gathered.facts.instance.instance_id)
        record.learned(gathered.facts.instance.instance_id, plan.notes)
        for note in plan.notes:
            LOG.warning("%s", note)
        _apply(options, plan, machine, record)
    return 0


def _foresee(options: Options, machine: Machine) -> None:
    """Leave the terms of a bootstrap that fails before the instance's own are known: those of the image."""
    if not machine.system.is_live:
        return
    try:
        fields = read_config(machine, options.config).fields
    except AnnexError:  # gather tells it
        fields = {}
    terms.foresee(machine.system, fields, boot_id(machine.system))


@contextlib.contextmanager
def _kept_to(gathered: Gathered, machine: Machine) -> Iterator[None]:
    """The terms are known: they count, also where there will be no plan."""
    try:
        yield
    except AnnexError:
        terms.leave(machine.system, terms.of(gathered.facts))
        raise


def _recorded(options: Options, machine: Machine, instance_id: Optional[str], plan: Plan) -> None:
    record = status_module.Record(machine.system, "stop")
    with _closing(record):
        know(instance_id=instance_id or "")
        record.learned(instance_id, plan.notes)
        _apply(options, plan, machine, record)


def _apply(options: Options, plan: Plan, machine: Machine, record: "status_module.Record") -> None:
    last = _LastWords()
    apply(plan, machine, Several([_shown(options), record, last]))
    print(last.words)


def _shown(options: Options) -> Progress:
    live = sys.stderr.isatty() and options.log_format == "text" and options.verbosity == 0
    return LiveView() if live else LogLines()


def _plan(gathered: Gathered, goal: Goal) -> Plan:
    plan = build_plan(gathered.facts, goal)
    return Plan(plan.steps, (*gathered.notices, *plan.notes))


def _require_secrets(gathered: Gathered) -> None:
    if gathered.failures:
        raise SecretError("; ".join(str(failure) for failure in gathered.failures))


class _LastWords:
    """The answer on stdout: what the last step that had something to do has done."""

    words = "nothing to do: everything is as it should be"

    def begins(self, step: object) -> None:
        pass

    def says(self, step: object, sentence: str) -> None:
        pass

    def ends(self, outcome: Outcome) -> None:
        if outcome.result == "done":
            self.words = outcome.words


@contextlib.contextmanager
def _closing(record: "status_module.Record") -> Iterator[None]:
    record.opens()
    try:
        yield
    except KeyboardInterrupt:
        record.closes("interrupted")
        raise
    except BaseException as err:
        record.closes(str(err) or type(err).__name__)
        raise
    record.closes()


@contextlib.contextmanager
def _environment(options: Options) -> Iterator[Mapping[str, str]]:
    """The process's environment, pointed at the embedded metadata service where that is wanted."""
    if not options.simulate:
        yield os.environ
        return
    from . import simulation  # noqa: PLC0415 - the emulator is not loaded on an instance

    with simulation.running(options.profile) as url:
        apis = {name: value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL")}
        yield {**apis, "AWS_EC2_METADATA_SERVICE_ENDPOINT": url}


def _require_possible(options: Options, machine: Machine, goal: Goal) -> None:
    if not machine.system.is_live:
        if goal is Goal.START:
            raise UsageError("daemons cannot be started in another root: use annex-agent configure --root DIR")
        return
    if options.simulate:
        raise UsageError(
            "--simulate would give this machine the identity of an example: add --dry-run, or configure --root DIR"
        )
    _require_root(goal.value)


def _require_htcondor(machine: Machine) -> None:
    if machine.system.is_live and not machine.htcondor.is_installed:
        raise AnnexError("HTCondor is not installed (condor_config_val is on no standard path): install condor first")


def _require_live(machine: Machine, command: str) -> None:
    if not machine.system.is_live:
        raise UsageError(f"{command} concerns the running machine: leave --root out")


def _require_root(command: str) -> None:
    if os.geteuid() != 0:
        raise UsageError(
            f"{command} changes the machine and needs root: use sudo, or add --dry-run to see what it would do"
        )


def _require_no_daemons(machine: Machine) -> None:
    running = machine.daemons.running() if machine.system.is_live else ()
    if running:
        names = ", ".join(f"{daemon.name} (pid {daemon.pid})" for daemon in running)
        raise DaemonError(
            f"HTCondor still runs here ({names}), and needs what would be removed: annex-agent stop first"
        )


def _stop_settings(options: Options, machine: Machine) -> Tuple[str, float]:
    """The command line's word, then config.yaml's; a broken config.yaml must not keep a machine in the pool.

    The first rung's time is all that ``--within`` leaves it, where nothing else is said.
    """
    timeout_s = _duration("--timeout", options.timeout)
    settings = Settings()._replace(**_config_fields(options, machine))
    return options.mode or settings.stop_mode, timeout_s or (NEVER if options.within else settings.stop_timeout_s)


def _stop_ends_at(options: Options) -> float:
    """When all must be ended, by ``time.monotonic()``: what came before the first step has taken its time, too.

    Nobody has longer than until EC2 takes the machine: not the stop that a power-off brings with it, either.
    """
    from .watch import ending, memory  # noqa: PLC0415 - no boot needs them

    within_s = _duration("--within", options.within)
    remembered = memory.read(local_machine(System(options.root)).system)
    left_s = ending.left_s(remembered, time.time())
    return min(options.began + within_s if within_s else NEVER, time.monotonic() + left_s)


def _duration(option: str, text: Optional[str]) -> Optional[int]:
    try:
        return grammar.duration_s(text) if text else None
    except ValueError as err:
        raise UsageError(f"{option}: {err}") from None


def _config_fields(options: Options, machine: Machine) -> Mapping[str, Any]:
    try:
        source = read_config(machine, options.config)
    except UsageError:
        raise
    except AnnexError as err:
        LOG.warning("%s (the defaults are used)", err)
        return {}
    for problem in source.problems:
        LOG.warning("%s: %s (its default is used)", source.name, problem)
    return source.fields


def _configured_instance(machine: Machine) -> Optional[str]:
    """Which instance the daemons on this machine were configured for, as HTCondor knows it."""
    if not machine.htcondor.is_installed:
        return None
    try:
        setting = machine.htcondor.settings(["CloudInstanceID"]).get("CLOUDINSTANCEID")
        return grammar.token(setting.value.strip('"')) if setting and setting.value else None
    except (AnnexError, ValueError) as err:
        LOG.warning("which slot is this machine's cannot be told: %s", err)
        return None
