"""What the machine itself is: read once, decides nothing."""

from typing import Mapping, Sequence, Tuple

from .htcondor import HTCondor, Setting
from .machine import Machine
from .model import PASSWORD_DIRECTORY, TOKEN_DIRECTORY, Condor, Host, StagedFile
from .security import MORE_PRECISE
from .state import boot_id, read_state

CLOUD_INIT_DIR = "/etc/cloud/cloud.cfg.d"
# Where a start without systemd must find a directory for the daemons; packages leave /run to systemd-tmpfiles.
_DIRECTORIES = ("RUN", "LOCK", "LOG", "SPOOL", "EXECUTE")
_WASTE = ("LOG", "SPOOL", "EXECUTE")
_KNOBS = (
    *_DIRECTORIES,
    "CONDOR_VERSION",
    "STARTD_ADDRESS_FILE",
    "ENABLE_KERNEL_TUNING",
    "LINUX_KERNEL_TUNING_SCRIPT",
    *("SEC_TOKEN_DIRECTORY", "SEC_TOKEN_SYSTEM_DIRECTORY", "SEC_PASSWORD_DIRECTORY"),
)
_TRUST = "(SEC|ALLOW)_.*"


def read_host(machine: Machine) -> Host:
    """Look at the machine below its root; nothing is changed."""
    state = read_state(machine.system)
    return Host(
        is_live=machine.system.is_live,
        has_cloud_init=machine.system.is_directory(CLOUD_INIT_DIR),
        condor=_condor(machine.htcondor, state.secrets if state else ()) if machine.htcondor.is_installed else None,
        keeps_condor=machine.systemd.keeps_condor,
        boot_id=boot_id(machine.system),
        state=state,
        cores=machine.system.cores,
    )


def _condor(htcondor: HTCondor, given: Sequence[str]) -> Condor:
    """HTCondor as the image has configured it: what an earlier run of ours wrote is left out."""
    found = htcondor.read_back("", _KNOBS, _TRUST, [StagedFile(path, None) for path in given])
    value = {name: found[name].value if name in found else "" for name in _KNOBS}
    wants_tuning = value["ENABLE_KERNEL_TUNING"].lower() not in ("false", "no", "0")
    return Condor(
        version=value["CONDOR_VERSION"] or "of unknown version",
        directories=tuple(dict.fromkeys(value[name] for name in _DIRECTORIES if value[name])),
        waste=tuple(dict.fromkeys(value[name] for name in _WASTE if value[name])),
        startd_address_file=value["STARTD_ADDRESS_FILE"],
        tuning_script=value["LINUX_KERNEL_TUNING_SCRIPT"] or None if wants_tuning else None,
        trust=_more_precise(found),
        # Its daemons read the one that is for users where it is set, and no other.
        token_directory=value["SEC_TOKEN_DIRECTORY"] or value["SEC_TOKEN_SYSTEM_DIRECTORY"] or TOKEN_DIRECTORY,
        password_directory=value["SEC_PASSWORD_DIRECTORY"] or PASSWORD_DIRECTORY,
    )


def _more_precise(found: Mapping[str, Setting]) -> Tuple[str, ...]:
    """What the image's files say of single levels and daemons, not what HTCondor says by default."""
    return tuple(name for name in sorted(found) if MORE_PRECISE.match(name) and found[name].source.startswith("/"))
