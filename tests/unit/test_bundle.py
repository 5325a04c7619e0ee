"""condor_annex's archives: what is taken, and every way to be refused; nothing that is refused is half taken."""

import gzip
import io
import random
import tarfile
import time
import tracemalloc
from typing import List, Mapping, Optional, Tuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from annex_agent import archive, bundle_config
from annex_agent.bundle import unpack
from annex_agent.errors import SecretError
from annex_agent.model import Bundle
from annex_agent.secret import Secret

from ..bundles import Entry, packed, tar

ORIGIN = "s3://bucket/config-my_annex.tar.gz"
CONFIG = """\
use security:host_based
LOCAL_HOSTS = $(FULL_HOSTNAME) $(IP_ADDRESS) 127.0.0.1 $(TCP_FORWARDING_HOST)
CONDOR_HOST = condor_pool@*/* $(LOCAL_HOSTS)
COLLECTOR_HOST = cm.example.org

SEC_DEFAULT_AUTHENTICATION_METHODS = FS, PASSWORD
AnnexName = "my_annex"
IsAnnex = TRUE
STARTD_ATTRS = $(STARTD_ATTRS) AnnexName IsAnnex

STARTD_NOCLAIM_SHUTDOWN = 3000
START = MY.AnnexName == TARGET.TargetAnnexName
START = $(START) && stringListMember( Owner, "alice" )
"""
PASSWORD, TOKEN = b"\x8b\x00\xfescrambled\xff", b"eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJwb29sIn0.c2lnbmF0dXJl\n"
NAMED = "tokens.d/my_annex.alice@annex.example.org"
NEW: "Mapping[str, Entry]" = {
    "config.d": b"",
    "config.d/00ec2-dynamic.config": CONFIG.encode(),
    "passwords.d": b"",
    "passwords.d/POOL": PASSWORD,
    "tokens.d": b"",
    NAMED: TOKEN,
}
OLD: "Mapping[str, Entry]" = {"00ec2-dynamic.config": CONFIG.encode(), "password_file.pl": PASSWORD}


def unpacked(content: bytes) -> Bundle:
    return unpack(Secret(content, ORIGIN))


def refusal(content: bytes) -> str:
    with pytest.raises(SecretError) as caught:
        unpacked(content)
    words = str(caught.value)
    assert words.startswith(f"the secret {ORIGIN} is no archive of condor_annex's: ")
    assert words.isprintable()
    assert len(words) < 3000
    assert caught.value.exit_code == 6
    return words


def with_entry(name: str, entry: Entry) -> bytes:
    return packed({**NEW, name: entry})


def paths(found: Bundle) -> List[str]:
    return [*(file.path for file in found.config), *(file.path for file in found.secrets)]


