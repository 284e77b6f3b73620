"""What leaves the cache of ./rax when another environment is made."""

import os

import pytest

from scripts.authors import environment

NOW = 2_000_000_000.0
DAY_SECONDS = 24 * 60 * 60
UNUSED, FRESH, OLD = 61 * DAY_SECONDS, 59 * DAY_SECONDS, 2 * DAY_SECONDS


def put(path, age_seconds, text=None):
    """Make a file with a text, or else a folder, that was changed so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        path.mkdir(exist_ok=True)
    else:
        path.write_text(text)
    os.utime(path, (NOW - age_seconds, NOW - age_seconds))


@pytest.fixture
def cache(tmp_path):
    for name, used in (("a-py311", FRESH), ("a-py313", UNUSED), ("b-py311", UNUSED)):
        put(tmp_path / f"environments/{name}/used", used, "")
        put(tmp_path / f"environments/{name}", UNUSED)
    put(tmp_path / "environments/c-py311", UNUSED)
    put(tmp_path / "environments/new-old", OLD)
    put(tmp_path / "environments/new-young", 0)
    for name, age in (("a", OLD), ("b", OLD), ("c", OLD), ("d", OLD), ("e", 0), ("new-f", OLD)):
        put(tmp_path / f"deployments/{name}", age)
    put(tmp_path / "repositories/home/a/.rax", UNUSED, "a-py311\n[deployment]\n")
    put(tmp_path / "repositories/home/a/inner/.rax", UNUSED, "b-py311\n[deployment]\n")
    put(tmp_path / "repositories/home/b/.rax", UNUSED, "b-py311\n[deployment]\n")
    put(tmp_path / "repositories/home/odd/.rax", 0, "../../..\n")
    return tmp_path


def names(folder, pattern="*"):
    return sorted(str(path.relative_to(folder)) for path in folder.glob(pattern))


def test_what_is_removed(cache):
    environment.prune(cache, NOW)
    # c was never used since it was made, as one that another process is about to use.
    assert [name for name in names(cache / "environments") if not name.endswith(".lock")] == [
        "a-py311", "c-py311", "new-young",
    ]  # fmt: skip
    assert names(cache / "deployments") == ["a", "c", "e"]
    assert names(cache / "repositories", "**/.rax") == ["home/a/.rax"]


def test_one_that_is_just_being_made_anew_stays(cache):
    with environment._lock_file(cache / "environments/b-py311").open("w") as lock:
        environment.fcntl.flock(lock, environment.fcntl.LOCK_EX)
        environment.prune(cache, NOW)
    assert "b-py311" in names(cache / "environments")


def test_an_empty_cache_has_nothing_to_remove(tmp_path):
    environment.prune(tmp_path, NOW)
    assert names(tmp_path) == []
