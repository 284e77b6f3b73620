# SPDX-License-Identifier: GPL-3.0-or-later
"""What `scripts/test --changed` runs: a file's row names each folder of tests that may notice."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo.test_code import imports_of, module_name

ROOT = Path(__file__).resolve().parents[2]
NO_ROW = "no row"
READ = """
. scripts/lib/common.sh
. scripts/lib/changed.sh
while IFS= read -r file; do
  printf '\\036%s\\n' "$file"
  tests_of "$file" || say "no row"
done
"""
# Paths of this repository that stand in a test as a text.
MENTIONED = re.compile(r"""["']((?:roles|playbooks|inventories|scripts|src)/[\w./-]*)["']""")


def bash(script: str, text: str = "") -> str:
    return subprocess.run(
        ["bash", "-c", script], cwd=ROOT, input=text, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def rows(repository):
    """Return, of each file and link, the folders that its row names."""
    names = [str(path) for path in (*repository.paths, *repository.links)]
    found = bash(READ, "".join(f"{name}\n" for name in names)).split("\036")[1:]
    parts = [entry.partition("\n") for entry in found]
    return {name: said.strip() if NO_ROW in said else said.split() for name, _, said in parts}


def test_every_file_has_a_row(rows):
    assert [name for name, folders in rows.items() if folders == NO_ROW] == []
    assert len(rows) > 500


def test_every_folder_of_a_row_is_there(rows):
    named = {folder for folders in rows.values() for folder in folders}
    assert {folder for folder in named if not (ROOT / folder).is_dir()} == set()
    rooms = {f"tests/unit/{path.name}" for path in (ROOT / "tests/unit").iterdir() if path.is_dir()}
    assert {room for room in rooms if "__" not in room} - named == set()


def room_of(path: Path) -> str:
    """Return the folder with which `--changed` runs a test, or nothing if it always does."""
    if path.parts[:2] == ("tests", "unit"):
        return "/".join(path.parts[:3])
    return "tests/attacks" if path.parts[:2] == ("tests", "attacks") else ""


def names_of(path: Path) -> Iterator[str]:
    """Yield what a file is imported as."""
    yield module_name(path) or str(path.with_suffix("")).replace("/", ".")
    if room_of(path):
        yield path.stem


def imported(tree) -> dict[Path, set[Path]]:
    """Return which files of the repository each file of Python imports."""
    paths = [path for path in tree.glob("**/*.py") if path.name != "conftest.py"]
    known = {name: path for path in paths for name in names_of(path)}
    found = {}
    for path in tree.glob("**/*.py"):
        module = ast.parse(tree.text(path))
        package = path.name == "__init__.py"
        found[path] = {
            known[part]
            for name in imports_of(module, next(names_of(path)), package=package)
            for part in (name, name.rpartition(".")[0])
            if part in known
        }
    return found


@pytest.fixture(scope="module")
def needs(repository):
    """Return, of each folder of tests, the files that its tests import or name."""
    graph = imported(repository)
    found: dict[str, set[str]] = {}
    for path in graph:
        if not (room := room_of(path)):
            continue
        pending, needed = [path], set()
        while pending:
            new = graph[pending.pop()] - needed
            needed |= new
            pending += new
        named = [Path(name) for name in MENTIONED.findall(repository.text(path))]
        needed |= {
            file
            for part in named
            for file in repository.paths
            if file == part or part in file.parents
        }
        found.setdefault(room, set()).update(str(file) for file in needed if room_of(file) != room)
    return found


def lacking(rows, needs):
    """Return the files whose rows lack a folder with a test that imports or names them."""
    return sorted(
        f"{name}: {room}"
        for room, names in needs.items()
        for name in names
        if not {room, "tests/unit"} & {*rows[name]}
    )


def test_what_a_test_imports_or_names_has_its_folder(rows, needs):
    assert lacking(rows, needs) == []


def test_a_row_that_lacks_a_folder_is_found(rows, needs):
    names = ("src/rax/errors.py", "roles/airflow/defaults/main.yml")
    found = lacking({**rows, **{name: ["src"] for name in names}}, needs)
    assert {f"{names[0]}: tests/unit/rax", f"{names[0]}: tests/attacks"} <= {*found}
    assert f"{names[1]}: tests/unit/airflow" in found


def test_which_folders_run():
    """Each once; all of them for a file of a kind that nobody has thought of."""

    def run(*files):
        given = " ".join(files)
        return bash(f". scripts/lib/common.sh; . scripts/lib/changed.sh; tests_for {given}").split()

    assert run("docs/rax.md", "README.md") == ["tests/repo"]
    assert run("tests/unit/lab/x.py", "tests/unit/lab/y.py", "tests/unit/gone/x.py") == [
        "tests/repo",
        "tests/unit/lab",
    ]
    assert run("nosuch/file") == ["src", "tests/attacks", "tests/repo", "tests/unit"]