class TestWhatCondorAnnexMakes:
    def test_of_today(self) -> None:
        found = unpacked(packed(NEW))
        assert found.config == (("/etc/condor/config.d/00ec2-dynamic.config", CONFIG, ORIGIN),)
        assert [(file.path, file.secret.reveal(), file.secret.origin) for file in found.secrets] == [
            ("/etc/condor/passwords.d/POOL", PASSWORD, ORIGIN),
            (f"/etc/condor/{NAMED}", TOKEN, ORIGIN),
        ]

    def test_of_before(self) -> None:
        found = unpacked(packed(OLD))
        assert [file.path for file in found.config] == ["/etc/condor/config.d/00ec2-dynamic.config"]
        assert [(file.path, file.secret.reveal()) for file in found.secrets] == [
            ("/etc/condor/config.d/password_file.pl", PASSWORD)
        ]

    def test_the_knobs_that_it_sets(self) -> None:
        assert unpacked(packed(OLD)).knobs == {
            *("LOCAL_HOSTS", "CONDOR_HOST", "COLLECTOR_HOST", "SEC_DEFAULT_AUTHENTICATION_METHODS", "ANNEXNAME"),
            *("ISANNEX", "STARTD_ATTRS", "STARTD_NOCLAIM_SHUTDOWN", "START"),
        }

    def test_no_secret_is_shown(self) -> None:
        assert "scrambled" not in repr(unpacked(packed(NEW)))
        assert TOKEN.decode().strip() not in repr(unpacked(packed(NEW)))

    @pytest.mark.parametrize("how", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
    def test_in_every_format_of_tar(self, how: int) -> None:
        assert unpacked(packed(NEW, how)) == unpacked(packed(NEW))

    def test_with_the_times_that_tar_writes_into_posix_archives(self) -> None:
        def at_a_fraction(info: tarfile.TarInfo) -> None:
            info.pax_headers = {"mtime": "1700000000.123456", "atime": "1700000000.5", "comment": "of mine"}
            info.type = tarfile.DIRTYPE

        entries: Mapping[str, Entry] = {"config.d": at_a_fraction, "config.d/00ec2-dynamic.config": CONFIG.encode()}
        assert paths(unpacked(packed(entries, tarfile.PAX_FORMAT))) == ["/etc/condor/config.d/00ec2-dynamic.config"]

    def test_names_that_begin_with_here(self) -> None:
        entries = {f"./{name}": content for name, content in NEW.items()}
        assert unpacked(packed({".": lambda info: setattr(info, "type", tarfile.DIRTYPE), **entries})) == unpacked(
            packed(NEW)
        )

    @pytest.mark.parametrize(
        "name", ["99-mine.config", "local.conf", "10_site", "00-htcondor-9.0.config", "A", "x-.config"]
    )
    @pytest.mark.parametrize("is_new", [True, False])
    def test_files_of_the_users_own(self, name: str, is_new: bool) -> None:
        entries = {**NEW, f"config.d/{name}": b"A = 1\n"} if is_new else {**OLD, name: b"A = 1\n"}
        found = unpacked(packed(entries))
        assert f"/etc/condor/config.d/{name}" in [file.path for file in found.config]
        assert "A" in found.knobs

    def test_a_name_of_two_fields(self) -> None:
        content = tar([(f"tokens.d/{'t' * 90}", TOKEN), ("config.d/a.config", b"A = 1\n")], tarfile.USTAR_FORMAT)
        split = _with_prefix(content, b"tokens.d", b"t" * 90)
        assert f"/etc/condor/tokens.d/{'t' * 90}" in paths(unpacked(gzip.compress(split)))

    def test_two_gzip_members_are_one_archive(self) -> None:
        content = tar(list(NEW.items()))
        assert unpacked(gzip.compress(content[:700]) + gzip.compress(content[700:])) == unpacked(packed(NEW))

    def test_zeros_behind_the_end_are_what_tar_pads_with(self) -> None:
        assert unpacked(packed(NEW) + bytes(512)) == unpacked(packed(NEW))


def _with_prefix(content: bytes, prefix: bytes, name: bytes) -> bytes:
    header = bytearray(content[:512])
    header[:100] = name.ljust(100, b"\0")
    header[345:500] = prefix.ljust(155, b"\0")
    return _summed(header) + content[512:]


def _summed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def link(kind: bytes, target: str = "/etc/shadow") -> Entry:
    def make(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, target

    return make


def of_type(kind: bytes, size: int = 0) -> Entry:
    def make(info: tarfile.TarInfo) -> None:
        info.type, info.size = kind, size

    return make


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("name", "entry", "words"),
        [
            ("../etc/passwd", b"x", "'../etc/passwd' leads out of the archive"),
            ("config.d/../../x", b"x", "leads out of the archive"),
            ("config.d/..", of_type(tarfile.DIRTYPE), "leads out of the archive"),
            ("/etc/condor/config.d/x", b"A = 1", "is an absolute path"),
            ("config.d/x", link(tarfile.SYMTYPE), "'config.d/x' is a symbolic link"),
            ("tokens.d", link(tarfile.SYMTYPE, "/root"), "'tokens.d' is a symbolic link"),
            ("passwords.d/POOL2", link(tarfile.LNKTYPE), "is a hard link"),
            ("config.d/x", of_type(tarfile.CHRTYPE), "is a device"),
            ("config.d/x", of_type(tarfile.BLKTYPE), "is a device"),
            ("config.d/x", of_type(tarfile.FIFOTYPE), "is a FIFO"),
            ("config.d/x", of_type(b"Z"), "is of a kind that is unknown here"),
            ("config.d/x", of_type(tarfile.GNUTYPE_SPARSE, 1 << 31), "'config.d/x' is a sparse file"),
            ("tokens.d/" + "t" * 100, TOKEN, "'././@LongLink' is a name of more than 100 characters"),
            ("config.d/60-annex-agent.config", b"A = 1", "is no file that condor_annex makes"),
            ("tokens.d/annex-agent", TOKEN, "is no file that condor_annex makes"),
            ("config.d/x.pl", b"A = 1", "is no file that condor_annex makes"),
            ("config.d/password_file.pl", PASSWORD, "is no file that condor_annex makes"),
            ("config.d/.hidden", b"A = 1", "is no file that condor_annex makes"),
            ("config.d/sub/x", b"A = 1", "is no file that condor_annex makes"),
            ("config.d//x", b"A = 1", "is no file that condor_annex makes"),
            ("config.d/x\ny", b"A = 1", "'config.d/x\\ny' is no file"),
            ("config.d/\xe9", b"A = 1", "is no file that condor_annex makes"),
            ("config.d/" + "a" * 91, b"", None),
            ("condor_config", b"A = 1", "'condor_config' is no file that condor_annex makes"),
            ("master_shutdown_script.sh", b"#!/bin/sh", "is no file that condor_annex makes"),
            ("passwords.d/other", b"x", "is no file that condor_annex makes"),
            ("tokens.d/a b", TOKEN, "is no file that condor_annex makes"),
            ("tokens.d/sub/a", TOKEN, "is no file that condor_annex makes"),
            ("ssh.d", b"", "is a directory that condor_annex does not make"),
            ("config.d/sub.d", b"", "is a directory that condor_annex does not make"),
            ("passwords.d/POOL", b" \n", "'passwords.d/POOL' is empty"),
            ("tokens.d/a", b"", "'tokens.d/a' is empty"),
            ("tokens.d/a", PASSWORD, "'tokens.d/a' is no token"),
            ("tokens.d/a", b"t" * 16385, "is larger than 16 KiB"),
            ("config.d/a", b"#" * (1 << 20) + b"\n", "is larger than 1024 KiB"),
            ("config.d/a", b"A = \xff", "is not UTF-8 text"),
            ("config.d/a", b"A = 1\ninclude command : id\n", "'config.d/a' line 2: "),
        ],
    )
    def test_a_member(self, name: str, entry: Entry, words: Optional[str]) -> None:
        if words is None:
            unpacked(with_entry(name, entry))
        else:
            assert words in refusal(with_entry(name, entry))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "it is not packed with gzip"),
            (tar(list(NEW.items())), "it is not packed with gzip"),
            (packed(NEW)[:-9], "it is damaged (it ends too early)"),
            (packed(NEW)[:40] + b"\0" * 40 + packed(NEW)[80:], "it is damaged ("),
            (gzip.compress(b""), "it is cut short: it does not have the end that an archive has"),
            (gzip.compress(b"no tar archive" * 100), "it is no tar archive, or a damaged one"),
            (
                gzip.compress(tar(list(NEW.items()))[:1100]),
                "it is cut short: 'config.d/00ec2-dynamic.config' should have",
            ),
            (gzip.compress(bytes(10240)), "it holds no configuration"),
            (packed({"passwords.d/POOL": PASSWORD}), "it holds no configuration"),
            (gzip.compress(bytes(5 << 20)), "it holds more than 4 MiB"),
            (packed({"config.d/x": of_type(b"0", 1 << 31)}), "should have 2147483648 bytes"),
            (packed({f"config.d/{number}": b"" for number in range(257)}), "it has more than 256 members"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_an_archive(self, content: bytes, words: str) -> None:
        assert words in refusal(content)

    def test_the_same_file_twice_however_it_is_named(self) -> None:
        entries: List[Tuple[str, Entry]] = [*NEW.items(), ("./passwords.d/POOL", b"another")]
        assert "'./passwords.d/POOL' is there twice" in refusal(gzip.compress(tar(entries)))

    @pytest.mark.parametrize("key", ["path", "linkpath", "size", "GNU.sparse.realsize", "SCHILY.xattr.user.x"])
    def test_a_pax_record_that_gives_the_next_member_another_shape(self, key: str) -> None:
        def shifty(info: tarfile.TarInfo) -> None:
            info.pax_headers = {key: "0"}

        words = refusal(packed({**NEW, "config.d/x": shifty}, tarfile.PAX_FORMAT))
        assert f"sets {key} of the next member" in words

    def test_pax_records_for_all_members(self) -> None:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "x"}) as file:
            file.addfile(tarfile.TarInfo("a"))
        assert "is a header for all members" in refusal(gzip.compress(stream.getvalue()))

    @pytest.mark.parametrize(
        "records", [b"0 a=\n", b"4 a=\n", b"99999 a=1\n", b"garbage\n", b"-1 a=1\n", b"7 path=", b"6 a=1\n6 a=1"]
    )
    def test_pax_records_that_cannot_be_read(self, records: bytes) -> None:
        entries: List[Tuple[str, Entry]] = [("PaxHeaders/x", records), *NEW.items()]
        content = bytearray(tar(entries))
        content[156:157] = b"x"
        content[:512] = _summed(bytearray(content[:512]))
        assert "says something about the next member that cannot be read" in refusal(gzip.compress(bytes(content)))

    def test_a_size_in_base_256(self) -> None:
        content = bytearray(tar(list(OLD.items())))
        content[124:136] = b"\xff" * 12  # minus one
        content[:512] = _summed(bytearray(content[:512]))
        assert "has no size that can be told" in refusal(gzip.compress(bytes(content)))

    def test_everything_that_is_wrong_is_told_at_once(self) -> None:
        words = refusal(packed({"config.d/a": b"A", "/x": b"", "../y": b"", "tokens.d/t": link(tarfile.SYMTYPE)}))
        for part in ("'config.d/a' line 1:", "'/x' is an absolute path", "'../y' leads out", "'tokens.d/t' is a symb"):
            assert part in words

    def test_not_more_is_told_than_somebody_would_read(self) -> None:
        words = refusal(packed({f"/{number}": b"" for number in range(200)}))
        assert words.count("is an absolute path") == 10
        assert ", and 190 more; " in words


