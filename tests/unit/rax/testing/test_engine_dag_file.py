"""The file of a DAG is found without loading those that have nothing to do with it."""

from pathlib import Path

import pytest

from rax.errors import RaxError
from rax.testing._engine import _dag_file
from rax.testing._engine._dag_file import NoDagError, find

# By file, what is in it, and the DAGs that it makes.
FILES = {
    "a.py": ("x", ["alpha"]),
    "b.py": ("beta in a comment", ["other"]),
    "c.py": ("'beta'", ["beta"]),
    "d.py": ("f'{stem}_daily'", ["gamma_daily"]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "dags"
    folder.mkdir()
    for name, (content, _dags) in FILES.items():
        (folder / name).write_text(content)
    files = sorted(folder.iterdir())
    monkeypatch.setattr(_dag_file, "_files", lambda _folder: files)
    return folder


class Loader:
    """Notes what is loaded; those in broken cannot be."""

    def __init__(self, *broken):
        self.loaded = []
        self.broken = broken

    def __call__(self, file):
        self.loaded.append(file.name)
        if file.name in self.broken:
            raise RaxError(f"{file.name} cannot be loaded: it is wrong")
        return {dag: f"the DAG {dag}" for dag in FILES[file.name][1]}


@pytest.mark.parametrize(
    ("dag_id", "lately", "broken", "found", "loaded"),
    [
        ("beta", None, (), "c.py", ["b.py", "c.py"]),
        ("beta", "c.py", (), "c.py", ["c.py"]),
        ("beta", "a.py", (), "c.py", ["a.py", "b.py", "c.py"]),
        ("beta", "gone.py", (), "c.py", ["b.py", "c.py"]),
        ("beta", None, ("b.py",), "c.py", ["b.py", "c.py"]),
        ("gamma_daily", None, (), "d.py", ["a.py", "b.py", "c.py", "d.py"]),
    ],
)
def test_the_file_that_makes_a_dag(folder, dag_id, lately, broken, found, loaded):
    loader = Loader(*broken)
    file = lately and folder / lately
    assert find(folder, dag_id, file, loader) == (folder / found, f"the DAG {dag_id}")
    assert loader.loaded == loaded


@pytest.mark.parametrize(
    ("dag_id", "broken", "message"),
    [
        ("betta", (), "no file of dags makes the DAG betta: did you mean beta?"),
        ("zzz", ("a.py",), "no file of dags makes the DAG zzz; a.py cannot be loaded: it is wrong"),
        ("zzz", tuple(FILES), "; c.py cannot be loaded: it is wrong; and 1 more"),
    ],
)
def test_no_file_makes_it(folder, dag_id, broken, message):
    with pytest.raises(NoDagError) as caught:
        find(folder, dag_id, Path("none"), Loader(*broken))
    assert str(caught.value).endswith(message)
