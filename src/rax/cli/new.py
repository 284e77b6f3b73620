# SPDX-License-Identifier: Apache-2.0
"""``rax new``: a DAG repository, and workflows in it, that pass ``rax check`` as they are."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rax._laptop import here
from rax._printable import one_line
from rax.cli._commands import add_command, add_group
from rax.cli._output import write, write_json
from rax.templates import CI_SYSTEMS

if TYPE_CHECKING:
    from rax.cli._commands import Commands
    from rax.templates._repository import Result

_REPOSITORY = """\
Writes ./rax and rax.toml, folders for DAGs, configs, helpers and tests, settings of ruff and
pre-commit, and what CI runs. A folder that is no repository of git becomes one.
In a folder that is not empty, nothing is written: it is told what is there and what is missing,
and --add adds that. A repository with code of its own gets only what ./rax, the nodes and CI need.
exit codes:
  0  it is written, or nothing is missing
  1  something is missing, and nothing is written
  3  it cannot be a repository, or the deployment is not known"""
_WORKFLOW = """\
For genes.daily, writes configs/genes/daily.yaml, lib/genes_daily.py, tests/test_genes_daily.py,
tests/flows/genes_daily.flow.yaml with its data, and dags/genes/daily.py, whose DAG is genes_daily:
check, task and summary, to change as you need.
Where one of these, or a DAG of that id, is there already, nothing is written."""


def add_parser(commands: "Commands") -> None:
    """Add the group to the command line."""
    group = add_group(commands, "new", "a DAG repository, or a workflow in one")
    repository = add_command(
        group, "repository", _repository, "a DAG repository, or what one lacks", _REPOSITORY
    )
    repository.add_argument("folder", metavar="DIR", type=Path, help="the repository")
    repository.add_argument(
        "--deployment", metavar="URL", default="",
        help="address of the deployment's repository (default: the one that this rax is from)",
    )  # fmt: skip
    repository.add_argument(
        "--ref", default="", help="a tag or a full commit of it (default: that of this rax)"
    )
    repository.add_argument(
        "--python", metavar="X.Y", default="", help="the nodes' Python (default: that of this rax)"
    )
    repository.add_argument(
        "--ci",
        metavar="SYSTEMS",
        type=_systems,
        default=("jenkins",),
        help="some of jenkins,github,gitlab; all; none (default: jenkins)",
    )
    repository.add_argument(
        "--dags-folder",
        metavar="FOLDER",
        default="",
        help="where the DAGs are, as in dag_sync_dags_folder; '.' is the root (default: dags)",
    )
    repository.add_argument(
        "--add", action="store_true", help="add what is missing to a folder that is not empty"
    )
    workflow = add_command(group, "workflow", _workflow, "a workflow that works", _WORKFLOW)
    workflow.add_argument(
        "name", metavar="NAME", help="that of its config: genes.daily, ebi.flights.daily"
    )


def _systems(text: str) -> tuple[str, ...]:
    if text in ("all", "none"):
        return CI_SYSTEMS if text == "all" else ()
    systems = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in systems if name not in CI_SYSTEMS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(CI_SYSTEMS)}")
    return systems


def _repository(options: argparse.Namespace) -> int:
    from rax.templates._deployment import Deployment
    from rax.templates._repository import Wanted, new_repository

    given = Deployment(options.deployment, options.ref, options.python)
    wanted = Wanted(given, options.ci, options.dags_folder, options.add)
    result = new_repository(options.folder, wanted, here())
    if options.json:
        write_json({**vars(result), "root": str(result.root)})
    else:
        _write(result, options)
    return int(bool(result.missing))


def _write(result: "Result", options: argparse.Namespace) -> None:
    where = one_line(str(result.root))
    for title, names in (
        ("written", result.written),
        ("there already", result.present),
        ("missing", result.missing),
    ):
        write(f"{title}:\n" * bool(names))
        write("".join(f"  {name}\n" for name in names))
    for note in result.notes:
        write(f"note: {one_line(note)}\n")
    if result.missing:
        folder = one_line(str(options.folder))
        write(f"nothing is written; to add what is missing: rax new repository {folder} --add\n")
    elif not result.written:
        write(f"nothing is missing in {where}\n")
    else:
        write(f"next, in {where}: ./rax new workflow TEAM.NAME, then ./rax check\n")


def _workflow(options: argparse.Namespace) -> int:
    from rax._laptop import find_root
    from rax.templates._workflow import new_workflow

    root = find_root()
    names = [str(file.path) for file in new_workflow(root, options.name)]
    if options.json:
        write_json({"root": str(root), "written": names})
    else:
        write("written:\n" + "".join(f"  {name}\n" for name in names))
        write("next: ./rax check, then change them to what you need\n")
    return 0
