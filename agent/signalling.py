"""``signal``: tell AWS, where the settings ask for it, how things are on this instance.

Loaded by that command alone: the watch runs it beside itself, and the fewer modules it needs the sooner it is done.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from . import lifecycle_hooks, stack_signal, terms
from .aws import Deadline, Session
from .errors import MetadataError, SignalError, UsageError
from .imds import Access, Imds, read_instance
from .model import Settings
from .role_session import present_session
from .signal_message import EVENTS, Due, Message
from .system import System
from .terms import Terms

DEADLINE_S = 30.0  # for all that is asked and told, retries included; aws.timeout may say less
_PREVIEW_DEADLINE_S = 10.0


class Service(NamedTuple):
    """One that can be told of events: whether it is to be, and of what exactly."""

    name: str
    is_told: Callable[[Settings, str], bool]
    due: Callable[[str, Terms, str, Session, str], Due]


SERVICES = tuple(Service(module.SERVICE, module.is_told, module.due) for module in (stack_signal, lifecycle_hooks))


class Case(NamedTuple):
    """An event on an instance, and the terms on which it is a worker."""

    event: str
    terms: Terms

    @property
    def words(self) -> str:
        """The end of "was told"."""
        return f"that this instance {EVENTS[self.event]}"


class Outcome(NamedTuple):
    """What became of one service's messages: a sentence each, and why some could not be given."""

    sentences: Tuple[str, ...] = ()
    failures: Tuple[str, ...] = ()


_Give = Callable[[Message, Session, str, str], str]


def signal(
    event: Optional[str],
    root: Path,
    environ: Mapping[str, str],
    new_deadline: Callable[[float], Deadline] = Deadline,
) -> int:
    """Tell of the event whoever is to be told, and say so; ``SignalError`` names all who could not be."""
    case = _case(event, System(root))
    seconds = min(DEADLINE_S, case.terms.settings.aws_timeout_s)
    return _answer(case, environ, new_deadline(seconds), _tell)


def preview(event: Optional[str], root: Path, environ: Mapping[str, str]) -> int:
    """Say what would be told: AWS is only asked for what must be known before."""
    return _answer(_case(event, System(root)), environ, Deadline(_PREVIEW_DEADLINE_S, propagation_s=0.0), _would_tell)


def _case(event: Optional[str], system: System) -> Case:
    if event is None or event not in EVENTS:
        raise UsageError(f"signal needs the event to tell of: {', '.join(EVENTS)}")
    if system.is_live and system.uid != 0:
        raise UsageError("signal asks AWS as the instance's role, as only root may: use sudo")
    known = terms.read(system)
    if known is None:
        raise SignalError(
            f"what is to be told to whom is not known: there is no {terms.PATH} that can be read, which annex-agent "
            "start leaves there; run it first"
        )
    return Case(event, known)


def _answer(case: Case, environ: Mapping[str, str], deadline: Deadline, give: _Give) -> int:
    services = [service for service in SERVICES if service.is_told(case.terms.settings, case.event)]
    if not services:
        print(f"nothing is to be told: the settings (signal) name nobody who is to know {case.words}")
        return 0
    outcomes = _outcomes(services, case, environ, deadline, give)
    for outcome in outcomes:
        for sentence in outcome.sentences:
            print(sentence)
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    if failures:
        raise SignalError("; and ".join(failures))
    return 0


def _outcomes(
    services: Sequence[Service], case: Case, environ: Mapping[str, str], deadline: Deadline, give: _Give
) -> List[Outcome]:
    settings = case.terms.settings
    imds = Imds(Access.from_environment(environ, deadline.seconds, settings.metadata_v1))
    try:
        case = _identified(case, imds)
        session = present_session(case.terms.region, imds, settings, deadline, environ)
        # Side by side: what one waits for, the other would miss of the common deadline.
        with ThreadPoolExecutor(len(services)) as beside:
            tried = [beside.submit(_outcome, service, case, session, give) for service in services]
            try:
                return [future.result() for future in tried]
            except BaseException:  # Ctrl-C, or the end of a service
                deadline.give_up()
                raise
    finally:
        imds.close()


def _identified(case: Case, imds: Imds) -> Case:
    """The terms that an image foresees do not say of which instance they are."""
    if case.terms.instance_id is not None:
        return case
    try:
        instance = read_instance(imds).instance
    except MetadataError as err:
        raise SignalError(f"nobody was told {case.words}: {err}") from err
    known = {name: getattr(instance, name) for name in ("instance_id", "region", "account_id", "iam_role")}
    return case._replace(terms=case.terms._replace(**known))


def _outcome(service: Service, case: Case, session: Session, give: _Give) -> Outcome:
    """Every message is tried, whatever became of another."""
    not_told = f"{service.name} was not told {case.words}"
    try:
        due = _due(service, case, session)
    except SignalError as err:
        return Outcome(failures=(f"{not_told}: {err}",))
    if due.why_not:
        return Outcome((f"nothing is to be told to {service.name}: {due.why_not}",))
    sentences, failures = [], []
    for message in due.messages:
        try:
            sentences.append(give(message, session, service.name, case.words))
        except SignalError as err:
            failures.append(f"{not_told}: {err}")
    return Outcome(tuple(sentences), tuple(failures))


def _due(service: Service, case: Case, session: Session) -> Due:
    if session.region is None or case.terms.instance_id is None:
        raise SignalError("the metadata service names no region; set AWS_REGION")
    return service.due(case.event, case.terms, case.terms.instance_id, session, session.region)


def _tell(message: Message, session: Session, service: str, words: str) -> str:
    return session.ask(
        message.wish,
        message.operation,
        lambda _: f"{service} was told {words}: {message.words}",
        lambda trouble: f"nothing is to be told to {service}: {message.moot}" if message.is_moot(trouble) else None,
        **message.parameters,
    )


def _would_tell(message: Message, session: Session, service: str, words: str) -> str:  # noqa: ARG001
    return f"{service} would be told {words}: {message.words}"
