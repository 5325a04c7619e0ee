"""The Packer template and its scripts: what a real Packer, a real shell and a real HTCondor make of them."""

import re
import shutil
from pathlib import Path
from typing import Dict, List

import pytest

from .command import ENVIRONMENT, run
from .machine import Machine
from .prerequisites import PrerequisiteError, tool
from .region import Region
from .topology import CM

PACKER = Path(__file__).resolve().parents[2] / "packaging" / "packer"
TEMPLATE = PACKER / "annex-agent.pkr.hcl"
STAGING = "/tmp/annex-agent-image"
UNITS = ("annex-agent.service", "annex-agent-watch.service")
VALUES = {"package": "annex-agent.rpm", "token_file": "idtoken", "trust_domain": "example.org"}
# What the last free Packer, Debian's 1.6.6, does not know, as it says it; the Amazon plugin does since 1.2.2.
NEWER = {
    'An argument named "imds_support" is not expected here.': r"^ *imds_support .*\n",
    'Blocks of type "metadata_options" are not expected here.': r"^ *metadata_options \{\n(?:.*\n)*?  \}\n",
}


@pytest.fixture(scope="module")
def packer() -> str:
    found = needed("packer")
    if "Packer v1.6." not in run([found, "version"], timeout=300).stdout:
        pytest.skip("a newer Packer wants its plugins first: packer init and packer validate in packaging/packer")
    return found


def needed(package: str) -> str:
    try:
        return tool(package)
    except PrerequisiteError as err:
        pytest.skip(str(err))


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template, of its scripts, and of what it uploads."""
    for file in PACKER.iterdir():
        shutil.copy(file, tmp_path)
    for name in ("package", "token_file"):
        (tmp_path / VALUES[name]).write_text("x\n", encoding="ascii")
    return tmp_path / TEMPLATE.name


def ask(packer: str, command: str, template: Path, *, code: int = 0, **changes: str) -> str:
    """What Packer says of the template with these variables."""
    values = {**VALUES, "ssh_source_cidr": "192.0.2.0/24", **changes}
    values.update({name: str(template.with_name(values[name])) for name in ("package", "token_file")})
    options = [f"-var={name}={value}" for name, value in values.items()]
    environment = {**ENVIRONMENT, "HOME": str(template.parent), "CHECKPOINT_DISABLE": "1"}
    done = run([packer, command, *options, str(template)], check=False, env=environment, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def without(newer: Dict[str, str], template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    for pattern in newer.values():
        text, count = re.subn(pattern, "", text, flags=re.MULTILINE)
        assert count == 1, pattern
    template.write_text(text, encoding="utf-8")


def test_packer_finds_the_template_valid(packer: str, template: Path) -> None:
    said = ask(packer, "validate", template, code=1)
    assert set(re.findall(r"^(?:An argument|Blocks) .*$", said, re.MULTILINE)) == set(NEWER), said
    without(NEWER, template)
    assert ask(packer, "validate", template).strip() == ""


def test_packer_misses_what_must_be_given(packer: str, template: Path) -> None:
    without(NEWER, template)
    template.with_name(VALUES["package"]).unlink()
    assert "annex-agent.rpm" in ask(packer, "validate", template, code=1)


def test_packer_hides_where_the_token_is(packer: str, template: Path) -> None:
    without(NEWER, template)
    said = ask(packer, "inspect", template)
    assert "idtoken" not in said
    assert "<sensitive>" in said


def test_cleaning_is_the_last_provisioner() -> None:
    pattern = re.compile(r'^  provisioner "(\w+)" \{\n((?:.*\n)*?)  \}\n', re.MULTILINE)
    provisioners = pattern.findall(TEMPLATE.read_text(encoding="utf-8"))
    assert [kind for kind, _ in provisioners] == ["shell", "file", "file", "shell", "shell"]
    scripts = re.findall(r"/(\w+\.sh)\"", "".join(body for _, body in provisioners))
    assert scripts == ["install.sh", "bake.sh", "check.sh", "clean.sh"]
    assert "clean.sh" in provisioners[-1][1]


def test_the_files_are_laid_out_as_packer_does(packer: str) -> None:
    for file in sorted(PACKER.glob("*.pkr.hcl")):
        assert run([packer, "fmt", "-check", "-diff", str(file)], check=False, timeout=300).stdout == "", file.name


def test_the_scripts_are_clean() -> None:
    scripts = sorted(str(path) for path in PACKER.glob("*.sh"))
    assert len(scripts) == 4
    done = run([needed("shellcheck"), *scripts], check=False)
    assert done.stdout + done.stderr == ""


# On a worker, in the order of the template.


@pytest.fixture
def builder(worker: Machine) -> Machine:
    """An instance with HTCondor alone, the template's scripts, and what the template uploads."""
    source = "/usr/src/annex-agent"
    build = "from setuptools import build_meta as b; print(b.build_sdist('/root/dist'))"
    worker.run(["sh", "-c", f'mkdir -p /root/dist && cd {source} && python3 -c "{build}"'])
    worker.run(["python3", "-m", "pip", "uninstall", "--quiet", "--yes", "--break-system-packages", "annex-agent"])
    assert worker.run(["sh", "-c", "command -v annex-agent"], check=False).returncode
    worker.run(["mkdir", "-m", "0700", STAGING])
    worker.run(["sh", "-c", f"mv /root/dist/*.tar.gz {STAGING}/ && mv /etc/condor/tokens.d/pool {STAGING}/token"])
    worker.run(["rm", "/etc/condor/config.d/50-pool.config"])
    for script in PACKER.glob("*.sh"):
        worker.write(f"/root/{script.name}", script.read_text(encoding="utf-8"), 0o755)
    return worker


