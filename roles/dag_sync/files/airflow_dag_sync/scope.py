# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Airflow reads of a release, and where its DAGs are."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from airflow_dag_sync.airflowignore import IgnoreFiles
from airflow_dag_sync.check_files import all_paths
from airflow_dag_sync.text import summarize

# What DAGs and tasks are given beside the folder of DAGs.
READ_FOLDERS = ("lib", "util", "configs")
# Airflow runs a file of the folder of DAGs that has a word of each row in it, in any case. These
# are the words of rax.airflow.dag_files, which Airflow asks and this program cannot import.
DAG_WORDS = ((b"airflow", b"rax"), (b"dag", b"asset", b"workflow"))


class Scope:
    """Tells which paths of a release Airflow reads."""

    def __init__(self, release: Path, dags_folder: str, syntax: str) -> None:
        self.release = release
        self.dags_folder = dags_folder
        self.ignored = IgnoreFiles(release / dags_folder, syntax)

    def reads(self, path: str) -> bool:
        """Whether Airflow reads a path, by its own name or through a link."""
        names = [path]
        for link, target in self.links.items():
            if is_below(path, target):
                below = path if target == "." else path.removeprefix(target).lstrip("/")
                names.append(f"{link}/{below}".rstrip("/"))
        return any(map(self.reads_by_name, names))

    def runs(self, path: str) -> bool:
        """Whether Airflow runs a file by itself, to find DAGs in it."""
        return self.searches(path) and is_dag_file(self.release / path)

    def relative_import_problem(
        self, path: str, line: int, level: int, module: str, names: str
    ) -> str:
        """Say why an import of a file that Airflow runs fails, and what to write instead."""
        relative = f"from {'.' * level}{module} import"
        absolute = self.absolute_import(path, level, module, names)
        instead = f"write '{absolute}'" if absolute else "give the module's whole name"
        return (
            f"{path}:{line}: Airflow runs this file by itself, so that '{relative}' fails: "
            f"{instead}, or name the file in .airflowignore if it has no DAG"
        )

    def absolute_import(self, path: str, level: int, module: str, names: str) -> str | None:
        """Write a relative import as one that begins where Python searches, if there is one.

        That is the folder of DAGs, and the root of the repository.
        """
        package: list[str] = path.split("/")[:-1]
        if level > 1:
            del package[1 - level :]
        folder = [] if self.dags_folder == "." else self.dags_folder.split("/")
        if package[: len(folder)] == folder:
            del package[: len(folder)]
        parts = [*package, *filter(None, module.split("."))]
        if level > path.count("/") + 1 or not all(part.isidentifier() for part in parts):
            return None
        if parts:
            return f"from {'.'.join(parts)} import"
        return None if names == "*" else f"import {names}"

    def reads_by_name(self, path: str) -> bool:
        """Whether Airflow reads a path by its own name."""
        return any(is_below(path, folder) for folder in READ_FOLDERS) or self.searches(path)

    def searches(self, path: str) -> bool:
        """Whether a path is in the folder of DAGs, and not ignored there."""
        if not is_below(path, self.dags_folder):
            return False
        below = path if self.dags_folder == "." else path.removeprefix(self.dags_folder).lstrip("/")
        return not below or not self.ignored.match(below)

    @functools.cached_property
    def links(self) -> dict[str, str]:
        """Map the links that Airflow follows to what they lead to."""
        # A folder may be reached by a link as a whole.
        paths = {self.dags_folder, *READ_FOLDERS}
        paths |= {path for path in all_paths(self.release) if (self.release / path).is_symlink()}
        targets = {path: self.target(path) for path in paths if self.reads_by_name(path)}
        return {path: target for path, target in targets.items() if path != target}

    def target(self, path: str) -> str:
        """Return where a path leads to, as one below the release."""
        return os.path.relpath(os.path.realpath(self.release / path), self.release.resolve())


def missing_folder_problem(release: Path, dags_folder: str) -> str | None:
    """Say that a release has no folder of DAGs, and where it may have them instead."""
    if (release / dags_folder).is_dir():
        return None
    found = folders_with_dags(release)
    names = ["its root ('.')" if folder == "." else folder for folder in found]
    elsewhere = f"DAGs are in {summarize(names)}" if names else "no file looks like one of DAGs"
    return f"it has no folder {dags_folder}, and {elsewhere}: set dag_sync_dags_folder"


def folders_with_dags(release: Path) -> list[str]:
    """List the folders that look like those of DAGs, without those below another."""
    files = [path for path in all_paths(release) if path.endswith(".py")]
    # Tests of DAGs look like DAGs.
    files = [path for path in files if "tests" not in path.split("/")] or files
    found = {
        named_folder(path) or path.rpartition("/")[0] or "."
        for path in files
        if is_dag_file(release / path)
    }
    found = found or {folder for path in files if (folder := named_folder(path))}
    # Of many folders side by side, the one above them is meant.
    above = [folder.rpartition("/")[0] for folder in found]
    found |= {folder for folder in above if folder and above.count(folder) > 1}
    return sorted(
        folder for folder in found if not any(is_below(folder, other) for other in found - {folder})
    )


def named_folder(path: str) -> str | None:
    """Return the first folder named dags that a file is in."""
    folders = path.split("/")[:-1]
    return "/".join(folders[: folders.index("dags") + 1]) if "dags" in folders else None


def is_dag_file(path: Path) -> bool:
    """Whether the content of a file looks like that of DAGs."""
    try:
        content = path.read_bytes().lower()
    except OSError:
        return False
    return all(any(word in content for word in row) for row in DAG_WORDS)


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or something in it."""
    return folder == "." or f"{path}/".startswith(f"{folder}/")
