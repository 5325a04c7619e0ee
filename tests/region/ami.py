"""The booted worker's image, made as an AMI is: start an instance, set it up, clean it, stop it, save its disk."""

from typing import Callable

from .booted import BootedMachine
from .pool import Pool

Installer = Callable[[BootedMachine], None]

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


def make(machine: BootedMachine, pool: Pool, install: Installer) -> None:
    """Leaves the machine off, and what ``restore`` starts from saved.  ``install`` puts annex-agent on it."""
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


def clean(machine: BootedMachine) -> None:
    """Take away what belongs to this instance alone, so that the next one takes itself for a new one."""
    machine.run(["cloud-init", "clean", "--logs"])
    # Empty, as in Debian's own images; "uninitialized" would also enable every unit by Debian's presets.
    machine.write("/etc/machine-id", "")
