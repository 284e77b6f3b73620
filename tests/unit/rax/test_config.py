"""Reading configs: their names, their roots, their errors."""

import copy
import json
import pickle
import re

import pytest

from rax import config
from rax.config import Config, get_config
from rax.errors import ConfigNotFoundError, MalformedConfigError

DAILY = """\
source: EBI-ETL-DEV-01
target: {schema: public, table: flights}
months: [1, 2]
steps:
  - {name: load}
"""


def write(root, name, text):
    path = root.joinpath(*name.split(".")).with_suffix(".yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture(autouse=True)
def _no_roots(tmp_path, monkeypatch):
    monkeypatch.delenv("RAX_CONFIG_DIR", raising=False)
    monkeypatch.delenv("RAX_RELEASE_DIR", raising=False)
    monkeypatch.setattr(config, "_PUBLISHED", tmp_path / "airflow-git-dir")
    config._published.cache_clear()
    yield
    config._published.cache_clear()


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = tmp_path / "configs"
    root.mkdir()
    monkeypatch.setenv("RAX_CONFIG_DIR", str(root))
    return root


@pytest.fixture
def daily(root):
    write(root, "ebi.flights.daily", DAILY)
    return get_config("ebi.flights.daily")


def test_items_and_attributes(daily):
    assert daily["source"] == daily.source == "EBI-ETL-DEV-01"
    assert daily["target"]["table"] == daily.target.table == "flights"
    assert daily.months == (1, 2)
    assert daily.steps[0].name == "load"
    assert daily.get("none", 1) == 1


def test_a_config_is_taken_as_a_dict(daily):
    assert isinstance(daily, dict)
    assert json.loads(json.dumps(daily))["steps"] == [{"name": "load"}]
    assert {**daily.target} == {"schema": "public", "table": "flights"}
    assert "{target[table]}".format(**daily) == "flights"


@pytest.mark.parametrize("duplicate", [
    copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value)),  # noqa: S301 - its own pickle
])  # fmt: skip
def test_copies_are_configs_too(daily, duplicate):
    other = duplicate(daily)
    assert other == daily
    assert other.target.table == "flights"
    with pytest.raises(TypeError, match=r"config ebi\.flights\.daily\.target is read-only"):
        other.target.table = "x"


@pytest.mark.parametrize("change", [
    lambda c: c.__setitem__("a", 1),
    lambda c: c.__delitem__("source"),
    lambda c: setattr(c, "a", 1),
    lambda c: delattr(c, "source"),
    lambda c: c.update(a=1),
    lambda c: c.pop("source"),
    lambda c: c.popitem(),
    lambda c: c.clear(),
    lambda c: c.setdefault("a", 1),
    lambda c: c.__ior__({"a": 1}),
])  # fmt: skip
def test_read_only(daily, change):
    before = dict(daily)
    with pytest.raises(TypeError, match=r"config ebi\.flights\.daily is read-only"):
        change(daily)
    assert daily == before


def test_an_unknown_key_names_the_config_and_what_is_near(daily):
    expected = "config ebi.flights.daily.target has no key 'tabel': did you mean table?"
    with pytest.raises(KeyError, match=re.escape(expected)):
        daily["target"]["tabel"]
    with pytest.raises(AttributeError, match=re.escape(expected)):
        _ = daily.target.tabel
    assert not hasattr(daily, "_private")


@pytest.mark.parametrize("name", [
    "", ".", "..", "a.", ".a", "a..b", "../a", "/etc/passwd", "a/b", "a\0", "a.b\n", "a b",
    "...etc.passwd", "~root",
])  # fmt: skip
def test_path_traversal(root, name):
    write(root.parent, "a", "x: 1")
    with pytest.raises(ConfigNotFoundError, match="is not the name of a config"):
        get_config(name)


