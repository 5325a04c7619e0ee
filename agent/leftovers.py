"""What an instance's life leaves on its disk, and the steps that remove it: for an image, or from one."""

from typing import List

from .host import CLOUD_INIT_DIR
from .htcondor import CONFIG_FILE
from .model import Host
from .secret_steps import ForgetSecret
from .state import DIRECTORY as STATE_DIRECTORY
from .steps import EmptyDirectory, RemoveDirectory, RemoveFile, Step
from .system import CONFIGURED, STATE_DIR

CLOUD_INIT_FILE = f"{CLOUD_INIT_DIR}/99-annex-agent.cfg"
HOST_NAME_FILE = "/etc/hostname"
CONDOR_USER = "condor"


def own_files(host: Host) -> List[Step]:
    """What annex-agent itself wrote and only one instance may use; the mark first, so that nothing starts meanwhile."""
    stored = host.state.secrets if host.state else ()
    steps: List[Step] = [
        RemoveFile("forget-mark", CONFIGURED, "HTCondor must not start with what is removed here"),
        RemoveFile("forget-config", CONFIG_FILE, "it holds one instance's addresses"),
        *(
            ForgetSecret(f"forget-secret-{number}", path, "one instance was given it")
            for number, path in enumerate(stored, start=1)
        ),
        RemoveFile("forget-cloud-init", CLOUD_INIT_FILE, "the host name is cloud-init's again"),
    ]
    if host.state and host.state.host_name:
        text = f"{host.state.host_name}\n"
        steps.append(RemoveFile("forget-hostname", HOST_NAME_FILE, "it names one instance", only=text))
    return steps


def condor_files(host: Host) -> List[Step]:
    """What HTCondor's daemons leave: logs, spool, job sandboxes."""
    directories = host.condor.waste if host.condor else ()
    return [
        EmptyDirectory(f"empty-{number}", path, CONDOR_USER, "HTCondor's, of one instance only")
        for number, path in enumerate(directories, start=1)
    ]


def records() -> List[Step]:
    """What annex-agent remembers; last, so that an interrupted removal is begun again."""
    return [
        RemoveDirectory("forget-boot", STATE_DIR, "what was done since this machine booted"),
        RemoveDirectory("forget-instance", STATE_DIRECTORY, "whose disk this is"),
    ]
