"""Which files a check looks at."""

import os

import pytest

from rax.checking._reading import MAX_FILE_BYTES, UnreadableError, read_file
from rax.errors import CommandError

HOSTILE = ["dags/a\nb.py", "dags/\x1b[31mred.py", "dags/-n.py", "dags/@x.py", "dags/é .py",
           os.fsdecode(b"dags/\xff.py")]  # fmt: skip
FILES = {"dags/a.py": "", "configs/a.yaml": "", ".hidden/b.py": "", "new.txt": ""}


def test_of_git_what_it_has_or_would_take(repository):
    repository.write(FILES | {".gitignore": "ignored/\n", "ignored/x.py": "", "gone.py": ""})
    repository.commit()
    repository.write({"untracked.py": "", "gone.py": None})
    assert repository.project().files == tuple(sorted({*FILES, ".gitignore", "untracked.py"}))


def test_without_git_all_but_hidden_folders_and_environments(repository):
    repository.write(FILES | {".venv/x.py": "", "env/pyvenv.cfg": "", "env/x.py": "",
                              "dags/__pycache__/a.py": ""})  # fmt: skip
    assert repository.project().files == ("configs/a.yaml", "dags/a.py", "new.txt")


def test_a_folder_of_a_repository(repository):
    """Names are relative to it, and what is beside it is not looked at."""
    repository.write({"a/dags/x.py": "", "b/y.py": ""})
    commit = repository.commit()
    repository.write({"a/dags/x.py": "x = 1\n", "b/y.py": "x = 1\n"})
    repository.root /= "a"
    project = repository.project(since=commit)
    assert (project.files, project.changed) == (("dags/x.py",), {"dags/x.py"})


def test_a_folder_that_git_ignores(repository):
    repository.write({".gitignore": "build/\n", "build/dags/x.py": ""}).commit()
    repository.root /= "build"
    assert repository.project().files == ("dags/x.py",)


@pytest.mark.parametrize("in_git", [True, False])
def test_hostile_names(repository, in_git):
    repository.write(dict.fromkeys(HOSTILE, "x = 1\n"))
    if in_git:
        repository.commit()
    project = repository.project()
    assert project.python_files == tuple(sorted(HOSTILE))
    assert {project.read(file) for file in project.files} == {b"x = 1\n"}


def test_what_is_no_file_of_the_repository(repository, tmp_path):
    (tmp_path / "outside.py").write_text("secret = 1\n")
    repository.write({"dags/a.py": ""})
    dags = repository.root / "dags"
    (dags / "inside.py").symlink_to("a.py")
    (dags / "outside.py").symlink_to("../../outside.py")
    (dags / "itself.py").symlink_to("itself.py")
    (dags / "nowhere.py").symlink_to("nowhere")
    (dags / "up").symlink_to("../..")
    os.mkfifo(dags / "pipe.py")
    for _ in range(2):
        project = repository.project()
        assert project.files == ("dags/a.py", "dags/inside.py")
        # The same with git.
        repository.commit()


@pytest.mark.parametrize(("name", "why"), [
    ("outside.py", "is outside of this repository"),
    ("../outside.py", "is outside of this repository"),
    ("pipe.py", "is not a regular file"),
    ("folder", "is not a regular file"),
    ("itself.py", "is a link to itself|Too many levels"),
    ("large.py", "is larger than 5,000,000 bytes"),
    ("a.py/b", "Not a directory"),
])  # fmt: skip
def test_what_is_not_read(repository, tmp_path, name, why):
    """It may have become so since the repository was listed."""
    (tmp_path / "outside.py").write_text("secret = 1\n")
    root = repository.write(
        {"a.py": "", "folder/x": "", "large.py": b" " * (MAX_FILE_BYTES + 1)}
    ).root
    (root / "outside.py").symlink_to("../outside.py")
    (root / "itself.py").symlink_to("itself.py")
    os.mkfifo(root / "pipe.py")
    with pytest.raises(UnreadableError, match=why):
        read_file(root, name)


def test_what_differs_from_a_commit(repository):
    repository.write({"a.py": "", "b.py": "", "c.py": "", "d\n.py": ""})
    commit = repository.commit()
    repository.write({"a.py": "x = 1\n", "d\n.py": "x = 1\n"}).commit()
    repository.write({"b.py": "x = 1\n", "new.py": "", "c.py": None})
    project = repository.project(since=commit)
    assert project.changed == {"a.py", "b.py", "c.py", "d\n.py", "new.py"}
    assert [project.is_asked(file) for file in ("a.py", "other.py")] == [True, False]
    assert repository.project().is_asked("other.py")


@pytest.mark.parametrize("revision", ["nothing", "--output=x", "", "HEAD:a.py", "a\nb"])
def test_a_commit_that_is_not_there(repository, revision):
    repository.write({"a.py": ""}).commit()
    with pytest.raises(CommandError, match="--since: there is no commit "):
        repository.project(since=revision)
    assert not (repository.root / "x").exists()


def test_without_git_nothing_has_changed_since(repository):
    with pytest.raises(CommandError, match="is in no repository of git, which --since asks"):
        repository.project(since="HEAD")


def test_a_repository_starts_no_program(repository):
    """Git runs what core.fsmonitor of a repository names."""
    repository.write({"a.py": ""}).commit()
    ran = repository.root / "ran"
    repository.git("config", "core.fsmonitor", f"touch {ran}; false")
    assert repository.project(since="HEAD").files == ("a.py",)
    assert not ran.exists()


def test_a_hook_of_git_may_start_it(repository, monkeypatch):
    repository.write({"a.py": ""})
    commit = repository.commit()
    repository.write({"a.py": "x = 1\n"})
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    project = repository.project(since=commit)
    assert (project.files, project.changed) == (("a.py",), {"a.py"})


def test_git_that_refuses(repository):
    repository.write({"a.py": "", ".git": "gitdir: /nowhere\n"})
    with pytest.raises(CommandError, match=r"git ls-files in .*: fatal: not a git repository"):
        repository.project()


def test_no_folder(tmp_path, repository):
    repository.root = tmp_path / "none"
    with pytest.raises(CommandError, match="none is no folder"):
        repository.project()
