"""The commands: each sees whether it can be done, then shows its plan, has it carried out, or prints its answer."""

import json
import os
import time

from . import bootstrap, grammar
from . import hold as holding
from . import status as status_module
from .apply import apply
from .errors import ConfigError, UsageError
from .execution import preview, shown
from .gather import Wanted, read_files
from .host import read_host
from .ladder import SLOT_OVER_S
from .logs import LOG
from .machine import local_machine
from .options import Options
from .plan import SLOT_DEADLINE_S, Goal, build_clean_plan, build_hold_plan, build_release_plan
from .premises import environment, require_live, require_no_daemons, require_possible, require_root
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
    from . import stopping  # noqa: PLC0415 - no boot needs it

    ends_at = stopping.ends_at(options, local_machine(System(options.root)).system)
    machine = local_machine(System(options.root, ends_at - SLOT_OVER_S))
    require_live(machine, "stop")
    wanted = stopping.wanted(options, machine, ends_at)
    if options.dry_run:
        return preview("stop", "", wanted.plan, machine)
    require_root("stop")
    return stopping.run(options, machine, wanted)


def clean(options: Options) -> int:
    """Nothing that belongs to one instance is left on the disk: for an image to be made of it."""
    options.root = options.root.resolve()
    machine = local_machine(System(options.root))
    plan = build_clean_plan(read_host(machine), options.keep_condor)
    if options.dry_run:
        return preview("clean", "", plan, machine)
    if machine.system.is_live:
        require_root("clean")
    require_no_daemons(machine)
    with machine.system.exclusive():
        apply(plan, machine, shown(options))
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
    require_live(machine, "hold")
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
        return preview("hold", "", plan, machine)
    require_root("hold")
    was_held = holding.is_held(machine.system, now)
    # Without the lock: a start that does not end may be what somebody wants to look at.
    apply(plan, machine, shown(options))
    print(holding.told(holding.current(machine.system, now), was_held))
    return 0


def check(options: Options) -> int:
    """Whether this image or instance has all that a worker needs; 1 where there is a problem."""
    from .check import finding, looks, report, scene  # noqa: PLC0415 - no boot needs them

    machine = local_machine(System(options.root.resolve()))
    require_live(machine, "check")
    with environment(options) as environ:
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
    with environment(options) as environ:
        if options.dry_run:
            return bootstrap.show(options, machine, goal, environ)
        require_possible(options, machine, goal)
        with machine.system.exclusive(_OTHERS_RUN_S[goal]):
            return bootstrap.run(options, machine, goal, environ)
