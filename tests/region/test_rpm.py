"""The RPM: what it holds, however it is built, and what its life on a real system leaves there.

Enterprise Linux is not at hand.  Its build scripts are imitated by one that does the worst they could do, and the
package is installed in Debian, whose Python is another one than the build host's.
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from . import rpm
from .agent import CHECKOUT
from .command import run
from .image import TRIXIE, tree
from .prerequisites import PrerequisiteError, prerequisites
from .throwaway import run_in

HOME = "/usr/share/annex-agent"
UNITS = "annex-agent.service annex-agent-watch.service"
# What Enterprise Linux and Fedora define that concerns a package like this one, from their redhat-rpm-config and
# python-rpm-macros; {spoil} stands for their brp-mangle-shebangs and brp-python-bytecompile.
LIKE_EL = (
    "rhel 9",
    "dist .el9",
    "_unitdir /usr/lib/systemd/system",
    "_tmpfilesdir /usr/lib/tmpfiles.d",
    "_presetdir /usr/lib/systemd/system-preset",
    "_docdir_fmt %%{{NAME}}",
    "_binary_payload w19.zstdio",
    "source_date_epoch_from_changelog 1",
    "clamp_mtime_to_source_date_epoch 0",
    "__brp_mangle_shebangs {spoil} shebangs",
    "__brp_python_bytecompile {spoil} bytecode",
    "__os_install_post_python %{{?__brp_python_bytecompile}}",
    # A line each, as there: on one line the first would take the others for its arguments.
    "__os_install_post \\\n%{{?__brp_compress}} \\\n%{{?__brp_mangle_shebangs}} \\\n%{{__os_install_post_python}}",
)
SPOIL = """\
#!/bin/sh -e
case $1 in
shebangs) sed -i '1s,^#!/usr/bin/python3 .*,#!/usr/bin/python3.9,' "$RPM_BUILD_ROOT/usr/bin/annex-agent" ;;
bytecode) python3 -m compileall -q "$RPM_BUILD_ROOT" ;;
esac
"""
# What comes before every script inside. A listing has no directories' sizes and no times: those change.
PRELUDE = r"""
set -eu
exec 2>&1
export LC_ALL=C
mkdir -p /usr/share/licenses  # Enterprise Linux has it, in its package filesystem
listing() {
    find / -xdev \( -path /var/lib/rpm -o -path /proc -o -path /sys -o -path /dev -o -path /mnt -o -path '/tmp/*' \
        -o -path '/run/host' -o -path /var/cache/ldconfig \) -prune -o -printf '%y %m %U:%G %p %l\n'
    find /run -mindepth 1 -not -path '/run/host*' -printf '%y %m %U:%G %p %l\n'
    find /etc -type f -exec sha256sum {} +
}
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
byte_code() { find /usr/share/annex-agent -name '*.pyc' -print; }
say() { echo "== $1"; }
"""
INSTALL = "rpm -i --nodeps /mnt/new.rpm\n"
# The script as all that a booted system runs; then it powers off.
UNIT = """
[Unit]
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=/bin/sh /mnt/script
StandardOutput=tty
TTYPath=/dev/console
"""
# A real condor_master, as someone who has configured HTCondor through annex-agent would have it.
MASTER = """
export _CONDOR_DAEMON_LIST=MASTER _CONDOR_CONDOR_HOST=127.0.0.1 _CONDOR_NETWORK_INTERFACE=127.0.0.1
install -d -o condor -g condor /run/condor /run/lock/condor /var/log/condor
install -D /dev/null /run/annex-agent/configured
condor_master
master=$(pgrep -x condor_master)
"""
# In annex-agent's place, to see how the scriptlets call it.
TELL_TALE = r"""
install -D /dev/null /run/annex-agent/configured
printf '#!/bin/sh\necho "$(readlink /proc/self/ns/net) $*" >>/run/called\n' >/usr/bin/annex-agent
"""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    try:
        prerequisites()
    except PrerequisiteError as err:
        pytest.skip(str(err))


@pytest.fixture(scope="module")
def workshop() -> Iterator[Path]:
    """A directory that others may enter, too: pytest's are root's alone."""
    with tempfile.TemporaryDirectory(prefix="annex-agent-rpm-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def package(workshop: Path) -> rpm.Package:
    return rpm.build(rpm.copy(workshop / "plain"))


@pytest.fixture(scope="module")
def older(workshop: Path) -> rpm.Package:
    """An earlier release, with modules and a setting that the new one does not have."""
    checkout = rpm.copy(workshop / "older")
    spec = checkout / rpm.SPEC
    spec.write_text(spec.read_text(encoding="utf-8").replace("Release:        1\n", "Release:        0\n"))
    (checkout / "agent/gone").mkdir()
    for name in ("agent/gone/__init__.py", "agent/went.py"):
        (checkout / name).write_text('"""Only in this release."""\n', encoding="ascii")
    with (checkout / "packaging/config.yaml").open("a", encoding="utf-8") as config:
        config.write("# gone: true\n")
    with (checkout / "init/systemd/annex-agent.service").open("a", encoding="utf-8") as unit:
        unit.write("# the earlier release's\n")
    return rpm.build(checkout)


def inside(script: str, package: rpm.Package, *others: Path) -> dict[str, str]:
    """What ``script`` says in the tree, by the headings that it ``say``s; there, the package is /mnt/new.rpm."""
    done = run_in(tree(TRIXIE), ["/bin/sh", "-c", PRELUDE + script], bound(package, others), timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return by_heading(done.stdout)


def booted(script: str, workshop: Path, package: rpm.Package, *others: Path) -> dict[str, str]:
    """The same with systemd running."""
    text = workshop / "script"
    text.write_text(PRELUDE + textwrap.dedent(script) + "say end\n", encoding="utf-8")
    unit = workshop / "unit"
    unit.write_text(UNIT, encoding="ascii")
    files = {text: "/mnt/script", unit: "/etc/systemd/system/script.service"}
    argv = ["--unit=script.service", "--show-status=no", "--log-level=err"]
    done = run_in(tree(TRIXIE), argv, {**bound(package, others), **files}, timeout=300, boot=True)
    said = by_heading(done.stdout.replace("\r\n", "\n"))
    assert "end" in said, done.stdout[-4000:] + done.stderr
    return said


def bound(package: rpm.Package, others: Sequence[Path]) -> dict[Path, str]:
    return {package.binary: "/mnt/new.rpm", **{other: f"/mnt/{number}.rpm" for number, other in enumerate(others)}}


def by_heading(output: str) -> dict[str, str]:
    parts = re.split(r"^== (.*)\n", output, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2]))}


def without_status(output: str) -> str:
    """Once a job has taken some seconds, systemd tells on the console what it does."""
    return re.sub(r"^(\[.{6}\]| {9}[ST]\w+ing ).*\n", "", output, flags=re.MULTILINE)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def in_wheel(checkout: Path) -> set[str]:
    """What pip would install of the package itself."""
    out = checkout / "wheel"
    code = f"from setuptools import build_meta as b; b.build_wheel({str(out)!r})"
    run(["env", "-C", str(checkout), sys.executable, "-c", code], timeout=120)
    with zipfile.ZipFile(next(out.iterdir())) as wheel:
        return {name for name in wheel.namelist() if name.startswith("annex_agent/")}


def below(directory: Path) -> list[str]:
    return [str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()]


def test_it_holds_the_wheel_s_files_and_what_a_system_needs(package: rpm.Package, workshop: Path) -> None:
    checkout = rpm.copy(workshop / "wheel")
    init = checkout / "init"
    units = [name for name in below(init / "systemd") if not name.endswith((".tmpfiles", ".preset"))]
    expected = {
        *(f"{HOME}/{name}" for name in in_wheel(checkout)),
        *(f"/usr/lib/systemd/system/{name}" for name in units),
        *(f"/usr/lib/tmpfiles.d/{path.stem}.conf" for path in (init / "systemd").glob("*.tmpfiles")),
        "/usr/lib/systemd/system-preset/80-annex-agent.preset",
        "/usr/lib/tmpfiles.d/annex-agent-cloud-init.conf",
        "/usr/lib/systemd/system/cloud-init-local.service.d/10-annex-agent.conf",
        *(f"{HOME}/init/{kind}/{name}" for kind in ("sysv", "cloud-init") for name in below(init / kind)),
        *("/usr/bin/annex-agent", "/etc/annex-agent/config.yaml", "/usr/share/man/man8/annex-agent.8.gz"),
        *("/usr/share/bash-completion/completions/annex-agent", "/usr/share/zsh/site-functions/_annex-agent"),
        *(f"/usr/share/doc/annex-agent/{name}" for name in ("README.md", "CHANGELOG.md")),
        *(
            f"/usr/share/doc/annex-agent/docs/{path.name}"
            for path in (checkout / "docs").iterdir()
            if path.suffix != ".8"
        ),
        "/usr/share/licenses/annex-agent/LICENSE",
    }
    assert {"annex-agent.service", "condor.service.d/60-annex-agent.conf"} <= set(units)
    assert {file.path for file in rpm.files(package.binary) if not file.mode.startswith("d")} == expected


def test_only_root_may_change_it_and_everyone_may_read_it(package: rpm.Package) -> None:
    for file in rpm.files(package.binary):
        assert file.owner == "root:root", file
        runs = file.path in ("/usr/bin/annex-agent", f"{HOME}/init/cloud-init/annex-agent-invoke")
        runs = runs or file.path.startswith(f"{HOME}/init/sysv/")
        assert file.mode in ("drwxr-xr-x", "-rwxr-xr-x" if runs else "-rw-r--r--", "-rw-r--r--"), file
    modes = {file.path: (file.mode, file.flags) for file in rpm.files(package.binary)}
    assert modes["/usr/bin/annex-agent"] == ("-rwxr-xr-x", "")
    assert modes["/etc/annex-agent"] == ("drwxr-xr-x", "")
    assert modes["/etc/annex-agent/config.yaml"] == ("-rw-r--r--", "cn")  # config, noreplace
    assert modes["/usr/share/licenses/annex-agent/LICENSE"][1] == "l"


def test_it_says_what_it_is_and_needs(package: rpm.Package) -> None:
    assert rpm.query(package.binary, "%{ARCH} %{LICENSE} %{RELEASE}") == "noarch Apache-2.0 1"
    version = rpm.query(package.binary, "%{VERSION}")
    names = [f"annex-agent-{version}-1.{kind}.rpm" for kind in ("noarch", "src")]
    assert [path.name for path in package] == names
    needs = set(rpm.query(package.binary, "[%{REQUIRENEVRS}\n]").splitlines())
    assert {"python3 >= 3.9", "condor", "nftables", "systemd", "python3-requests", "python3-jinja2"} <= needs
    assert {"python3-psutil", "python3-tenacity", "python3-pyyaml"} <= needs
    assert not [need for need in needs if "python(abi)" in need], "it must not be bound to one Python"
    assert rpm.query(package.binary, "[%{RECOMMENDNAME}\n]").split() == ["python3-boto3"]


def test_rpmlint_has_nothing_to_say(package: rpm.Package) -> None:
    release = run(["rpmlint", "--version"]).stdout.split()[-1]
    if int(release.split(".")[0]) < 2:
        pytest.skip(f"rpmlint {release} cannot read packaging/rpm/rpmlint.toml: install 2.0 or newer")
    config = CHECKOUT / "packaging/rpm/rpmlint.toml"
    done = run(["rpmlint", "--config", str(config), str(CHECKOUT / rpm.SPEC), *map(str, package)], check=False)
    assert " 0 errors, 0 warnings" in done.stdout, done.stdout
    assert done.returncode == 0


def test_every_way_to_build_it_gives_the_same(package: rpm.Package, workshop: Path) -> None:
    """By nobody, from git, over rubbish, with another umask, and with the macros of Enterprise Linux."""
    built = rpm.query(package.binary, "%{BUILDTIME}")
    checkout = rpm.copy(workshop / "git")
    git = ["git", "-C", str(checkout), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    run([*git, "init", "--quiet"])
    run([*git, "add", "--all"])
    date = {"GIT_COMMITTER_DATE": f"{built} +0000", "PATH": os.defpath}
    run([*git, "commit", "--quiet", "--message=x"], env=date)
    (checkout / "agent/__pycache__").mkdir()
    (checkout / "agent/__pycache__/cli.cpython-39.pyc").touch()
    (checkout / "README.md").touch()
    shutil.rmtree(checkout / "dist", ignore_errors=True)
    spoil = workshop / "spoil"
    spoil.write_text(SPOIL, encoding="ascii")
    spoil.chmod(0o755)
    run(["chmod", "-R", "go-rwx", str(checkout / "agent"), str(checkout / "packaging")])
    run(["chown", "-R", "nobody", str(checkout)])
    before = (*rpm.NOBODY, "sh", "-c", 'umask 077; exec "$@"', "sh")
    definitions = [definition.format(spoil=spoil) for definition in LIKE_EL]
    other = rpm.build(checkout, *definitions, before=before, env={"HOME": str(checkout)})
    assert rpm.files(other.binary) == rpm.files(package.binary)
    for part in ("%{PAYLOADDIGEST}", "%{BUILDTIME}", "%{BUILDHOST}", "[%{REQUIRENEVRS} ]", "%{POSTTRANS}%{PREUN}"):
        assert rpm.query(other.binary, part) == rpm.query(package.binary, part)
    assert rpm.query(other.source, "%{BUILDTIME}") == built
    again = rpm.build(checkout, *definitions, before=before, env={"HOME": str(checkout)})
    assert sha256(again.binary) == sha256(other.binary)
    assert rpm.query(again.source, "%{PAYLOADDIGEST}") == rpm.query(other.source, "%{PAYLOADDIGEST}")


def test_a_newer_rpm_builds_the_same_without_other_tools(package: rpm.Package, workshop: Path) -> None:
    """rpm 4.20 where there is no git, no binutils and no compiler."""
    form = "%{PAYLOADDIGESTALT}\\n"  # of the payload unpacked: gzip may differ
    said = inside(
        f"""
        cp -R /mnt/0.rpm /tmp/checkout
        say built; /tmp/checkout/packaging/rpm/build
        cd /tmp/checkout; say payload; rpm -qp --qf '{form}' dist/*.noarch.rpm
        """,
        package,
        rpm.copy(workshop / "newer"),
    )
    assert [Path(line).name for line in said["built"].splitlines()] == [path.name for path in package]
    assert said["payload"].strip() == rpm.query(package.binary, "%{PAYLOADDIGESTALT}")


def test_installed_it_works_for_everyone_and_is_enabled(package: rpm.Package) -> None:
    said = inside(
        f"""
        {INSTALL}
        say enabled; systemctl is-enabled {UNITS}
        say sources; find {HOME}/annex_agent -name '*.py' | wc -l
        say compiled; byte_code | wc -l
        say version; PYTHONPATH=/nonsense PYTHONHOME=/nonsense annex-agent --version
        say dry; as_nobody annex-agent --dry-run --simulate
        say verified; rpm -V --nodeps annex-agent
        cd /usr/lib/systemd/system
        say units; systemd-analyze verify --man=no --recursive-errors=no {UNITS}
        """,
        package,
    )
    assert said[""] == "", "installing says nothing"
    assert said["enabled"] == "enabled\nenabled\n"
    assert said["compiled"] == said["sources"] != "0\n"
    assert said["version"] == f"annex-agent {rpm.query(package.binary, '%{VERSION}')}\n"
    assert "COLLECTOR_HOST = cm.example.org" in said["dry"]
    assert said["verified"] == ""
    assert said["units"] == ""


def test_erased_it_leaves_nothing(package: rpm.Package) -> None:
    said = inside(
        f"""
        listing | sort >/tmp/before
        {INSTALL}
        annex-agent --dry-run --simulate >/tmp/used
        # Byte code of other Pythons, and for what is gone.
        touch {HOME}/annex_agent/__pycache__/cli.cpython-39.pyc
        install -D /dev/null {HOME}/annex_agent/gone/__pycache__/gone.cpython-313.pyc
        say knows; annex-agent --help | grep -c '^  clean ' || :
        say erased; rpm -e --nodeps annex-agent
        say left; listing | sort | diff /tmp/before - || :
        """,
        package,
    )
    assert said[""] == said["left"] == ""
    assert said["erased"] == ""


def test_erased_it_takes_with_it_what_it_wrote(package: rpm.Package) -> None:
    said = inside(
        f"""
        rm -f /etc/hostname  # what stood there before annex-agent wrote it, nobody knows any more
        listing | sort >/tmp/before
        {INSTALL}
        annex-agent simulate >/dev/null & emulator=$!
        until curl --silent --output /dev/null http://127.0.0.1:1338/; do :; done
        export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1338
        say configured; annex-agent --quiet configure
        kill $emulator
        say wrote; ls /etc/condor/config.d/60-annex-agent.config /run/annex-agent/configured
        say erased; rpm -e --nodeps annex-agent
        say left; listing | sort | diff /tmp/before - || :
        """,
        package,
    )
    assert len(said["wrote"].splitlines()) == 2
    # There is no collector to ask whether the slot is gone.
    assert re.fullmatch(r"(annex-agent: warning: the collector gave no answer: .*\n)?", said["erased"])
    assert said["left"] == ""


def test_an_upgrade_keeps_what_the_administrator_decided(package: rpm.Package, older: rpm.Package) -> None:
    said = inside(
        f"""
        rpm -i --nodeps /mnt/0.rpm
        systemctl --quiet disable {UNITS}
        echo 'hostname: keep' >>/etc/annex-agent/config.yaml
        cp /etc/annex-agent/config.yaml /tmp/mine
        {MASTER}
        say upgraded; rpm -U --nodeps /mnt/new.rpm
        say enabled; systemctl is-enabled {UNITS} || :
        say config; cmp /etc/annex-agent/config.yaml /tmp/mine; ls /etc/annex-agent
        say stale; find {HOME} -name '*gone*' -o -name '*went*' -o -type d -empty
        say sources; find {HOME}/annex_agent -name '*.py' | wc -l
        say compiled; byte_code | wc -l
        say still; [ "$(pgrep -x condor_master)" = "$master" ]; ls /run/annex-agent
        say erased; rpm -e --nodeps annex-agent
        say saved; cmp /etc/annex-agent/config.yaml.rpmsave /tmp/mine; ls /etc/annex-agent
        say running; pgrep -x condor_master || :
        """,
        package,
        older.binary,
    )
    assert said[""] == ""
    assert said["upgraded"] == (
        "warning: /etc/annex-agent/config.yaml created as /etc/annex-agent/config.yaml.rpmnew\n"
    )
    assert said["enabled"] == "disabled\ndisabled\n"
    assert said["config"].split() == ["config.yaml", "config.yaml.rpmnew"]
    assert said["stale"] == ""
    assert said["compiled"] == said["sources"]
    assert said["still"] == "configured\n", "an upgrade stops nothing"
    assert "config.yaml.rpmsave" in said["saved"].split()
    assert said["running"] == "", "removing the package takes the machine out of its pool"


def test_under_systemd_an_upgrade_restarts_the_watch_alone_and_erasing_stops_both(
    package: rpm.Package, older: rpm.Package, workshop: Path
) -> None:
    said = booted(
        """
        rpm -i --nodeps /mnt/0.rpm
        mkdir -p /run/systemd/system/annex-agent.service.d
        cat >/run/systemd/system/annex-agent.service.d/test.conf <<END
        [Service]
        ExecStart=
        ExecStart=/bin/true
        ExecStop=
        ExecStop=/bin/sh -c 'systemctl is-active annex-agent-watch.service >/run/stopped'
        END
        mkdir -p /run/systemd/system/annex-agent-watch.service.d
        cat >/run/systemd/system/annex-agent-watch.service.d/test.conf <<END
        [Service]
        ExecStart=
        ExecStart=/bin/sh /run/watch
        END
        cat >/run/watch <<END
        while sleep 0.1; do
            ! test -e /run/speak || { echo last words >/dev/console; rm /run/speak; }
        done
        END
        systemctl daemon-reload
        systemctl start annex-agent.service
        as_it_is() { systemctl show -P "$1" annex-agent.service; }
        watch() { systemctl show -P "$1" annex-agent-watch.service; }
        say before; as_it_is ActiveState; as_it_is InvocationID
        say watched; watch ActiveState; watch InvocationID
        say console; touch /run/speak; while test -e /run/speak; do sleep 0.1; done
        say upgraded; rpm -U --nodeps /mnt/new.rpm
        say after; as_it_is ActiveState; as_it_is InvocationID
        say anew; watch ActiveState; watch InvocationID
        say reread; as_it_is NeedDaemonReload; watch NeedDaemonReload; ls /run/stopped || :
        say erased; rpm -e --nodeps annex-agent
        say stopped; as_it_is ActiveState; as_it_is LoadState; watch ActiveState; watch LoadState; cat /run/stopped
        """,
        workshop,
        package,
        older.binary,
    )
    assert said["before"].startswith("active\n")
    assert said["watched"].startswith("active\n"), "the unit wants its watch"
    assert said["after"] == said["before"]
    assert said["anew"].startswith("active\n")
    assert said["anew"] != said["watched"]
    assert said["reread"] == "no\nno\nls: cannot access '/run/stopped': No such file or directory\n"
    assert said["stopped"] == "inactive\nnot-found\ninactive\nnot-found\nactive\n", "the watch goes last"
    assert without_status(said["upgraded"]) == without_status(said["erased"]) == ""
    assert said["console"] == "last words\n", "what the unit leaves of /dev has it"


def test_what_erasing_calls_sees_the_machine_s_network(package: rpm.Package) -> None:
    """rpm 4.20 takes it away from scriptlets: without it neither the firewall nor the pool would be reached."""
    said = inside(
        f"""
        {INSTALL}
        {TELL_TALE}
        say erased; rpm -e --nodeps annex-agent
        say called; cat /run/called
        say here; readlink /proc/self/ns/net
        """,
        package,
    )
    here = said["here"].strip()
    assert said["erased"] == ""
    assert said["called"].splitlines() == [f"{here} --quiet stop", f"{here} --quiet clean --keep-condor"]


def test_erased_in_a_chroot_it_touches_nothing_outside(package: rpm.Package) -> None:
    said = inside(
        f"""
        {INSTALL}
        {TELL_TALE}
        mkdir /tmp/image
        mount -t tmpfs -o mode=755 tmpfs /tmp/image
        for name in usr etc var proc run dev; do
            mkdir /tmp/image/$name
            mount --bind /$name /tmp/image/$name
        done
        mkdir /tmp/image/tmp /tmp/image/home
        cp -P /bin /sbin /lib* /tmp/image
        say erased; chroot /tmp/image rpm -e --nodeps annex-agent
        say enabled; systemctl is-enabled annex-agent.service || :
        say called; cat /run/called
        say here; readlink /proc/self/ns/net
        """,
        package,
    )
    assert said["erased"] == ""
    assert said["enabled"] == "not-found\n"
    where, called = said["called"].strip().split(" ", 1)
    assert called == "--quiet clean --keep-condor", "stop would end the daemons of the machine outside"
    assert where != said["here"].strip(), "clean would remove the firewall table of the machine outside"


def test_another_python_gets_its_byte_code(package: rpm.Package, workshop: Path) -> None:
    top = workshop / "python"
    top.mkdir()
    spec = top / "python3.spec"
    spec.write_text(
        "Name: python3\nVersion: 3.99\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx\n"
        "%files\n",
        encoding="ascii",
    )
    run(["rpmbuild", "-bb", "-D", f"_topdir {top}", str(spec)])
    (other,) = top.glob("RPMS/*/*.rpm")
    said = inside(
        f"""
        {INSTALL}
        byte_code | sort >/tmp/before
        find {HOME} -name '*.pyc' -delete
        touch {HOME}/annex_agent/__pycache__/cli.cpython-39.pyc
        rpm -i --nodeps /mnt/0.rpm
        say same; byte_code | sort | diff /tmp/before -
        """,
        package,
        other,
    )
    assert said == {"": "", "same": ""}
