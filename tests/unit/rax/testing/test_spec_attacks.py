"""What a spec of bad will, or a file in its place, can not do: each is a mistake in a line."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rax.testing import _specs

SPEC = "workflow: a\ngiven: {%s}\ncases: {b: {expect: {}}}\n"
GOLDEN = "workflow: a\ngiven: {sqlite: {S: null}}\ncases: {b: {expect: {S: {SELECT 1: %s}}}}\n"


@pytest.fixture
def outside(tmp_path):
    """A folder beside the repository's specs, which links lead to."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "passwords.csv").write_text("hunter2\n")
    return folder


@pytest.mark.parametrize(
    "given",
    [
        "files: [link.csv]",
        "files: {a.csv: link.csv}",
        "files: [folder/passwords.csv]",
        "postgres: {A: link.csv}",
        "sqlite: {A: [before.sql, link.csv]}",
        "http: {A: folder}",
        "http: {A: {GET /: {file: link.csv}}}",
        "meanwhile: {load: {files: {a.csv: link.csv}}}",
        "files: [../../secrets/passwords.csv]",
    ],
)
def test_no_file_of_a_case_is_out_of_the_folder_of_specs(flows, outside, given):
    (flows.folder / "link.csv").symlink_to(outside / "passwords.csv")
    (flows.folder / "folder").symlink_to(outside)
    (found,) = flows.mistakes(SPEC % given)
    assert "leads out of the folder flows" in found or "has a .." in found
    assert "hunter2" not in found


def test_a_served_folder_has_no_link_that_leads_out(flows, outside):
    (flows.folder / "site" / "in").symlink_to(flows.folder / "before.sql")
    flows.read(SPEC % "http: {A: site}")
    (flows.folder / "site" / "out").symlink_to(outside)
    assert flows.mistakes(SPEC % "http: {A: site}") == ["2: 'out' leads out of the folder flows"]


@pytest.mark.parametrize("golden", ["link.csv", "folder/new.csv", "../new.csv"])
def test_no_golden_is_written_out_of_the_folder_of_specs(flows, outside, golden):
    (flows.folder / "link.csv").symlink_to(outside / "passwords.csv")
    (flows.folder / "folder").symlink_to(outside)
    (found,) = flows.mistakes(GOLDEN % golden)
    assert "leads out of the folder flows" in found or "has a .." in found


def test_a_link_to_itself_is_no_file(flows):
    (flows.folder / "loop").symlink_to("loop")
    assert flows.mistakes(SPEC % "files: [loop]") == ["2: 'loop' is not a file"]
    assert flows.mistakes(SPEC % "http: {A: loop}") == ["2: 'loop' is not a folder"]
    assert flows.mistakes(GOLDEN % "loop") == ["3: 'loop' is not a file"]


def test_links_inside_the_folder_of_specs_are_followed(flows):
    (flows.folder / "link.sql").symlink_to("before.sql")
    (flows.folder / "folder").symlink_to("site")
    flows.read(SPEC % "postgres: {A: link.sql}, http: {B: folder}")
    flows.read(GOLDEN % "folder/new.csv")


def test_a_fifo_is_not_waited_for(flows):
    os.mkfifo(flows.folder / "pipe.sql")
    os.mkfifo(flows.folder / "pipe.flow.yaml")
    assert flows.mistakes(SPEC % "postgres: {A: pipe.sql}") == ["2: 'pipe.sql' is not a file"]
    assert flows.mistakes(GOLDEN % "pipe.sql") == ["3: 'pipe.sql' is not a file"]
    with pytest.raises(_specs.SpecError, match=r"pipe\.flow\.yaml:1: is not a regular file"):
        _specs.read(flows.folder / "pipe.flow.yaml", flows.root)


def test_a_spec_is_no_link_out_of_its_folder_no_folder_and_there(flows, outside):
    (outside / "a.flow.yaml").write_text("workflow: a\ncases: {b: {expect: {}}}\n")
    (flows.folder / "link.flow.yaml").symlink_to(outside / "a.flow.yaml")
    (flows.folder / "folder.flow.yaml").mkdir()
    for name, text in [
        ("link.flow.yaml", "is a link that leads out of "),
        ("folder.flow.yaml", "is not a regular file"),
        ("none.flow.yaml", "No such file or directory"),
        ("genes.flow.yml", "has to end in .flow.yaml"),
        ("../../secrets/a.flow.yaml", "is not below tests/flows"),
    ]:
        with pytest.raises(_specs.SpecError) as caught:
            _specs.read(flows.folder / name, flows.root)
        assert str(caught.value).startswith(f"tests/flows/{name}:1: {text}")
    with pytest.raises(_specs.SpecError, match="is not below tests/flows"):
        _specs.read(outside / "a.flow.yaml", flows.root)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"#" * 1_000_001, "has more than 1,000,000 bytes"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"a: " + b"[" * 101 + b"]" * 101, "is nested more than 100 deep"),
        (b"a: &a [*a]\n", "is nested more than 100 deep, or contains itself"),
        (b"a: \xff\n", "has a character that YAML does not take"),
        (b"workflow: !!python/object/apply:os.system [id]\ncases: {}\n", "has the tag"),
        (b"x: &x [%s]\ny: [%s]\n" % (b", ".join([b"1"] * 400), b", ".join([b"*x"] * 400)),
         "holds more than 100,000 keys and values"),
    ],
)  # fmt: skip
def test_what_is_made_to_be_large_or_deep_is_refused(flows, content, told):
    assert told in flows.mistakes(content)[0]


