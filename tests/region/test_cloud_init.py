"""annex-agent beside cloud-init: both read the same user-data, and neither warns of the other's or undoes its work.

Real cloud-init runs the stages of a boot, one after the other, on a worker that itself is not booted.
"""

import json
from typing import Any

import pytest

from .machine import Machine
from .region import Region
from .topology import PUBLIC, public_name

_SOURCE = "/usr/src/annex-agent/init/cloud-init"
_INSTALLED = "/usr/share/annex-agent/init/cloud-init"
_TMPFILES = "/usr/lib/tmpfiles.d/annex-agent-cloud-init.conf"
_STAGES = (["init", "--local"], ["init"], ["modules", "--mode=config"], ["modules", "--mode=final"])
# EC2's data source without a hypervisor that looks like EC2's, and without a network that would have to be set up;
# of the modules those that have to do with user-data, the host name and the service.
_CONFIG = """
datasource_list: [Ec2]
datasource: {Ec2: {strict_id: false, apply_full_imds_network_config: false}}
network: {config: disabled}
disable_network_activation: true
cloud_init_modules: [bootcmd, write-files, set_hostname, update_hostname, update_etc_hosts]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-per-boot, scripts-user, final-message]
"""
_MULTIPART = """\
Content-Type: multipart/mixed; boundary="-"
MIME-Version: 1.0

---
Content-Type: text/cloud-config

#cloud-config
write_files: [{path: /etc/by-cloud-init, content: here}]

---
Content-Type: text/x-annex-agent

central_manager: cm.example.org
annex: mine

-----
"""
_CLOUD_CONFIG = "#cloud-config\nwrite_files: [{path: /etc/by-cloud-init, content: here}]\n"
_SETTINGS = "annex_agent: {central_manager: cm.example.org}\n"


class CloudInit:
    """cloud-init on a machine, as an image's builder would set it up."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.write("/etc/cloud/cloud.cfg.d/95-region.cfg", _CONFIG)
        machine.run(["mkdir", "-p", "/usr/share/annex-agent/init"])
        machine.run(["cp", "-r", _SOURCE, "/usr/share/annex-agent/init/"])

    def boot(self) -> None:
        """All stages, in the order of a boot; the log begins anew."""
        self._machine.run(["rm", "-rf", "/run/cloud-init", "/var/log/cloud-init.log"])
        for stage in _STAGES:
            self._machine.run(["cloud-init", *stage], check=False, timeout=120)

    def be_asked(self) -> None:
        """An image whose owner wants cloud-init to start annex-agent."""
        self.tmpfiles("annex-agent-invoke.tmpfiles", "/etc/tmpfiles.d/annex-agent-invoke.conf")

    def tmpfiles(self, name: str, installed: str = _TMPFILES) -> None:
        """What systemd does with a file of ``init/cloud-init`` early at every boot."""
        self._machine.run(["install", "-D", "--mode=0644", f"{_INSTALLED}/{name}", installed])
        self._machine.run(["systemd-tmpfiles", "--create", installed])

    def status(self) -> dict[str, Any]:
        """``cloud-init status`` as it says it to programs."""
        said = self._machine.run(["cloud-init", "status", "--format", "json"], check=False).stdout
        return dict(json.loads(said))

    def warnings(self) -> list[str]:
        """What it warned of, or worse."""
        lines = self._machine.read("/var/log/cloud-init.log").splitlines()
        return [line.partition("]: ")[2] for line in lines if "[WARNING]" in line or "[ERROR]" in line]


@pytest.fixture
def cloud_init(worker: Machine) -> CloudInit:
    return CloudInit(worker)


def launch(region: Region, cloud_init: CloudInit, user_data: str) -> None:
    """The instance's first boot with this user-data, the part handler in place."""
    region.imds.update({"user-data": user_data})
    cloud_init.tmpfiles("annex-agent.tmpfiles")
    cloud_init.boot()


@pytest.mark.parametrize(
    "user_data",
    [
        "cm.example.org",
        "#annex-agent\ncentral_manager: cm.example.org\n",
        _MULTIPART,
    ],
    ids=["host name", "#annex-agent", "multipart"],
)
def test_neither_reader_complains_of_the_others_user_data(
    region: Region, worker: Machine, cloud_init: CloudInit, user_data: str
) -> None:
    launch(region, cloud_init, user_data)
    assert cloud_init.warnings() == []
    assert cloud_init.status()["extended_status"] == "done"
    plan = worker.run(["annex-agent", "configure", "--dry-run"]).stdout
    assert "+COLLECTOR_HOST = cm.example.org" in plan
    if user_data == _MULTIPART:
        assert worker.read("/etc/by-cloud-init") == "here"
        assert "(user-data, within part" in plan
        cloud_init.boot()  # cloud-init reads user-data again at every boot
        assert cloud_init.warnings() == []


