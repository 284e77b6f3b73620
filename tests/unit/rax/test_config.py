"""Reading configs: their names, their roots, their errors."""

import copy
import importlib.util
import json
import os
import pickle
import re
import threading
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rax import _file_identity
from rax.config import (
    Config,
    _files,
    _yaml,
    check_file,
    config_files,
    get_config,
    list_configs,
)
from rax.config._dumper import config_dumper
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
    monkeypatch.setattr(_files, "PUBLISHED", tmp_path / "airflow-git-dir")
    _files.published.cache_clear()
    yield
    _files.published.cache_clear()


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
    "...etc.passwd", "~root", None, 7,
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
    with pytest.raises(ConfigNotFoundError, match=r": did you mean ebi\.flights\.daily\?$"):
        get_config("ebi.flights.daily.more")


def test_a_file_with_another_ending_is_named(root):
    write(root, "a", "x: 1").rename(root / "a.yml")
    with pytest.raises(ConfigNotFoundError, match=rf"{root}/a\.yml has to end in \.yaml$"):
        get_config("a")


def test_a_file_whose_name_has_a_dot_is_named(root):
    write(root, "a", "x: 1").rename(root / "a.b.yaml")
    expected = rf"no config 'a\.b' in {root}: {root}/a\.b\.yaml has to be {root}/a/b\.yaml$"
    with pytest.raises(ConfigNotFoundError, match=expected):
        get_config("a.b")
    assert list_configs() == []


def test_folders_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_CONFIG_DIR", f"{tmp_path}/a:{tmp_path}/b")
    with pytest.raises(
        ConfigNotFoundError, match=rf"there is no folder {tmp_path}/a or {tmp_path}/b"
    ):
        get_config("x")
    monkeypatch.setenv("RAX_CONFIG_DIR", ":")
    with pytest.raises(ConfigNotFoundError, match="RAX_CONFIG_DIR is ':', and names no folder"):
        get_config("x")


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(("text", "message"), [
    ("a: 1\nb: [1\nc: 2\n", ":3: "),
    ("a: 1\n\tb: 2\n", ":2: is indented by a tab, where YAML takes spaces"),
    ("a:\n  \t- b\n", ":2: is indented by a tab"),
    ("a: 1\nb: 2\na: 3\n", ":3: the key 'a' is there twice, first in line 1"),
    ("x:\n  a: 1\n  'a': 2\n", ":3: the key 'a' is there twice, first in line 2"),
    ("x: [{a: 1}, {16: 1, 16: 2}]\n", ":1: the key 16 is there twice, first in line 1"),
    ("a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x\n", ":4: the key '<<' is there twice"),
    ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n  d: 2\n", ":5: the key 'd' is there twice"),
    ("a: 1\nno: 2\n", ":2: a key is read as false: quote it"),
    ("On: 2\n", ":1: a key is read as true"),
    ("~: 2\n", ":1: a key is read as null"),
    ("0x10: 2\n", ':1: a key is read as a hexadecimal number: quote it, "0x10"'),
    ("1.5: 2\n", ':1: a key is read as a number: quote it, "1.5"'),
    ("x:\n  2026-01-31: 2\n", ':2: a key of x is read as a date: quote it, "2026-01-31"'),
    ("? \n: 2\n", ":1: a key is read as null"),
    ("? [a]\n: 2\n", ":1: a key is a text or a whole number"),
    ("a: 1\n---\nb: 1\n", ":2: has more than one document (---)"),
    ("a: *b\n", ":1: refers to what no &name above it has"),
    ("a: 1\n...\nb: 1\n", ":3: has more than one document"),
    ("a: &x [*x]\n", ": is nested more than 100 deep, or contains itself"),
    ("a: &x [*x]\nb: ~\n", ":2: b is read as null"),
    ("a:\n" + "".join(" " * n + "a:\n" for n in range(1, 980)) + " " * 980 + "1",
     ":101: is nested more than 100 deep"),
    (BOMB + "b: 2026-02-30\n", ":10: b is read as a date"),
    ("a: " + "[" * 200 + "]" * 200, ":1: is nested more than 100 deep"),
    ("a: " + "[" * 100_000, ":1: is nested too deeply"),
    ("- " * 100_000 + "a", ":1: is nested too deeply"),
    (BOMB, ": holds more than 1,000,000 values"),
    ("a: !!python/object/apply:os.system [id]\n", ":1: a has the tag !!python/object/"),
    ("- a\n", ": holds a list, where 'key: value' lines are expected"),
    ("text", ": holds a str, where"),
    ("", ": holds nothing, where"),
    (b"b: 1\na: \xff\n", ":2: has a character that YAML does not take: invalid "),
    (b"b: 1\na: \x00\n", ":2: has a character that YAML does not take: "),
])  # fmt: skip
def test_malformed(root, text, message):
    path = write(root, "bad", text)
    with pytest.raises(MalformedConfigError, match=re.escape(f"{path}{message}")):
        get_config("bad")
    with pytest.raises(MalformedConfigError, match=re.escape(f"{path}{message}")):
        check_file(path, root)


