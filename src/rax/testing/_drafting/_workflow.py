# SPDX-License-Identifier: Apache-2.0
"""What can be known of a workflow without running it: its tasks, its configs, what it asks."""

import ast
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rax import _laptop
from rax.checking._files._calls import GET_CONFIG, OF_CREDENTIALS, Module, resolved
from rax.checking._files._calls import look_at as calls_in
from rax.config._files import near
from rax.errors import CommandError, RaxError

# What is called so in a config is, where nothing else tells, a credential: EBI-ETL-DEV-01.
_LIKE_A_CREDENTIAL = re.compile(r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)+")
_SQL_OPERATORS = ("airflow.providers.common.sql.", "airflow.providers.postgres.")
POSTGRES, HTTP, UNKNOWN = "postgres", "http", ""


@dataclass(frozen=True)
class Task:
    """A task of a workflow."""

    task_id: str
    # check, summary, or nothing.
    part: str = ""
    is_mapped: bool = False


@dataclass(frozen=True)
class Workflow:
    """A workflow as a spec begins with it."""

    dag_id: str
    # In their order.
    tasks: tuple[Task, ...]
    configs: tuple[str, ...] = ()
    # The names of credentials, and what is behind each: POSTGRES, HTTP or UNKNOWN.
    sources: tuple[tuple[str, str], ...] = ()


def look_at(root: Path, dag_id: str) -> Workflow:
    """Load the DAGs of a repository, and return what is known of one.

    :raises CommandError: there is no such workflow
    :raises WorkflowError: a DAG file cannot be loaded
    """
    dags = _dags(root)
    if dag_id not in dags:
        there = near(dag_id, dags) or f": there is {', '.join(sorted(dags)) or 'none'}"
        raise CommandError(f"{root.name} has no workflow {dag_id!r}{there}")
    dag = dags[dag_id]
    tasks = [*dag.topological_sort()]
    module = calls_in(ast.parse(Path(dag.fileloc).read_bytes()))
    calls = module.calls
    configs = {call.name: None for call in calls if call.function == GET_CONFIG}
    sources = dict.fromkeys((call.name for call in calls if call.function in OF_CREDENTIALS), "")
    sources |= dict.fromkeys(named_by_schemas(module, dag.fileloc), "")
    sources |= dict.fromkeys(_credentials_in(configs), "")
    sources |= {task.conn_id: POSTGRES for task in tasks if _asks_sql(task)}
    return Workflow(
        dag_id,
        tuple(map(_task, tasks)),
        tuple(configs),
        tuple((name, kind or _known_kind(root, name)) for name, kind in sources.items()),
    )


def _dags(root: Path) -> dict[str, Any]:
    from rax.testing import load_dags, prepare

    prepare(root)
    # What this command prints is its own, and not what Airflow logs of each step.
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
    import airflow  # noqa: F401 - it reads its settings now

    with contextlib.redirect_stdout(sys.stderr):
        return load_dags(root)


def _task(task: Any) -> Task:
    from rax.airflow._outcomes import CHECK, SUMMARY, is_check, is_summary

    part = CHECK if is_check(task) else SUMMARY if is_summary(task) else ""
    is_mapped = bool(task.is_mapped or task.get_closest_mapped_task_group())
    return Task(task.task_id, part, is_mapped)


def _asks_sql(task: Any) -> bool:
    module = str(getattr(task, "_task_module", "") or type(task).__module__)
    is_name = isinstance(getattr(task, "conn_id", None), str)
    return is_name and module.startswith(_SQL_OPERATORS)


def named_by_schemas(module: Module, file: str) -> Iterator[str]:
    """Yield the credentials that configs name in fields of the type CredentialName.

    :param module: a file that makes a DAG, and has been loaded
    """
    from rax.config import _schema, get_config

    for call in module.calls:
        schema = _class(resolved(call.schema, module.imported), file) if call.schema else None
        if schema is not None:
            with contextlib.suppress(RaxError):
                yield from _schema.compare(schema, get_config(call.name)).credentials.values()


def _class(whole: str, file: str) -> Any:
    """Return what has been loaded under the whole name that it has in a file."""
    package, _dot, name = whole.rpartition(".")
    loaded = sys.modules.get(package)
    if not package:
        # Airflow gives the modules of DAGs names of its own.
        files = ((getattr(one, "__file__", None), one) for one in [*sys.modules.values()])
        loaded = next((one for other, one in files if other == file), None)
    return getattr(loaded, name, None)


def _credentials_in(configs: dict[str, None]) -> Iterator[str]:
    from rax.config import get_config

    waiting: list[Any] = [get_config(name) for name in configs]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, str) and _LIKE_A_CREDENTIAL.fullmatch(value):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value


def _known_kind(root: Path, name: str) -> str:
    """Return what is behind a credential, where that of this laptop says so."""
    from rax.credentials._files import read

    try:
        url = str(read(root / _laptop.CREDENTIALS, name).values.get("url"))
    except RaxError:
        return UNKNOWN
    return HTTP if url.startswith(("http://", "https://")) else UNKNOWN
