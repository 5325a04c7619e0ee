"""The settings of how a worker ends: rows of the schema."""

from typing import Tuple

from . import values
from .key import Key
from .values import DURATION, NAME, TRUTH

# A number without a unit is seconds: 8, meant as hours, must not power a machine off before it has done anything.
_LONG = values.duration(at_least=60)
_ENDS = values.choice(keep="nothing is done", stop="HTCondor is ended", poweroff="the machine goes off, too")
_LEAVING = values.choice(
    drain="no new job, and those that run are told to leave in time",
    **{"no-new-jobs": "those that run go on until they end"},
    ignore="nothing is done",
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
        _LONG,
        "how long after its launch the instance begins to leave the pool, by a stop, whatever runs",
        see="[lifetime.md](lifetime.md)",
        example="8h",
    ),
    Key(
        "lifetime.idle",
        "idle_s",
        _LONG,
        "how long it stays in the pool without a job",
        example="20m",
    ),
    Key(
        "lifetime.unregistered",
        "unregistered_s",
        _LONG,
        "by when after its boot the pool has to list a slot of it; if not, the bootstrap has failed",
    ),
    Key(
        "lifetime.unreachable",
        "unreachable_s",
        _LONG,
        "how long it stays, without a job, where the collector does not answer or does not list it",
        example="1h",
    ),
    Key(
        "lifetime.on_exit",
        "on_exit",
        _ENDS,
        "what is done after the lease, when idle, and when HTCondor has ended by itself",
        more="whether a machine that powers itself off is stopped or terminated is what its launch says "
        "(`InstanceInitiatedShutdownBehavior`)",
    ),
    Key(
        "lifetime.on_lease",
        "on_lease",
        _ENDS,
        "what is done after the lease",
        example="poweroff",
        unset="as `lifetime.on_exit`",
    ),
    Key(
        "lifetime.on_idle",
        "on_idle",
        _ENDS,
        "what is done when idle, by `lifetime.idle` or by HTCondor's own `STARTD_NOCLAIM_SHUTDOWN`",
        example="stop",
        unset="as `lifetime.on_exit`",
    ),
    Key(
        "lifetime.on_failure",
        "on_failure",
        _ENDS,
        "what is done when the bootstrap has failed",
        more="where user-data cannot be read or has a mistake, what config.yaml says counts",
        see="[lifetime.md](lifetime.md#a-bootstrap-that-fails)",
    ),
    Key(
        "lifetime.on_unregistered",
        "on_unregistered",
        _ENDS,
        "what is done when the pool does not list it in time",
        example="poweroff",
        unset="as `lifetime.on_failure`",
    ),
    Key(
        "lifetime.on_unreachable",
        "on_unreachable",
        _ENDS,
        "what is done when the collector was away for so long",
        example="poweroff",
        unset="as `lifetime.on_failure`",
    ),
    Key(
        "lifetime.grace",
        "grace_s",
        DURATION,
        "how long a failure is told before anything is done about it: time to look, or for `annex-agent hold`",
    ),
    Key(
        "interruption.spot",
        "on_spot",
        _LEAVING,
        "what is done at a spot instance's interruption notice",
        see="[interruption.md](interruption.md)",
    ),
    Key(
        "interruption.rebalance",
        "on_rebalance",
        _LEAVING,
        "what is done at a rebalance recommendation",
    ),
    Key(
        "interruption.maintenance",
        "on_maintenance",
        _LEAVING,
        "what is done before an event that EC2 has scheduled: a reboot, a stop, a retirement",
    ),
    Key(
        "interruption.autoscaling",
        "on_autoscaling",
        _LEAVING,
        "what is done when its Auto Scaling group terminates the instance",
    ),
    Key(
        "interruption.vacate",
        "vacate_s",
        values.duration(at_least=20, at_most=120),
        "how long before EC2 takes a spot instance back its jobs are told to leave, to write a checkpoint",
    ),
    Key(
        "interruption.lead",
        "lead_s",
        DURATION,
        "from how long before a scheduled event on no new job is taken",
    ),
    Key(
        "interruption.poll",
        "poll_s",
        values.duration(at_most=60),
        "how often the metadata service is asked for all these notices",
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
        "whether the lifecycle hooks of its Auto Scaling group are answered, at launch and at termination",
    ),
)
