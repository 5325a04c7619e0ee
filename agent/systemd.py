"""systemd on this machine: which units there are, how they are, and starting them."""

from typing import Dict, Mapping, Sequence

from .errors import CommandError, DaemonError
from .system import CONFIGURED, System

AGENT_UNIT = "annex-agent.service"
CONDOR_UNIT = "condor.service"
WATCH_UNIT = "annex-agent-watch.service"
_RUNS = "/run/systemd/system"  # sd_booted(3)
_LOOK_TIMEOUT_S = 10.0
_DO_TIMEOUT_S = 120.0  # it may have to wait for what HTCondor's unit is ordered after


class Systemd:
    """Asked through systemctl; where systemd is not process 1 there are no units."""

    def __init__(self, system: System) -> None:
        self._system = system

    @property
    def runs(self) -> bool:
        """Whether systemd is process 1 here."""
        return self._system.is_live and self._system.is_directory(_RUNS)

    @property
    def keeps_condor(self) -> bool:
        """Whether HTCondor's own unit is there, with our drop-in: the mark is its condition and its environment."""
        found = self._show(CONDOR_UNIT, ["LoadState", "EnvironmentFiles"])
        return found.get("LoadState") == "loaded" and CONFIGURED in found.get("EnvironmentFiles", "")

    def active_state(self, unit: str) -> str:
        """``active``, ``inactive``, ``failed``, ``activating``, ...; empty where there is no such unit."""
        found = self._show(unit, ["LoadState", "ActiveState"])
        return found.get("ActiveState", "") if found.get("LoadState") == "loaded" else ""

    def file_state(self, unit: str) -> str:
        """``enabled``, ``disabled``, ``masked``, ``static``, ...; empty where there is no such unit."""
        found = self._show(unit, ["LoadState", "UnitFileState"])
        return found.get("UnitFileState", "") if found.get("LoadState") in ("loaded", "masked") else ""

    def start(self, unit: str) -> None:
        """Start a unit, and wait until systemd has done so; a condition that does not hold is no error to systemd."""
        self._do("start", unit)

    def stop(self, unit: str) -> None:
        """Stop a unit, and wait until systemd has done so."""
        self._do("stop", unit)

    def settle(self, unit: str) -> None:
        """Have a unit whose processes were ended stay stopped: systemd may be about to start it again."""
        # Without its dependencies, which would stop us, too; and without waiting: at power-off its stop waits for ours.
        self._do("stop", unit, "--no-block", "--job-mode=ignore-dependencies")

    def request(self, verb: str, unit: str) -> None:
        """Have systemd ``start``, ``restart`` or ``stop`` a unit once it gets to it; nothing is waited for."""
        self._do(verb, unit, "--no-block")

    def _do(self, verb: str, unit: str, *options: str) -> None:
        done = self._system.run(("systemctl", *options, verb, unit), _DO_TIMEOUT_S)
        if done.code:
            raise DaemonError(f"systemctl {verb} {unit}: {' '.join(done.stderr.split())[:500]}")

    def _show(self, unit: str, properties: Sequence[str]) -> Mapping[str, str]:
        if not self.runs:
            return {}
        argv = ("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        try:
            done = self._system.run(argv, _LOOK_TIMEOUT_S)
        except CommandError:
            return {}
        found: Dict[str, str] = {}
        for line in done.stdout.splitlines():
            name, _, value = line.partition("=")
            found[name] = f"{found[name]}\n{value}" if name in found else value
        return found