def test_an_answer_is_not_larger_than_it_may_be(flows):
    os.truncate(flows.folder / "before.sql", 10_000_000)
    flows.read(SPEC % "http: {A: {GET /: {file: before.sql}}}")
    os.truncate(flows.folder / "before.sql", 10_000_001)
    assert flows.mistakes(SPEC % "http: {A: {GET /: {file: before.sql}}}") == [
        "2: before.sql has more than 10,000,000 bytes: serve a folder"
    ]


def test_a_mistake_never_shows_what_may_be_a_secret(flows):
    found = flows.mistakes("""\
workflow: a
given:
  credentials: {A: {pass: [hunter2], url: {hunter2: 1}, metadata: hunter2}, B: hunter2}
  connections: {a: hunter2, b: [hunter2]}
  variables: {a: "hunter2\\0"}
  environment: {a: [hunter2], HOME: hunter2}
  http: {A: {GET /: {headers: {Authorization: "hunter2\\n"}}}}
cases: {b: {expect: {}}}
""")
    assert found
    assert "hunter2" not in "\n".join(found)


def test_a_mistake_cannot_write_to_a_terminal(flows):
    with pytest.raises(_specs.SpecError) as caught:
        flows.read('workflow: a\ncases: {b: {expect: {}}}\n"\\e[2Jc": 1\n')
    assert "\x1b" not in str(caught.value)


# A spec that has nearly everything; a part of it becomes something else.
WHOLE = {
    "workflow": "genes",
    "given": {
        "postgres": {"A": "before.sql", "B": ["before.sql"], "C": None},
        "sqlite": {"S": None},
        "http": {"WEB": "site", "API": {"GET /a": {"status": 200, "json": {"a": [1]}}}},
        "files": {"a.csv": "before.sql", "b.csv": "absent"},
        "config": {"a.b": {"c": [1]}},
        "credentials": {"A": {"pass": "hunter2", "metadata": {"port": 1}}},
        "connections": {"db": "http://db"},
        "variables": {"a": {"b": 1}},
        "environment": {"A": 1},
        "conf": {"a": 1},
        "logical_date": "2026-01-31",
    },
    "cases": {
        "one": {
            "given": {
                "files": ["before.sql"],
                "down": ["S"],
                "meanwhile": {"load": {"A": "SELECT 1", "files": {"a.csv": "absent"}}},
            },
            "runs": ["once", "again", "lost"],
            "expect": {
                "state": "success",
                "skipped": ["load[1]"],
                "alerts": ["resolve", {"trigger": "a", "severity": "info"}],
                "tasks": {
                    "load": {"state": "success", "returns": {"a": 1}, "A": {"SELECT 1": "a.csv"}},
                    "load[*]": {"unverified": "it is slow"},
                },
                "files": {"a.csv": {"rows": 1}, "b.csv": {"text": "b"}, "c.csv": "absent"},
                "A": {"SELECT 2": {"rows": 0}},
                "again": {"failed": ["load"]},
                "lost": {"B": {"SELECT 3": "b.csv"}},
            },
        },
        "two": {"expect": {"check": "load"}, "target": True},
        "three": {
            "expect": {},
            "target": {"tasks": {"load[*]": {"returns": {"a": 1}}}, "A": {"SELECT 1": "a.csv"}},
        },
    },
}
WORDS = st.sampled_from(
    ["given", "expect", "tasks", "load[1]", "A", "S", "absent", "again", "failed", "..", "/", "<<"]
)
VALUES = st.recursive(
    WORDS | st.text(max_size=3) | st.none() | st.booleans() | st.integers(-9, 9) | st.just(1.5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def places(value, steps=()):
    """Yield the steps to each value that is inside of one."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield (*steps, key)
        if isinstance(one, dict | list):
            yield from places(one, (*steps, key))


def changed(value, steps, other):
    """Return a copy in which something else is where the steps lead to."""
    if not steps:
        return other
    result = value.copy()
    result[steps[0]] = changed(value[steps[0]], steps[1:], other)
    return result


def is_read_or_refused(flows, content):
    try:
        flows.read(content)
    except _specs.SpecError as error:
        return bool(error.mistakes and str(error))
    return True


FUZZ = settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(st.sampled_from([*places(WHOLE)]), VALUES, VALUES)
def test_a_spec_with_anything_in_some_place_is_read_or_refused(flows, steps, other, key):
    flows.read(json.dumps(WHOLE))
    assert is_read_or_refused(flows, json.dumps(changed(WHOLE, steps, other)))
    assert is_read_or_refused(flows, json.dumps(changed(WHOLE, steps, {str(key): other})))


@FUZZ
@given(
    st.lists(WORDS | st.sampled_from(["\n", "  ", ": ", "- ", "{", "}", "[", "]", "? |\n", "*a"]))
    .map("".join)
    .map(str.encode)
    | st.binary(max_size=60)
)
def test_any_content_is_read_or_refused(flows, content):
    assert is_read_or_refused(flows, content)
