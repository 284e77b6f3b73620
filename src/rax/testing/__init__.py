# SPDX-License-Identifier: Apache-2.0
"""Unit tests of a DAG repository, under pytest and unittest: as on the nodes, with no database.

pytest loads ``rax.testing.plugin`` by itself, which prepares the process in a DAG repository. Where
unittest runs the tests, they see the repository's root alone, unless ``rax check --unittest`` runs
it. A test of a DAG's structure asks for the DAG::

    from rax.testing import load_dags

    class DailyTest(unittest.TestCase):
        def test_the_work_comes_after_the_check(self):
            dag = load_dags()["ebi_flights_daily"]
            self.assertEqual(dag.get_task("load").upstream_task_ids, {"source_answers"})

That each DAG can be loaded, has no cycle and ends in a summary needs no test: ``rax check`` looks.
"""

import atexit
import contextlib
import functools
import os
import sys
from pathlib import Path
from typing import Any

from rax import _laptop
from rax._temporary import temporary_folder
from rax.errors import WorkflowError

__all__ = ["load_dags", "prepare"]


def prepare(root: Path) -> None:
    """Make this process one that sees a repository as a node does, before Airflow is imported.

    Its folder of DAGs and its root are at the end of ``sys.path``. Its configs are those that
    ``rax.config`` reads, without what only a laptop has. There are no credentials: a test that
    needs some makes a folder and names it in ``RAX_CREDENTIALS_DIR``. Airflow gets an empty home,
    removed at the end of the process, and none of the settings that somebody has exported.

    :raises CommandError: its ``rax.toml`` says what it cannot say
    """
    from rax.checking._settings import Settings

    folder = Settings.read(root).dags_folder
    for entry in _laptop.import_path(root, folder):
        if entry not in sys.path:
            sys.path.append(entry)
    kept = _laptop.without_airflow(dict(os.environ))
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    home = _home()
    credentials = home / "credentials"
    credentials.mkdir(mode=0o700, exist_ok=True)
    os.environ |= {
        **_laptop.settings(root, folder),
        "AIRFLOW_HOME": str(home),
        "RAX_CREDENTIALS_DIR": str(credentials),
    }
    os.environ.pop("RAX_RELEASE_DIR", None)
    sys.dont_write_bytecode = True


def load_dags(root: Path | None = None) -> dict[str, Any]:
    """Return the DAGs of a repository by their ids; loaded once.

    :param root: of the repository; by default the one that this process is in
    :raises WorkflowError: this is no repository, or a file of it cannot be loaded: with its errors
    """
    root = root or _laptop.likely_root(Path.cwd())
    if root is None:
        raise WorkflowError(f"{Path.cwd()} is in no DAG repository")
    return _loaded(root)


@functools.cache
def _loaded(root: Path) -> dict[str, Any]:
    from rax.checking._settings import Settings

    if "airflow" not in sys.modules:
        prepare(root)
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=root / Settings.read(root).dags_folder)
    if bag.import_errors:
        errors = (f"{file}: {text}" for file, text in sorted(bag.import_errors.items()))
        raise WorkflowError("DAG files that cannot be loaded:\n" + "\n".join(errors))
    dags: dict[str, Any] = bag.dags
    return dags


@functools.cache
def _home() -> Path:
    ends = contextlib.ExitStack()
    atexit.register(ends.close)
    return ends.enter_context(temporary_folder("tests"))
