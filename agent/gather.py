"""Gather: read the world once, into ``Facts``.

Order: the image's config.yaml (it says how the metadata service may be read), the metadata service, then
user-data.  Whatever is wrong in config.yaml and user-data is reported together.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Mapping, NamedTuple, Optional

from .errors import ConfigError, MetadataError, MetadataUnreachable, SecretError, UsageError
from .fence_steps import fence_is_up
from .host import read_host
from .imds import IPV4_ENDPOINT, IPV6_ENDPOINT, Access, Imds, Reading, read_instance
from .machine import Machine
from .model import Facts, Settings
from .secret_sources import obtain
from .settings import CONFIG_FILE, Source, from_yaml, merge
from .userdata import parse

IMDS_DEADLINE_S = 300.0  # at boot, when the network may be late
IMDS_DEADLINE_DRY_S = 5.0  # for a person who waits for the answer
_IMDS_DEADLINE_FENCED_S = 0.5  # for somebody who will not get one
_FILE_LIMIT = 1024 * 1024


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


def gather(machine: Machine, wanted: Wanted, environ: Mapping[str, str]) -> Gathered:
    """Everything that a plan needs, or one error that names all that is wrong."""
    config = read_config(machine, wanted.config)
    with ThreadPoolExecutor(max_workers=1) as beside:
        host = beside.submit(read_host, machine)  # HTCondor's tools run while the metadata service answers
        reading = _read_metadata(machine, config, wanted, environ)
        user_data = parse(_read(wanted.user_data) if wanted.user_data else reading.user_data)
        merged = merge([config, user_data.source])
        obtained = obtain(merged.settings, machine.system)
    version = "IMDSv1 only" if reading.speaks_v1_only else "IMDSv2"
    return Gathered(
        Facts(reading.instance, merged.settings, host.result(), obtained.secrets),
        merged.origins,
        f"{reading.endpoint}, {version}",
        user_data.kind,
        tuple(_notices(reading)),
        obtained.failures,
    )


def _read_metadata(machine: Machine, config: Source, wanted: Wanted, environ: Mapping[str, str]) -> Reading:
    settings = Settings()._replace(**config.fields)
    try:
        access = Access.from_environment(environ, wanted.deadline_s, settings.metadata_v1)
        return _read_fenced(access, machine) if _is_fenced_off(machine, access) else _read_at(access)
    except MetadataError as err:
        if config.problems:  # both have to be mended, so both are said
            problems = [f"{config.name}: {problem}" for problem in config.problems]
            raise ConfigError([*problems, str(err)]) from err
        raise


def _read_at(access: Access) -> Reading:
    imds = Imds(access)
    try:
        return read_instance(imds)
    finally:
        imds.close()


def _is_fenced_off(machine: Machine, access: Access) -> bool:
    system = machine.system
    fenced = {IPV4_ENDPOINT, IPV6_ENDPOINT}.issuperset(access.endpoints)
    return fenced and system.is_live and system.uid != 0 and fence_is_up(system)


def _read_fenced(access: Access, machine: Machine) -> Reading:
    try:
        return _read_at(access._replace(deadline_s=_IMDS_DEADLINE_FENCED_S))
    except MetadataUnreachable as err:
        raise MetadataError(
            f"this user (uid {machine.system.uid}) is fenced off from the instance metadata service, as every job is "
            "(metadata.restrict_to_root): run sudo annex-agent --dry-run"
        ) from err


def read_config(machine: Machine, path: Optional[Path]) -> Source:
    """The settings that are baked into the image, or those at ``path``."""
    if path is not None:
        content: Optional[bytes] = _read(path)
        name = str(path)
    else:
        file = machine.system.read_file(CONFIG_FILE)
        content, name = (file.content if file else b""), CONFIG_FILE
    try:
        return from_yaml(name, (content or b"").decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Source(name, problems=("this is not UTF-8 text",))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_LIMIT + 1)
    except OSError as err:
        raise UsageError(f"{path} cannot be read ({err.strerror}): check the path that was given") from err
    if len(content) > _FILE_LIMIT:
        raise UsageError(f"{path} is larger than {_FILE_LIMIT // 1024} KiB, which no settings file is")
    return content


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
