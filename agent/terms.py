"""On what terms this machine is a worker: what its watch must know after the settings' sources are long read.

``start`` leaves them in ``/run/annex-agent/terms.json`` (0600), so that neither a restart of the watch nor a metadata
service that is away changes when and how this machine ends.
"""

import json
from typing import NamedTuple, Optional

from .errors import AnnexError
from .model import Facts, Settings
from .system import STATE_DIR, System

PATH = f"{STATE_DIR}/terms.json"
# The fields of Settings that are kept.
FIELDS = (
    *("stop_mode", "stop_timeout_s", "metadata_v1", "restrict_to_root", "aws_proxy", "aws_timeout_s"),
    *("lease_s", "idle_s", "unregistered_s", "unreachable_s", "grace_s"),
    *("on_exit", "on_lease", "on_idle", "on_failure", "on_unregistered", "on_unreachable"),
    *("on_spot", "on_rebalance", "on_maintenance", "on_autoscaling", "vacate_s", "lead_s", "poll_s"),
    *("cloudformation_stack", "cloudformation_resource", "signals_autoscaling"),
)


class Terms(NamedTuple):
    """The settings that count after the bootstrap, and whose they are; None: not known (yet)."""

    settings: Settings = Settings()  # of which only ``FIELDS`` are kept
    instance_id: Optional[str] = None
    region: Optional[str] = None
    account_id: Optional[str] = None
    iam_role: Optional[str] = None
    startd_address_file: str = ""


def of(facts: Facts) -> Terms:
    """The terms of a worker."""
    instance, condor = facts.instance, facts.host.condor
    return Terms(
        facts.settings,
        instance.instance_id,
        instance.region,
        instance.account_id,
        instance.iam_role,
        condor.startd_address_file if condor else "",
    )


def text(terms: Terms) -> str:
    """The content of the file at ``PATH``."""
    kept = {name: getattr(terms.settings, name) for name in FIELDS}
    return json.dumps({**terms._asdict(), "settings": kept}, indent=1) + "\n"


def read(system: System) -> Optional[Terms]:
    """The terms on disk; None where there are none, or none that can be read."""
    try:
        file = system.read_file(PATH)
        record = json.loads(file.content) if file else None
        if record is None:
            return None
        settings = Settings()._replace(**{name: record["settings"][name] for name in FIELDS})
        return Terms(**{**record, "settings": settings})
    except (AnnexError, ValueError, KeyError, TypeError):
        return None
