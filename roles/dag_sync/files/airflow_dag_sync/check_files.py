# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compile and parse the files of a release: what the gate's interpreter runs, by itself."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

EXIT_UNUSABLE = 77


def main(folder: str, exclude: str, which: str) -> int:
    """Print the problems of the files of a release, as a list in JSON."""
    root = Path(folder)
    paths: Iterable[str] = all_paths(root)
    if which == "listed":
        paths = sys.stdin.buffer.read().decode(errors="surrogateescape").split("\0")
    patterns = json.loads(exclude)
    problems = []
    for path in paths:
        if is_excluded(path, patterns):
            continue
        problem = link_problem(root, path)
        if not problem and path.endswith(".py"):
            problem = python_problem(root / path)
        elif not problem and path.startswith("configs/") and path.endswith((".yaml", ".yml")):
            try:
                problem = config_problem(root / path)
            except ImportError:
                return EXIT_UNUSABLE
        if problem:
            problems.append(f"{path}{problem}")
    sys.stdout.write(json.dumps(problems))
    return 0


def is_excluded(path: str, patterns: list[str]) -> bool:
    """Whether a path is one that is not checked."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)


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
        return f":{error.lineno}: {error.msg}" if error.lineno else f": {error.msg}"
    except OSError as error:
        return f": {error.strerror}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f": {error}"
    return None


def config_problem(path: Path) -> str | None:
    """Parse a file with the loader of rax.config, which need not be here."""
    import yaml  # not everywhere

    try:
        yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a SafeLoader
    except OSError as error:
        return f": {error.strerror}"
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{line}: {error.problem or error.context}"
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        return f": {error}"
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
