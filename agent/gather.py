"""Gather: read the world once, into ``Facts``.

Order: the image's config.yaml (it says how the metadata service may be read), the metadata service, then
user-data.  Whatever is wrong in config.yaml and user-data is reported together.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple, Optional

from .document import UserData
from .entrusted import AT_BOOT, Entrusted, Patience, Way
from .errors import ConfigError, MetadataError, SecretError
from .given import name_given, read_given
from .host import read_host
from .imds import Reading, read_instance
from .machine import Machine
from .metadata import open_metadata
from .model import Facts, Instance, Settings
from .settings import CONFIG_FILE, Merged, Source, from_bytes, lacks_pool, merge, open_secrets
from .system import System
from .trust_secrets import doubts
from .userdata import parse

IMDS_DEADLINE_S = 300.0  # at boot, when the network may be late
IMDS_DEADLINE_DRY_S = 5.0  # for a person who waits for the answer


class Gathered(NamedTuple):
    """The facts, and where they were seen."""

    facts: Facts
    origins: Mapping[str, str]  # a field of Settings -> the source that set it
    metadata: str
    user_data: str
    notices: "tuple[str, ...]" = ()
    failures: "tuple[SecretError, ...]" = ()  # why secrets that the plan needs could not be had


class Wanted(NamedTuple):
    """Where to look, as the command line says."""

    config: Optional[Path] = None
    user_data: Optional[Path] = None
    deadline_s: float = IMDS_DEADLINE_S
    patience: Patience = AT_BOOT


def gather(machine: Machine, wanted: Wanted, environ: Mapping[str, str]) -> Gathered:
    """Everything that a plan needs, or one error that names all that is wrong."""
    config = read_config(machine, wanted.config)
    v1 = Settings()._replace(**config.fields).metadata_v1
    with ThreadPoolExecutor(max_workers=1) as beside:
        host = beside.submit(read_host, machine)  # HTCondor's tools run while the metadata service answers
        with _told_with(config), open_metadata(machine, environ, v1, wanted.deadline_s) as imds:
            reading = read_instance(imds)
            user_data = parse(read_given(wanted.user_data) if wanted.user_data else reading.user_data)
            may_have_role = bool(reading.instance.iam_role or wanted.patience.propagation_s)
            with _told_what_was_passed_over(user_data):
                merged = merge([config, user_data.source], may_lack_pool=may_have_role)
                given = _entrusted(merged, reading.instance, machine.system, Way(imds, environ, wanted.patience))
    version = "IMDSv1 only" if reading.speaks_v1_only else "IMDSv2"
    return Gathered(
        Facts(given.instance, given.merged.settings, host.result(), given.secrets, given.bundle),
        given.merged.origins,
        f"{reading.endpoint}, {version}",
        user_data.kind,
        (
            *_notices(reading),
            *user_data.notices,
            *open_secrets(given.merged),
            *doubts(given.secrets, given.merged.settings.trust_domain, time.time()),
        ),
        given.failures,
    )


def _entrusted(merged: Merged, instance: Instance, system: System, way: Way) -> Entrusted:
    settings = merged.settings
    if not lacks_pool(settings) and not settings.secrets:
        return Entrusted(merged, instance)
    from .fetching import entrusted  # noqa: PLC0415 - most boots of small pools fetch nothing

    return entrusted(merged, instance, system, way)


@contextmanager
def _told_what_was_passed_over(user_data: UserData) -> Iterator[None]:
    """Which may be the reason for what the settings lack."""
    try:
        yield
    except ConfigError as err:
        raise ConfigError([*err.problems, *user_data.notices]) from err


@contextmanager
def _told_with(config: Source) -> Iterator[None]:
    """An unusable metadata service does not hide what is wrong in config.yaml: both have to be mended."""
    try:
        yield
    except MetadataError as err:
        if not config.problems:
            raise
        raise ConfigError([*(f"{config.name}: {problem}" for problem in config.problems), str(err)]) from err


def read_config(machine: Machine, path: Optional[Path]) -> Source:
    """The settings that are baked into the image, or those at ``path``."""
    if path is not None:
        content: Optional[bytes] = read_given(path)
        name = name_given(path)
    else:
        file = machine.system.read_file(CONFIG_FILE)
        content, name = (file.content if file else b""), CONFIG_FILE
    return from_bytes(name, content or b"")


def read_files(machine: Machine, wanted: Wanted) -> Merged:
    """The settings of config.yaml and of the user-data that was given as a file, without asking for anything else."""
    sources = [read_config(machine, wanted.config)]
    if wanted.user_data:
        sources.append(parse(read_given(wanted.user_data)).source)
    return merge(sources)


def _notices(reading: Reading) -> "list[str]":
    notices = []
    if reading.speaks_v1_only:
        notices.append(
            f"{reading.endpoint} speaks only IMDSv1, without session tokens: EC2's own service speaks IMDSv2; "
            "metadata: {v1: never} in config.yaml would refuse it"
        )
    if reading.tags_left_out is None:
        notices.append("the instance's tags, if it has any, were not read, to spare the metadata service")
    elif reading.tags_left_out:
        notices.append(f"{reading.tags_left_out} of the instance's tags were not read, to spare the metadata service")
    return notices
