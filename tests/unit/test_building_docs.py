"""What docs/building-an-ami.md and docs/image-recipe-2016.md name exists: files, commands, options, variables."""

import re
import string
from pathlib import Path
from typing import List, Set, Tuple

import pytest

from annex_agent import cli
from annex_agent.schema import KEYS

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/building-an-ami.md").read_text(encoding="utf-8")
RECIPE = (ROOT / "docs/image-recipe-2016.md").read_text(encoding="utf-8")
DOCUMENTS = {"building-an-ami.md": GUIDE, "image-recipe-2016.md": RECIPE}
PACKER = ROOT / "packaging" / "packer"
AWS = ROOT / "packaging" / "aws"


def fenced(text: str) -> str:
    """All code blocks, continued lines joined."""
    return "\n".join(re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")


def code(text: str) -> List[str]:
    """Every line of a block and every inline piece."""
    without_blocks = re.sub(r"^```\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*fenced(text).splitlines(), *re.findall(r"`([^`\n]+)`", without_blocks)]


def calls() -> List[Tuple[str, List[str]]]:
    """Each use of our command: its command and its options."""
    found = []
    for piece in code(GUIDE) + code(RECIPE):
        for rest in re.findall(r"(?:^|[ (])annex-agent((?: [a-z][a-z-]*| --[a-z-]+(?: FILE)?)*)$", piece):
            words = str(rest).replace(" FILE", "").split()
            found.append((next((word for word in words if not word.startswith("-")), "start"), words))
    return found


def help_text(capsys: "pytest.CaptureFixture[str]") -> str:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    return str(capsys.readouterr().out)


def commands(help_text: str) -> Set[str]:
    listing = help_text.partition("\ncommands:")[2].partition("exit codes")[0]
    return set(re.findall(r"^  (\w+) {2,}\w", listing, re.MULTILINE))


def options(text: str) -> Set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def test_every_command_and_option_of_ours_exists(capsys: "pytest.CaptureFixture[str]") -> None:
    known = help_text(capsys)
    used = calls()
    assert {command for command, _ in used} >= {"start", "check", "clean", "status"}
    assert {command for command, _ in used} - commands(known) == set()
    named = {word for _, words in used for word in words if word.startswith("--")}
    # Options that stand alone in the text: `--json`.
    named |= {piece.split()[0] for piece in code(GUIDE) if piece.startswith("--")} - {"--key-name"}
    assert {"--dry-run", "--json", "--user-data", "--keep-condor"} <= named
    assert named - options(known) == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_of_ours_exists(name: str) -> None:
    named = set(re.findall(r"(?<![\w/.])(?:packaging|init|docs)/[\w./-]*\w", " ".join(code(DOCUMENTS[name]))))
    installed = re.findall(r"/usr/share/annex-agent/(init/[\w-]+)", DOCUMENTS[name])
    missing = {path for path in named | set(installed) if not (ROOT / path).exists()}
    assert missing == set()


def test_the_guide_names_every_script_and_file_beside_them() -> None:
    for path in [*PACKER.glob("*.sh"), *AWS.iterdir()]:
        assert path.name in GUIDE, path.name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    for target, _, anchor in re.findall(r"\]\(([\w.-]+\.md)(#([\w-]+))?\)", DOCUMENTS[name]):
        text = (ROOT / "docs" / target).read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w -]", "", found).lower().replace(" ", "-") for found in re.findall(r"^#+ (.*)$", text, re.M)
        }
        assert not anchor or anchor in headings, (target, anchor)


def test_every_setting_that_is_named_exists() -> None:
    known = {key.path for key in KEYS}
    named = {piece for piece in code(GUIDE) if re.fullmatch(r"(metadata|network|stop)\.\w+|central_manager", piece)}
    assert named >= {"metadata.restrict_to_root", "central_manager"}
    assert named - known == set()


def test_packer_gets_variables_that_the_template_has_and_all_that_it_needs() -> None:
    template = (PACKER / "annex-agent.pkr.hcl").read_text(encoding="utf-8")
    blocks = dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', template, re.MULTILINE | re.DOTALL))
    required = {name for name, body in blocks.items() if not re.search(r"^  default", body, re.MULTILINE)}
    given = set(re.findall(r"-var (\w+)=", fenced(GUIDE)))
    assert required <= given <= set(blocks)
    columns = {"source_ami_name", "source_ami_owner", "ssh_username"}
    assert columns <= set(blocks)
    assert all(f"| `{column}` |" in GUIDE or f"| `{column}`" in GUIDE for column in columns)
    (default,) = re.findall(r'default += "(.*)"', blocks["source_ami_name"])
    assert f"(the default) | `{default}` |" in GUIDE


def test_every_variable_of_a_script_call_is_one_that_the_script_reads() -> None:
    found = re.findall(r"sudo env ((?:[A-Z_]+=\S+ )+)sh packaging/packer/(\w+\.sh)", fenced(GUIDE))
    assert {script for _, script in found} == {"install.sh", "bake.sh"}
    for assignments, script in found:
        text = (PACKER / script).read_text(encoding="utf-8")
        for name in re.findall(r"([A-Z_]+)=", assignments):
            assert f"${{{name}:" in text, (script, name)


def test_the_guide_exports_every_placeholder_and_nothing_else() -> None:
    placeholders: Set[str] = set()
    for path in AWS.glob("*.json"):
        pattern = string.Template.pattern.finditer(path.read_text(encoding="utf-8"))
        placeholders |= {match.group("braced") for match in pattern}
    lines = [line for line in fenced(GUIDE).splitlines() if line.startswith("export ")]
    exported = {name for line in lines for name in re.findall(r"(?<= )([A-Z][A-Z_0-9]+)=", line)}
    assert placeholders == exported


def test_nothing_of_the_recipe_is_forgotten() -> None:
    steps = (
        *("epel-release", "yum-plugin-priorities", "osg-ca-certs", "fetch-crl", "osg-wn-client", "condor.x86_64"),
        *("groupadd condor", "useradd condor", "cloud-init", "pystache", "python-argparse", "python-daemon"),
        *(
            "python-requests",
            "python-pip",
            "awscli",
            "easy_install",
            "cfn-hup",
            "/opt/aws/bin",
            "chkconfig iptables off",
        ),
        *("service iptables stop", "fetch-crl-boot", "fetch-crl-cron", "chkconfig condor on", "service condor start"),
        *("condor_store_cred", "SEC_PASSWORD_FILE", "condor_pool@*", "perl-JSON", "yum update", "key pair", "Lambda"),
        *("Create Image", "AMI id", "IAM role", "ICMP", "UDP 9618", "ec2-add-group", "HOSTALLOW_WRITE", "wget"),
    )
    assert [step for step in steps if step not in RECIPE] == []
    rows = [line for line in RECIPE.splitlines() if line.startswith("|")]
    assert {len(line.split("|")) for line in rows} == {6}, "four columns"
