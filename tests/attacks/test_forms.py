# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions, names and paths from outside are of their form, or an error that names them."""

import json
import os

import pytest
from airflow_dag_sync.errors import MisconfiguredError
from airflow_dag_sync.publisher import Publisher
from airflow_dag_sync.settings import Settings
from airflow_dag_sync.state import State
from airflow_dag_sync.status import status

from rax import config, credentials
from rax.alerting._spool import Spool
from rax.credentials._files import check_name
from rax.errors import RaxError

SHA, OTHER = "a" * 40, "b" * 40
# What is no commit, and where it would lead as a path.
NO_COMMITS = [
    "../../../evil", "..", ".", "", "/etc", "evil", f"{SHA}/../../evil", f"{SHA}\n", f"{SHA}/",
    SHA.upper(), SHA[:39], f"{SHA}a", "\u0660" * 40, "--help", f"{SHA}\x00",
]  # fmt: skip
ODD = [
    None,
    5,
    True,
    1.5,
    float("inf"),
    "x",
    "../evil",
    [],
    ["x"],
    {},
    {"a": 1},
    {SHA: 5},
    {"message": "x", "since": float("inf"), "reported": 0},
    {SHA: {"tree": "--help"}},
    {"sha": SHA, "reason": "x", "since": -1, "terms": []},
    {SHA: {"signed": [1, 2, 3]}},
]


@pytest.fixture
def said():
    return []


@pytest.fixture
def node(tmp_path, said):
    """Return the sync's view of a node with one release, beside a folder that is none."""
    settings = Settings()
    for key, kind in Settings.__annotations__.items():
        setattr(settings, key, {"int": 60, "bool": False, "str": "", "list[str]": []}[kind])
    settings.link = str(tmp_path / "link")
    settings.ref = "main"
    (tmp_path / ".link/releases" / SHA).mkdir(parents=True)
    (tmp_path / ".link/releases/evil").mkdir()
    (tmp_path / "evil").mkdir()
    return Publisher(settings, lambda text, *_: said.append(text))


@pytest.mark.parametrize("name", NO_COMMITS)
def test_no_other_name_is_a_release(node, name):
    """Not asked for, not read back from the link, not remembered."""
    releases = node.releases
    assert not releases.has(name)
    releases.link.unlink(missing_ok=True)
    if "\0" not in name:
        os.symlink(f".link/releases/{name}", releases.link)  # noqa: PTH211 - as it is
        assert releases.published() in (None, SHA)
    for key in ("seen", "previous", "pinned"):
        node.state_file.write_text(json.dumps({key: name}))
        assert getattr(State.load(node.state_file), key) is None


def test_rollback_to_a_remembered_path_is_refused(node):
    """Before this, the link led wherever `previous` did."""
    node.releases.link.symlink_to(f".link/releases/{SHA}")
    node.state_file.write_text(json.dumps({"previous": "../../evil"}))
    with pytest.raises(MisconfiguredError, match="there is no release before the published"):
        node.rollback(None)
    assert node.releases.published() == SHA


@pytest.mark.parametrize("key", ["error", "blocked", "releases", "failures", "pinned", "seen"])
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_status_of_an_odd_state(node, key, odd):
    """The status and the metrics are told whatever its account has written into the file."""
    node.releases.link.symlink_to(f".link/releases/{SHA}")
    node.state_file.write_text(json.dumps({key: odd}))
    metrics = node.root / "metrics.prom"
    node.settings.metrics_file = str(metrics)
    node.load()
    told = status(node.releases, node.state)
    assert json.loads(json.dumps(told, allow_nan=False))["published"] == SHA
    node.write_metrics()
    assert all(
        line.startswith(("# TYPE airflow_dag_sync_", "airflow_dag_sync_"))
        for line in metrics.read_text().split("\n")[:-1]
    )


def test_ref_with_anything_in_it_is_one_label(node):
    node.settings.metrics_file = str(node.root / "metrics.prom")
    node.settings.ref = 'a"} 1\nforged{x="\\\x1b[2J\udc80'
    node.write_metrics()
    *_, line, end = (node.root / "metrics.prom").read_text().split("\n")
    assert end == ""
    assert line.startswith("airflow_dag_sync_info{published=")
    assert line.endswith(r'ref="a\"} 1 forged{x=\"\\\\x1b[2J\\udc80"} 1')


@pytest.mark.parametrize("name", [*NO_COMMITS, "a/b", "a\\..\\b", "\u202e", "~", "a..b", ".a"])
def test_no_name_leads_out_of_configs_or_credentials(name, tmp_path, monkeypatch):
    inside = tmp_path / "in"
    inside.mkdir()
    monkeypatch.setenv("RAX_CONFIG_DIR", str(inside))
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(inside))
    (tmp_path / "evil.yaml").write_text("a: 1\n")
    (tmp_path / "evil.json").write_text("{}")
    for read in (config.get_config, credentials.get_credentials):
        with pytest.raises(RaxError) as error:
            read(name)
        assert "\n" not in str(error.value)


def test_link_out_of_the_configs_is_refused(tmp_path, monkeypatch):
    root = tmp_path / "configs"
    (root / "deep").mkdir(parents=True)
    (tmp_path / "evil.yaml").write_text("a: 1\n")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/b.yaml").write_text("a: 1\n")
    (root / "a.yaml").symlink_to(tmp_path / "evil.yaml")
    (root / "folder").symlink_to(tmp_path / "evil")
    monkeypatch.setenv("RAX_CONFIG_DIR", str(root))
    for name in ("a", "folder.b"):
        with pytest.raises(RaxError, match="leads out of"):
            config.get_config(name)


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".a", "a\n", "-a", "\u0661", "a\x1b[2J"])
def test_names_of_credentials(name):
    with pytest.raises(RaxError) as error:
        check_name(name)
    assert str(error.value).isprintable()


def test_odd_names_in_the_spool_are_no_events(tmp_path, monkeypatch):
    monkeypatch.setenv("RAX_ALERTING_SPOOL", str(tmp_path / "spool"))
    with Spool() as spool:
        for name in ("\x1b[2J.json", "evil.json", "0000000000000001.json\n", "١" * 16 + ".json"):
            (tmp_path / "spool" / name).write_text("{}")
        assert spool.names() == []