class TestBounds:
    def costs(self, content: bytes) -> None:
        tracemalloc.start()
        began = time.process_time()
        try:
            refusal(content)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 64 << 20
        assert time.process_time() - began < 60, "bounded, however slow the machine"

    def test_a_gzip_bomb(self) -> None:
        bomb = gzip.compress(gzip.compress(bytes(64 << 20)), 9)
        self.costs(gzip.compress(bytes(256 << 20), 1))
        self.costs(bomb)

    def test_a_hundred_thousand_members(self) -> None:
        header = tar([("config.d/a", b"")])[:512]
        self.costs(gzip.compress(header * 100_000, 1))

    def test_very_many_gzip_members(self) -> None:
        self.costs(gzip.compress(b"") * 100_000)
        self.costs(gzip.compress(b"") * 800_000)

    def test_a_sparse_file_of_two_gibibytes(self) -> None:
        self.costs(with_entry("config.d/x", of_type(tarfile.GNUTYPE_SPARSE, 1 << 31)))


class TestConfiguration:
    @pytest.mark.parametrize(
        ("line", "knob"),
        [
            ("", None),
            ("   ", None),
            ("\t# anything $(X) = include : y", None),
            ("use security:host_based", None),
            ("USE Feature : PartitionableSlot", None),
            ("use ROLE: Execute", None),
            ("use feature : GPUs(-extra)", None),
            ("A=1", "A"),
            ("  startd.Name\t=\t$(X)", "STARTD.NAME"),
            ("A =", "A"),
            ("A = b = c # include", "A"),
            ("A = 1\r", "A"),
            ("Collector_Host = <192.0.2.1:9618?addrs=192.0.2.1-9618&alias=cm>", "COLLECTOR_HOST"),
        ],
    )
    def test_taken(self, line: str, knob: Optional[str]) -> None:
        assert bundle_config.read(line.encode()) == (frozenset([knob] if knob else []), ())

    @pytest.mark.parametrize(
        "line",
        [
            "include : /etc/passwd",
            "include command : curl http://x/?a=b",
            "include ifexist : x=y",
            "INCLUDE=x",
            "@include = x",
            "if true",
            "if = x",
            "else",
            "endif",
            "error : x",
            "warning : x = y",
            "A : 1",
            "A @=end",
            "@end",
            "A = 1 \\",
            "A = 1 \\\r",
            "# comment \\",
            "use security:x \\",
            "use nonsense:x",
            "use security",
            "use = x",
            "[section]",
            "word",
            "A-B = 1",
            "+A = 1",
            "$(A) = 1",
            "LOCAL_CONFIG_FILE = /bin/id |",
            "MASTER.LOCAL_CONFIG_DIR = /tmp",
            "REQUIRE_LOCAL_CONFIG_FILE = False",
            "A = \0B",
            "A = b\x0bc",
            "A = b\rc",
            "# \x1b[2J",
            "\ufeffA = 1",
            "A = \u2028x",
        ],
    )
    def test_refused(self, line: str) -> None:
        found = bundle_config.read(f"B = 1\n{line}\nC = 1".encode())
        (problem,) = found.problems
        assert problem.startswith("line 2: ")
        assert problem.isprintable()

    def test_many_lines_are_not_all_told(self) -> None:
        assert bundle_config.read(b"x\n" * 100).problems[5:] == ("and 95 more lines",)


