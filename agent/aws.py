"""AWS's APIs, as the instance's role may use them.

The only module that imports botocore (boto3's lower half: the same clients, sooner loaded), and only once something is
asked: no boot without a secret in AWS waits for it.  None of its exceptions leaves this module.
"""

import logging
import random
import threading
import time
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, TypeVar
from urllib.parse import urlsplit

from .aws_refusals import NEVER_SENT, Trouble, Wish, refusal
from .errors import AnnexError
from .logs import LOG
from .secret import Credentials

_T = TypeVar("_T")
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_CONNECT_S = 3.0
_ANSWER_S = 8.0
_SERVICE_VARIABLES = {"secretsmanager": "SECRETS_MANAGER", "autoscaling": "AUTO_SCALING"}


class Deadline:
    """For everything that is asked of AWS, retries included; and for how long a refusal may still pass.

    The second is for a role that was made just before the instance: AWS knows it everywhere only after some seconds.
    """

    def __init__(
        self,
        seconds: float,
        propagation_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Optional[Callable[[float], object]] = None,
    ) -> None:
        self.seconds = seconds
        self.propagation_s = min(propagation_s, seconds)
        self._given_up = threading.Event()
        self._clock, self._sleep = clock, sleep or self._given_up.wait
        self._begin: Optional[float] = None

    def begin(self) -> None:
        """From now on; the first call counts."""
        self._begin = self._clock() if self._begin is None else self._begin

    def give_up(self) -> None:
        """Nobody waits any more: no other try is made, whoever was to make one."""
        self._given_up.set()

    @property
    def elapsed_s(self) -> float:
        """Since ``begin``."""
        return self._clock() - (self._clock() if self._begin is None else self._begin)

    @property
    def remaining_s(self) -> float:
        """Not below zero."""
        return max(0.0, self.seconds - self.elapsed_s)

    def pauses(self, attempt: int, until_s: Optional[float] = None) -> bool:
        """Wait before another try, the longer the more there were; False, at once, where time is up."""
        end_s = self.seconds if until_s is None else until_s
        # A fleet that was refused at the same time must not come back in the same instant.
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(attempt, 10))
        pause_s = longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if self.elapsed_s + pause_s >= end_s:
            return False
        self._sleep(pause_s)
        return not self._given_up.is_set()


