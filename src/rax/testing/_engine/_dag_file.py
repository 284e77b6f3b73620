# SPDX-License-Identifier: Apache-2.0
"""The file that makes a DAG, found without loading all the others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rax.config._files import near
from rax.errors import RaxError

_MAX_NAMED = 3


class NoDagError(RaxError):
    """No file makes a DAG of that id."""


def find(
    folder: Path, dag_id: str, lately: Path | None, load: Callable[[Path], dict[str, Any]]
) -> tuple[Path, Any]:
    """Return the file that makes a DAG, and the DAG.

    :param lately: the file that made it lately
    :param load: returns the DAGs that a file makes
    :raises NoDagError: none does; it says which files could not be loaded
    """
    found: dict[str, Path] = {}
    failed: dict[Path, Exception] = {}
    for file in _in_order(folder, dag_id, lately):
        try:
            dags = load(file)
        except RaxError as error:
            failed[file] = error
            continue
        if dag_id in dags:
            return file, dags[dag_id]
        found |= dict.fromkeys(dags, file)
    raise NoDagError(_told(folder, dag_id, found, failed))


def _in_order(folder: Path, dag_id: str, lately: Path | None) -> Iterator[Path]:
    """Yield the files of DAGs: first those that are likely to make this one."""
    done = set()
    if lately is not None and lately.is_file():
        done.add(lately)
        yield lately
    others = []
    for file in _files(folder):
        if file in done:
            continue
        if dag_id.encode() in file.read_bytes():
            yield file
        else:
            others.append(file)
    # An id may be put together.
    yield from others


def _files(folder: Path) -> list[Path]:
    """Return the files that Airflow would look into."""
    from airflow.utils.file import list_py_file_paths

    return [Path(name) for name in sorted(list_py_file_paths(str(folder), safe_mode=True))]


def _told(folder: Path, dag_id: str, found: dict[str, Path], failed: dict[Path, Exception]) -> str:
    text = f"no file of {folder.name} makes the DAG {dag_id}{near(dag_id, found)}"
    for error in list(failed.values())[:_MAX_NAMED]:
        text += f"; {error}"
    if len(failed) > _MAX_NAMED:
        text += f"; and {len(failed) - _MAX_NAMED} more"
    return text
