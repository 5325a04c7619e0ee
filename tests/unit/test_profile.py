"""The profiles of the emulated metadata service: what is read, and what is said about mistakes."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annex_agent.emulator import profile


def problems_of(text):
    with pytest.raises(profile.ProfileError) as caught:
        profile.loads(text.encode())
    assert str(caught.value) == "; ".join(caught.value.problems)
    return caught.value.problems


def test_scalars_stay_as_they_were_typed():
    read = profile.loads(b"""
meta-data: {zero: 0123, date: 2026-01-01T12:02:00Z, yes: yes, number: 1.50, mac: 12:31:38:01:b8:05, empty: ""}
""")
    assert read.meta_data == {
        "zero": "0123",
        "date": "2026-01-01T12:02:00Z",
        "yes": "yes",
        "number": "1.50",
        "mac": "12:31:38:01:b8:05",
        "empty": "",
    }


@pytest.mark.parametrize("nothing", ["null", "~", ""])
def test_null_takes_a_key_away(nothing):
    read = profile.loads(f"meta-data: {{public-ipv4: {nothing}}}\nuser-data: {nothing}\ndynamic: {nothing}".encode())
    assert read.meta_data == {"public-ipv4": None}
    assert read.user_data is None
    assert read.dynamic == {}


def test_user_data_is_text_or_bytes():
    assert profile.loads("user-data: grün".encode()).user_data == "grün".encode()
    assert profile.loads(b"user-data: !!binary H4sIAP8=").user_data == b"\x1f\x8b\x08\x00\xff"
    assert profile.loads(b"user-data: |\n  #cloud-config\n  a: 1\n").user_data == b"#cloud-config\na: 1\n"
    assert profile.loads(b"user-data: ''").user_data == b""


def test_parse_takes_the_values_that_python_has():
    read = profile.parse(
        {
            "meta-data": {"ami-launch-index": 0, "flag": True, "public-keys": {0: {"openssh-key": "k"}}},
            "user-data": b"\x00",
            "service": {"v1": False, "max_token_ttl": 60},
            "faults": [{"delay": 0.5}],
            "refuse_for": 2,
        }
    )
    assert read.meta_data == {"ami-launch-index": "0", "flag": "true", "public-keys": {"0": {"openssh-key": "k"}}}
    assert read.user_data == b"\x00"
    assert read.service == profile.Service(v1=False, max_token_ttl=60)
    assert read.faults == (profile.Fault(delay=0.5),)
    assert read.refuse_for == 2.0


def test_an_empty_profile_has_ec2s_defaults():
    assert profile.parse({}) == profile.Profile()
    assert profile.Service() == profile.Service(v1=True, v2=True, enabled=True, token_status=404, max_token_ttl=21600)


def test_a_fault_is_read_whole():
    text = b"""
faults:
- {path: "meta-data/*", method: put, times: 2, status: 503, retry_after: 1, delay: 0.25, truncate: 0, body: off}
- {size: 7}
- {reset: true, delay: 1, black_hole: false}
- {black_hole: true}
"""
    assert profile.loads(text).faults == (
        profile.Fault(
            path="meta-data/*", method="PUT", times=2, status=503, retry_after=1, delay=0.25, truncate=0, body=b"off"
        ),
        profile.Fault(size=7),
        profile.Fault(reset=True, delay=1.0),
        profile.Fault(black_hole=True),
    )


def test_a_fault_matches_by_method_and_glob():
    fault = profile.Fault(path="meta-data/p*", method="GET", status=500)
    assert fault.matches("GET", "meta-data/placement/region")
    assert not fault.matches("PUT", "meta-data/placement/region")
    assert not fault.matches("GET", "meta-data/mac")
    assert profile.Fault(status=500).matches("PUT", "")


def test_an_identity_document_may_be_a_mapping():
    read = profile.loads(b"dynamic: {instance-identity: {document: {region: r, accountId: 012, kernelId: null}}}")
    assert read.dynamic == {
        "instance-identity": {"document": '{\n  "region": "r",\n  "accountId": "012",\n  "kernelId": null\n}'}
    }


def test_every_problem_is_reported_at_once():
    found = problems_of("""