class Session:
    """Asks as the role whose credentials the function gives; what is given stays in this process's memory.

    The environment has a say only in where the APIs are (``AWS_ENDPOINT_URL``, ``AWS_ENDPOINT_URL_SSM`` and the like,
    which boto3 before 1.28 ignores); not in who asks, nor in what proxy it asks through.
    """

    def __init__(
        self,
        credentials: Callable[[Wish], Credentials],
        region: Optional[str],
        proxy: Optional[str],
        deadline: Deadline,
        environ: Mapping[str, str],
    ) -> None:
        self._read_credentials = credentials
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._environ = environ
        self._lock = threading.Lock()
        self._credentials: Optional[Credentials] = None
        self._botocore: Any = None
        self._clients: Dict[Tuple[str, str], Any] = {}
        self.region = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        self.deadline = deadline

    def ask(
        self,
        wish: Wish,
        operation: str,
        take: "Callable[[Any], _T]",
        instead: "Optional[Callable[[Trouble], Optional[_T]]]" = None,
        /,
        **parameters: Any,
    ) -> _T:
        """What ``take`` makes of the answer to ``operation`` (``get_parameter``) of the wished action's service.

        ``instead`` makes the same of a refusal that is as good as an answer, and None of any other.  Raises the wish's
        error for whatever goes wrong, when trying again is no use or the deadline is near.
        """
        self.deadline.begin()
        attempt = 0
        while True:
            found = self._attempt(wish, operation, take, parameters)
            if not isinstance(found, Trouble):
                return found[0]
            meant = instead(found) if instead else None
            if meant is not None:
                return meant
            until_s = None if found.is_passing else self.deadline.propagation_s
            if not (found.is_passing or found.may_pass) or not self.deadline.pauses(attempt, until_s):
                raise refusal(wish, found, self._role, self.deadline.elapsed_s)
            if found.is_expired:
                self._forget()
            if not attempt:
                LOG.info("%s: %s, trying again", wish.words, found)
            attempt += 1

    def client(self, wish: Wish) -> Any:
        """botocore's own client for the service and the region that a wish is for."""
        service = wish.action.partition(":")[0]
        with self._lock:
            if self._credentials is None:
                self._credentials = self._read_credentials(wish)
            if (service, wish.region) not in self._clients:
                self._clients[service, wish.region] = self._new_client(wish, service, self._credentials)
            return self._clients[service, wish.region]

    def _attempt(
        self, wish: Wish, operation: str, take: "Callable[[Any], _T]", parameters: Mapping[str, Any]
    ) -> "Tuple[_T] | Trouble":
        exceptions = _botocore(wish).exceptions
        unanswered = (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError, OSError)
        host, is_of_s3 = wish.region, wish.action.startswith("s3:")
        try:
            client = self.client(wish)
            host = urlsplit(client.meta.endpoint_url).netloc
            return (take(getattr(client, operation)(**parameters)),)
        except AnnexError:
            raise
        except exceptions.ClientError as err:
            error, answer = err.response.get("Error", {}), err.response.get("ResponseMetadata", {})
            code, status = str(error.get("Code", "")), int(answer.get("HTTPStatusCode", 400))
            return Trouble(code, status, str(error.get("Message", "")), host, is_of_s3)
        except unanswered as err:
            return Trouble(type(err).__name__, 0, "", host, is_of_s3)
        except exceptions.BotoCoreError as err:
            return Trouble(type(err).__name__, NEVER_SENT, "", host, is_of_s3)
        except Exception as err:  # what no API of AWS answers is not of one kind in botocore
            return Trouble(type(err).__name__, 200, "", host, is_of_s3)

    def _new_client(self, wish: Wish, service: str, credentials: Credentials) -> Any:
        endpoint = _endpoint(self._environ, service)
        if credentials.are_made_up and not endpoint:
            raise wish.error(
                f"{wish.words} {wish.undone}: the credentials are the emulated metadata service's, and AWS knows "
                "nothing of them; on an instance with a role, annex-agent --dry-run checks it"
            )
        library = _botocore(wish)
        self._botocore = self._botocore or _quiet_session(library)
        config = library.config.Config(
            connect_timeout=min(_CONNECT_S, self.deadline.seconds),
            read_timeout=min(_ANSWER_S, self.deadline.seconds),
            retries={"max_attempts": 0},  # it knows no deadline
            proxies=self._proxies,
        )
        return self._botocore.create_client(
            service,
            region_name=wish.region,
            endpoint_url=endpoint,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.token,
            config=config,
        )

    def _forget(self) -> None:
        with self._lock:
            self._credentials = None
            self._clients.clear()

    @property
    def _role(self) -> str:
        return self._credentials.role if self._credentials else "of the instance"


def _endpoint(environ: Mapping[str, str], service: str) -> Optional[str]:
    """As the AWS SDKs read it (SDKs and tools reference guide, "Service-specific endpoints")."""
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    own = environ.get(f"AWS_ENDPOINT_URL_{_SERVICE_VARIABLES.get(service, service.upper())}")
    return own or environ.get("AWS_ENDPOINT_URL") or None


def _botocore(wish: Wish) -> Any:
    try:
        import botocore.config  # noqa: PLC0415 - slow to load, and seldom needed
        import botocore.exceptions  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415
    except ImportError as err:
        raise wish.error(
            f"{wish.words} {wish.undone}: boto3, by which AWS is asked, is not installed; dnf install "
            "python3-boto3 (apt-get install python3-boto3, pip install boto3)"
        ) from err
    return botocore


def _quiet_session(library: Any) -> Any:
    """A session that reads none of the caller's files and profiles, and whose log, which holds secrets, is shut."""
    logging.getLogger("botocore").setLevel(logging.CRITICAL + 1)
    session = library.session.Session()
    store = session.get_component("config_store")
    for variable, value in (("config_file", "/dev/null"), ("credentials_file", "/dev/null"), ("profile", None)):
        store.set_config_variable(variable, value)
    return session
