"""The instance metadata service of the region: annex-agent's own emulator at EC2's addresses."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from . import announcements
from .aws import ROLE, role
from .command import ENVIRONMENT, run
from .metadata import association, merge, profile
from .topology import METADATA_IPV4, METADATA_IPV6, PUBLIC
from .wait import wait_until

_PORT = 80


class Imds:
    """Runs in the router, through which the VPC reaches it; its profile can be changed while it runs."""

    def __init__(self, router: str, directory: Path) -> None:
        self.profile: dict[str, Any] = profile(PUBLIC)
        self._router = router
        self.file = directory / "profile.yaml"
        self._log = directory / "imds.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Listen on the IPv4 and the IPv6 address."""
        self.publish()
        for address in (METADATA_IPV4, METADATA_IPV6):
            self._serve(address)
        wait_until(self._all_answer, "the metadata service answers", 15, evidence=self.log)

    def stop(self) -> None:
        """No service any more: connections are refused."""
        while self._processes:
            process = self._processes.pop()
            process.kill()
            process.wait()

    def update(self, changes: Mapping[str, Any]) -> None:
        """Lay ``changes`` over the profile, mapping by mapping; None takes a key away."""
        merge(self.profile, changes)
        self.publish()

    def associate(self, public: Optional[str]) -> None:
        """Another public address, or none."""
        self.update(association(public))

    def attach_role(self, name: Optional[str] = ROLE, **credentials: str) -> None:
        """Give the worker a role and its credentials (``Code=...`` and the like replace parts), or take it away."""
        self.update({"meta-data": {"iam": None}})
        self.update(role(name, credentials))

    def become_spot(self) -> None:
        """The worker is a spot instance."""
        self.update({"meta-data": {"instance-life-cycle": "spot"}})

    def announce_spot(self, seconds: float, action: str = "terminate") -> float:
        """EC2 takes the instance back in so many seconds; returns when, to the second that the notice can say."""
        at = math.floor(time.time() + seconds)
        self.update(announcements.spot(at, action))
        return at

    def recommend_rebalance(self) -> None:
        """The instance has become more likely to be interrupted."""
        self.update(announcements.rebalance(time.time()))

    def schedule(self, code: str, seconds: float) -> float:
        """EC2 has an event planned for in so many seconds; returns when."""
        at = math.floor(time.time() + seconds)
        self.update(announcements.scheduled(code, at))
        return at

    def set_lifecycle_state(self, state: Optional[str]) -> None:
        """Where its Auto Scaling group brings the instance: InService, Terminated, ..."""
        self.update(announcements.lifecycle(state))

    def launch(self, seconds_ago: float) -> float:
        """The identity document says that the instance was launched then; returns when."""
        at = math.floor(time.time() - seconds_ago)
        self.update(announcements.launched(at))
        return at

    def misbehave(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Faults as a profile has them, in the place of those before; empty: none any more."""
        self.profile["faults"] = [dict(fault) for fault in faults]
        self.publish()

    def reset(self) -> None:
        """The profile as it was at the start."""
        self.profile = profile(PUBLIC)
        self.publish()

    def publish(self) -> None:
        """Hand the emulator what ``profile`` is now; it reads it before it answers the next request."""
        staged = self.file.with_suffix(".new")
        staged.write_text(json.dumps(self.profile, indent=1), encoding="utf-8")  # JSON is YAML
        staged.replace(self.file)

    def log(self) -> str:
        """What the emulator has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _serve(self, address: str) -> None:
        options = ["--profile", str(self.file), "--address", address, "--port", str(_PORT)]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._in_router("-m", "annex_agent", "simulate", *options),
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)

    def _all_answer(self) -> bool:
        if any(process.poll() is not None for process in self._processes):
            raise AssertionError(
                f"annex-agent simulate ended: is annex-agent installed for {sys.executable}?\n{self.log()}"
            )
        return all(self._answers(address) for address in (METADATA_IPV4, METADATA_IPV6))

    def _answers(self, address: str) -> bool:
        connect = f"import socket; socket.create_connection(({address!r}, {_PORT}), 1)"
        return run(self._in_router("-c", connect), check=False).returncode == 0

    def _in_router(self, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", self._router, sys.executable, *arguments]
