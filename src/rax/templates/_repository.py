# SPDX-License-Identifier: Apache-2.0
"""A new DAG repository, or what an existing one lacks to be checked and published."""

import contextlib
import json
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rax._git import git
from rax.airflow.dag_files import looks_like_dags
from rax.checking._project import Project
from rax.checking._settings import NAME as SETTINGS
from rax.checking._settings import Settings
from rax.errors import CommandError
from rax.templates._deployment import PYTHON, Deployment, deployment
from rax.templates._files import ASIDE, NewFile, in_the_way, templates_in, write_all

_DAGS = "dags"
# What ./rax and the nodes need. In a repository with code of its own, nothing else is added: it has
# its own style and its own tests.
_NEEDED = ("rax", SETTINGS, f"{_DAGS}/.gitkeep", "configs/.gitkeep")
_MAX_FOLDERS_SHOWN = 5


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    given: Deployment
    # Some of CI_SYSTEMS.
    ci: Sequence[str] = ("jenkins",)
    # Where the DAGs are; nothing where that is not said.
    dags_folder: str = ""
    # Whether to add what is missing to a folder that is not empty.
    add: bool = False


@dataclass
class Result:
    """What was done, by the names of files in the repository."""

    root: Path
    written: list[str] = field(default_factory=list)
    # Of the files that were asked for, those that are there already, and those that could be added.
    present: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    # What else to do, a sentence each.
    notes: list[str] = field(default_factory=list)


def new_repository(folder: Path, wanted: Wanted, here: Path) -> Result:
    """Write a repository, or, of one that is there, tell or add what is missing.

    Nothing is ever written over, and all is written or nothing.

    :param folder: the repository; it may be missing
    :param here: the repository that the command is run for, or the current folder
    :raises CommandError: the folder cannot be a repository, or the deployment is not known
    :raises OSError: a file cannot be written
    """
    root = _root_of(folder)
    is_new = not root.is_dir() or not any(
        entry.name not in (".git", ASIDE) for entry in os.scandir(root)
    )
    settings = Settings() if is_new else Settings.read(root)
    dags_folder = _form_of_folder(wanted.dags_folder or settings.dags_folder)
    found = Deployment(python=PYTHON)
    if settings.repository and settings.ref:
        found = deployment(Deployment(), root)
    elif (is_new or wanted.add) and not os.path.lexists(root / SETTINGS):
        found = deployment(wanted.given, here)
    # Workflows that are there already have no specs yet.
    has_dags = not is_new and bool(_folders_with_dags(Project(root)))
    files = _files(found, dags_folder, wanted.ci, flows_required=not has_dags)
    result = Result(root)
    if not is_new:
        files = _lacking(result, files, wanted)
    names = [str(file.path) for file in files]
    if not is_new and not wanted.add:
        result.missing = names
        return result
    write_all(root, files)
    result.written = names
    _make_git_repository(root)
    return result


def _root_of(folder: Path) -> Path:
    """Return the folder without links; it may be missing.

    :raises CommandError: it is something else, or is inside of another repository
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise CommandError(f"{folder} is there already, and is no folder")
    root = folder.resolve()
    around = next((up for up in root.parents if (up / ".git").exists()), None)
    if around and not (root / ".git").exists():
        raise CommandError(
            f"{root} is inside of the repository {around}, and nodes follow a whole repository: "
            "choose a folder outside, or make it a repository of its own with git init"
        )
    return root


def _form_of_folder(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or not text.isprintable() or any(part[0] == "." for part in path.parts):
        raise CommandError(f"--dags-folder {text!r} is no path of a folder below the repository")
    return str(path)


def _files(
    found: Deployment, dags_folder: str, ci: Sequence[str], *, flows_required: bool
) -> list[NewFile]:
    values = found._asdict() | {"dags_folder": dags_folder, "flows_required": flows_required}
    # Of printable text, a string of JSON is one of TOML.
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    files = templates_in("repository", quoted)
    for system in ci:
        files += _files_of_ci(system, found)
    if dags_folder != _DAGS:
        files = [file for file in files if file.path.parts[0] != _DAGS]
    return files


def _files_of_ci(system: str, found: Deployment) -> list[NewFile]:
    return templates_in(f"ci/{system}", {"python": found.python})


def _lacking(result: Result, files: list[NewFile], wanted: Wanted) -> list[NewFile]:
    """Return what to add to a repository that is there, and note what it has already."""
    root = result.root
    there = set(in_the_way(root, files))
    if not_folders := sorted(there - {str(file.path) for file in files}):
        raise CommandError(f"{', '.join(not_folders)} of {root} is no folder, and has to be one")
    project = Project(root)
    of_ci = {str(file.path) for system in wanted.ci for file in _files_of_ci(system, Deployment())}
    # The modules that a new repository begins with are no code of its own.
    has_code = bool(set(project.python_files) - {str(file.path) for file in files})
    lacking = []
    for file in files:
        name, folder = str(file.path), file.path.parent
        keeps = folder != PurePosixPath() and name not in of_ci
        if name in there or (keeps and _has_files(root / folder)) or _has_instead(root, name):
            result.present.append(name)
        elif not has_code or name in of_ci or name in _NEEDED:
            lacking.append(file)
    result.notes += _notes(project, wanted)
    return lacking


def _has_files(folder: Path) -> bool:
    """Return whether there is something in a folder, which then needs no file to keep it."""
    return folder.is_dir() and any(folder.iterdir())


def _has_instead(root: Path, name: str) -> bool:
    """Return whether the repository has the settings of ruff elsewhere, which a file would hide."""
    if name != "ruff.toml":
        return False
    if os.path.lexists(root / ".ruff.toml"):
        return True
    try:
        tables = tomllib.loads((root / "pyproject.toml").read_text())
    except (OSError, ValueError):
        return False
    return "ruff" in tables.get("tool", {})


def _notes(project: Project, wanted: Wanted) -> list[str]:
    """Say what else stands in the way of a repository that came from elsewhere.

    :raises CommandError: its DAGs are elsewhere, so that adding an empty folder would hide them
    """
    folder = wanted.dags_folder or project.settings.dags_folder
    notes = []
    if os.path.lexists(project.root / SETTINGS) and not project.settings.repository:
        notes.append(f"{SETTINGS} lacks [deployment] with repository, ref and python")
    if folder != _DAGS:
        notes.append(f"the inventory of the deployment needs dag_sync_dags_folder: {folder}")
    if (project.root / folder).is_dir():
        return notes
    if wanted.dags_folder and wanted.dags_folder != _DAGS:
        raise CommandError(f"--dags-folder {folder!r}: {project.root} has no such folder")
    with_dags = _folders_with_dags(project)
    if not with_dags or wanted.dags_folder:
        return notes
    problem = (
        f"files like DAGs are in {', '.join(sorted(with_dags)[:_MAX_FOLDERS_SHOWN])}, and there is "
        f"no folder {folder}: name where they are with --dags-folder"
    )
    if wanted.add:
        raise CommandError(problem)
    return [*notes, problem]


def _folders_with_dags(project: Project) -> set[str]:
    return {
        str(PurePosixPath(file).parent)
        for file in project.python_files
        if looks_like_dags(project.read(file))
    }


def _make_git_repository(root: Path) -> None:
    """Make it a repository of git, unless it is one."""
    if (root / ".git").exists():
        return
    with contextlib.suppress(CommandError):
        if not git(root, "init", "--quiet", "--initial-branch=main").returncode:
            return
    raise CommandError(f"all files are in {root}, and git init failed: run it there, to see why")
