"""What several looks need to know; each fact is read once, by the first look that asks."""

import threading
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Generic, Iterator, List, Mapping, NamedTuple, Optional, Tuple, TypeVar

from ..annex_launch import completed
from ..document import UserData
from ..entrusted import ATTENDED, Way
from ..errors import AnnexError, ConfigError, MetadataError, MetadataFenced, MetadataUnreachable, UsageError
from ..fetching import ask_aws
from ..gather import Wanted, read_config
from ..htcondor import Setting
from ..imds import Imds, Reading, read_instance
from ..machine import Machine
from ..metadata import open_metadata
from ..model import Settings
from ..settings import Source, lacks_pool, merge
from ..system import CONFIGURED
from ..userdata import parse
from .finding import Unseen, only_root
from .outside import Outside

T = TypeVar("T")
IMDS_DEADLINE_S = 3.0  # a laptop is no instance, and waits for this
_PROCESSES = "/proc/self"
KNOBS = (
    *("CONDOR_VERSION", "LOCAL_CONFIG_DIR", "LOCAL_CONFIG_DIR_EXCLUDE_REGEXP", "DAEMON_LIST"),
    *("LOG", "SPOOL", "EXECUTE"),
    *("SEC_TOKEN_DIRECTORY", "SEC_TOKEN_SYSTEM_DIRECTORY", "SEC_PASSWORD_DIRECTORY", "SEC_PASSWORD_FILE"),
    "TRUST_DOMAIN",
)


class Once(Generic[T]):
    """A value, or an error, that is made by the first who asks while the others wait for it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Optional[Future[T]] = None

    def __call__(self) -> T:
        with self._lock:
            if self._made is None:
                self._made = Future()
                try:
                    self._made.set_result(self._make())
                except Exception as err:
                    self._made.set_exception(err)
        return self._made.result()


class Metadata(NamedTuple):
    """What the metadata service gave, and the time of day that it gave with it (an HTTP date; empty: none)."""

    reading: Reading
    date: str


class Scene:
    """The machine, the world around it, and what the command line says about where to look."""

    def __init__(
        self, machine: Machine, environ: Mapping[str, str], wanted: Wanted, outside: Optional[Outside] = None
    ) -> None:
        self.machine = machine
        self.outside = outside or Outside()
        self.environ = environ
        self._wanted = wanted
        self.config = Once(lambda: read_config(machine, wanted.config))
        self.metadata = Once(self._metadata)
        self._settings_once = Once(self._settings)
        self.readable_knobs = Once(lambda: machine.htcondor.settings(KNOBS))

    def require_given(self) -> None:
        """Read the files that the command line names; ``UsageError`` for what cannot be read."""
        if self._wanted.config:
            self.config()
        if self._wanted.user_data:
            _given(self._wanted.user_data)

    @property
    def may_run(self) -> bool:
        """Whether HTCondor may run here: configured, and not stopped since."""
        return self.machine.system.read_file(CONFIGURED) is not None

    @property
    def is_instance(self) -> bool:
        """Whether something answers as EC2's metadata service does."""
        try:
            self.metadata()
        except MetadataUnreachable:
            return False
        except MetadataError:
            return True
        return True

    def require_processes(self) -> None:
        """``Unseen`` where processes cannot be looked at, and HTCondor's tools cannot read what we hand them."""
        if not self.machine.system.is_directory(_PROCESSES):
            raise Unseen("there is no /proc here", "mount it (a chroot does not have it by itself), and check again")

    def knob(self, name: str) -> Setting:
        """A knob of ``KNOBS`` as HTCondor has it; ``Unseen`` where HTCondor cannot say."""
        if not self.machine.htcondor.is_installed:
            raise Unseen("HTCondor is not installed", "see htcondor")
        try:
            return self.readable_knobs().get(name, Setting("", ""))
        except AnnexError as err:
            raise Unseen("HTCondor's configuration cannot be read", "see configuration") from err

    def user_data(self) -> Optional[UserData]:
        """What the instance was launched with, or the command line gives instead; None where there is no instance."""
        if self._wanted.user_data:
            return parse(_given(self._wanted.user_data))
        return parse(self.metadata().reading.user_data) if self.is_instance else None

    def settings(self) -> Settings:
        """What config.yaml and user-data say together; where there is no instance, what config.yaml says."""
        return self._settings_once()

    def _settings(self) -> Settings:
        user_data = self.user_data()
        config = self.config()
        if user_data is not None:
            return self._completed([config, user_data.source])
        if config.problems:
            raise ConfigError(config.problems)
        return Settings()._replace(**config.fields)

    def _completed(self, sources: List[Source]) -> Settings:
        """With what condor_annex's launch says where nothing else names a pool."""
        instance = self.metadata().reading.instance if self.is_instance else None
        merged = merge(sources, may_lack_pool=bool(instance and instance.iam_role))
        if instance is None or not lacks_pool(merged.settings):
            return merged.settings
        with self.open_metadata() as imds:
            found, session = ask_aws(merged.settings, instance, Way(imds, self.environ, ATTENDED))
            return completed(merged, found, session).settings

    def central_managers(self) -> Tuple[str, ...]:
        """Each collector that is named as a host, with or without a port."""
        return self.readable_settings().central_manager

    def readable_settings(self) -> Settings:
        """The settings; ``Unseen`` where they cannot be had, which other looks tell."""
        try:
            return self.settings()
        except AnnexError as err:
            raise Unseen("the settings cannot be read", "see settings and metadata") from err

    @contextmanager
    def open_metadata(self) -> Iterator[Imds]:
        """A client of the metadata service; ``Unseen`` for whoever is fenced off from it."""
        v1 = Settings()._replace(**self._valid_config().fields).metadata_v1
        try:
            with open_metadata(self.machine, self.environ, v1, self._wanted.deadline_s) as imds:
                yield imds
        except MetadataFenced as err:
            raise only_root("the instance metadata service: this user is fenced off, as every job is") from err

    def _metadata(self) -> Metadata:
        with self.open_metadata() as imds:
            return Metadata(read_instance(imds), imds.date)

    def _valid_config(self) -> Source:
        """A config.yaml that cannot be read is the business of another look."""
        try:
            return self.config()
        except AnnexError:
            return Source("")


def _given(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise UsageError(f"{path} cannot be read ({err.strerror}): check the path that was given") from err
