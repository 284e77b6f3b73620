# SPDX-License-Identifier: Apache-2.0
"""From what came of loading DAG files to what their authors are told, each mistake once."""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rax.checking._dags._answers import Dag, Effect, Error, Loaded
from rax.checking._finding import Finding
from rax.checking._project import Project
from rax.checking._reading import UnreadableError
from rax.config._lines import lines_of

# The rules, by which findings are told apart.
IMPORT_ERROR, EXIT, CONFIG, CREDENTIAL = (
    "import-error",
    "import-exit",
    "config-schema",
    "import-credential",
)
NO_DAG, DUPLICATE, CYCLE, BAD_DAG, SUMMARY = "no-dag", "duplicate-dag", "cycle", "dag", "summary"
PARSE_TIME, LEFT, UNSEARCHED = "parse-time", "import-process", "not-searched"

LATER = "do it in a task: Airflow loads this file again and again, on each node"
_ADVICE = {
    "variable": "read it in a task, or write it as a template: {{ var.value.NAME }}",
    "connection": "give its id to an operator, or read it in a task",
    "file": "write outside of the repository, in a task: a release stays as it was published",
}
_CONFIG = re.compile(r"MalformedConfigError: config ([\w.-]+) does not fit (\w+): (.*)", re.DOTALL)
# What an error of a config begins with: "target.tabel is unknown", "months[3] is of type str".
_STEPS = re.compile(r"(?:the key )?([\w.\[\]-]+)")
_WITHOUT_DAGS = "name it in .airflowignore, if it is there to be imported"
_UNCALLED = (
    "call the function that @workflow or @dag decorates, or give the DAG a name at the top of the "
    "file; what is no DAG file belongs in .airflowignore"
)


class Exit(NamedTuple):
    """How the process of a file ended that did not say what came of it."""

    # What wait() says; None where it had to be ended.
    status: int | None
    # Whether it took the process with Airflow with it.
    took_all: bool = False


def of_effect(effect: Effect) -> Finding:
    """Say what a line does while Airflow loads it."""
    problem = f"while Airflow loads it, this line {effect.what}"
    advice = _ADVICE.get(effect.kind, LATER)
    return Finding(effect.file, effect.line, f"import-{effect.kind}", problem, advice)


def of_exit(file: str, found: Exit, seconds: float) -> Finding:
    """Say how a file has ended the process that was to load it."""
    if found.took_all:
        how = "ended the check's own process, or wrote into it"
    elif found.status is None:
        how = f"did not end within {seconds:g} s, and had to be stopped"
    elif os.WIFSIGNALED(found.status):
        how = f"ended Python by {_signal(os.WTERMSIG(found.status))}"
    elif code := os.waitstatus_to_exitcode(found.status):
        how = f"ended Python with exit code {code}"
    else:
        how = "ended Python, or wrote where it has nothing to write"
    return Finding(file, 0, EXIT, f"loading this file {how}")


def of_error(file: str, error: Error, project: Project) -> Iterator[Finding]:
    """Say why a file cannot be loaded, where the author's own code led to it."""
    where, line = error.frames[-1] if error.frames else (file, 0)
    if error.module == "rax.errors" and (found := _CONFIG.match(error.text)):
        yield _of_config(found, where, line, project)
    elif error.module == "rax.errors" and "Credential" in error.kind:
        problem = "while Airflow loads it, this line reads a credential"
        advice = "call get_credentials in the task that needs it, where it reads the newest"
        yield Finding(where, line, CREDENTIAL, problem, advice)
    else:
        yield Finding(where, line, IMPORT_ERROR, _first_line(error.text))


def of_dags(file: str, found: Loaded, project: Project) -> Iterator[Finding]:
    """Say what is wrong with the DAGs of a file, each by itself."""
    for dag in found.dags:
        name = f"the DAG {dag.id}"
        if dag.cycle:
            advice = "leave out one of the dependencies that lead back"
            yield Finding(file, dag.line, CYCLE, f"{name} has a cycle: {dag.cycle}", advice)
        elif dag.problem:
            problem = f"Airflow does not take {name}: {_first_line(dag.problem)}"
            yield Finding(file, dag.line, BAD_DAG, problem)
        elif not dag.summary and not project.settings.plain_dags:
            problem = f"{name} does not end in a summary"
            advice = (
                "make it by @workflow of rax.workflow; where plain DAGs are welcome, write "
                "plain_dags = true below [check] in rax.toml"
            )
            yield Finding(file, dag.line, SUMMARY, problem, advice)


def of_no_dag(file: str, is_imported: bool) -> Finding:
    """Say that Airflow runs a file for nothing; it may well be there for those that import it."""
    if is_imported:
        problem = "Airflow runs this file again and again, and there is no DAG in it"
        return Finding(file, 0, NO_DAG, problem, _WITHOUT_DAGS, warning=True)
    return Finding(file, 0, NO_DAG, "Airflow runs this file and finds no DAG", _UNCALLED)


def of_unsearched(file: str) -> Finding:
    """Say that Airflow leaves a file alone that may make DAGs."""
    problem = "Airflow does not search this file for DAGs: it has neither 'airflow' nor 'rax' in it"
    advice = "if it makes DAGs, write a comment: # an airflow dag"
    return Finding(file, 0, UNSEARCHED, problem, advice, warning=True)


def of_time(file: str, seconds: float, project: Project) -> Finding:
    """Say that a file takes too long; on a node, whose speed is not the author's, as a warning."""
    most = project.settings.max_parse_seconds
    problem = f"loading this file takes {seconds:.1f} s of processor time, and may take {most:g}"
    advice = "import what only tasks need in the tasks; or raise max_parse_seconds in rax.toml"
    return Finding(file, 0, PARSE_TIME, problem, advice, warning=project.gate)


def of_duplicates(dags: Mapping[str, list[Dag]]) -> Iterator[Finding]:
    """Say which DAGs have the id of another one, by their files."""
    first: dict[str, tuple[str, int]] = {}
    for file, made in sorted(dags.items()):
        for dag in made:
            if dag.id not in first:
                first[dag.id] = (file, dag.line)
                continue
            other, line = first[dag.id]
            problem = f"the id {dag.id} is that of the DAG at {other}:{line}, too"
            advice = "Airflow would show one of them, now this and now that: rename one"
            yield Finding(file, dag.line, DUPLICATE, problem, advice)


def _of_config(found: re.Match[str], where: str, line: int, project: Project) -> Finding:
    name, schema, problems = found.groups()
    file = f"configs/{name.replace('.', '/')}.yaml"
    problem = f"it does not fit {schema}, which {where}:{line} asks for: {problems}"
    try:
        content = project.read(file)
    except (UnreadableError, FileNotFoundError):
        return Finding(where, line, CONFIG, _first_line(found[0]))
    return Finding(file, _line_of(content, problems), CONFIG, _first_line(problem))


def _line_of(content: bytes, problems: str) -> int:
    """Return the line of the key that the problems begin with, or of what is nearest above it."""
    found = _STEPS.match(problems)
    path = found[1] if found else ""
    above = [path]
    while path := path[: max(path.rfind("."), path.rfind("["), 0)]:
        above.append(path)
    lines = lines_of(content, above)
    return next((lines[path] for path in above if path in lines), 0)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), text)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
