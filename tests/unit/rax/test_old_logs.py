"""Logs that take more than their share: the oldest go, and never what is being written."""

import json
import os
import time

import pytest

from rax.airflow import _old_logs, maintenance
from rax.airflow._old_logs import remove_oldest

HOUR = 3600
# Nothing takes less on a disk, and a file system may take more.
SIZE = 64 * 1024


@pytest.fixture
def logs(tmp_path):
    """Return a folder, and a function that writes a log there of so many hours ago."""
    folder = tmp_path / "logs"
    folder.mkdir()
    now = time.time()

    def write(name, hours, size=SIZE):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        os.utime(path, (now - hours * HOUR,) * 2)
        return path

    return folder, write


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_oldest_go_first_and_no_more_than_must(logs):
    folder, write = logs
    for hours in range(1, 6):
        write(f"dag_id=a/run_id={hours}/task_id=t/attempt=1.log", hours)
    kept = remove_oldest(str(folder), 3 * SIZE)
    assert kept == _old_logs.Kept(removed=2 * SIZE, excess=0)
    assert left(folder) == [
        f"dag_id=a/run_id={hours}/task_id=t/attempt=1.log" for hours in (1, 2, 3)
    ]


def test_within_an_hour_no_more_goes_than_must(logs):
    folder, write = logs
    for number in range(10):
        write(f"{number}.log", 30)
    assert remove_oldest(str(folder), 7 * SIZE).removed == 3 * SIZE
    assert len(left(folder)) == 7


def test_nothing_goes_where_there_is_room(logs):
    folder, write = logs
    write("a.log", 1000)
    assert remove_oldest(str(folder), SIZE) == _old_logs.Kept()
    assert left(folder) == ["a.log"]


def test_what_is_being_written_stays_and_the_next_ones_go(logs):
    """A task that is silent for days has an old log, and its process has it open."""
    folder, write = logs
    old = write("old.log", 100)
    write("later.log", 50)
    write("new.log", 1)
    with old.open("a"):
        assert remove_oldest(str(folder), 2 * SIZE) == _old_logs.Kept(removed=SIZE)
        assert left(folder) == ["new.log", "old.log"]
        # What is left over the limit is told.
        assert remove_oldest(str(folder), 0) == _old_logs.Kept(removed=SIZE, excess=SIZE)
    assert left(folder) == ["old.log"]
    assert remove_oldest(str(folder), 0) == _old_logs.Kept(removed=SIZE)


def test_what_is_being_read_goes(logs):
    """People look at logs in the UI."""
    folder, write = logs
    with write("a.log", 1).open("rb") as reader:
        assert remove_oldest(str(folder), 0).removed == SIZE
        assert len(reader.read()) == SIZE


def test_nothing_is_followed_out_of_the_folder(logs, tmp_path):
    """Tasks of authors write there, and this runs as their account."""
    folder, write = logs
    outside = tmp_path / "alerts"
    outside.mkdir()
    (outside / "kept.json").write_bytes(os.urandom(SIZE))
    (folder / "dag_id=a").symlink_to(outside)
    (folder / "a.log").symlink_to(outside / "kept.json")
    os.link(outside / "kept.json", folder / "b.log")
    os.mkfifo(folder / "c.log")
    write("real.log", 1)
    assert remove_oldest(str(folder), 0) == _old_logs.Kept(removed=SIZE)
    assert (outside / "kept.json").stat().st_size == SIZE
    assert sorted(path.name for path in folder.iterdir()) == ["a.log", "b.log", "c.log", "dag_id=a"]


def test_the_folder_itself_may_not_be_a_link(tmp_path):
    (tmp_path / "logs").symlink_to(tmp_path)
    with pytest.raises(OSError, match="logs"):
        remove_oldest(str(tmp_path / "logs"), 0)


def test_a_file_that_becomes_a_link_is_not_followed(logs, tmp_path, monkeypatch):
    folder, write = logs
    path = write("a.log", 1)
    target = tmp_path / "target"
    target.write_bytes(os.urandom(SIZE))
    real = _old_logs._remove_unless_written

    def swap(log):
        path.unlink()
        path.symlink_to(target)
        return real(log)

    monkeypatch.setattr(_old_logs, "_remove_unless_written", swap)
    assert remove_oldest(str(folder), 0) == _old_logs.Kept(excess=SIZE)
    assert target.exists()