def settings(machine: Machine, **changes: str) -> Dict[str, str]:
    """The template's ``local.settings``."""
    package = machine.run(["sh", "-c", f"echo {STAGING}/*.tar.gz"]).stdout.strip()
    return {
        "STAGING": STAGING,
        "PACKAGE": package,
        "TOKEN_FILE": f"{STAGING}/token",
        "HTCONDOR_CHANNEL": "25.0",
        "CENTRAL_MANAGER": CM.hostname,
        "CHECK_WITH": "",
        "TRUST_DOMAIN": "example.org",
        **changes,
    }


def provision(machine: Machine, script: str, *, code: int = 0, **changes: str) -> str:
    done = machine.run(["sh", f"/root/{script}"], env=settings(machine, **changes), check=False, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def needs_command(machine: Machine, command: str) -> None:
    if f"  {command} " not in machine.run(["annex-agent", "--help"]).stdout:
        pytest.skip(f"annex-agent has no command {command!r} here: merge the change that brings it")


def needs_units(machine: Machine) -> None:
    if machine.run(["test", "-e", "/usr/src/annex-agent/init/systemd/annex-agent.service"], check=False).returncode:
        pytest.skip("there is no init/systemd/annex-agent.service here: merge the change that brings it")


def listing(machine: Machine, *paths: str) -> List[str]:
    return machine.run(["stat", "--format=%A %U:%G %n", *paths]).stdout.splitlines()


def test_the_source_archive_installs_on_debian_without_a_network(builder: Machine) -> None:
    needs_units(builder)
    assert "annex-agent 0." in provision(builder, "install.sh")
    provision(builder, "install.sh")  # again
    located = builder.run(["/opt/annex-agent/bin/python", "-c", "import annex_agent as a; print(a.__file__)"]).stdout
    assert located.startswith("/opt/annex-agent/lib/")
    assert "annex-agent start, dry run" in builder.run(["annex-agent", "--dry-run"]).stdout
    assert builder.run(["systemctl", "is-enabled", *UNITS]).stdout.split() == ["enabled", "enabled"]
    assert builder.run(["systemd-analyze", "verify", "--man=no", *UNITS], check=False).returncode == 0


def test_an_rpm_is_refused_on_debian(builder: Machine) -> None:
    said = provision(builder, "install.sh", code=1, PACKAGE="/root/annex-agent-0.1.0-1.noarch.rpm")
    assert "an RPM does not install on Debian" in said


def test_baking_gives_the_pools_trust_to_root_alone(builder: Machine) -> None:
    token = builder.read(f"{STAGING}/token")
    builder.run(["chmod", "0644", f"{STAGING}/token"])
    builder.run(["rmdir", "/etc/condor/tokens.d"])
    provision(builder, "bake.sh")
    assert listing(builder, "/etc/condor/tokens.d", "/etc/condor/tokens.d/pool") == [
        "drwx------ root:root /etc/condor/tokens.d",
        "-rw------- root:root /etc/condor/tokens.d/pool",
    ]
    assert builder.read("/etc/condor/tokens.d/pool") == token
    assert builder.run(["condor_config_val", "TRUST_DOMAIN"]).stdout.strip() == "example.org"
    assert builder.run(["test", "-e", f"{STAGING}/token"], check=False).returncode == 1
    assert "is empty" in provision(builder, "bake.sh", code=1)


def test_the_units_survive_presets_that_disable_everything(builder: Machine) -> None:
    needs_units(builder)
    provision(builder, "install.sh")
    provision(builder, "bake.sh")
    builder.write("/etc/systemd/system-preset/99-default-disable.preset", "disable *\n")
    builder.run(["systemctl", "preset-all"], check=False)
    assert builder.run(["systemctl", "is-enabled", *UNITS]).stdout.split() == ["enabled", "enabled"]


def test_what_is_built_joins_the_pool(region: Region, builder: Machine) -> None:
    needs_units(builder)
    provision(builder, "install.sh")
    provision(builder, "bake.sh")
    region.imds.update({"user-data": None})  # the image knows its central manager
    done = builder.run(["annex-agent", "start"], check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    (slot,) = region.pool.slots("CloudInstanceID")
    assert slot["CloudInstanceID"] == "i-0a64379b1c2d3e4f5"


@pytest.mark.parametrize(("central_manager", "check_with"), [(CM.hostname, ""), ("", CM.hostname)])
def test_the_check_passes_on_a_builder(region: Region, builder: Machine, central_manager: str, check_with: str) -> None:
    needs_units(builder)
    provision(builder, "install.sh")
    needs_command(builder, "check")
    region.imds.update({"user-data": None})
    provision(builder, "bake.sh", CENTRAL_MANAGER=central_manager)
    said = provision(builder, "check.sh", CHECK_WITH=check_with)
    assert "dry run: nothing is changed" in said
    assert f"COLLECTOR_HOST = {CM.hostname}" in said


def test_the_check_fails_where_no_central_manager_is_named(region: Region, builder: Machine) -> None:
    needs_units(builder)
    provision(builder, "install.sh")
    needs_command(builder, "check")
    region.imds.update({"user-data": None})
    provision(builder, "bake.sh", CENTRAL_MANAGER="")
    said = provision(builder, "check.sh", code=1)
    assert "no central manager" in said
    assert "dry run" not in said


def test_the_check_fails_where_others_could_read_the_token(builder: Machine) -> None:
    needs_units(builder)
    provision(builder, "install.sh")
    needs_command(builder, "check")
    provision(builder, "bake.sh")
    builder.run(["chmod", "0644", "/etc/condor/tokens.d/pool"])
    said = provision(builder, "check.sh", code=1)
    assert "/etc/condor/tokens.d/pool" in said
    assert "dry run" not in said


def test_cleaning_leaves_the_image_without_an_identity(builder: Machine) -> None:
    needs_units(builder)
    provision(builder, "install.sh")
    needs_command(builder, "clean")
    provision(builder, "bake.sh")
    builder.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    builder.write("/etc/ssh/ssh_host_ed25519_key", "secret\n", 0o600)
    builder.write("/etc/ssh/sshd_config", "PermitRootLogin no\n")
    builder.write("/root/.bash_history", "condor_store_cred\n", 0o600)
    builder.run(["annex-agent", "configure"])
    provision(builder, "clean.sh")
    gone = ["/etc/ssh/ssh_host_ed25519_key", "/root/.bash_history", STAGING]
    gone += ["/etc/condor/config.d/60-annex-agent.config", "/run/annex-agent/configured"]
    assert builder.run(["ls", "-d", *gone], check=False).stdout == ""
    assert builder.read("/etc/machine-id") in ("", "uninitialized\n")
    kept = ["/etc/condor/tokens.d/pool", "/etc/annex-agent/config.yaml", "/etc/ssh/sshd_config"]
    assert builder.run(["ls", "-d", *kept], check=False).stdout.split() == sorted(kept)
