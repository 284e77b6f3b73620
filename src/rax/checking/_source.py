# SPDX-License-Identifier: Apache-2.0
"""What the text of a Python file says of itself, without running it."""

import ast
import contextlib
from typing import NamedTuple

from rax.checking._compiled import compiled

# Keywords by which tasks and DAGs name what has to be in Airflow.
_POOL = "pool"


class Import(NamedTuple):
    """An import that has to succeed: not one in a try, or for type checkers alone."""

    line: int
    module: str
    # None for a whole module.
    name: str | None
    # Of a relative import, how many dots it has.
    level: int
    # Whether it is run with the file, and not in a function later.
    at_the_top: bool


class Source(NamedTuple):
    """A file that could be compiled."""

    imports: list[Import]
    # Keywords that a DAG is made with, and their lines.
    dag_arguments: list[tuple[int, str]]
    connections: set[str]
    variables: set[str]
    pools: set[str]
    # The functions that the file calls at its top, by their last name.
    calls: set[str]


def read(content: bytes) -> Source:
    """Take a file apart.

    :raises SourceError: it is no Python 3
    """
    tree = compiled(content)
    source = Source(_imports(tree.body), [], set(), set(), set(), _calls(tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            # An expression that is nested too deeply to be written down names nothing of ours.
            with contextlib.suppress(RecursionError):
                _look_at_call(node, source)
    return source


def _imports(body: list[ast.stmt]) -> list[Import]:
    found: list[Import] = []
    # Not by recursion: a chain of elif is as deep as it is long.
    waiting: list[tuple[ast.AST, bool]] = [(node, True) for node in body]
    while waiting:
        node, at_the_top = waiting.pop()
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name, None, 0, at_the_top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found += [
                Import(node.lineno, module, alias.name, node.level, at_the_top)
                for alias in node.names
            ]
        elif isinstance(node, ast.stmt | ast.match_case):
            later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            waiting += [(inner, at_the_top and not later) for inner in _that_must_succeed(node)]
    return sorted(found, key=lambda one: (one.line, one.module, one.name or ""))


def _calls(body: list[ast.stmt]) -> set[str]:
    calls = [node.value for node in body if isinstance(node, ast.Expr | ast.Assign)]
    functions = [call.func for call in calls if isinstance(call, ast.Call)]
    return {getattr(part, "id", "") or getattr(part, "attr", "") for part in functions}


def _that_must_succeed(node: ast.AST) -> list[ast.AST]:
    """Return what is in a statement, but for what is tried, or is for type checkers alone."""
    names = ["body", "orelse", "finalbody", "cases"]
    if isinstance(node, ast.Try | ast.TryStar) or (
        isinstance(node, ast.If)
        and "TYPE_CHECKING"
        in {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.test)}
    ):
        names.remove("body")
    return [inner for name in names for inner in getattr(node, name, [])]


def _look_at_call(call: ast.Call, source: Source) -> None:
    name = ast.unparse(call.func)
    if name.rpartition(".")[2] in ("DAG", "dag"):
        source.dag_arguments.extend((key.lineno, key.arg) for key in call.keywords if key.arg)
    for keyword in call.keywords:
        if not isinstance(keyword.value, ast.Constant) or not isinstance(keyword.value.value, str):
            continue
        if (keyword.arg or "").endswith("conn_id"):
            source.connections.add(keyword.value.value)
        elif keyword.arg == _POOL:
            source.pools.add(keyword.value.value)
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        if name in ("Variable.get", "models.Variable.get"):
            source.variables.add(first.value)
        elif name.endswith(".get_connection"):
            source.connections.add(first.value)
