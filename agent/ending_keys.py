"""The settings of how a worker ends: rows of the schema."""

from typing import Tuple

from . import values
from .key import Key
from .values import DURATION, NAME, TRUTH

_ENDS = values.choice(
    keep="nothing: the machine stays as it is", stop="HTCondor ends, the machine stays on", poweroff=""
)
_LEAVING = values.choice(
    drain="no new job; those that run get their time",
    **{"no-new-jobs": "those that run go on until they end"},
    ignore="",
)
ENDING_KEYS: Tuple[Key, ...] = (
    Key(
        "stop.mode",
        "stop_mode",
        values.choice(graceful="jobs get their vacate time", peaceful="jobs finish", fast="jobs are killed"),
        "how a stop begins",
    ),
    Key(
        "stop.timeout",
        "stop_timeout_s",
        DURATION,
        "how long that may take before the next harder way",
    ),
    Key(
        "lifetime.lease",
        "lease_s",
        DURATION,
        "how long after its launch the instance leaves the pool, whatever runs",
        see="[lifetime.md](lifetime.md)",
        example="8h",
    ),
    Key(
        "lifetime.idle",
        "idle_s",
        DURATION,
        "how long without a job it stays in the pool",
        example="20m",
    ),
    Key(
        "lifetime.unregistered",
        "unregistered_s",
        DURATION,
        "how long after its boot the pool must list a slot, or the bootstrap counts as failed",
    ),
    Key(
        "lifetime.unreachable",
        "unreachable_s",
        DURATION,
        "how long the collector may give no answer, or list no slot of an instance without a job",
        example="1h",
    ),
    Key(
        "lifetime.on_exit",
        "on_exit",
        _ENDS,
        "what follows the end of the lease, idleness, and HTCondor's ending by itself",
    ),
    Key(
        "lifetime.on_lease",
        "on_lease",
        _ENDS,
        "what follows the end of the lease",
        example="poweroff",
        unset="as `lifetime.on_exit`",
    ),
    Key(
        "lifetime.on_idle",
        "on_idle",
        _ENDS,
        "what follows idleness",
        example="stop",
        unset="as `lifetime.on_exit`",
    ),
    Key(
        "lifetime.on_failure",
        "on_failure",
        _ENDS,
        "what follows a bootstrap that failed",
    ),
    Key(
        "lifetime.on_unregistered",
        "on_unregistered",
        _ENDS,
        "what follows when the pool does not list the instance in time",
        example="poweroff",
        unset="as `lifetime.on_failure`",
    ),
    Key(
        "lifetime.on_unreachable",
        "on_unreachable",
        _ENDS,
        "what follows when the collector cannot be reached for so long",
        example="poweroff",
        unset="as `lifetime.on_failure`",
    ),
    Key(
        "lifetime.grace",
        "grace_s",
        DURATION,
        "how long a power-off after a failure is announced before: time for `annex-agent hold`",
    ),
    Key(
        "interruption.spot",
        "on_spot",
        _LEAVING,
        "what a spot instance's interruption notice leads to",
        see="[interruption.md](interruption.md)",
    ),
    Key(
        "interruption.rebalance",
        "on_rebalance",
        _LEAVING,
        "what a rebalance recommendation leads to",
    ),
    Key(
        "interruption.maintenance",
        "on_maintenance",
        _LEAVING,
        "what an event that EC2 has scheduled leads to",
    ),
    Key(
        "interruption.autoscaling",
        "on_autoscaling",
        _LEAVING,
        "what being taken out of its Auto Scaling group leads to",
    ),
    Key(
        "interruption.vacate",
        "vacate_s",
        DURATION,
        "how long before EC2 acts running jobs are told to leave, and may write a checkpoint",
    ),
    Key(
        "interruption.lead",
        "lead_s",
        DURATION,
        "how long before a scheduled event no new job is taken",
    ),
    Key(
        "interruption.poll",
        "poll_s",
        DURATION,
        "how often the metadata service is asked",
    ),
    Key(
        "signal.cloudformation.stack",
        "cloudformation_stack",
        NAME,
        "the CloudFormation stack that is told how the bootstrap went (`SignalResource`)",
        see="[signals.md](signals.md)",
        example="my-annex",
    ),
    Key(
        "signal.cloudformation.resource",
        "cloudformation_resource",
        NAME,
        "the logical id of the resource in it that waits for the signal",
        example="Workers",
    ),
    Key(
        "signal.autoscaling",
        "signals_autoscaling",
        TRUTH,
        "whether lifecycle hooks of the Auto Scaling group are answered",
    ),
)
