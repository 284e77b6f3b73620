"""`rax new workflow`: what it writes is a workflow that runs, and whose parts do what they say."""

import os
import sys

import pytest

from rax import cli

SOURCE = "id,value\n1,a\n2,\n3,c\n"


@pytest.fixture
def workflow(tmp_path, monkeypatch):
    """Return the text of a new workflow's DAG, and the folder of its source and target."""
    root, data = tmp_path / "dags", tmp_path / "data"
    known = ["--deployment", "ssh://git@git.example.org/a.git", "--ref", "v0.1.0", "--ci", "none"]
    assert cli.main(["new", "repository", str(root), *known]) == 0
    monkeypatch.setenv("RAX_REPOSITORY", str(root))
    assert cli.main(["new", "workflow", "genes.daily"]) == 0
    # What only a laptop has.
    overlay = root / "local/configs/genes/daily.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.write_text(f"source: {data}/source.csv\ntarget: {data}/target.csv\n")
    monkeypatch.setenv(
        "RAX_CONFIG_DIR", os.pathsep.join([f"{root}/configs", f"{root}/local/configs"])
    )
    monkeypatch.syspath_prepend(root)
    data.mkdir()
    (data / "source.csv").write_text(SOURCE)
    yield (root / "dags/genes/daily.py").read_text(), data
    # Other repositories have a package of that name, too.
    for name in [name for name in sys.modules if name.partition(".")[0] == "lib"]:
        del sys.modules[name]


def test_it_runs_and_may_be_repeated(run, workflow):
    text, data = workflow
    for _ in range(2):
        found = run(text, "genes_daily")
        assert found.states == dict.fromkeys(
            ["source_is_fresh", "target_has_room", "load", "report"], "success"
        )
        assert found.line["rows"] == {"load": 2}
        assert found.line["details"] == {"expected": 2, "found": 2}
        assert found.events == [("resolve", "default/genes_daily")]
        assert sorted(path.name for path in data.iterdir()) == ["source.csv", "target.csv"]
        assert (data / "target.csv").read_text() == "id,value\n1,a\n3,c\n"


def test_a_source_that_is_old_stops_it(run, workflow):
    text, data = workflow
    os.utime(data / "source.csv", (0, 0))
    found = run(text, "genes_daily")
    assert found.state == "failed"
    assert found.states["source_is_fresh"] == "failed"
    assert found.states["load"] == "upstream_failed"
    assert not (data / "target.csv").exists()


def test_a_target_that_lacks_rows_is_found(run, workflow):
    text, _ = workflow
    lossy = text.replace("write(rows)", "write(rows[1:])")
    assert lossy != text
    found = run(lossy, "genes_daily")
    assert found.states["load"] == "success"
    assert found.states["report"] == "failed"
    assert "2 expected, 1 found" in found.line["problem"]
