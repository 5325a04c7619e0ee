"""The booted worker's image, made as an AMI is: start an instance, set it up, clean it, stop it, save its disk."""

import tempfile
from pathlib import Path

from . import rpm
from .agent import feed
from .booted import BootedMachine
from .pool import Pool

PACKAGE = "/root/annex-agent.rpm"

# cloud-init knows EC2 by the firmware's tables, of which a container has none: it is told, and not strict about it.
# https://docs.cloud-init.io/en/latest/reference/datasources/ec2.html
_CLOUD_INIT = """\
# With one source to choose from, cloud-init does not look for signs of others.
datasource_list: [Ec2, None]
datasource: {Ec2: {strict_id: false}}
# The interface is the region's business; and without udev, as in a container, none can be plugged in later.
network: {config: disabled}
updates: {network: {when: [boot-new-instance]}}
# No SSH server is installed that could use a key.
ssh_genkeytypes: []
"""
_FILES = {"/etc/cloud/cloud.cfg.d/90-region.cfg": _CLOUD_INIT}
# They would look for updates, at a time of their own choosing, where there is no network to find any.
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer")


def make(machine: BootedMachine, pool: Pool) -> None:
    """Leaves the machine off, and what ``restore`` starts from saved."""
    for path, text in _FILES.items():
        machine.disk.put(path, text)
    for unit in _MASKED:
        machine.disk.link(f"/etc/systemd/system/{unit}", "/dev/null")
    machine.start()
    pool.enrol_worker(machine)
    install(machine)
    clean(machine)
    machine.stop()
    machine.save()


def install(machine: BootedMachine) -> None:
    """annex-agent's RPM, built from the checkout, as a builder of an image installs it."""
    with tempfile.TemporaryDirectory(prefix="annex-agent-ami-") as directory:
        package = rpm.build(rpm.copy(Path(directory) / "checkout")).binary
        send(machine, package)
    # What it requires is there, but Debian's own packages are not in rpm's database.
    machine.run(["rpm", "--install", "--nodeps", PACKAGE])


def send(machine: BootedMachine, package: Path, path: str = PACKAGE) -> None:
    """Put a package's file onto a machine that is on."""
    feed(machine, ["install", "-D", "--mode=0644", "/dev/stdin", path], package.read_bytes())


def clean(machine: BootedMachine) -> None:
    """Take away what belongs to this instance alone, so that the next one takes itself for a new one."""
    machine.run(["annex-agent", "stop", "--mode", "fast"])  # the distribution starts HTCondor where it is installed
    machine.run(["annex-agent", "clean"])
    machine.run(["cloud-init", "clean", "--logs"])
    # Empty, as in Debian's own images; "uninitialized" would also enable every unit by Debian's presets.
    machine.write("/etc/machine-id", "")
