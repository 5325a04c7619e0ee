"""Who may import whom: gather -> plan -> apply stays readable only while no module reaches back.

Nothing is imported here; the source is parsed, so imports inside functions count as well.
"""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Set, Tuple

import pytest

AGENT = Path(__file__).resolve().parents[2] / "agent"
MODULES = {
    ".".join(path.relative_to(AGENT).with_suffix("").parts).replace(".__init__", ""): path
    for path in sorted(AGENT.rglob("*.py"))
}

# A module imports only from lines above its own.  A new one goes into the first line where it can live.
LAYERS: Tuple[FrozenSet[str], ...] = tuple(
    frozenset(line.split())
    for line in (
        "__init__ budget check check.finding check.outside console emulator.http emulator.tree emulator.watch"
        " errors grammar imds.reply journal kit ladder options process_names render secret unpacking watch"
        " watch.model watch.moment watchdog",
        "archive aws_refusals bundle_config check.report emulator.announced emulator.profile given imds.access"
        " imds.retries json_document logs model multipart processes trust_secrets watch.signals yaml_document",
        "aws bundle emulator.content fence iam_policy imds.plain imds.refusals imds.transport network"
        " process_tree security system values watch.seen watch.tempo",
        "claimant daemons emulator.answers ending_rules fence_tools hold htcondor imds.client key network_values"
        " precedence role_policies secret_sources signal_message state systemd terms watch.actions watch.departure"
        " watch.leaving watch.presence watch.reason",
        "emulator.server ending_keys imds.instance lifecycle_hooks machine stack_signal supervisor"
        " watch.continuity watch.ended watch.interruption watch.lifetime watch.listener watch.memory watch.power"
        " watch.remarks worker_config worker_keys",
        "emulator host imds.credentials pool schema steps watch.announced watch.ending watch.outward",
        "fence_steps imds json_schema mapping peaceful progress secret_steps simulation unit_steps watch.decision"
        " watch.listing",
        "daemon_steps leftovers metadata role_session settings status stop_steps stores watch.fencing",
        "annex_launch document entrusted kit.request plan signalling watch.condition",
        "apply explanation fetching kit.central_manager kit.role kit.security_group kit.submit kit.token"
        " kit.user_data premises unmarked watch.loop",
        "forms kit.launch_template",
        "kit.parts parts",
        "userdata",
        "gather validation",
        "check.scene preview",
        "check.configuration check.ec2 check.image check.installed check.network check.secrets check.signals"
        " check.trust check.worker execution",
        "bootstrap check.looks stopping",
        "commands",
        "cli",
        "__main__",
    )
)

# What is installed or dangerous, and the only modules that may import it.
FENCES: Dict[str, Set[str]] = {
    "requests": {"imds.transport"},
    "tenacity": {"imds.retries"},
    "psutil": {"process_tree"},
    "jinja2": {"render"},
    "botocore": {"aws"},
    "boto3": set(),  # which is loaded later than botocore, and knows no more
    "yaml": {"yaml_document", "emulator.profile"},
    "http": {"emulator.http", "emulator.server", "imds.plain"},
    "socket": {
        "check.outside",
        "emulator.server",
        "imds.plain",
        "journal",
        "system",
        "watchdog",
    },  # system: the host name
    "ctypes": {"check.outside"},
    # What starts processes, and what writes to the machine.
    "subprocess": {"processes"},
    "multiprocessing": set(),
    "shutil": {"system"},
    "tempfile": {"processes"},
    "fcntl": {"system"},
    "syslog": {"supervisor"},
    # These have one user each: an instance never loads the emulator.
    ".emulator": {"simulation"},
    ".simulation": {"commands", "premises"},
    ".check": {"commands"},
    ".kit": {"commands"},
}

# Modules that may import only these of ours, whatever their layer.
ONLY: Dict[str, Set[str]] = {
    "errors": set(),
    "grammar": set(),
    "model": {"grammar", "secret"},
    "render": set(),
    "imds": {"errors", "grammar", "model", "secret"},  # and its own modules
    "emulator": {"errors"},  # and its own modules
    # A kit is made from what was read, whatever machine this is.
    "kit": {
        *("errors", "grammar", "iam_policy", "model", "network_values", "render", "schema", "secret", "security"),
        *("settings", "worker_config"),
    },
}

# A plan is a pure function of facts: of what acts on the machine it may know constants and kinds of step.
PURE = (
    "plan",
    "stores",
    "worker_config",
    "ending_rules",
    "network",
    "model",
    "grammar",
    "secret",
    "iam_policy",
    "security",
    "values",
    "network_values",
    "schema",
    "json_schema",
    "mapping",
    "trust_secrets",
    "settings",
    "budget",
    "document",
    "forms",
    "json_document",
    "multipart",
    "aws_refusals",
    "parts",
    "unmarked",
    "unpacking",
    "userdata",
    "yaml_document",
    "render",
    *(module for module in MODULES if module.startswith("kit.")),
    *("watch.announced", "watch.continuity", "watch.decision", "watch.departure", "watch.ending", "watch.interruption"),
    *("watch.lifetime", "watch.model", "watch.moment", "watch.outward", "watch.reason", "watch.remarks", "watch.seen"),
    *("watch.signals", "watch.tempo"),
)
ACTING = ("system", "processes", "process_tree", "daemons", "htcondor", "machine", "pool", "supervisor", "systemd")
# These functions of acting modules only compute.
PURE_FUNCTIONS = {"pool.instance_constraint"}

WORDS_OF_DRY_RUN = {"commands", "cli", "options"}