def test_folders_stay_since_somebody_may_be_about_to_write_there(logs):
    folder, write = logs
    write("dag_id=a/run_id=1/attempt=1.log", 9)
    remove_oldest(str(folder), 0)
    assert (folder / "dag_id=a/run_id=1").is_dir()


def test_sparse_files_count_what_they_take(logs):
    folder, _write = logs
    with (folder / "sparse.log").open("wb") as file:
        file.truncate(2**40)
    assert remove_oldest(str(folder), SIZE) == _old_logs.Kept()
    assert left(folder) == ["sparse.log"]


def test_endlessly_nested_folders(logs):
    folder, write = logs
    write("real.log", 5)
    inner = folder
    for _ in range(3 * _old_logs.MAX_DEPTH):
        inner /= "d"
        inner.mkdir()
    assert remove_oldest(str(folder), 0).removed == SIZE


def run(tmp_path, folder, percent):
    """Run the program; return its exit code and what it wrote."""
    status = tmp_path / "status.json"
    code = maintenance.main(
        ["--status", str(status), "--logs", str(folder), "--log-percent", str(percent)]
    )
    return code, json.loads(status.read_text())


def fake_disk(monkeypatch, size, used):
    class System:
        f_frsize, f_blocks, f_bfree = 1, size, size - used

    monkeypatch.setattr(os, "statvfs", lambda _: System)


def test_the_share_is_of_the_disk(logs, tmp_path, monkeypatch):
    folder, write = logs
    for hours in range(1, 6):
        write(f"{hours}.log", hours)
    fake_disk(monkeypatch, 10 * SIZE, 9 * SIZE)
    code, status = run(tmp_path, folder, 30)
    assert (code, status["problems"], status["logs_removed_bytes"]) == (0, [], 2 * SIZE)
    assert left(folder) == ["1.log", "2.log", "3.log"]
    assert status["ended"].endswith("Z")


@pytest.mark.parametrize("percent", [0, 60])
def test_where_the_disk_has_less_than_the_share_or_there_is_none(
    logs, tmp_path, monkeypatch, percent
):
    folder, write = logs
    write("1.log", 1)
    fake_disk(monkeypatch, 10 * SIZE, 6 * SIZE)
    monkeypatch.setattr(_old_logs, "remove_oldest", None)
    assert run(tmp_path, folder, percent)[0] == 0


def test_what_could_not_be_done_is_told_and_fails(logs, tmp_path, monkeypatch, capsys):
    folder, write = logs
    fake_disk(monkeypatch, 2**20, 2**20)
    with write("1.log", 1, 3 * 2**20).open("a"):
        code, status = run(tmp_path, folder, 50)
    told = (
        f"the logs in {folder} take 50 % of their disk and 2 MB more: what could still be removed"
    )
    assert code == 1
    assert [problem.startswith(told) for problem in status["problems"]] == [True]
    assert told in capsys.readouterr().err
    code, status = run(tmp_path, tmp_path / "nowhere", 50)
    assert code == 1
    assert "nowhere" in status["problems"][0]


@pytest.mark.parametrize(
    ("cleaned", "due"),
    [
        ("2026-01-02T11:00:00+00:00", False),
        ("2026-01-01T17:00:00+00:00", False),
        ("2026-01-01T15:00:00+00:00", True),
        # A clock that was wrong once must not keep it away for years.
        ("2027-01-01T00:00:00+00:00", True),
        (None, True),
        (7, True),
        ("2026-01-02T11:00:00", True),
        ("soon", True),
    ],
)
def test_when_the_database_is_due(cleaned, due):
    now = maintenance.datetime.fromisoformat("2026-01-02T12:00:00+00:00")
    assert maintenance.is_due({"history_cleaned": cleaned}, now) is due


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_damaged_status_is_none(tmp_path, text):
    path = tmp_path / "status.json"
    path.write_bytes(text.encode("latin-1"))
    assert maintenance.read_status(path) == {}
    assert maintenance.read_status(tmp_path / "nothing") == {}