def test_a_file_that_is_checked_alone(root, tmp_path, monkeypatch):
    write(root, "a.good", DAILY)
    (root / "link.yaml").symlink_to(root / "a/good.yaml")
    for name in ("a/good", "link"):
        check_file(root / f"{name}.yaml", root)
    write(tmp_path, "outside", DAILY)
    (root / "leaves.yaml").symlink_to(tmp_path / "outside.yaml")
    monkeypatch.chdir(root.parent)
    relative = Path(root.name)
    with pytest.raises(MalformedConfigError, match=rf"^{root.name}/leaves\.yaml: is a link that"):
        check_file(relative / "leaves.yaml", relative)
    with pytest.raises(ConfigNotFoundError, match=rf"^{root.name}/absent\.yaml: does not exist$"):
        check_file(relative / "absent.yaml", relative)


def test_a_folder_in_the_place_of_a_file(root):
    (root / "a.yaml").mkdir()
    os.mkfifo(root / "b.yaml")
    for name in ("a", "b"):
        with pytest.raises(MalformedConfigError, match=rf"{name}\.yaml: is not a regular file"):
            get_config(name)


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


# YAML


def test_what_yaml_may(root):
    text = """
base: &base {a: 1, b: 2}
merged: {<<: *base, b: 3}
again: {<<: *base, c: 4}
both: {<<: [*base, {d: 5}]}
same: [*base, *base]
numbers: {1: january, 16: hex}
text: "off"
block: |
  0644
nothing: null
price: ${credential:EBI}
template: "{{ ds }}"
"=": equals
"<<": no merge
"""
    write(root, "all", text)
    config = get_config("all")
    assert config == {
        **yaml.safe_load(text.replace("*base, *base", "")),
        "same": ({"a": 1, "b": 2},) * 2,
    }
    assert config.merged == {"a": 1, "b": 3}
    assert config.both == {"a": 1, "b": 2, "d": 5}
    assert config.numbers == {1: "january", 16: "hex"}
    assert config.price == "${credential:EBI}", "it stays a text"
    assert config.template == "{{ ds }}"
    assert (config["="], config["<<"]) == ("equals", "no merge")


@pytest.mark.timeout(20)
def test_merges_of_merges_do_not_multiply(root):
    levels = "".join(f"a{n}: &a{n} {{<<: [{f'*a{n - 1}, ' * 10}]}}\n" for n in range(1, 12))
    write(root, "all", f"a0: &a0 {{x: 1, y: 2}}\n{levels}last: {{z: 3, <<: [*a11], x: 4}}\n")
    config = get_config("all")
    assert config.a11 == {"x": 1, "y": 2}
    assert [*config.last.items()] == [("x", 4), ("y", 2), ("z", 3)]


KEYS = st.text(max_size=5) | st.integers(-(10**17), 10**17)
VALUES = st.recursive(
    st.none() | st.booleans() | KEYS | st.text(max_size=9)
    | st.integers(-(10**6), 10**6).map(lambda number: number / 1024),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=9,
)  # fmt: skip
ANY_ROOT = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@ANY_ROOT
@given(document=st.dictionaries(KEYS, VALUES, max_size=3), flow=st.booleans())
def test_any_document_is_read_as_pyyaml_reads_it(tmp_path, document, flow):
    """And as `rax config show` writes it."""
    content = _yaml_of(document, flow).encode()
    read = yaml.safe_load(content)
    config = Config(_yaml.load(content, tmp_path), "x")
    assert plain(config) == read == document
    assert plain(pickle.loads(pickle.dumps(config))) == read  # noqa: S301 - its own pickle


def _yaml_of(document, flow):
    return yaml.dump(document, Dumper=config_dumper(), default_flow_style=flow)


@ANY_ROOT
@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
       | st.text("-:?,[]{}#&*!|>'\"%@`\t\n ab1<=~").map(str.encode))  # fmt: skip
def test_any_other_content_is_read_or_malformed(tmp_path, content):
    try:
        read = _yaml.load(content, tmp_path)
    except MalformedConfigError as error:
        assert str(error).startswith(f"{tmp_path}:")  # noqa: PT017 - either way
    else:
        assert isinstance(Config(read, "x"), dict)


