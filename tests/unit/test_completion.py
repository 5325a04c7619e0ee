"""What bash and zsh complete is what the program knows."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterable, List, Set

import pytest

from annex_agent import cli
from annex_agent.emulator import profile
from annex_agent.kit.parts import PARTS
from annex_agent.signal_message import EVENTS

COMPLETION = Path(__file__).resolve().parents[2] / "packaging/completion"
BASH = COMPLETION / "annex-agent.bash"
ZSH = COMPLETION / "_annex-agent"
COMMANDS = tuple(cli._COMMANDS)
PARSER = cli._parser()
ALL = {text for action in PARSER._actions for text in action.option_strings}
OF_COMMANDS = {f"--{name}" for names in cli._OWN_OPTIONS.values() for name in names}
GENERAL = ALL - OF_COMMANDS
CHOICES = {
    action.option_strings[-1]: set(map(str, action.choices))
    for action in PARSER._actions
    if action.option_strings and action.choices
}
VALUED = sorted(
    action.option_strings[-1] for action in PARSER._actions if action.option_strings and action.nargs is None
)
# A terminal for the completion system, which wants one; the line editor hands over its line at Ctrl-X.
ASK_ZSH = """
zmodload zsh/zpty
zpty terminal 'TERM=vt100 zsh -f -i'
tell() { zpty -w terminal "$1" }
tell "PS1= PS2= RPS1=; unsetopt zle_bracketed_paste; fpath=($1 \\$fpath); autoload -Uz compinit; compinit -u -D"
tell 'hand-over() { print -r "[line:$BUFFER]"; BUFFER=; zle .accept-line }; zle -N hand-over; bindkey "^X" hand-over'
tell 'setopt no_list_beep no_auto_list no_auto_menu; LISTMAX=0; print ready to:go'
zpty -r terminal said '*ready to:go*ready to:go*'
for line in "${@[2,-1]}"; do
    zpty -w -n terminal "$line"$'\\t'$'\\x18'
    zpty -r terminal said '*\\[line:*\\]*'
    print -r -- "${${said##*\\[line:}%%\\]*}"