# Calls that change the machine, whatever they are called on.
WRITING = {
    *("write_text", "write_bytes", "unlink", "rename", "rmdir", "touch", "symlink_to", "chmod", "chown", "mkdir"),
    *("makedirs", "sethostname", "popen", "fork", "posix_spawn", "execv", "execve", "execvp", "execvpe"),
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Import(NamedTuple):
    """``name`` from ``module``; ours begins with a dot, as in ``.imds.client``."""

    module: str
    name: Optional[str]
    line: int


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[Import]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield Import(node.module or "", alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            yield from _own_imports(module, node)


def _own_imports(module: str, node: ast.ImportFrom) -> Iterator[Import]:
    package = MODULES[module].parent.relative_to(AGENT).parts
    base = [*package[: len(package) + 1 - node.level], *filter(None, [node.module])]
    for alias in node.names:
        submodule = ".".join([*base, alias.name])
        if submodule in MODULES:  # from . import grammar
            yield Import(f".{submodule}", None, node.lineno)
        else:
            yield Import(f".{'.'.join(base) or '__init__'}", alias.name, node.lineno)


def own_imports(module: str) -> List[Import]:
    return [found for found in imports(module) if found.module.startswith(".")]


def where(module: str, found: Import) -> str:
    return f"agent/{MODULES[module].relative_to(AGENT)}:{found.line} imports {found.module} {found.name or ''}".rstrip()


def test_every_module_has_its_place_in_the_layers() -> None:
    placed = [module for layer in LAYERS for module in layer]
    assert sorted(placed) == sorted(MODULES), "LAYERS names every module of agent/ once: add the new, take out the old"


def test_imports_point_in_one_direction() -> None:
    backward = []
    reachable: Set[str] = set()
    for layer in LAYERS:
        for module in sorted(layer & set(MODULES)):
            backward += [where(module, found) for found in own_imports(module) if found.module[1:] not in reachable]
        reachable |= layer
    assert backward == []


@pytest.mark.parametrize("module", ONLY)
def test_some_modules_know_very_few_others(module: str) -> None:
    members = [name for name in MODULES if name == module or name.startswith(f"{module}.")]
    allowed = {*ONLY[module], *members}
    strangers = [
        where(member, found) for member in members for found in own_imports(member) if found.module[1:] not in allowed
    ]
    assert strangers == []


@pytest.mark.parametrize("fenced", FENCES)
def test_fences(fenced: str) -> None:
    users: Dict[str, str] = {
        module: where(module, found)
        for module in MODULES
        for found in imports(module)
        if f"{found.module}.".startswith(f"{fenced}.") and not f".{module}.".startswith(f"{fenced}.")
    }
    assert [users[module] for module in users if module not in FENCES[fenced]] == []
    assert FENCES[fenced] - set(users) == set(), f"these do not import {fenced} any more: take them out of FENCES"


def test_deciding_touches_nothing() -> None:
    acting = [
        where(module, found)
        for module in PURE
        for found in own_imports(module)
        if found.module[1:] in ACTING
        and not (found.name or "").isupper()
        and f"{found.module[1:]}.{found.name}" not in PURE_FUNCTIONS
    ]
    assert acting == []


def test_only_two_modules_write_files_or_start_anything() -> None:
    acts = [
        f"agent/{module}:{node.lineno} calls {_called(node)}"
        for module in set(MODULES) - {"system", "processes"}
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and (_called(node) in WRITING or (_called(node) == "open" and _may_write(node)))
    ]
    assert acts == []


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _may_write(call: ast.Call) -> bool:
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    texts = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
    modes = [text for text in texts if isinstance(text, str) and set(text) <= set("rwaxbt+")]
    flags = [node.attr for argument in arguments for node in ast.walk(argument) if isinstance(node, ast.Attribute)]
    if "devnull" in flags:  # in place of a broken stdout, it is nobody's file
        return False
    return any(set(mode) & set("wax+") for mode in modes) or bool({"O_WRONLY", "O_RDWR", "O_CREAT"} & set(flags))


def test_no_step_knows_whether_this_is_a_dry_run() -> None:
    others = set(MODULES) - WORDS_OF_DRY_RUN
    assert [module for module in others if "dry_run" in MODULES[module].read_text(encoding="utf-8")] == []


def test_our_own_modules_are_imported_relatively() -> None:
    # An absolute import is not resolved by mypy in an editable install, whose folder is not called like the package.
    absolute = {"annex_agent", "agent", "templates"}
    found = [
        where(module, found)
        for module in MODULES
        for found in imports(module)
        if found.module.split(".")[0] in absolute
    ]
    assert found == []


def test_what_is_public_is_documented() -> None:
    undocumented = [
        f"agent/{module}:{getattr(node, 'lineno', 1)} {getattr(node, 'name', 'the module')}"
        for module in MODULES
        for node in [tree(module), *tree(module).body]
        if isinstance(node, (ast.Module, *FUNCTIONS, ast.ClassDef))
        and not getattr(node, "name", "").startswith("_")
        and not ast.get_docstring(node)
    ]
    assert undocumented == []


def test_every_function_is_annotated() -> None:
    bare = [
        f"agent/{module}:{node.lineno} {node.name}"
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, FUNCTIONS) and not _is_annotated(node)
    ]
    assert bare == []


def _is_annotated(function: "ast.FunctionDef | ast.AsyncFunctionDef") -> bool:
    spec = function.args
    named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, [spec.vararg, spec.kwarg])]
    bare = [argument.arg for argument in named if argument.annotation is None and argument.arg not in ("self", "cls")]
    return function.returns is not None and not bare


def test_a_boot_loads_neither_the_emulator_nor_the_check_nor_an_aws_library() -> None:
    code = "import annex_agent.cli, annex_agent.commands, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    unwanted = {"annex_agent.check", "annex_agent.emulator", "annex_agent.simulation", "boto3", "botocore"}
    assert unwanted & set(loaded) == set()