meta_data: {}
meta-data: {a: [1], b/c: 1, d: {e: !!binary AA==, e: 2}}
user-data: {a: 1}
service: {v1: maybe, max_token_ttl: 0, v3: true}
faults:
- {path: /latest/user-data, status: 503}
- {times: 2}
- {reset: true, status: 500}
- {retry_after: 1, delay: soon}
- {size: 1, body: x}
- nonsense
refuse_for: -1
""")
    places = [re.match(r"[\w'./\[\] -]+(?=: )", problem).group() for problem in found]
    assert places == [
        "line 3",
        "meta_data",
        "meta-data/a",
        "'meta-data/b/c'",
        "user-data",
        "service.v3",
        "service.v1",
        "service.max_token_ttl",
        "faults[0].path",
        "faults[1]",
        "faults[2]",
        "faults[3].delay",
        "faults[3]",
        "faults[3]",
        "faults[4]",
        "faults[5]",
        "faults[5]",
        "refuse_for",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a", "the profile: must be a mapping; write it as 'key: value' lines"),
        ("", "the profile: must be a mapping; write it as 'key: value' lines"),
        ("meta-data: [a]", "meta-data: must be a mapping; write it as 'key: value' lines"),
        ("faults: {}", "faults: must be a list; begin each fault with '- '"),
        ("service: {enabled: yes}", "service.enabled: must be true or false, not 'yes'"),
        ("service: {token_status: 200}", "service.token_status: must be a whole number from 400 to 599, not '200'"),
        (
            "service: {v1: false, v2: false}",
            "service: v1 and v2 are both false; for a service that is off, write enabled: false",
        ),
        (
            "faults: [{black_hole: true, truncate: 0}]",
            "faults[0]: after black_hole nothing is answered; remove everything else but path, method, times and delay",
        ),
        ("faults: [{status: 99}]", "faults[0].status: must be a whole number from 200 to 599, not '99'"),
        ("refuse_for: 1e3", "refuse_for: must be a number of seconds such as 2 or 0.5, not '1e3'"),
        ("meta-data: {'': x}", "'meta-data/': is not one part of a path; nest mappings instead of writing a slash"),
        ("meta-data: {~: x}", "'meta-data/None': is not one part of a path; nest mappings instead of writing a slash"),
        ("a: b: c", "line 1 is not YAML (mapping values are not allowed here); mind indentation and quotes"),
        ("meta-data:\n\tx: y", "line 2 is not YAML (found character '\\t' that cannot start any token)"),
        ("meta-data: !!python/object:os.system {}", "line 1 is not YAML (could not determine a constructor"),
    ],
)
def test_a_problem_says_where_and_what_to_do(text, sentence):
    assert any(problem.startswith(sentence) for problem in problems_of(text)), problems_of(text)


def test_an_anchor_that_contains_itself_ends():
    assert "nested deeper" in problems_of("meta-data: &a {a: *a}")[0]
    assert "dynamic: " in problems_of("dynamic: {instance-identity: {document: &a {a: *a}}}")[0]


def test_a_file_that_cannot_be_used_is_a_profile_error(tmp_path):
    with pytest.raises(profile.ProfileError, match=r"absent.yaml cannot be read \(No such file or directory\); name"):
        profile.load(tmp_path / "absent.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\x00\x9f")
    with pytest.raises(profile.ProfileError, match="not text in UTF-8"):
        profile.load(binary)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
names = st.sampled_from(["meta-data", "user-data", "dynamic", "service", "faults", "refuse_for", "instance-identity"])
names |= st.sampled_from(["document", "v1", "v2", "path", "status", "delay", "reset", "black_hole", "body", "size"])
shapes = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | plain, inner, max_size=4)
)


def problems_or_none(read, given_value):
    try:
        read(given_value)
    except profile.ProfileError as err:
        return err.problems
    return None


@given(st.dictionaries(names | plain, shapes, max_size=6))
def test_a_mapping_is_a_profile_or_has_problems(mapping):
    assert problems_or_none(profile.parse, mapping) != ()


@given(st.text(alphabet="ab: \n-{}[]&*!?|>'\"#~,%", max_size=30).map(str.encode) | st.binary(max_size=20))
def test_a_file_is_a_profile_or_has_problems(content):
    assert problems_or_none(profile.loads, content) != ()


def test_the_bundled_profiles():
    plain, announcing = ("no-public-address", "spot", "wiki"), ("maintenance", "rebalance", "scale-in", "spot-notice")
    assert profile.bundled_names() == tuple(sorted((*plain, *announcing)))
    wiki, private, spot = (profile.bundled(name) for name in ("wiki", "no-public-address", "spot"))
    assert wiki.user_data == b"cm.example.org"
    assert wiki.meta_data["public-ipv4"] == "67.202.60.66"
    assert wiki.meta_data["public-hostname"] == "ec2-67-202-60-66.compute-1.amazonaws.com"
    assert wiki.meta_data["local-ipv4"] == "10.253.191.243"
    assert wiki.meta_data["local-hostname"] == "domU-12-31-38-01-B8-05.compute-1.internal"
    assert wiki.meta_data["placement"]["availability-zone"] == "us-east-1c"
    assert wiki.service == profile.Service()
    assert "public-ipv4" not in private.meta_data
    assert private.meta_data["public-hostname"] == ""
    assert spot.meta_data["instance-life-cycle"] == "spot"
    assert spot.meta_data["tags"]["instance"] == {"Name": "annex-worker", "annex": "nightly"}


@pytest.mark.parametrize("name", profile.bundled_names())
def test_a_bundled_profile_contradicts_itself_nowhere(name):
    meta_data = profile.bundled(name).meta_data
    card = meta_data["network"]["interfaces"]["macs"][meta_data["mac"]]
    assert card["mac"] == meta_data["mac"]
    assert card["local-ipv4s"] == meta_data["local-ipv4"]
    assert card.get("public-ipv4s") == meta_data.get("public-ipv4")
    assert card["public-hostname"] == meta_data["public-hostname"]
    assert card["local-hostname"] == meta_data["local-hostname"] == meta_data["hostname"]
    assert card["vpc-id"].startswith("vpc-")
    assert meta_data["placement"]["availability-zone"][:-1] == meta_data["placement"]["region"]


def test_an_unknown_bundled_profile_names_the_others():
    with pytest.raises(
        profile.ProfileError, match="'wikki'; choose one of maintenance, no-public-address, .*, wiki, or give"
    ):
        profile.bundled("wikki")


@pytest.mark.parametrize("name", profile.bundled_names())
def test_what_the_comments_show_works_when_uncommented(name):
    """A line "# key: value" or deeper shows an example; a sentence does not look like one."""
    text = (Path(profile.__file__).parent / "profiles" / f"{name}.yaml").read_text(encoding="utf-8")
    example = re.compile(r"^( *)# (?=( *- )?[ {]*[\w=-]+:( |$))", re.MULTILINE)
    shown = example.sub(r"\1", text)
    shown = re.sub(r"^  instance-identity: null\n", "", shown, flags=re.MULTILINE)  # shown beside its alternative
    read = profile.loads(shown.encode())
    assert (read.faults != ()) == (name == "wiki")
    assert (shown != text) == (name in ("wiki", "spot"))


class TestAProfileThatIsLikeAnother:
    def test_has_what_it_does_not_say_itself(self):
        read = profile.loads(b"like: spot\nmeta-data: {placement: {region: r}, public-ipv4: null}\nuser-data: x")
        spot = profile.bundled("spot")
        placement = {**spot.meta_data["placement"], "region": "r"}
        assert read.meta_data == {**spot.meta_data, "placement": placement, "public-ipv4": None}
        assert (read.user_data, read.service) == (b"x", spot.service)

    def test_may_take_a_section_away(self):
        read = profile.loads(b"like: spot\nmeta-data: {iam: null}\nuser-data: null\nservice: {v1: true}")
        assert read.meta_data["iam"] is None
        assert (read.user_data, read.service) == (None, profile.Service())

    def test_may_be_so_at_second_hand(self):
        read = profile.loads(b"like: spot-notice")
        assert read == profile.bundled("spot-notice")
        assert read.meta_data["spot"] == {"instance-action": '{"action": "terminate"}'}
        assert read.meta_data["instance-life-cycle"] == "spot"

    @pytest.mark.parametrize("name", ["mine.yaml", "[spot]", "{a: b}", "''", "Spot"])
    def test_is_like_one_that_comes_with_it(self, name):
        (problem,) = problems_of(f"like: {name}")
        assert problem == f"like: must be one of {', '.join(profile.bundled_names())}"


def test_the_launch_is_a_moment():
    assert profile.loads(b"launched: 2026-01-01T12:00:00Z").launched == "2026-01-01T12:00:00Z"
    assert profile.loads(b"launched: null").launched is None
    for text in ("2026-01-01", "yesterday", "2026-13-01T12:00:00Z", "[1]"):
        (problem,) = problems_of(f"launched: {text}")
        assert problem.startswith("launched: must be ")
