# SPDX-License-Identifier: Apache-2.0
"""Calls of the library that a file makes, with the names that it gives them as literals."""

import ast
from collections.abc import Mapping
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


class Call(NamedTuple):
    """A call of a function of rax."""

    line: int
    function: str
    # The first argument, where it is a text in the file.
    name: str
    # The second one, if there is any.
    schema: ast.expr | None


class Module(NamedTuple):
    """A file of Python, and what is asked of it."""

    tree: ast.Module
    # What each name that it imports at any place stands for, in whole; no relative imports.
    imported: dict[str, str]
    # Those that name a config or a credential, in no order.
    calls: list[Call]


def look_at(tree: ast.Module) -> Module:
    """Return a file and what it imports and calls.

    >>> look_at(ast.parse("from lib import genes as g; import rax.config")).imported
    {'g': 'lib.genes', 'rax': 'rax'}
    """
    module = Module(tree, {}, [])
    found: list[ast.Call] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found.append(node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                module.imported[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                module.imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for call in found:
        function = resolved(call.func, module.imported)
        if function == GET_CONFIG or function in OF_CREDENTIALS:
            first, schema = _argument(call, 0, "name"), _argument(call, 1, "schema")
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                module.calls.append(Call(call.lineno, function, first.value, schema))
    return module


def dotted(node: ast.expr) -> list[str]:
    """Return the names of ``a.b.c``; nothing for any other expression."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [*reversed([*names, node.id])] if isinstance(node, ast.Name) else []


def resolved(node: ast.expr, imported: Mapping[str, str]) -> str:
    """Return what ``a.b.c`` stands for in whole, by what its file imports; nothing for the rest."""
    names = dotted(node)
    return ".".join([imported.get(names[0], names[0]), *names[1:]]) if names else ""


def _argument(call: ast.Call, index: int, keyword: str) -> ast.expr | None:
    if len(call.args) > index:
        return call.args[index]
    return next((one.value for one in call.keywords if one.arg == keyword), None)
