"""``annex-agent --dry-run`` against what it cannot do without: its imports, and the requests themselves."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

from annex_agent.emulator import Emulator
from annex_agent.emulator.profile import bundled
from annex_agent.imds import Access, Imds, read_instance
from annex_agent.imds.client import TTL_HEADER

from .measure import Row, by_turns

TIMES = 21
_KEYS = (
    *("meta-data/instance-id", "meta-data/instance-type", "meta-data/ami-id", "meta-data/instance-life-cycle"),
    *("meta-data/placement/availability-zone", "meta-data/placement/region"),
    *("meta-data/local-ipv4", "meta-data/local-hostname", "meta-data/public-ipv4", "meta-data/public-hostname"),
    *("meta-data/mac", "meta-data/network/interfaces/macs/12:31:38:01:b8:05/vpc-id"),
    *("meta-data/tags/instance", "user-data"),
)


def rows() -> Iterator[Row]:
    """CPU time over the bare imports, wall time over a curl script, and the requests of one boot."""
    with subprocess.Popen(
        [sys.executable, "-m", "annex_agent", "simulate", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        url = next(word for word in service.stdout.readline().split() if word.startswith("http"))
        try:
            yield from _against(url)
        finally:
            service.terminate()
    yield Row("IMDS requests for one boot", _requests(), 16)


def _against(url: str) -> Iterator[Row]:
    script = Path(sys.executable).with_name("annex-agent")
    costs = by_turns(
        {
            "agent": [str(script), "--dry-run"],
            "imports": [sys.executable, "-c", "import requests, jinja2"],
            "curl": ["sh", "-c", "\n".join(_curl_script(url))],
        },
        TIMES,
        {**os.environ, "AWS_EC2_METADATA_SERVICE_ENDPOINT": url},
    )
    agent, imports, curl = costs["agent"], costs["imports"], costs["curl"]
    yield Row(
        "dry run, CPU time, over python3 -c 'import requests, jinja2'",
        agent.cpu / imports.cpu,
        1.5,
        f"{agent.cpu:.3f} / {imports.cpu:.3f} s",
    )
    yield Row(
        "dry run, wall time, over a curl script that fetches the same keys",
        agent.wall / curl.wall,
        2.5,
        f"{agent.wall:.3f} / {curl.wall:.3f} s",
    )


def _curl_script(url: str) -> List[str]:
    """The keys that the agent learns, fetched as a shell script would: one by one, for it cannot take JSON apart."""
    lines = ["set -e", f"TOKEN=$(curl -s -X PUT -H '{TTL_HEADER}: 600' {url}/latest/api/token)"]
    return lines + [f'curl -s -H "X-aws-ec2-metadata-token: $TOKEN" {url}/latest/{key}' for key in _KEYS]


def _requests() -> int:
    """With as many tags as an instance may have."""
    with Emulator(bundled("wiki")) as service:
        for number in range(50):
            service.set(f"tags/instance/key-{number}", "value")
        _read(service.url)
        return len(service.requests)


def _read(url: str) -> None:
    imds = Imds(Access((url,), 20.0))
    read_instance(imds)
    imds.close()