NAMES = st.one_of(st.sampled_from([*NEW, *OLD, "..", "/", ".", "config.d/60-annex-agent.config"]), st.text(max_size=30))
CONTENTS = st.one_of(st.sampled_from([CONFIG.encode(), TOKEN, PASSWORD, b""]), st.binary(max_size=40))
KINDS = st.sampled_from([b"0", b"0", b"0", b"5", b"1", b"2", b"3", b"S", b"x", b"g", b"L", b"K", b"\0", b"Z"])
SAFE = ("/etc/condor/config.d/", "/etc/condor/tokens.d/", "/etc/condor/passwords.d/")


def safe(found: Bundle) -> None:
    for path in paths(found):
        assert path.startswith(SAFE)
        assert path.count("/") == 4
        assert ".." not in path.split("/")
        assert path.isprintable()
        assert not path.endswith("60-annex-agent.config")
    assert len(set(paths(found))) == len(paths(found))
    for file in found.config:
        assert "include" not in file.text.split()


@given(st.lists(st.tuples(NAMES, CONTENTS, KINDS), max_size=8))
def test_whatever_an_archive_holds_it_is_refused_or_every_path_is_one_of_ours(
    entries: List[Tuple[str, bytes, bytes]],
) -> None:
    content = b""
    for name, body, kind in entries:
        header = bytearray(512)
        header[:100] = name.encode("utf-8", "surrogatepass")[:100].ljust(100, b"\0")
        header[124:136] = b"%011o\0" % len(body)
        header[156:157] = kind
        header[257:263] = b"ustar\0"
        content += _summed(header) + body.ljust(-(-len(body) // 512) * 512, b"\0")
    try:
        safe(unpacked(gzip.compress(content + bytes(1024))))
    except SecretError as err:
        assert str(err).isprintable()


@given(st.binary(max_size=3000))
@example(gzip.compress(b"\xff" * 1024))
def test_whatever_is_packed_is_refused_or_safe(content: bytes) -> None:
    for candidate in (content, gzip.compress(content), gzip.compress(content + bytes(1024))):
        try:
            safe(unpacked(candidate))
        except SecretError as err:
            assert str(err).isprintable()


@given(st.integers(0, 2**32 - 1))
def test_a_mutated_archive_is_refused_or_safe(seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(tar(list(NEW.items()), chance.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])))
    for _ in range(chance.randint(1, 6)):
        position = chance.randrange(len(content))
        content[position] = chance.randrange(256)
        if chance.random() < 0.7:  # a header that is meant so
            begin = position // 512 * 512
            content[begin : begin + 512] = _summed(bytearray(content[begin : begin + 512]))
    del content[chance.randrange(len(content)) if chance.random() < 0.1 else len(content) :]
    try:
        safe(unpacked(gzip.compress(bytes(content))))
    except SecretError as err:
        assert str(err).isprintable()


@given(st.text(max_size=200))
def test_every_knob_that_is_found_is_one_that_htcondor_would_set(text: str) -> None:
    found = bundle_config.read(text.encode("utf-8", "replace"))
    if not found.problems:
        assert found.knobs <= {line.partition("=")[0].strip().upper() for line in text.split("\n")}


def test_the_members_of_what_tar_itself_packs() -> None:
    assert [member.name for member in archive.members(tar(list(NEW.items())))] == [
        name if content else f"{name}/" for name, content in NEW.items()
    ]
