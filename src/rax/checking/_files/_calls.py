# SPDX-License-Identifier: Apache-2.0
"""Calls of the library that a file makes, with the names that it gives them as literals."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

GET_CONFIG = "rax.config.get_config"
# The first argument of these is the name of a credential.
OF_CREDENTIALS = frozenset(
    {
        "rax.credentials.get_credentials",
        "rax.credentials.credential_age",
        "rax.workflow.answers",
    }
)
# What these begin with is looked for, whatever a file calls it.
_PACKAGE = "rax."


class Call(NamedTuple):
    """A call of a function of rax."""

    line: int
    function: str
    # The first argument, where it is a text in the file.
    name: str
    # The second one, if there is any.
    schema: ast.expr | None


def calls_in(tree: ast.Module) -> Iterator[Call]:
    """Yield the calls that name a config or a credential, in no order."""
    known = _imported(tree)
    if not known:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = _resolved(node.func, known)
            if function == GET_CONFIG or function in OF_CREDENTIALS:
                name = _argument(node, 0, "name")
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    yield Call(node.lineno, function, name.value, _argument(node, 1, "schema"))


def dotted(node: ast.expr) -> list[str]:
    """Return the names of ``a.b.c``; nothing for any other expression."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [*reversed([*names, node.id])] if isinstance(node, ast.Name) else []


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Return what each name that a file imports at any place stands for, in whole.

    Relative imports are left out.

    >>> imported_names(ast.parse("from lib import genes as g; import rax.config"))
    {'g': 'lib.genes', 'rax': 'rax'}
    """
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                found[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _imported(tree: ast.Module) -> dict[str, str]:
    found = imported_names(tree)
    return {name: whole for name, whole in found.items() if f"{whole}.".startswith(_PACKAGE)}


def _resolved(function: ast.expr, known: dict[str, str]) -> str:
    names = dotted(function)
    return ".".join([known[names[0]], *names[1:]]) if names and names[0] in known else ""


def _argument(call: ast.Call, index: int, keyword: str) -> ast.expr | None:
    if len(call.args) > index:
        return call.args[index]
    return next((one.value for one in call.keywords if one.arg == keyword), None)
