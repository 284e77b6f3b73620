# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout rules for product code: files and functions of a size to read, no import circles.

What breaks a rule with a reason is an exception; one that is no longer needed breaks it too.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent

from tests.repo.rules import compared, layout_tests
from tests.repo.tree import Tree

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
CODE = (
    "src/rax/**/*.py",
    "plugins/**/*.py",
    "filter_plugins/*.py",
    "roles/**/*",
    "scripts/**/*",
    "benchmarks/**/*.py",
)
# The folder of sources → what its modules are called before their path in it.
SOURCES = {
    "src/": "",
    "plugins/": "ansible_collections.caspian.airflow.plugins.",
    "benchmarks/": "benchmarks.",
    "roles/dag_sync/files/": "",
    "roles/refresh_schedule/files/": "",
}
# What a bound is not called: it is MAX_ or MIN_, with its unit.
SUPERLATIVE = re.compile(
    r"_?(?:MOST|LONGEST|DEEPEST|LARGEST|BIGGEST|HIGHEST|FEWEST|SHORTEST|SMALLEST|LOWEST)(?:_|\Z)"
)


def code_of(tree: Tree) -> list[Path]:
    """Return the files of product code: Python, and scripts of other languages."""
    return [
        path
        for path in tree.glob(*CODE)
        if path.suffix in (".py", ".sh") or tree.text(path).startswith("#!")
    ]


