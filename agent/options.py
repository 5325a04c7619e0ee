"""What the command line says."""

import argparse
from pathlib import Path
from typing import Optional


class Options(argparse.Namespace):
    """The command line, typed."""

    command: str
    argument: Optional[str]
    dry_run: bool
    simulate: bool
    profile: str
    config: Optional[Path]
    user_data: Optional[Path]
    root: Path
    log_format: str
    verbosity: int
    mode: Optional[str]
    timeout: Optional[str]
    within: Optional[str]
    began: float  # time.monotonic(), when this process began
    release: bool
    json: bool
    keep_condor: bool
    address: str
    port: int
    list_profiles: bool
    schema: bool
    explain: bool