def test_the_part_handler_is_needed_and_comes_back_after_a_clean(
    region: Region, worker: Machine, cloud_init: CloudInit
) -> None:
    region.imds.update({"user-data": "COLLECTOR_HOST = cm.example.org\n"})
    cloud_init.boot()
    assert ["Unhandled non-multipart" in warning for warning in cloud_init.warnings()] == [True]
    assert cloud_init.status()["extended_status"] == "degraded done"
    cloud_init.tmpfiles("annex-agent.tmpfiles")
    worker.run(["cloud-init", "clean", "--logs"])
    assert worker.run(["ls", "/var/lib/cloud/handlers"], check=False).returncode
    cloud_init.tmpfiles("annex-agent.tmpfiles")
    cloud_init.boot()
    assert cloud_init.warnings() == []


def test_the_part_handler_hides_no_mistake(region: Region, cloud_init: CloudInit) -> None:
    launch(region, cloud_init, "COLLECTOR_HOST = cm\nSTART: yes\n")
    assert ["Unhandled non-multipart" in warning for warning in cloud_init.warnings()] == [True]
    cloud_init.boot()
    assert ["Unhandled non-multipart" in warning for warning in cloud_init.warnings()] == [True]


def test_settings_inside_cloud_config_work_and_cloud_init_says_that_it_does_not_know_them(
    region: Region, worker: Machine, cloud_init: CloudInit
) -> None:
    launch(region, cloud_init, _CLOUD_CONFIG + _SETTINGS)
    assert ["failed schema validation" in warning for warning in cloud_init.warnings()] == [True]
    assert worker.read("/etc/by-cloud-init") == "here"
    assert "+COLLECTOR_HOST = cm.example.org" in worker.run(["annex-agent", "configure", "--dry-run"]).stdout


def test_the_host_name_survives_cloud_init(region: Region, worker: Machine, cloud_init: CloudInit) -> None:
    launch(region, cloud_init, "#cloud-config\nhostname: other\nmanage_etc_hosts: true\n")
    assert names(worker) == {"other"}
    worker.write("/etc/annex-agent/config.yaml", "central_manager: cm.example.org\n")
    worker.run(["annex-agent", "configure"])
    cloud_init.boot()
    assert names(worker) == {public_name(PUBLIC)}
    worker.run(["cloud-init", "clean"])  # what it does not remember is new to it
    cloud_init.boot()
    assert names(worker) == {public_name(PUBLIC)}
    # Whose name the loopback address gets is cloud-init's business, as long as it is not the slot's.
    (loopback,) = [line for line in worker.read("/etc/hosts").splitlines() if line.startswith("127.0.1.1 ")]
    assert loopback.endswith(" other")
    assert public_name(PUBLIC) not in loopback
    worker.run(["rm", "/etc/cloud/cloud.cfg.d/99-annex-agent.cfg"])  # not told, it sets its own again
    worker.run(["cloud-init", "clean"])
    cloud_init.boot()
    assert names(worker) == {"other"}


def test_cloud_init_starts_the_service_at_every_boot_and_tells_of_its_failure(
    worker: Machine, cloud_init: CloudInit
) -> None:
    # What systemd makes of it can be seen on a machine that is really booted, and only there.
    cloud_init.be_asked()
    worker.write("/usr/local/sbin/systemctl", '#!/bin/sh\necho "$@" >>/var/log/asked\n', 0o755)
    cloud_init.boot()
    assert cloud_init.status()["status"] == "done"
    worker.write("/usr/local/sbin/systemctl", '#!/bin/sh\necho "$@" >>/var/log/asked\n[ "$1" != start ]\n', 0o755)
    cloud_init.boot()
    status = cloud_init.status()
    assert status["status"] == "error"
    assert "50-annex-agent" in str(status["errors"])
    assert worker.read("/var/log/asked").splitlines().count("start annex-agent.service") == 2


def names(machine: Machine) -> set[str]:
    """The host name that the kernel has, and the one for the next boot: one or two."""
    return {machine.run(["hostname"]).stdout.strip(), machine.read("/etc/hostname").strip()}
