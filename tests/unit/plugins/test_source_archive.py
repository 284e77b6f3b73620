# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives whose bytes depend on their content alone, as the module makes them."""

import errno
import io
import multiprocessing
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import source_archive

FILES = {
    "setup.toml": "[project]\n",
    "src/b.py": "b = 1\n",
    "src/a.py": "a = 1\n",
    "src/bin/run": "#!/bin/sh\n",
    "plugins/one.py": "one = 1\n",
    "not-asked-for": "",
}
PATHS = ["src", "setup.toml", "src/a.py", "plugins", "shortcut"]
NAMES = [
    *("plugins/one.py", "setup.toml", "shortcut"),
    *("src/a.py", "src/b.py", "src/bin/run", "src/filter"),
]


def write(root, names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[name])
    (root / "src/bin/run").chmod(0o755)
    (root / "src/filter").symlink_to("../plugins")
    (root / "shortcut").symlink_to("src/a.py")


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "root", FILES)
    return tmp_path / "root"


@pytest.fixture
def pack(root, tmp_path):
    """Return what packs the files, as the action does: its result, as a dict."""

    def run(*, check_mode=False, **changes):
        arguments = {
            "root": root,
            "paths": PATHS,
            "prefix": "top/rax",
            "name": "rax",
            "dest_directory": tmp_path / "cache/archives",
            **changes,
        }
        try:
            checksum, path = source_archive.pack(**arguments, write=not check_mode)
        except source_archive.PackError as error:
            return {"failed": True, "msg": str(error)}
        return {"checksum": checksum, "path": str(path)}

    return run


def content(root):
    return source_archive.archive(root, PATHS, "top/rax")


def test_what_it_holds(root):
    with tarfile.open(fileobj=io.BytesIO(content(root))) as tar:
        members = {info.name.removeprefix("top/rax/"): info for info in tar}
        texts = {
            name: tar.extractfile(info).read().decode()
            for name, info in members.items()
            if info.isfile()
        }
    assert list(members) == NAMES
    assert texts == {name: FILES[name] for name in NAMES if name in FILES}
    assert {name for name, info in members.items() if info.mode & 0o111 and info.isfile()} == {
        "src/bin/run"
    }
    assert {info.linkname for info in members.values() if info.issym()} == {
        "../plugins",
        "src/a.py",
    }
    assert {(info.uid, info.gid, info.uname, info.mtime) for info in members.values()} == {
        (0, 0, "root", 0)
    }


