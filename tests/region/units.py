"""Services that a test adds to an instance, to watch its boot and its power-off from inside."""

from .booted import BootedMachine

_NOTHING = "/bin/true"
_SERVICE = """\
[Unit]
{unit}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={start}
ExecStop={stop}
"""


def add(machine: BootedMachine, name: str, *, start: str = _NOTHING, stop: str = _NOTHING, unit: str = "") -> None:
    """A service that is part of every boot, on the disk of a machine that is off; ``unit`` says for example Before=."""
    machine.disk.put(f"/etc/systemd/system/{name}", _SERVICE.format(start=start, stop=stop, unit=unit))
    machine.disk.link(f"/etc/systemd/system/multi-user.target.wants/{name}", f"../{name}")


def until(path: str) -> str:
    """A command that ends when there is a file ``path``."""
    return f"/bin/sh -c 'until test -e {path}; do sleep 0.05; done'"
