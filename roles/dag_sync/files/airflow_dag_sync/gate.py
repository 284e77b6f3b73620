# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release must pass before it is published."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import time
from pathlib import Path
from typing import Any

from airflow_dag_sync.airflowignore import syntax_of
from airflow_dag_sync.check_files import EXIT_UNUSABLE
from airflow_dag_sync.errors import BlockedError, MisconfiguredError
from airflow_dag_sync.processes import children_ended, execute
from airflow_dag_sync.scope import Scope, missing_folder_problem
from airflow_dag_sync.settings import Settings
from airflow_dag_sync.text import (
    MAX_NAMES,
    MAX_REASON_CHARACTERS,
    summarize,
    without_userinfo,
)

# Path, line, level, module, and what is imported from there.
RelativeImport = tuple[str, int, int, str, str]

# The program of this package that the gate's interpreter runs by itself.
CHECK_FILES = Path(__file__).with_name("check_files.py")
# What to do about a file that is wrong and meant to be.
WAY_OUT = "what Airflow need not read belongs in .airflowignore or dag_sync_gate_exclude"
# Of what the own command prints, only the end is quoted.
MAX_OUTPUT_BYTES = 2000


class Gate:
    """What a release must pass before it is published."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def terms(self) -> list[Any]:
        """Name what the outcome depends on, besides the release."""
        settings, python = self.settings, self.settings.gate_python
        # The interpreter of an environment is a link to the system's: its folder tells.
        where = str(Path(python).parent.resolve()) if python else ""
        what = [settings.gate_exclude, settings.gate_command, settings.dags_folder]
        return [where, *what, syntax_of()]

    def check(self, release: Path, paths: list[str] | None, output: Path) -> list[str]:
        """Check these paths of a release, or all, and run the own command; raise BlockedError.

        Returns warnings of what is wrong where Airflow does not read, and of what Airflow will
        not be able to run.
        """
        if problem := missing_folder_problem(release, self.settings.dags_folder):
            raise BlockedError(release.name, problem)
        ends = time.monotonic() + self.settings.gate_timeout_seconds
        warnings = []
        try:
            if self.settings.gate_python and paths != []:
                problems, relative = self.check_files(release, paths, ends)
                warnings = self.judge(release, problems, relative)
            if self.settings.gate_command:
                self.run_command(release, output, ends)
        except subprocess.TimeoutExpired:
            seconds = self.settings.gate_timeout_seconds
            raise BlockedError(release.name, f"the gate did not end within {seconds} s") from None
        return warnings

    def judge(
        self, release: Path, problems: list[tuple[str, str]], relative: list[RelativeImport]
    ) -> list[str]:
        """Refuse a release for problems with what Airflow reads; return warnings of the others.

        A relative import fails in a file that Airflow runs, and is fine in one that is imported.
        """
        scope = Scope(release, self.settings.dags_folder, syntax_of())
        blocking: list[str] = []
        others: list[str] = []
        for path, problem in problems:
            (blocking if scope.reads(path) else others).append(f"{path}{problem}")
        if blocking:
            raise BlockedError(release.name, f"{summarize(blocking, '; ')} ({WAY_OUT})")
        warnings = [f"{summarize(others, '; ')} (not read by Airflow)"] if others else []
        failing = [
            scope.relative_import_problem(*found) for found in relative if scope.runs(found[0])
        ]
        return [*warnings, summarize(failing, "; ")] if failing else warnings

    def check_files(
        self, release: Path, paths: list[str] | None, ends: float
    ) -> tuple[list[tuple[str, str]], list[RelativeImport]]:
        """Have the nodes' interpreter compile and parse the files.

        Return paths with their problems, and paths with a relative import.
        """
        python = self.settings.gate_python
        if not os.access(python, os.X_OK):
            raise MisconfiguredError(
                f"'gate_python' {python} is no program on this host: deploy Airflow first, "
                "or set it to another interpreter with PyYAML, or to nothing"
            )
        exclude = json.dumps(self.settings.gate_exclude)
        which = "all" if paths is None else "listed"
        words = [python, "-I", "-B", str(CHECK_FILES), str(release), exclude, which]
        done = execute(
            words,
            environment=self.environment(release),
            seconds=ends - time.monotonic(),
            stdin="\0".join(paths or []),
        )
        if done.returncode == EXIT_UNUSABLE:
            raise MisconfiguredError(f"'gate_python' {python} has no PyYAML")
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            raise BlockedError(release.name, f"the checks ended with {done.returncode}: {last}")
        found = json.loads(done.stdout)
        problems = [(str(path), str(problem)) for path, problem in found["problems"]]
        relative = [
            (str(path), int(line), int(level), str(module), str(names))
            for path, line, level, module, names in found["relative"]
        ]
        return problems, relative

    def run_command(self, release: Path, output: Path, ends: float) -> None:
        """Run the own command in the release."""
        command = self.settings.gate_command
        try:
            with output.open("w+b") as file, children_ended():
                done = execute(
                    command,
                    environment=self.environment(release),
                    seconds=ends - time.monotonic(),
                    cwd=release,
                    output=file.fileno(),
                )
                file.seek(max(0, file.tell() - MAX_OUTPUT_BYTES))
                told = without_userinfo(file.read().decode(errors="surrogateescape"))
        finally:
            output.unlink(missing_ok=True)
        if done.returncode:
            last = "; ".join(
                line.strip() for line in told.splitlines()[-MAX_NAMES:] if line.strip()
            )
            what = f"{command[0]} ended with {done.returncode}"
            raise BlockedError(
                release.name, f"{what}: {last[-MAX_REASON_CHARACTERS:]}" if last else what
            )

    def environment(self, release: Path) -> dict[str, str]:
        """Give a check nothing of this program's own."""
        path = os.environ.get("PATH", os.defpath)
        if python := self.settings.gate_python:
            path = f"{Path(python).parent}{os.pathsep}{path}"
        return {
            "PATH": path,
            "HOME": pwd.getpwuid(os.geteuid()).pw_dir,
            "LANG": "C.UTF-8",
            "RAX_RELEASE_DIR": str(release),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
