# SPDX-License-Identifier: Apache-2.0
"""A new workflow: config, DAG, module, test and spec, which pass ``rax check`` as they are."""

import ast
from pathlib import Path, PurePosixPath

from rax.checking._project import Project
from rax.errors import CommandError
from rax.templates import TEMPLATES
from rax.templates._files import NewFile, filled, in_the_way, write_all
from rax.templates._names import WorkflowName

_FOLDER = TEMPLATES / "workflow"


def new_workflow(root: Path, text: str) -> list[NewFile]:
    """Write the files of a workflow into a DAG repository, and return them.

    :param root: the repository
    :param text: the workflow's name
    :raises CommandError: it is no name, or something of that name is there already
    """
    name = WorkflowName.parse(text)
    project = Project(root)
    files = _files(name, project.settings.dags_folder)
    if there := in_the_way(project.root, files):
        raise CommandError(f"nothing is written, since there is already: {', '.join(there)}")
    _refuse_taken(project, name, files[-1])
    write_all(project.root, files)
    return files


def _files(name: WorkflowName, dags_folder: str) -> list[NewFile]:
    config = PurePosixPath("configs", name.config_file)
    dag = PurePosixPath(dags_folder, name.dag_file)
    values = {
        "name": str(name),
        "team": name.team,
        "dag_id": name.dag_id,
        "class_name": name.class_name,
        "config_file": str(config),
        "dag_file": str(dag),
    }
    targets = {
        "config.yaml": config,
        "lib.py": PurePosixPath("lib", f"{name.dag_id}.py"),
        "test.py": PurePosixPath("tests", f"test_{name.dag_id}.py"),
        "flow.yaml": PurePosixPath("tests/flows", f"{name.dag_id}.flow.yaml"),
        # The last: Airflow never finds the DAG without what it needs.
        "dag.py": dag,
    }
    *others, made = (
        NewFile(target, filled(_FOLDER / f"{source}.template", values))
        for source, target in targets.items()
    )
    # What the spec names, beside it.
    data = [
        NewFile(PurePosixPath("tests/flows", name.dag_id, path.name), path.read_bytes())
        for path in sorted((_FOLDER / "flow").iterdir())
    ]
    return [*others, *data, made]


def _refuse_taken(project: Project, name: WorkflowName, dag: NewFile) -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse(dag.content))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    if name.dag_id in imported:
        raise CommandError(f"the DAG would be called {name.dag_id}, as something that it imports")
    for file in project.python_files:
        if line := _line_of_dag(project.read(file), name.dag_id):
            raise CommandError(f"{file}:{line} has a DAG that is called {name.dag_id} already")


def _line_of_dag(content: bytes, dag_id: str) -> int:
    """Return the line where a DAG of that id is made, as far as the text says so; or else 0."""
    try:
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.FunctionDef):
                made = [
                    one.func if isinstance(one, ast.Call) else one for one in node.decorator_list
                ]
                if node.name == dag_id and any(map(_makes_dags, made)):
                    return node.lineno
            elif isinstance(node, ast.Call) and _makes_dags(node):
                ids = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "dag_id")]
                if any(isinstance(one, ast.Constant) and one.value == dag_id for one in ids):
                    return node.lineno
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Whoever checks the repository is told; here it makes no DAG.
        return 0
    return 0


def _makes_dags(node: ast.expr) -> bool:
    """Return whether this is what makes a DAG, or a call of it."""
    called = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(called).rpartition(".")[2] in ("DAG", "dag", "workflow")