def python_of(tree: Tree) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the files of product code in Python, parsed."""
    for path in code_of(tree):
        text = tree.text(path)
        if path.suffix == ".py" or "python" in text.partition("\n")[0]:
            yield path, ast.parse(text)


def long_files(tree: Tree) -> list[str]:
    return [
        f"{path}: {lines} lines, more than {MAX_FILE_LINES}"
        for path in code_of(tree)
        if (lines := len(tree.text(path).splitlines())) > MAX_FILE_LINES
    ]


def long_functions(tree: Tree) -> list[str]:
    return [
        f"{path}:{node.name}: {lines} lines, more than {MAX_FUNCTION_LINES}"
        for path, module in python_of(tree)
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := node.end_lineno - node.lineno + 1) > MAX_FUNCTION_LINES
    ]


def superlatives(tree: Tree) -> list[str]:
    return [
        f"{path}:{node.id}: call a bound MAX_ or MIN_, with its unit"
        for path, module in python_of(tree)
        for node in ast.walk(module)
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Store)
        and SUPERLATIVE.match(node.id)
    ]


def module_name(path: Path) -> str:
    """Return what a file is imported as, if it is imported."""
    for folder, prefix in SOURCES.items():
        if str(path).startswith(folder):
            name = str(path.with_suffix("")).removeprefix(folder).replace("/", ".")
            return prefix + name.removesuffix(".__init__")
    return ""


def imports_of(module: ast.Module, name: str, *, package: bool) -> Iterator[str]:
    """Yield what a module imports by name, wherever in it: modules, and names in modules."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = name.split(".")[: -(node.level - package) or None] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def import_circles(tree: Tree) -> list[str]:
    parsed = {
        name: (path, module) for path, module in python_of(tree) if (name := module_name(path))
    }
    graph = {
        name: {
            # What is imported from a module is a name in it, if it is no module itself.
            known
            for wanted in imports_of(module, name, package=path.name == "__init__.py")
            for known in (wanted, wanted.rpartition(".")[0])
            if known in parsed and not (known != wanted and wanted in parsed)
        }
        for name, (path, module) in parsed.items()
    }
    reached = {name: reachable(graph, name) for name in graph}
    circles = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return [f"{' ⇄ '.join(circle)}: import each other" for circle in sorted(circles)]


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return all that a module imports, and that these import, and so on."""
    found: set[str] = set()
    pending = [start]
    while pending:
        new = graph.get(pending.pop(), set()) - found
        found |= new
        pending += new
    return found


EXCEPTIONS = {
    import_circles: {
        "rax.credentials._connection_options ⇄ rax.credentials._connections"
        " ⇄ rax.credentials._credential ⇄ rax.credentials._masking": (
            "a credential makes connections of itself; the way back is for types alone"
        ),
    },
}

LONG = "x = 1\n" * (MAX_FILE_LINES + 1)
LONG_FUNCTION = "def bad():\n" + "    x = 1\n" * MAX_FUNCTION_LINES
CASES = [
    (long_files, {"src/rax/bad.py": LONG}, "src/rax/bad.py: 401 lines"),
    (long_files, {"roles/x/files/a/bad.py": LONG}, "roles/x/files/a/bad.py: 401 lines"),
    (long_files, {"scripts/lib/bad.sh": LONG}, "scripts/lib/bad.sh: 401 lines"),
    (long_files, {"scripts/bad": f"#!/bin/sh\n{LONG}"}, "scripts/bad: 402 lines"),
    (long_functions, {"plugins/a/b.py": LONG_FUNCTION}, "plugins/a/b.py:bad: 61 lines"),
    (
        long_functions,
        {"scripts/x": f"#!/usr/bin/env python3\nclass C:\n{indent(LONG_FUNCTION, '  ')}"},
        "scripts/x:bad: 61 lines",
    ),
    (superlatives, {"src/rax/a.py": "_MOST_BYTES = 1"}, "src/rax/a.py:_MOST_BYTES: call"),
    (
        superlatives,
        {"src/rax/a.py": "class A:\n    DEEPEST: int = 1"},
        "src/rax/a.py:DEEPEST: call",
    ),
    (superlatives, {"src/rax/a.py": "FEW, LONGEST_LINE = 1, 2"}, "src/rax/a.py:LONGEST_LINE: call"),
    (
        import_circles,
        {"src/rax/a.py": "from rax import b", "src/rax/b.py": "def f():\n    import rax.a"},
        "rax.a ⇄ rax.b: import each other",
    ),
    (
        import_circles,
        {"src/rax/p/__init__.py": "from .c import x", "src/rax/p/c.py": "from rax.p import y"},
        "rax.p ⇄ rax.p.c: import each other",
    ),
    (
        import_circles,
        {
            "plugins/a/b.py": "from ansible_collections.caspian.airflow.plugins.a.c import x",
            "plugins/a/c.py": "from ansible_collections.caspian.airflow.plugins.a import b",
        },
        "plugins.a.b ⇄ ansible_collections.caspian.airflow.plugins.a.c: import each other",
    ),
    (
        import_circles,
        {
            "benchmarks/a.py": "from . import b",
            "benchmarks/b.py": "import benchmarks.c",
            "benchmarks/c.py": "from benchmarks.a import x",
        },
        "benchmarks.a ⇄ benchmarks.b ⇄ benchmarks.c: import each other",
    ),
]
GOOD = {
    "src/rax/good.py": "x = 1\n" * MAX_FILE_LINES,
    "src/rax/one.py": LONG_FUNCTION.replace("    x = 1\n", "", 1) + "MOSTLY, MAX_BYTES = 1, MOST\n",
    "src/rax/two/__init__.py": "from rax.two import _three",
    "src/rax/two/_three.py": "from rax.one import x\nfrom rax import good\nimport json",
    "roles/x/files/long.json": LONG,
    "tests/long.py": LONG,
}
test_the_repository_keeps, test_good_files_keep, test_the_rule_can_fail = layout_tests(
    CASES, GOOD, EXCEPTIONS
)


def test_an_exception_that_is_not_needed_is_found():
    found = ["a.py: 401 lines", "b.py: 402 lines"]
    assert compared(found, {"a.py": "", "c.py": ""}) == [
        "b.py: 402 lines",
        "c.py: is no exception any longer",
    ]


def test_all_kinds_of_code_are_found(repository):
    found = {str(path) for path in code_of(repository)}
    assert {"scripts/nodes", "scripts/lib/common.sh", "benchmarks/bench.py"} <= found
    assert {"src/rax/errors.py", "plugins/modules/files.py"} <= found
    assert "roles/refresh_schedule/files/caspian_control/refresh_state.py" in found
