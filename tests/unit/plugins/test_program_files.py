"""How a program that is a package gets to a node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter.program_files import FilterModule
from ansible_collections.caspian.airflow.plugins.plugin_utils.program_files import commit_of

ROOT = Path(__file__).resolve().parents[3]
SYNC = ROOT / "roles/dag_sync/files/airflow_dag_sync"
program_files = FilterModule().filters()["program_files"]


@pytest.fixture
def package(tmp_path):
    """A package that is in no git repository."""
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text("def main(version):\n    return f'hello {version}'\n")
    return folder


def test_the_launcher_is_last_and_names_the_folder(package):
    library, folder, inner, *modules, launcher = program_files(
        str(package), "/lib/hello", "/bin/hello", "/usr/bin/python3 -IS"
    )
    assert library == {"path": "/lib/hello", "state": "directory", "mode": "0755"}
    assert inner["path"] == f"{folder['path']}/hello"
    assert [entry["path"] for entry in modules] == [
        f"{inner['path']}/__init__.py", f"{inner['path']}/__main__.py",
    ]  # fmt: skip
    assert launcher["path"] == "/bin/hello"
    assert launcher["content"].startswith("#!/usr/bin/python3 -IS\n")
    assert f'FOLDER = "{folder["path"]}"' in launcher["content"]


@pytest.mark.parametrize("change", ["another text", "another name"])
def test_another_version_has_another_folder(package, change):
    def folder():
        return program_files(str(package), "/lib", "/bin/hello", "python3")[1]["path"]

    before = folder()
    assert before == folder()
    if change == "another text":
        (package / "__init__.py").write_text("# Changed.\n")
    else:
        (package / "__init__.py").rename(package / "other.py")
    assert folder() != before


def test_what_is_no_program(tmp_path):
    with pytest.raises(AnsibleFilterError, match=f"^program_files: {tmp_path} has no __main__"):
        program_files(str(tmp_path), "/lib", "/bin/hello", "python3")


def install(source, folder):
    """Install a package below a folder, as the module `files` does; return the launcher."""
    launcher = folder / source.name
    for entry in program_files(str(source), f"{folder}/lib", str(launcher), "/usr/bin/python3 -IS"):
        path = Path(entry["path"])
        if entry.get("state") == "directory":
            path.mkdir()
        else:
            path.write_text(entry["content"])
            path.chmod(int(entry["mode"], 8))
    return launcher


@pytest.fixture
def installed(tmp_path):
    """Install the sync below a folder; return the launcher."""
    return install(SYNC, tmp_path)


def test_the_sync_says_its_commit(installed):
    words = ["git", "-C", ROOT, "log", "-1", "--format=%H", "--", SYNC]
    commit = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    done = subprocess.run([installed, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"airflow-dag-sync {commit}\n"


def test_the_sync_runs_from_anywhere(installed, tmp_path):
    """Nothing of the folder where somebody runs it is taken for a module of its own."""
    (tmp_path / "work").mkdir()
    for name in ("text.py", "errors.py", "argparse.py", "airflow_dag_sync.py"):
        (tmp_path / "work" / name).write_text("raise SystemExit(70)\n")
    words = [installed, "--settings", tmp_path / "none", "status"]
    done = subprocess.run(words, cwd=tmp_path / "work", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2, f"failed: {tmp_path}/none: No such file or directory\n",
    )  # fmt: skip


def test_a_package_of_no_repository_has_no_known_commit(package):
    assert commit_of(package) == ""
    entries = program_files(str(package), "/lib", "/bin/hello", "python3")
    assert not [entry for entry in entries if entry["path"].endswith("/commit")]
    shutil.rmtree(package)
    assert commit_of(package) == ""


def test_the_launcher_is_the_same_with_and_without_a_repository(tmp_path):
    """A collection that was installed from an archive finds nothing to change."""
    copy = shutil.copytree(SYNC, tmp_path / SYNC.name, ignore=shutil.ignore_patterns("__pycache__"))
    with_it, without = (
        program_files(str(source), "/lib", "/bin/sync", "python3") for source in (SYNC, copy)
    )
    assert [entry for entry in with_it if not entry["path"].endswith("/commit")] == without
    assert len(with_it) == len(without) + 1


def test_the_library_runs_without_an_environment(tmp_path):
    """It has packages in it, and a host without Airflow runs it with the system's Python alone."""
    rax = install(ROOT / "src/rax", tmp_path)
    done = subprocess.run([rax, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("rax ")
    done = subprocess.run([rax, "status", "--json"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "unexpected" not in json.dumps(json.loads(done.stdout)["problems"])
