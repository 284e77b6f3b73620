"""What a monitor reads: the file for Prometheus, and `status`."""

import os
import re
import threading
import time

import pytest

LINE = re.compile(r'airflow_dag_sync_\w+(\{(\w+="([^"\\\n]|\\.)*",?)*\})? [0-9.e+-]+')
COMMENT = re.compile(r"# (TYPE|HELP) airflow_dag_sync_\w+ .+")


def read(file):
    """Check the form of the file as Prometheus would, and return its values."""
    text = file.read_text()
    assert text.endswith("\n")
    values, typed = {}, set()
    for line in text.splitlines():
        if line.startswith("#"):
            assert COMMENT.fullmatch(line), line
            typed.add(line.split()[2])
            continue
        assert LINE.fullmatch(line), line
        name, value = line.rsplit(" ", 1)
        assert name.partition("{")[0] in typed
        assert name not in values
        values[name.removeprefix("airflow_dag_sync_")] = float(value)
    return values


def labels(file):
    return dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', file.read_text()))


@pytest.fixture
def metrics(node, tmp_path):
    (tmp_path / "metrics").mkdir()
    node.settings["metrics_file"] = str(tmp_path / "metrics/airflow_dag_sync.prom")
    return tmp_path / "metrics/airflow_dag_sync.prom"


def test_textfile_metrics(remote, metrics, first):
    values = read(metrics)
    now = time.time()
    assert now - 60 < values.pop("last_success_timestamp_seconds") <= now
    assert now - 60 < values.pop("published_timestamp_seconds") <= now
    [info] = [name for name in values if name.startswith("info{")]
    assert values.pop(info) == 1
    assert labels(metrics) == {"published": first, "seen": first, "ref": "main"}
    assert values == {
        "last_exit_code": 0,
        "blocked": 0,
        "pinned": 0,
        "failures_total": 0,
        "repairs_total": 0,
    }
    # A collector of another account reads it.
    assert metrics.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in metrics.parent.iterdir()] == [metrics.name]
    assert remote.url not in metrics.read_text()


def test_metrics_of_a_failure(remote, node, metrics, first):
    """The time of the last success stays: an alert can count from there."""
    os.utime(node.root / "last_success", (1e9, 1e9))
    with remote.down():
        node.run(code=3)
        node.run(code=3)
    values = read(metrics)
    assert values["last_success_timestamp_seconds"] == 1e9
    assert (values["last_exit_code"], values["failures_total"]) == (3, 2)
    assert labels(metrics)["published"] == first
    node.run()
    values = read(metrics)
    assert values["last_success_timestamp_seconds"] > 1e9
    # A counter only grows.
    assert (values["last_exit_code"], values["failures_total"]) == (0, 2)


def test_metrics_before_anything_is_published(node, metrics):
    node.run(code=2)
    values = read(metrics)
    assert "last_success_timestamp_seconds" not in values
    assert "published_timestamp_seconds" not in values
    assert (values["last_exit_code"], values["failures_total"]) == (2, 1)
    assert labels(metrics)["published"] == ""


def test_metrics_of_a_blocked_commit(remote, node, metrics, first):
    node.settings["gate_command"] = ["false"]
    sha = remote.commit("two")
    node.run(code=4)
    values = read(metrics)
    assert (values["blocked"], values["last_exit_code"]) == (1, 4)
    assert (labels(metrics)["published"], labels(metrics)["seen"]) == (first, sha)
    node.settings["gate_command"] = []
    node.run()
    values = read(metrics)
    assert (values["blocked"], values["last_exit_code"]) == (0, 0)


def test_metrics_of_a_pin_and_a_repair(remote, node, metrics, first):
    remote.commit("two")
    node.run()
    (node.link / "dags/a.py").unlink()
    node.run()
    node.run("rollback")
    values = read(metrics)
    assert (values["pinned"], values["repairs_total"]) == (1, 1)
    assert labels(metrics)["published"] == first
    node.run("unpin")
    assert read(metrics)["pinned"] == 0


def test_metrics_with_a_quotation_mark(remote, node, metrics):
    remote.commit("one", branch='say"hi"')
    node.settings["ref"] = 'say"hi"'
    node.run()
    read(metrics)
    assert labels(metrics)["ref"] == 'say\\"hi\\"'


@pytest.mark.usefixtures("first")
def test_metrics_are_replaced_as_a_whole(node, metrics):
    """Whoever reads them meanwhile gets the old or the new ones."""
    node.run()
    end, seen, inodes = threading.Event(), set(), set()

    def collect():
        while not end.is_set():
            with metrics.open() as file:
                inodes.add(os.fstat(file.fileno()).st_ino)
                seen.add(file.read().count("\n"))

    reader = threading.Thread(target=collect)
    reader.start()
    try:
        for _ in range(4):
            node.run()
    finally:
        end.set()
        reader.join()
    assert len(seen) == 1
    assert len(inodes) > 1


def test_metrics_without_a_folder(remote, node, metrics, first):
    """It is an error, said; it keeps nothing from being published."""
    metrics.unlink()
    metrics.parent.rmdir()
    sha = remote.commit("two")
    output = node.run(code=1)
    assert f"{metrics.parent}" in output
    assert "No such file or directory" in output
    assert node.published == sha != first
    assert node.status["error"]
    metrics.parent.mkdir()
    assert "works again" in node.run()
    assert labels(metrics)["published"] == sha


def test_status_fields(remote, node, first):
    """Every field, through the life of a node."""
    second = remote.commit("two")
    node.run()
    third = remote.commit("three")
    node.settings["gate_command"] = ["false"]
    node.run(code=4)
    node.run("--splay", code=4)
    status = node.status
    moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
    for field in ("published_since", "last_success", "error_since"):
        assert moment.fullmatch(status.pop(field)), field
    assert moment.fullmatch(status["blocked"].pop("since"))
    assert 0 <= status.pop("age_seconds") < 60
    assert status == {
        "published": second,
        "seen": third,
        "previous": first,
        "pinned": None,
        "pinned_since": None,
        "blocked": {"sha": third, "reason": "false ended with 1"},
        "error": f"blocked {third}: false ended with 1",
        "warnings": [],
        "failures": 2,
        "repairs": 0,
        "releases": [second, first],
    }
    # What is pinned is published, while the blocked one is still said to be so.
    node.run("rollback")
    node.run()
    status = node.status
    assert (status["published"], status["pinned"], status["previous"]) == (first, first, second)
    assert moment.fullmatch(status["pinned_since"])
    assert status["blocked"]["sha"] == third
    assert status["error"] is None
    assert set(status["releases"]) == {first, second}
    node.run("unpin")
    assert (node.status["pinned"], node.status["pinned_since"]) == (None, None)


def test_status_is_for_everybody(node, first):
    """It writes nothing."""
    before = {path: path.lstat().st_ctime_ns for path in node.home.rglob("*")}
    assert node.status["published"] == first
    assert {path: path.lstat().st_ctime_ns for path in node.home.rglob("*")} == before
