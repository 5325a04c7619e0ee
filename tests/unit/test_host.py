"""What is found on the machine of HTCondor's trust."""

from typing import Tuple

import pytest

from annex_agent.host import read_host
from annex_agent.machine import Machine
from annex_agent.model import Condor, State
from annex_agent.state import PATH, state_text

from .conftest import LiveTree

DIRECTORIES = {
    "SEC_TOKEN_SYSTEM_DIRECTORY": "/etc/condor/tokens.d",
    "SEC_PASSWORD_DIRECTORY": "/etc/condor/passwords.d",
}


def condor(machine: Machine, live: LiveTree, **knobs: str) -> Condor:
    live.configured(**knobs)
    found = read_host(machine).condor
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ("/etc/condor/tokens.d", "/etc/condor/passwords.d")),
        ({"SEC_TOKEN_DIRECTORY": "/pool/tokens"}, ("/pool/tokens", "/etc/condor/passwords.d")),
        ({"SEC_TOKEN_SYSTEM_DIRECTORY": "/tokens"}, ("/tokens", "/etc/condor/passwords.d")),
        ({"SEC_PASSWORD_DIRECTORY": "/passwords"}, ("/etc/condor/tokens.d", "/passwords")),
        (dict.fromkeys(DIRECTORIES, ""), ("/etc/condor/tokens.d", "/etc/condor/passwords.d")),
    ],
)
def test_where_its_daemons_look_for_secrets(
    machine: Machine, live: LiveTree, more: "dict[str, str]", expected: Tuple[str, str]
) -> None:
    found = condor(machine, live, **{**DIRECTORIES, **more})
    assert (found.token_directory, found.password_directory) == expected


def test_what_the_images_files_say_of_single_levels_is_known_and_what_htcondor_says_by_default_is_not(
    machine: Machine, live: LiveTree
) -> None:
    said = {
        "SEC_DAEMON_ENCRYPTION": "NEVER",
        "ALLOW_WRITE_STARTD": "*",
        "SEC_DEFAULT_ENCRYPTION": "NEVER",
        "ALLOW_READ": "*",
    }
    assert condor(machine, live, **said).trust == ("ALLOW_WRITE_STARTD", "SEC_DAEMON_ENCRYPTION")
    (argv,) = {argv for argv in live.ran if argv[1] == "-dump"}
    assert argv[-1].endswith("|(SEC|ALLOW)_.*)$")
    script = (live.commands / "condor_config_val").read_text()
    live.command("condor_config_val", script.replace("/etc/condor/x, line 1", "<Default>").partition("\n")[2])
    found = read_host(machine).condor
    assert found is not None
    assert found.trust == ()


def test_what_condor_annex_packed_for_this_instance_is_not_the_images(machine: Machine, live: LiveTree) -> None:
    given, image = "/etc/condor/config.d/00ec2-dynamic.config", "/etc/condor/config.d/00-htcondor-9.0.config"
    state = State("i-1", "", None, (given, "/etc/condor/passwords.d/POOL"))
    live.write_file(PATH, state_text(state).encode(), 0o644)
    listing = f"Configuration source:\\n\\t/etc/condor/condor_config\\nLocal:\\n\\t{image}\\n\\t{given}\\n"
    seen = live.root / "seen"
    live.command(
        "condor_config_val",
        f'if test "$1" = -config; then printf \'{listing}\'; else cat "$CONDOR_CONFIG" >{seen}; fi',
    )
    read_host(machine)
    assert image in seen.read_text()
    assert given not in seen.read_text()