def make(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("change", [
    pytest.param(lambda root: os.utime(root / "src/a.py", (1, 1)), id="time"),
    pytest.param(lambda root: (root / "src/a.py").chmod(0o604), id="mode without run bit"),
    pytest.param(lambda root: (root / "src/bin/run").chmod(0o711), id="other run bits"),
    pytest.param(
        lambda root: os.chown(root / "src/a.py", 65534, 65534), id="owner",
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away"),
    ),
    pytest.param(lambda root: make(root / "src/__pycache__/a.pyc.1234"), id="half compiled"),
    pytest.param(lambda root: make(root / "src/a.pyc"), id="compiled beside the source"),
    pytest.param(lambda root: make(root / "src/.a.py.swp"), id="hidden file"),
    pytest.param(lambda root: make(root / "src/.git/config"), id="hidden folder"),
    pytest.param(lambda root: (root / "src/.link").symlink_to("a.py"), id="hidden link"),
    pytest.param(lambda root: (root / "src/empty").mkdir(), id="empty folder"),
    pytest.param(lambda root: make(root / "not-asked-for"), id="elsewhere"),
])  # fmt: skip
def test_what_does_not_count(root, change):
    before = content(root)
    change(root)
    assert content(root) == before


@pytest.mark.parametrize("change", [
    pytest.param(lambda root: make(root / "src/a.py", "a = 2\n"), id="content"),
    pytest.param(lambda root: (root / "src/a.py").chmod(0o744), id="run bit"),
    pytest.param(lambda root: (root / "src/bin/run").chmod(0o644), id="no run bit"),
    pytest.param(lambda root: (root / "src/b.py").rename(root / "src/c.py"), id="name"),
    pytest.param(lambda root: make(root / "src/bin/new"), id="new file"),
    pytest.param(lambda root: (root / "plugins/one.py").unlink(), id="removed file"),
    pytest.param(lambda root: (root / "src/filter").rename(root / "src/other"), id="link's name"),
    pytest.param(
        lambda root: ((root / "shortcut").unlink(), (root / "shortcut").symlink_to("src/b.py")),
        id="link's target",
    ),
])  # fmt: skip
def test_what_counts(root, change):
    before = content(root)
    change(root)
    assert content(root) != before


def test_the_order_of_creation_and_of_the_paths_does_not_count(root, tmp_path):
    write(tmp_path / "other", reversed(FILES))
    other = source_archive.archive(tmp_path / "other", PATHS[::-1], "top/rax")
    assert other == content(root)


def test_the_order_of_the_file_system_does_not_count(root, monkeypatch):
    before, walk = content(root), os.walk

    def backwards(top):
        for folder, folders, files in walk(top):
            folders.sort(reverse=True)
            yield folder, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert content(root) == before


def test_the_prefix_counts(root):
    assert source_archive.archive(root, PATHS, "elsewhere") != content(root)


def test_a_linked_folder_is_a_link_whether_asked_for_or_met(root):
    (root / "linked").symlink_to("src")
    assert source_archive.members(root, ["linked"]) == [Path("linked")]
    assert Path("src/filter/one.py") not in source_archive.members(root, ["src"])


def test_the_archive_is_named_after_its_content(pack, root, tmp_path):
    first = pack()
    file = Path(first["path"])
    assert file.parent == tmp_path / "cache/archives"
    assert file.name == f"rax-{first['checksum'][:16]}.tar.gz"
    with tarfile.open(file) as tar:
        assert tar.getnames() == [f"top/rax/{name}" for name in NAMES]
    make(root / "src/a.py", "a = 2\n")
    second = pack()
    assert second["checksum"] != first["checksum"]
    assert sorted(file.parent.iterdir()) == sorted([file, Path(second["path"])])


def test_the_file_is_the_same_at_another_time(pack, tmp_path, monkeypatch):
    first = Path(pack()["path"])
    monkeypatch.setattr("time.time", lambda: 86400.0)
    again = Path(pack(dest_directory=tmp_path / "again")["path"])
    assert again.read_bytes() == first.read_bytes()


def test_an_archive_that_is_there_stays(pack):
    file = Path(pack()["path"])
    before = file.stat()
    assert pack()["path"] == str(file)
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_check_mode_names_it_and_writes_nothing(pack, tmp_path):
    foreseen = pack(check_mode=True)
    assert not (tmp_path / "cache").exists()
    made = pack()
    assert made == foreseen


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paths": ["src", "sources"]}, "Can't pack {root}: {root}/sources"),
        ({"root": "/nowhere/at/all"}, "Can't pack /nowhere/at/all: /nowhere/at/all/src"),
        ({"dest_directory": "{root}/setup.toml/new"}, "Can't write {root}/setup.toml/new/rax-"),
    ],
)
def test_what_it_cannot_do(pack, root, changes, message):
    changes = {
        key: Path(value.format(root=root)) if isinstance(value, str) else value
        for key, value in changes.items()
    }
    result = pack(**changes)
    assert result["failed"]
    assert result["msg"].startswith(message.format(root=root))


def test_a_full_disk_leaves_no_archive_that_looks_whole(pack, tmp_path, monkeypatch):
    real = Path.write_bytes

    def half(path, data):
        real(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", half)
        assert "No space left on device" in pack()["msg"]
    assert not list((tmp_path / "cache/archives").glob("rax-*"))
    with tarfile.open(pack()["path"]) as tar:
        assert len(tar.getnames()) == len(NAMES)


def test_two_runs_at_once(pack, tmp_path, monkeypatch):
    """A second run begins and ends between the first one's writing and renaming."""
    real = Path.replace

    def second_run_first(path, target):
        monkeypatch.setattr(Path, "replace", real)
        second = multiprocessing.get_context("fork").Process(target=pack)
        second.start()
        second.join()
        assert second.exitcode == 0
        assert Path(target).exists()
        return real(path, target)

    monkeypatch.setattr(Path, "replace", second_run_first)
    result = pack()
    assert "failed" not in result, result
    assert Path.replace is real, "the second run was not made"
    assert [str(path) for path in (tmp_path / "cache/archives").iterdir()] == [result["path"]]
