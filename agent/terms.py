"""On what terms this machine is a worker: what its watch must know of the settings.

``start`` leaves them in ``/run/annex-agent/terms.json`` (0644, no secrets), so that neither a restart of the watch nor
a metadata service that is away changes when and how this machine ends.  Before it has read anything of the instance,
it leaves those that the image foresees: a bootstrap that fails has an end, too.
"""

import json
from typing import Any, Mapping, NamedTuple, Optional

from .errors import AnnexError
from .model import Facts, Settings
from .system import STATE_DIR, System

PATH = f"{STATE_DIR}/terms.json"
MODE = 0o644
# The fields of Settings that are kept.
FIELDS = (
    *("stop_mode", "stop_timeout_s", "metadata_v1", "restrict_to_root", "aws_proxy", "aws_timeout_s"),
    *("lease_s", "idle_s", "unregistered_s", "unreachable_s", "grace_s"),
    *("on_exit", "on_lease", "on_idle", "on_failure", "on_unregistered", "on_unreachable"),
    *("on_spot", "on_rebalance", "on_maintenance", "on_autoscaling", "vacate_s", "lead_s", "poll_s"),
    *("cloudformation_stack", "cloudformation_resource", "signals_autoscaling"),
)


class Terms(NamedTuple):
    """The settings that count after the bootstrap, and whose they are; None: not known (yet).

    Without an ``instance_id`` they are those that the image foresees.
    """

    settings: Settings = Settings()  # of which only ``FIELDS`` are kept
    instance_id: Optional[str] = None
    region: Optional[str] = None
    account_id: Optional[str] = None
    iam_role: Optional[str] = None
    startd_address_file: str = ""
    boot_id: str = ""  # the boot that they were left in: /run may outlive one where it is a disk's


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
        facts.host.boot_id,
    )


def text(terms: Terms) -> str:
    """The content of the file at ``PATH``."""
    kept = {name: getattr(terms.settings, name) for name in FIELDS}
    return json.dumps({**terms._asdict(), "settings": kept}, indent=1) + "\n"


def leave(system: System, terms: Terms) -> None:
    """Leave these at ``PATH``, unless they are there."""
    content, found = text(terms).encode("utf-8"), system.read_file(PATH)
    if not found or found.content != content:
        system.write_file(PATH, content, MODE)


def foresee(system: System, fields: Mapping[str, Any], boot_id: str) -> None:
    """Leave the terms of an instance of which nothing is known yet, unless this boot has left its own already.

    ``fields`` are those of ``Settings`` that the image sets.
    """
    found = read(system)
    if not (found and found.instance_id and found.boot_id == boot_id):
        leave(system, Terms(Settings()._replace(**fields), boot_id=boot_id))


def read(system: System) -> Optional[Terms]:
    """The terms on disk; None where there are none, or none that can be read.

    They may be of another version: what it did not know is as by default.
    """
    try:
        file = system.read_file(PATH)
        record = json.loads(file.content) if file else None
        if record is None:
            return None
        kept = {name: value for name, value in record["settings"].items() if name in FIELDS}
        whose = {name: value for name, value in record.items() if name in Terms._fields}
        return Terms(**{**whose, "settings": Settings()._replace(**kept)})
    except (AnnexError, ValueError, KeyError, TypeError, AttributeError):
        return None
