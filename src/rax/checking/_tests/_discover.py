# SPDX-License-Identifier: Apache-2.0
"""A program that asks unittest for its tests, and runs none.

``python _discover.py ANSWER ROOT`` writes into the file ANSWER the names of tests, as pytest has
them, and what cannot be imported, with the reason: ``[[name, …], {file: reason, …}]``. It is
started by ``_run``, which sees to it that ``rax`` is found.
"""

import json
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path

from rax.testing import prepare


def main(answer: Path, root: Path) -> None:
    """Find the tests below the folder ``tests``, as ``python -m unittest discover tests`` does."""
    # This program's own folder is first; what a person's command has there is the current folder.
    sys.path[0] = str(root)
    prepare(root)
    names, broken = [], {}
    for test in _tests(unittest.defaultTestLoader.discover("tests")):
        if isinstance(test, unittest.loader._FailedTest):  # type: ignore[attr-defined]  # no other way tells
            file = f"tests/{test._testMethodName.replace('.', '/')}.py"
            broken[file] = str(test._exception).strip().rpartition("\n")[2]
            continue
        module, method = type(test).__module__, test._testMethodName
        file = f"tests/{module.replace('.', '/')}.py"
        names.append(f"{file}::{type(test).__qualname__.replace('.', '::')}::{method}")
    answer.write_text(json.dumps([names, broken]))


def _tests(found: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in found:
        if isinstance(test, unittest.TestSuite):
            yield from _tests(test)
        else:
            yield test


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