def test_without_libyaml_the_same_is_read_and_refused(tmp_path, monkeypatch):
    monkeypatch.delattr(yaml, "CSafeLoader")
    pure = importlib.util.module_from_spec(_yaml.__spec__)
    _yaml.__spec__.loader.exec_module(pure)
    assert issubclass(pure._Composer, yaml.SafeLoader)
    assert pure.load(DAILY.encode(), tmp_path) == _yaml.load(DAILY.encode(), tmp_path)
    for text, message in (
        ("a: 1\nb: 2\na: 3\n", ":3: the key 'a' is there twice, first in line 1"),
        ("a: 1\n\tb: 2\n", ":2: is indented by a tab"),
        ("no: 1\n", ":1: a key is read as false"),
        ("a: 1\nb: [1, 22:30]\n", ":2: b[1] is read as a number of base 60: quote it"),
        ("a: !!set {x}\n", ":1: a has the tag !!set, where a list is expected"),
        ("a: \0\n", ":1: has a character that YAML does not take"),
        ("a: " + "[" * 900 + "]" * 900, ":1: is nested too deeply"),
    ):
        with pytest.raises(MalformedConfigError, match=re.escape(f"{tmp_path}{message}")):
            pure.load(text.encode(), tmp_path)


# Links and races


def test_links(root):
    write(root, "real", "x: 1")
    (root / "nowhere.yaml").symlink_to("gone")
    (root / "circle.yaml").symlink_to("circle.yaml")
    for name, problem in (("nowhere", "is a link that leads nowhere"), ("circle", "is a link")):
        with pytest.raises(MalformedConfigError, match=rf"{name}\.yaml: {problem}"):
            get_config(name)
    (root / "inner").mkdir()
    (root / "alias").symlink_to("inner")
    write(root, "inner.a", "x: 2")
    assert get_config("alias.a").x == 2
    # The root itself may be a link, as the published release is.
    other = root.with_name("other")
    other.symlink_to(root)
    os.environ["RAX_CONFIG_DIR"] = str(other)
    assert get_config("inner.a").x == 2


@pytest.mark.parametrize("swapped", ["folder", "file"])
def test_a_link_that_is_put_there_after_the_check_is_not_followed(root, monkeypatch, swapped):
    outside = root.parent / "outside"
    write(outside, "a", "x: stolen")
    path = write(root, "folder.a", "x: 1")
    real = _files._resolve

    def swap(given):
        found = real(given)
        if given == path and not (root / "folder.old").exists() and not (root / "a.old").exists():
            if swapped == "folder":
                (root / "folder").rename(root / "folder.old")
                (root / "folder").symlink_to(outside)
            else:
                path.rename(root / "a.old")
                path.symlink_to(outside / "a.yaml")
        return found

    monkeypatch.setattr(_files, "_resolve", swap)
    with pytest.raises(MalformedConfigError, match="is a link that leads out of"):
        get_config("folder.a")


def test_a_root_that_becomes_another_release_meanwhile(tmp_path, monkeypatch):
    """Neither file is out of its root."""
    link = tmp_path / "airflow-git-dir"
    link.symlink_to(release(tmp_path, "first"))
    second = release(tmp_path, "second")
    monkeypatch.setenv("RAX_CONFIG_DIR", str(link / "configs"))
    real = _files._resolve

    def flip(given):
        found = real(given)
        link.unlink()
        link.symlink_to(second)
        return found

    monkeypatch.setattr(_files, "_resolve", flip)
    assert get_config("a").release == "first"


def test_a_file_that_is_replaced_meanwhile_is_read_the_next_time(root, monkeypatch):
    path = write(root, "a", "x: 1")
    real, left = _files._resolve, [2]

    def vanish(given):
        if given == path and left[0]:
            left[0] -= 1
            raise FileNotFoundError(2, "No such file or directory")
        return real(given)

    monkeypatch.setattr(_files, "_resolve", vanish)
    assert get_config("a").x == 1


def test_a_file_that_this_account_may_not_read(root, monkeypatch):
    write(root, "a", "x: 1")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MalformedConfigError, match=r"a\.yaml: Permission denied"):
        get_config("a")


def test_descriptors_are_closed(root):
    write(root, "one.two.good", "x: 1")
    write(root, "bad", "x: [")
    os.mkfifo(root / "fifo.yaml")
    (root / "link.yaml").symlink_to("/etc/passwd")
    before = len([*Path("/proc/self/fd").iterdir()])
    for name in ("one.two.good", "bad", "fifo", "link", "none", "one.two.none"):
        try:
            get_config(name)
        except (MalformedConfigError, ConfigNotFoundError):
            continue
    assert len([*Path("/proc/self/fd").iterdir()]) == before


# Lists of names and files


