# SPDX-License-Identifier: Apache-2.0
"""What stage 3 does: pytest runs the tests, and unittest may be asked whether it finds the same."""

import importlib.util
import os
import sys
from pathlib import Path

from rax._temporary import temporary_folder
from rax.checking._finding import Finding, Outcome, count
from rax.checking._project import TESTS, Project
from rax.checking._tests import _results, _unittest
from rax.checking._tests._run import run
from rax.errors import CommandError
from rax.testing._specs._files import SUFFIX

# What pytest's exit codes mean: all passed, some failed, and there was none.
_PASSED, _FAILED, _NONE = 0, 1, 5
# Where pytest looks for settings.
_SETTINGS = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_BEGIN = (
    "write tests/test_NAME.py with a class of unittest.TestCase: functions below lib/ are what a "
    "test reaches without a server"
)


def check(project: Project) -> Outcome:
    """Run the tests of a repository, all of them, whatever has changed.

    :raises CommandError: pytest is missing, or does not run
    """
    if not any(map(TESTS.fullmatch, project.python_files)):
        finding = Finding("", 0, "no-tests", "there are no tests yet", _BEGIN, warning=True)
        return Outcome([finding], count(0, "test"))
    if importlib.util.find_spec("pytest") is None:
        raise CommandError("pytest is not installed here: ./rax brings it")
    with temporary_folder("check") as folder:
        report = folder / "pytest.xml"
        code, said = _run_pytest(project.root, report, folder / "output")
        try:
            content = report.read_bytes()
            results = _results.read(content)
        except (OSError, _results.FormError):
            raise CommandError(f"pytest ended with {code} and no report: {_last(said)}") from None
    findings = [*_results.findings(results, project)]
    if code not in (_PASSED, _FAILED, _NONE) and not findings:
        raise CommandError(f"pytest ended with {code}: {_last(said)}")
    if project.unittest:
        findings += _unittest.differences(project.root, results)
    names = tuple(result.name for result in results)
    return Outcome(findings, count(len(results), "test"), names=names, junit=content)


def _run_pytest(root: Path, report: Path, output: Path) -> tuple[int, str]:
    # Nothing is written into the repository: no cache, no __pycache__. Specs of workflows have a
    # stage of their own.
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "rax.testing.plugin",
             f"--ignore-glob=*{SUFFIX}",
             f"--rootdir={root}", f"--junit-xml={report}", "-o", "junit_family=xunit1",
             "--color=no", "--quiet", "--continue-on-collection-errors"]  # fmt: skip
    if not any((root / name).is_file() for name in _SETTINGS):
        # Those of a folder above are others' settings.
        words += ["-c", os.devnull]
    return run([sys.executable, *words], root, output)


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E ", "ERROR", "Error"))]
    return (errors or lines or ["nothing was said"])[-1]
