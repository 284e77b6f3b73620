# SPDX-License-Identifier: Apache-2.0
"""Whether ``python -m unittest discover tests`` finds the tests that pytest finds."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rax._temporary import temporary_folder
from rax.checking._finding import Finding
from rax.checking._tests import _discover
from rax.checking._tests._results import Result
from rax.checking._tests._run import run
from rax.errors import CommandError

_MAX_ANSWER_BYTES = 50_000_000


def differences(root: Path, results: list[Result]) -> Iterator[Finding]:
    """Say which tests one of the two alone finds.

    :raises CommandError: unittest does not answer
    """
    found, broken = _discovered(root)
    # One finding tells of all in a file that unittest cannot import.
    for file, why in sorted(broken.items()):
        yield Finding(file, 0, "unittest", f"unittest cannot import this file: {why}")
    by_pytest = {result.name: result for result in results}
    for name, result in sorted(by_pytest.items()):
        if name not in found and result.file not in broken:
            advice = "make it a method of a class of unittest.TestCase"
            if Path(result.file).parent != Path("tests"):
                advice = f"{advice}; folders below tests/ need an __init__.py"
            shown = name.partition("::")[2]
            problem = f"pytest runs {shown}, and unittest does not find it"
            yield Finding(result.file, result.line, "unittest", problem, advice)
    for name in sorted(found - set(by_pytest)):
        file, _colons, shown = name.partition("::")
        problem = f"unittest runs {shown}, and pytest does not find it"
        yield Finding(file, 0, "unittest", problem, "begin its name and that of the file with test")


def _discovered(root: Path) -> tuple[set[str], dict[str, str]]:
    """Return the names of tests, as pytest has them, and files that cannot be imported."""
    if not (root / "tests").is_dir():
        return set(), {}
    with temporary_folder("check") as folder:
        answer = folder / "answer"
        words = [sys.executable, _discover.__file__, str(answer), str(root)]
        code, said = run(words, root, folder / "output")
        try:
            if answer.stat().st_size > _MAX_ANSWER_BYTES:
                raise ValueError
            names, broken = json.loads(answer.read_bytes())
            if not all(isinstance(name, str) for name in (*names, *broken, *broken.values())):
                raise ValueError
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            last = said.strip().rpartition("\n")[2]
            raise CommandError(f"unittest ended with {code} and no answer: {last}") from None
    return set(names), broken