def test_a_link_out_of_the_root_is_refused(root):
    (root / "inside.yaml").symlink_to("real.yaml")
    write(root, "real", "x: 1")
    assert get_config("inside").x == 1
    write(root.parent, "outside", "x: 1")
    (root / "file.yaml").symlink_to(root.parent / "outside.yaml")
    (root / "folder").symlink_to(root.parent)
    for name in ("file", "folder.outside"):
        with pytest.raises(MalformedConfigError, match="a link that leads out of"):
            get_config(name)


def test_an_unknown_name_names_what_is_near(root):
    write(root, "ebi.flights.daily", DAILY)
    expected = f"no config 'ebi.flight.daily' in {root}: did you mean ebi.flights.daily?"
    with pytest.raises(ConfigNotFoundError, match=re.escape(expected)):
        get_config("ebi.flight.daily")
    with pytest.raises(ConfigNotFoundError, match=re.escape(f"no config 'zzz' in {root}") + "$"):
        get_config("zzz")


@pytest.mark.parametrize(("text", "message"), [
    ("a: 1\nb: [1\nc: 2\n", ":3: "),
    ("a: 1\n\tb: 2\n", ":2: found "),
    ("a: !!python/object/apply:os.system [id]\n", ":1: could not determine a constructor"),
    ("- a\n", ": holds a list, where 'key: value' lines are expected"),
    ("text", ": holds a str, where"),
    ("", ": holds nothing, where"),
    (b"a: \xff\n", ": "),
    (b"a: \x00\n", ": "),
])  # fmt: skip
def test_malformed(root, text, message):
    path = write(root, "bad", text)
    with pytest.raises(MalformedConfigError, match=re.escape(f"{path}{message}")):
        get_config("bad")


def test_a_folder_in_the_place_of_a_file(root):
    (root / "a.yaml").mkdir()
    with pytest.raises(MalformedConfigError, match=r"a\.yaml: Is a directory"):
        get_config("a")


def test_later_roots_are_merged_over_earlier_ones(tmp_path, monkeypatch):
    roots = [tmp_path / name for name in ("base", "absent", "site")]
    monkeypatch.setenv("RAX_CONFIG_DIR", ":".join(map(str, roots)))
    write(roots[0], "a.b", "keep: 1\nlist: [1, 2]\ndeep: {x: 1, y: {z: 1}}\nkind: {a: 1}\n")
    write(roots[2], "a.b", "list: [3]\ndeep: {y: {w: 2}}\nnew: 2\nkind: text\n")
    write(roots[2], "a.only", "x: 1")
    assert get_config("a.b") == {
        "keep": 1,
        "list": (3,),
        "deep": {"x": 1, "y": {"z": 1, "w": 2}},
        "kind": "text",
        "new": 2,
    }
    assert get_config("a.only").x == 1


def release(tmp_path, name):
    root = tmp_path / ".airflow-git-dir/releases" / name
    write(root / "configs", "a", f"release: {name}")
    return root


def test_the_release_of_the_task_comes_before_the_published_one(tmp_path, monkeypatch):
    (tmp_path / "airflow-git-dir").symlink_to(release(tmp_path, "published"))
    monkeypatch.setenv("RAX_RELEASE_DIR", str(release(tmp_path, "pinned")))
    assert get_config("a").release == "pinned"
    monkeypatch.setenv("RAX_CONFIG_DIR", str(release(tmp_path, "mine") / "configs"))
    assert get_config("a").release == "mine"


def test_the_published_link_is_resolved_once(tmp_path):
    link = tmp_path / "airflow-git-dir"
    link.symlink_to(release(tmp_path, "first"))
    assert get_config("a").release == "first"
    link.unlink()
    link.symlink_to(release(tmp_path, "second"))
    assert get_config("a").release == "first"


def test_nothing_is_published(tmp_path):
    with pytest.raises(ConfigNotFoundError, match="set RAX_CONFIG_DIR"):
        get_config("a")
    (tmp_path / "airflow-git-dir").symlink_to(release(tmp_path, "first"))
    assert get_config("a").release == "first", "the failure is not remembered"


def test_a_config_is_made_from_any_mapping():
    assert Config({"a": [{"b": 1}]}, "x").a[0].b == 1
