# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compile and parse the files of a release: what the gate's interpreter runs, by itself."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

# The exit code of an interpreter that lacks PyYAML.
EXIT_UNUSABLE = 77
# An import that may be relative to the file's own package. Few files have one, and only those are
# looked at closely.
RELATIVE = re.compile(rb"^from[ \t]*\.", re.MULTILINE)
# The checkout of the collection that this file may be in.
CHECKOUT = Path(__file__).resolve().parents[4:5]


def main(folder: str, exclude: str, which: str) -> int:
    """Print as JSON what is wrong with the files of a release, and which have relative imports."""
    root = Path(folder)
    paths: Iterable[str] = all_paths(root)
    if which == "listed":
        paths = sys.stdin.buffer.read().decode(errors="surrogateescape").split("\0")
    patterns = json.loads(exclude)
    problems, relative = [], []
    try:
        for path in paths:
            if is_excluded(path, patterns):
                continue
            if problem := problem_of(root, path):
                problems.append((path, problem))
            elif path.endswith(".py") and (found := relative_import(root / path)):
                relative.append((path, *found))
    except ImportError:
        return EXIT_UNUSABLE
    sys.stdout.write(json.dumps({"problems": problems, "relative": relative}))
    return 0


def is_excluded(path: str, patterns: list[str]) -> bool:
    """Whether a path is one that is not checked."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def problem_of(root: Path, path: str) -> str | None:
    """Say what is wrong with a file or link; raise ImportError where there is no PyYAML."""
    if problem := link_problem(root, path):
        return problem
    if path.endswith(".py"):
        return python_problem(root / path)
    if path.startswith("configs/") and path.endswith((".yaml", ".yml")):
        return config_check()(root / path, root / "configs")
    return None


def all_paths(root: Path) -> Iterator[str]:
    """List the files and links of a release."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted(files + links):
            yield os.path.relpath(f"{folder}/{name}", root)


def link_problem(root: Path, path: str) -> str | None:
    """Say whether a link leads out of the release: what it shows there is no commit's."""
    if not (root / path).is_symlink():
        return None
    target = (root / path).readlink()
    leads_to = Path(os.path.realpath(root / path))
    if target.is_absolute() or not leads_to.is_relative_to(os.path.realpath(root)):
        return f" is a link that leads out of the repository, to {target}"
    return None


def python_problem(path: Path) -> str | None:
    """Compile a file."""
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(path.read_bytes(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f":{error.lineno}" if (error.lineno or 0) > 0 else ""
        return f"{where}: {error.msg}"
    except OSError as error:
        return f": {error.strerror}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f": {error}"
    return None


def relative_import(path: Path) -> tuple[int, int, str, str] | None:
    """Return the first import at the top of a file that is relative.

    That is its line, level and module, and what it imports from there.
    """
    content = path.read_bytes()
    if not RELATIVE.search(content):
        return None
    import ast  # It is slow to load, and seldom needed.

    with warnings.catch_warnings(action="ignore"):
        statements = ast.parse(content).body
    for statement in statements:
        # Those inside of a function, or of a try, need not fail.
        if isinstance(statement, ast.ImportFrom) and statement.level:
            names = ", ".join(map(ast.unparse, statement.names))
            return statement.lineno, statement.level, statement.module or "", names
    return None


@functools.cache
def config_check() -> Callable[[Path, Path], str | None]:
    """Return what says why a config, below a root, cannot be read: rax.config, if it is here."""
    # In a checkout it is, whether this interpreter has it or not.
    sys.path += [str(path / "src") for path in CHECKOUT if (path / "src/rax/config").is_dir()]
    try:
        from rax.config import check_file
        from rax.errors import RaxError
    except ImportError:
        return yaml_problem

    def config_problem(path: Path, root: Path) -> str | None:
        try:
            check_file(path, root)
        except RaxError as error:
            return str(error).removeprefix(str(path))
        return None

    return config_problem


def yaml_problem(path: Path, _root: Path) -> str | None:
    """Say why a file is not YAML, or not one document."""
    import yaml  # Only the gate's interpreter has it.

    try:
        yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a SafeLoader
    except OSError as error:
        return f": {error.strerror}"
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{line}: {', '.join(filter(None, (error.context, error.problem)))}"
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        return f": {error}"
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
