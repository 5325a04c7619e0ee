"""The embedded metadata service, as the commands use it."""

import contextlib
from pathlib import Path
from typing import Iterator

from .emulator import Emulator, profile
from .errors import ConfigError, UsageError


@contextlib.contextmanager
def running(name_or_file: str) -> Iterator[str]:
    """Serve a profile on loopback; gives the URL to read it at."""
    with Emulator(_profile(name_or_file)) as emulator:
        yield emulator.url


def serve(name_or_file: str, address: str, port: int, list_profiles: bool) -> int:
    """Serve a profile until interrupted; a profile's file is read again whenever it changes."""
    if list_profiles:
        print("\n".join(profile.bundled_names()))
        return 0
    path = Path(name_or_file)
    watch = path if name_or_file not in profile.bundled_names() else None
    emulator = Emulator(_profile(name_or_file), (address, port), watch)
    with emulator, contextlib.suppress(KeyboardInterrupt):
        print(_how_to_use(emulator.url), flush=True)
        emulator.wait()
    return 0


def _profile(name_or_file: str) -> profile.Profile:
    known = profile.bundled_names()
    if name_or_file in known:
        return profile.bundled(name_or_file)
    path = Path(name_or_file)
    if not path.is_file():
        raise UsageError(f"there is no profile {name_or_file}: give a file, or one of {', '.join(known)}")
    try:
        return profile.load(path)
    except profile.ProfileError as err:
        raise ConfigError([f"{name_or_file}: {problem}" for problem in err.problems]) from err


def _how_to_use(url: str) -> str:
    return f"""\
serving EC2 instance metadata at {url} (Ctrl-C ends it)

In another shell, annex-agent and every AWS SDK read it with:
  export AWS_EC2_METADATA_SERVICE_ENDPOINT={url}
By hand:
  TOKEN=$(curl -sX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 600' {url}/latest/api/token)
  curl -sH "X-aws-ec2-metadata-token: $TOKEN" {url}/latest/meta-data/"""
