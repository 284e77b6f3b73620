# SPDX-License-Identifier: Apache-2.0
"""``rax repository``: what stands in the way of a DAG repository on the nodes."""

import argparse
from typing import TYPE_CHECKING

from rax._printable import one_line
from rax.cli._account import leave_root
from rax.cli._commands import add_command, add_group, add_repository
from rax.cli._output import write, write_json

if TYPE_CHECKING:
    from rax.checking._dags._repository import Repository
    from rax.checking._finding import Finding
    from rax.cli._commands import Commands


def add_parser(commands: "Commands") -> None:
    """Add the group to the command line."""
    group = add_group(commands, "repository", "a DAG repository, before or after it is here")
    check = add_command(
        group,
        "check",
        _check,
        "what of a DAG repository will fail on the nodes, by file",
        "Files are read, and nothing of the repository is run. Looked at are the folder of DAGs,\n"
        "but for what .airflowignore names, and lib and util: whether they compile, and whether\n"
        "what they import is in Airflow, in this environment or in the repository. What only a\n"
        "run shows, such as a wrong argument of an operator, is not found.\n"
        "Exit code: 0 nothing is in the way, 1 something is: it says what to do.",
    )
    add_repository(check)
    check.add_argument(
        "--dags-folder",
        metavar="FOLDER",
        help="where its DAGs are, as in dag_sync_dags_folder; '.' is its root (default: what its "
        "rax.toml says, or else dags)",
    )


def _check(options: argparse.Namespace) -> int:
    from rax.checking._dags._process import AirflowProcess
    from rax.checking._dags._repository import Repository
    from rax.checking._project import Project

    leave_root()
    project = Project(options.path)
    folder = options.dags_folder or project.settings.dags_folder
    with AirflowProcess(project.root, folder) as airflow:
        found = Repository(project, folder, airflow)
    if options.json:
        write_json(
            {
                "path": str(found.root),
                "run": found.run,
                "left_out": found.left_out,
                "problems": [_plain(problem) for problem in found.problems],
                "notes": [_plain(note) for note in found.notes],
                "lacking": sorted(found.lacking),
                "needs": {what: sorted(names) for what, names in found.needs.items()},
            }
        )
    else:
        _write(found)
    return 1 if found.problems else 0


def _plain(finding: "Finding") -> dict[str, object]:
    # It is about the nodes of today: rules and warnings are of `rax check`.
    return {key: getattr(finding, key) for key in ("file", "line", "problem", "advice")}


def _write(found: "Repository") -> None:
    # The lines of each thing that is wrong with a file.
    files: dict[str, dict[tuple[str, str], list[int]]] = {}
    for found_one in found.problems:
        problems = files.setdefault(found_one.file, {})
        problems.setdefault((found_one.problem, found_one.advice), []).append(found_one.line)
    for file, problems in files.items():
        write(f"{one_line(file)}\n")
        for (problem, advice), lines in problems.items():
            where = ", ".join(str(line) for line in lines if line)
            write(f"  {where}: {one_line(problem)}\n" if where else f"  {one_line(problem)}\n")
            write(f"    → {one_line(advice)}\n" if advice else "")
    for file, why in found.left_out.items():
        write(f"not run to find DAGs, {why}: {one_line(file)}\n")
    if found.notes:
        count = len({note.file for note in found.notes})
        write(f"imports that work and are deprecated: in {count} of the files, see --json\n")
    for kind, names in found.needs.items():
        if names:
            write(f"{kind} by name: {one_line(', '.join(sorted(names)))}\n")
    if found.lacking:
        write(f"no package of the nodes has: {', '.join(sorted(found.lacking))}\n")
    count = len(found.problems)
    said = "no problem" if not count else f"{count} problem{'s' * (count > 1)}"
    run = "1 file is" if len(found.run) == 1 else f"{len(found.run)} files are"
    write(f"{run} run to find DAGs: {said}\n")
