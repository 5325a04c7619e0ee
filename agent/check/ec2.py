"""The looks at what the instance is told: the metadata service, config.yaml and user-data, the time of day."""

from email.utils import parsedate_to_datetime
from typing import Iterator, Optional

from ..errors import AnnexError, ConfigError, MetadataError, MetadataUnreachable
from ..settings import CONFIG_FILE
from .finding import Judgement, Unseen, ok, problem, warning
from .scene import Metadata, Scene

_FORMS = "annex-agent(8) and docs/settings.md say what it may hold"
_LARGE_SKEW_S = 120
_SYNCHRONIZE = "run chrony or systemd-timesyncd; EC2's own time server is 169.254.169.123"


def metadata(scene: Scene) -> Iterator[Judgement]:
    """Who this instance is, and by which version of the service."""
    try:
        yield _judged(scene.metadata())
    except MetadataUnreachable as err:
        yield warning(
            f"what concerns the instance is not checked: {str(err).partition('; ')[0]}",
            "on an image that is to be expected; on an instance, check its metadata options and what filters packets",
        )
    except MetadataError as err:
        yield problem(str(err), "a start ends like this, too: mend it first")


def _judged(found: Metadata) -> Judgement:
    reading = found.reading
    if reading.speaks_v1_only:
        return warning(
            f"{reading.endpoint} speaks only IMDSv1, without session tokens",
            "EC2's own service speaks IMDSv2: see what answers there; metadata: {v1: never} in config.yaml refuses it",
        )
    return ok(f"{reading.endpoint}, IMDSv2: {reading.instance.instance_id} in {reading.instance.availability_zone}")


def settings(scene: Scene) -> Iterator[Judgement]:
    """Every problem of config.yaml and of user-data, or which central manager they name."""
    config = scene.config()
    yield from (problem(f"{config.name}: {words}", f"correct it; {_FORMS}") for words in config.problems)
    try:
        user_data = scene.user_data()
    except MetadataError as err:
        raise Unseen("user-data cannot be read", "see metadata") from err
    if user_data is not None:
        source = user_data.source
        yield from (problem(f"{source.name}: {words}", f"correct it; {_FORMS}") for words in source.problems)
    if not config.problems and not (user_data and user_data.source.problems):
        yield _named(scene, user_data.kind if user_data else None)


def _named(scene: Scene, user_data: Optional[str]) -> Judgement:
    try:
        settings = scene.settings()
    except ConfigError as err:
        words, _, remedy = str(err).partition(": ")
        return problem(f"{words} (user-data: {user_data})", remedy)
    except AnnexError as err:
        return problem(str(err), "a start ends like this, too: mend it first")
    managers = ", ".join(settings.central_manager)
    if managers:
        return ok(f"the central manager is {managers}")
    if settings.bundle:
        return ok(f"the central manager is named in condor_annex's archive, {settings.bundle}")
    if settings.condor and user_data is not None:
        return ok("the central manager is named in HTCondor's own macros")
    return ok(f"{CONFIG_FILE} names no central manager: user-data is to name it")


def clock(scene: Scene) -> Iterator[Judgement]:
    """Tokens are valid from one time to another, and the lease and EC2's notices name one: the machine must know it."""
    skew_s = _skew_s(scene)
    if skew_s is not None and abs(skew_s) > _LARGE_SKEW_S:
        ahead = "ahead of" if skew_s > 0 else "behind"
        yield problem(f"{abs(skew_s):.0f} s {ahead} the metadata service's", _SYNCHRONIZE)
    synchronized = scene.outside.clock_is_synchronized()
    if synchronized:
        yield ok("synchronized")
    elif synchronized is None:
        yield warning("whether it is synchronized cannot be told", "see timedatectl, or chronyc tracking")
    else:
        yield warning(
            "not synchronized: tokens, the lease and EC2's notices go by it",
            f"wait, if this machine has only just booted; else {_SYNCHRONIZE}",
        )


def _skew_s(scene: Scene) -> Optional[float]:
    """By how much this machine's clock is ahead; None where nothing says what time it is."""
    try:
        there = parsedate_to_datetime(scene.metadata().date).timestamp()
    except (AnnexError, Unseen, TypeError, ValueError, IndexError, OverflowError):
        return None
    return scene.outside.now() - there