def test_names_and_files_of_configs(tmp_path, monkeypatch):
    roots = [tmp_path / "base", tmp_path / "absent", tmp_path / "site"]
    monkeypatch.setenv("RAX_CONFIG_DIR", ":".join(map(str, roots)))
    paths = [write(root, "a.b", "x: 1") for root in (roots[0], roots[2])]
    write(roots[2], "only", "x: 1")
    write(roots[2], "not a name", "x: 1")
    assert list_configs() == ["a.b", "only"]
    assert config_files("a.b") == paths
    with pytest.raises(ConfigNotFoundError):
        config_files("a")


# The cache


@pytest.fixture
def _always_settled(monkeypatch):
    """Let a file be cached that was written just now."""
    monkeypatch.setattr(_file_identity, "_SETTLED_NS", -(10**18))


@pytest.mark.usefixtures("_always_settled")
def test_a_file_is_read_once(root, monkeypatch):
    write(root, "a", "x: 1")
    first = get_config("a")
    monkeypatch.setattr(os, "open", None)
    assert get_config("a") is first


@pytest.mark.usefixtures("_always_settled")
def test_a_change_is_seen(root):
    path = write(root, "a", "x: 1")
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    assert get_config("a").x == 1
    new = write(root, "new", "x: 2")
    os.utime(new, ns=times)
    new.rename(path)
    assert get_config("a").x == 2
    path.write_text("x: [")
    with pytest.raises(MalformedConfigError):
        get_config("a")
    path.unlink()
    with pytest.raises(ConfigNotFoundError):
        get_config("a")


def test_a_change_right_after_a_read_is_seen(root, monkeypatch):
    """Within one tick of its clock, all times of a file are still those of what was read."""
    monkeypatch.setattr("rax.config._files.identity", lambda status: status[:7])
    monkeypatch.setattr("rax.config.identity", lambda status: status[:7])
    path = write(root, "a", "x: 1")
    for number in (1, 2):
        path.write_text(f"x: {number}")
        assert get_config("a").x == number


@pytest.mark.usefixtures("_always_settled")
def test_files_of_an_overlay_that_come_change_and_go(tmp_path, monkeypatch):
    base, site = tmp_path / "base", tmp_path / "site"
    monkeypatch.setenv("RAX_CONFIG_DIR", f"{base}:{site}")
    write(base, "a", "x: 1\ny: 1")
    assert get_config("a") == {"x": 1, "y": 1}
    path = write(site, "a", "y: 2")
    assert get_config("a") == {"x": 1, "y": 2}
    path.write_text("y: 33")
    assert get_config("a") == {"x": 1, "y": 33}
    path.unlink()
    assert get_config("a") == {"x": 1, "y": 1}
    monkeypatch.setenv("RAX_CONFIG_DIR", str(base))
    assert get_config("a") is get_config("a")


@pytest.mark.parametrize("settled", [(), ("site",)])
def test_a_file_that_goes_right_after_a_read_is_not_served(tmp_path, monkeypatch, settled):
    def is_settled(status, _now):
        return any(status.st_ino == (tmp_path / name / "a.yaml").stat().st_ino for name in settled)

    monkeypatch.setattr(_files, "is_settled", is_settled)
    monkeypatch.setenv("RAX_CONFIG_DIR", f"{tmp_path}/base:{tmp_path}/site")
    base, _ = (write(tmp_path / name, "a", f"{name}: 1") for name in ("base", "site"))
    assert get_config("a") == {"base": 1, "site": 1}
    base.unlink()
    assert get_config("a") == {"site": 1}


@pytest.mark.usefixtures("_always_settled")
def test_a_cached_file_that_can_no_longer_be_read_is_not_served(root, monkeypatch):
    write(root, "a", "x: 1")
    assert get_config("a").x == 1

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MalformedConfigError, match=r"a\.yaml: Permission denied"):
        get_config("a")


@pytest.mark.usefixtures("_always_settled")
def test_a_cached_link_that_leads_out_later_is_refused(root):
    write(root, "real", "x: 1")
    outside = write(root.parent, "outside", "x: 1")
    link = root / "a.yaml"
    link.symlink_to("real.yaml")
    assert get_config("a").x == 1
    link.unlink()
    link.symlink_to(outside)
    with pytest.raises(MalformedConfigError, match="leads out of"):
        get_config("a")


@pytest.mark.timeout(60)
def test_threads_and_forks(root):
    write(root, "a", DAILY)
    over, failures = threading.Event(), []

    def read():
        while not over.is_set():
            if get_config("a").months != (1, 2):
                failures.append("torn")

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(10):
        child = os.fork()
        if child == 0:
            os._exit(0 if get_config("a").months == (1, 2) else 1)
        codes.append(os.waitpid(child, 0)[1])
    over.set()
    for thread in threads:
        thread.join()
    assert (codes, failures) == ([0] * 10, [])