done
zpty -d terminal
"""


def run(argv: List[str], cwd: Path) -> str:
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def in_bash(cwd: Path, *words: str) -> Set[str]:
    """What a bash offers for the last of the words."""
    script = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        'function=$(complete -p annex-agent); function=${function#*-F }; "${function%% *}"; '
        '[ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\\n" "${COMPREPLY[@]}"'
    )
    offered = run(["bash", "--norc", "-uc", script, "bash", str(BASH), "annex-agent", *words], cwd).splitlines()
    assert len(offered) == len(set(offered)), "nothing is offered twice"
    return set(offered)


def in_zsh(cwd: Path, lines: Iterable[str]) -> List[str]:
    """What becomes of each line at a press of Tab."""
    return run(["zsh", "-fc", ASK_ZSH, "zsh", str(COMPLETION), *lines], cwd).splitlines()


def test_bash_offers_the_commands(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "") == set(COMMANDS)
    assert in_bash(tmp_path, "st") == {command for command in COMMANDS if command.startswith("st")}
    assert in_bash(tmp_path, "--log-format", "json", "--root", "/mnt", "-v", "") == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_bash_offers_a_command_its_options(command: str, tmp_path: Path) -> None:
    own = {f"--{name}" for name in cli._OWN_OPTIONS.get(command, ())}
    assert in_bash(tmp_path, command, "") - {*PARTS, *EVENTS} == GENERAL | own
    assert in_bash(tmp_path, "--profile", "spot", "--log-format", "=", "json", command, "-q", "-") == GENERAL | own


def test_bash_offers_no_command_s_options_before_there_is_one(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "-") == GENERAL


def test_bash_offers_the_parts_of_the_kit_until_one_is_named(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "kit", "--region", "us-east-1", "--vpc", "=", "vpc-1", "") > set(PARTS)
    assert in_bash(tmp_path, "kit", "s") == {"submit", "security-group"}
    assert in_bash(tmp_path, "kit", "submit", "").isdisjoint(PARTS)
    assert in_bash(tmp_path, "start", "").isdisjoint(PARTS)


def test_bash_offers_the_events_to_signal_until_one_is_named(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "signal", "-q", "") > set(EVENTS)
    assert in_bash(tmp_path, "signal", "a") == {"abandon"}
    assert in_bash(tmp_path, "signal", "success", "").isdisjoint(EVENTS)
    assert in_bash(tmp_path, "start", "").isdisjoint(EVENTS)


def test_bash_offers_files_to_validate(tmp_path: Path) -> None:
    (tmp_path / "user data.yaml").touch()
    assert "user data.yaml" in in_bash(tmp_path, "validate", "--explain", "")
    assert in_bash(tmp_path, "validate", "us") == {"user data.yaml"}
    assert in_bash(tmp_path, "validate", "user data.yaml", "us") == set()
    assert "user data.yaml" not in in_bash(tmp_path, "start", "")


@pytest.mark.parametrize("option", sorted(CHOICES))
def test_bash_offers_an_option_its_values(option: str, tmp_path: Path) -> None:
    assert in_bash(tmp_path, option, "") == CHOICES[option]
    assert in_bash(tmp_path, option, "=", "") == CHOICES[option]
    assert in_bash(tmp_path, option, "=") == CHOICES[option]
    first = sorted(CHOICES[option])[0]
    assert in_bash(tmp_path, option, "=", first[:3]) == {first}


@pytest.mark.parametrize("option", VALUED)
def test_bash_offers_no_command_where_a_value_is_due(option: str, tmp_path: Path) -> None:
    assert in_bash(tmp_path, option, "").isdisjoint({*COMMANDS, *ALL})


def test_bash_offers_files_directories_and_profiles(tmp_path: Path) -> None:
    (tmp_path / "a file.yaml").touch()
    (tmp_path / "directory").mkdir()
    both = {"a file.yaml", "directory"}
    assert in_bash(tmp_path, "--config", "") == both
    assert in_bash(tmp_path, "--user-data", "") == both
    assert in_bash(tmp_path, "--root", "") == {"directory"}
    assert in_bash(tmp_path, "--profile", "") == {*profile.bundled_names(), *both}


def test_zsh_knows_the_same_words() -> None:
    text = ZSH.read_text(encoding="utf-8")
    assert text.startswith("#compdef annex-agent\n")
    assert re.findall(r"^  '([a-z]+):", text, re.MULTILINE) == list(COMMANDS)
    named = set(re.findall(r"(?<=['{,)*])--?[a-z][a-z-]*", text))
    assert named == ALL
    for values in (*CHOICES.values(), set(profile.bundled_names()), set(PARTS), set(EVENTS)):
        assert values in [set(words.split()) for words in re.findall(r"\(([a-z -]+)\)", text)]
    for command, names in cli._OWN_OPTIONS.items():
        block = re.search(rf"^  {command}\)\n(.*?);;$", text, re.MULTILINE | re.DOTALL)
        assert block, f"the options of {command}"
        assert set(re.findall(r"'\*?--([a-z-]+)", block.group(1))) == set(names)


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed: apt-get install zsh")
def test_zsh_completes(tmp_path: Path) -> None:
    (tmp_path / "its-directory").mkdir()
    (tmp_path / "its-file").touch()
    expected = {
        "annex-agent conf": "annex-agent configure ",
        "annex-agent --dry": "annex-agent --dry-run ",
        "annex-agent --vers": "annex-agent --version ",
        "annex-agent --log-format j": "annex-agent --log-format json ",
        "annex-agent --profile no-p": "annex-agent --profile no-public-address ",
        "annex-agent --profile its-f": "annex-agent --profile its-file ",
        "annex-agent --config its-fi": "annex-agent --config its-file ",
        "annex-agent --root its-di": "annex-agent --root its-directory/",
        "annex-agent --root its-fi": "annex-agent --root its-fi",
        "annex-agent stop --mo": "annex-agent stop --mode=",
        "annex-agent stop --mode=pea": "annex-agent stop --mode=peaceful ",
        "annex-agent stop --mode fa": "annex-agent stop --mode fast ",
        "annex-agent -q status --js": "annex-agent -q status --json ",
        "annex-agent start --js": "annex-agent start --js",
        "annex-agent validate its-f": "annex-agent validate its-file ",
        "annex-agent validate its-file --exp": "annex-agent validate its-file --explain ",
        "annex-agent kit sec": "annex-agent kit security-group ",
        "annex-agent kit --region us-east-1 lau": "annex-agent kit --region us-east-1 launch-template ",
        "annex-agent signal hea": "annex-agent signal heartbeat ",
        "annex-agent kit token --lif": "annex-agent kit token --lifetime=",
    }
    assert dict(zip(expected, in_zsh(tmp_path, expected))) == expected
