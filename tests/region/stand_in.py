"""annex-agent as a service, for as long as no package of it brings one."""

from . import agent
from .booted import BootedMachine

_SERVICE = """\
[Unit]
Description=Make this instance a slot of its owner's HTCondor pool
Wants=network-online.target
# cloud-init.service is what cloud-init-network.service was called before 24.3.
After=condor.service network-online.target cloud-init.service cloud-init-network.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/bin/annex-agent start
ExecStop=/usr/local/bin/annex-agent stop
TimeoutStartSec=10min
TimeoutStopSec=15min

[Install]
WantedBy=multi-user.target
"""
_CONDOR_WAITS = """\
[Unit]
ConditionPathExists=/run/annex-agent/configured
"""


def install(machine: BootedMachine) -> None:
    """The checkout's agent, its service enabled, and HTCondor's own kept from starting before it is configured."""
    agent.install(machine)
    machine.write("/etc/systemd/system/annex-agent.service", _SERVICE)
    machine.write("/etc/systemd/system/condor.service.d/annex-agent.conf", _CONDOR_WAITS)
    machine.systemctl("daemon-reload")
    machine.systemctl("enable", "annex-agent.service")
