# SPDX-License-Identifier: Apache-2.0
"""What stage 2 does, in order."""

import re
import time

from rax.airflow.dag_files import looks_like_dags
from rax.checking._dags import _answers, _findings
from rax.checking._dags._process import MAX_FILE_SECONDS, AirflowProcess, GoneError
from rax.checking._dags._repository import AIRFLOW, ARGUMENT, BROKEN, Repository
from rax.checking._files import tells
from rax.checking._finding import Finding, Outcome, count
from rax.checking._project import Project
from rax.checking._reading import UnreadableError
from rax.errors import CommandError

# All files together; a repository of a thousand takes a tenth of it.
MAX_SECONDS = 1800.0


# By these rules of ours: how those begin by which a stage before may have told of the same line.
_TOLD_BEFORE = {
    _findings.IMPORT_ERROR: ("F82", "AIR"),
    AIRFLOW: ("AIR",),
    ARGUMENT: ("AIR",),
    "import-variable": ("AIR",),
}


def check(project: Project, *, max_file_seconds: float = MAX_FILE_SECONDS) -> Outcome:
    """Look at the DAGs of a repository: first at their text, then at what loading them shows.

    :param max_file_seconds: how long a file may take to be loaded
    :raises CommandError: there is no Airflow to ask, or no folder of DAGs where some are elsewhere
    """
    folder = project.settings.dags_folder
    if not any(looks_like_dags(_content(project, file)) for file in project.python_files):
        project.dags = []
        return Outcome([], count(0, "DAG file"), "there is no DAG file yet")
    with AirflowProcess(project.root, folder, max_file_seconds) as airflow:
        found = Repository(project, folder, airflow)
        return _Stage(project, found, airflow, max_file_seconds).outcome()


def _content(project: Project, file: str) -> bytes:
    try:
        return project.read(file)
    except (UnreadableError, FileNotFoundError):
        # The stage before tells of it.
        return b""


class _Stage:
    """One run of the stage."""

    def __init__(
        self, project: Project, found: Repository, airflow: AirflowProcess, max_file_seconds: float
    ) -> None:
        self.project = project
        self.found = found
        self.airflow = airflow
        self.max_file_seconds = max_file_seconds
        self.loaded: dict[str, _answers.Loaded] = {}
        self.findings: list[Finding] = []
        self.ends = time.monotonic() + MAX_SECONDS

    def outcome(self) -> Outcome:
        """Load the files that are asked for, and return what was found."""
        self.findings += [
            finding
            # The stage before tells of what cannot be compiled, and of what is deprecated.
            for finding in self.found.problems
            if finding.rule != BROKEN and self.project.is_asked(finding.file)
        ]
        self.findings += map(
            _findings.of_unsearched, filter(self.project.is_asked, self.found.unsearched)
        )
        wanted = self._wanted()
        for file in wanted:
            self._load(file)
        for file in self._with_same_ids(wanted):
            self._load(file, is_asked=False)
        dags = {file: found.dags for file, found in self.loaded.items()}
        self.project.dags = [(file, dag) for file in wanted for dag in dags.get(file, ())]
        self.project.unloaded = {file for file in self.found.run if self._is_unloaded(file, wanted)}
        self.findings += _findings.of_duplicates(dags)
        made = sum(len(dags[file]) for file in wanted if file in dags)
        looked_at = f"{count(len(wanted), 'DAG file')}, {count(made, 'DAG')}"
        told = [finding for finding in set(self.findings) if not self._is_told(finding)]
        return Outcome(sorted(told), looked_at, names=tuple(wanted))

    def _is_unloaded(self, file: str, wanted: list[str]) -> bool:
        if file not in wanted:
            return file not in self._loadable()
        return file not in self.loaded or self.loaded[file].error is not None

    def _is_told(self, finding: Finding) -> bool:
        """Return whether a stage before has told of this mistake, which nobody reads twice."""
        beginnings = _TOLD_BEFORE.get(finding.rule, ())
        place = (finding.file, finding.line)
        return any(
            (one.file, one.line) == place and one.rule.startswith(beginnings)
            for one in self.project.found
        )

    def _wanted(self) -> list[str]:
        """Return the files to load: those that have changed, and those that import such a one.

        Whatever is no Python may be read by any of them.
        """
        files = self._loadable()
        changed = self.project.changed
        if changed is None or any(self._may_be_read(file) for file in changed):
            return files
        return [file for file in files if self._reach(file) & changed]

    def _may_be_read(self, file: str) -> bool:
        known = set(self.found.files)
        if file in known:
            # What no text of the repository imports may still be, by a name made at run time.
            return False
        return not file.endswith((".py", ".md")) and not file.startswith("tests/")

    def _reach(self, file: str) -> set[str]:
        """Return a file and all that it imports, further files between them included."""
        reached: set[str] = set()
        waiting = [file]
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting += self.found.imports.get(one, ())
        return reached

    def _loadable(self) -> list[str]:
        broken = {finding.file for finding in self.found.problems if finding.rule == BROKEN}
        return [file for file in self.found.run if file not in broken]

    def _with_same_ids(self, wanted: list[str]) -> list[str]:
        """Return the other files that name an id of those: they may have it too."""
        ids = {dag.id for found in self.loaded.values() for dag in found.dags}
        others = [file for file in self._loadable() if file not in wanted]
        if not ids or not others:
            return []
        words = "|".join(map(re.escape, sorted(ids)))
        named = re.compile(rf"(?<![\w.-])(?:{words})(?![\w.-])".encode())
        return [file for file in others if named.search(_content(self.project, file))]

    def _load(self, file: str, *, is_asked: bool = True) -> None:
        if time.monotonic() > self.ends:
            raise CommandError(f"the DAG files together take longer than {MAX_SECONDS:.0f} s")
        result = self._result(file)
        if isinstance(result, _findings.Exit):
            self.findings.append(_findings.of_exit(file, result, self.max_file_seconds))
            return
        most = self.project.settings.max_parse_seconds
        if result.seconds > most and result.error is None:
            # Once more, since this machine may have had other things to do for its caches.
            again = self._result(file)
            if isinstance(again, _answers.Loaded):
                result = min(result, again, key=lambda one: one.seconds)
        self.loaded[file] = result
        if is_asked:
            self._judge(file, result)

    def _result(self, file: str) -> "_answers.Loaded | _findings.Exit":
        try:
            ended = self.airflow.load(file)
        except GoneError:
            return _findings.Exit(None, took_all=True)
        try:
            result = _answers.loaded(ended.said)
        except _answers.FormError:
            return _findings.Exit(ended.status)
        if ended.left:
            problem = "loading this file leaves processes behind"
            self.findings.append(Finding(file, 0, _findings.LEFT, problem, _findings.LATER))
        return result

    def _judge(self, file: str, found: _answers.Loaded) -> None:
        effects = [_findings.of_effect(effect) for effect in found.effects]
        self.findings += effects
        if found.error is not None:
            # Where a line was kept from what it does, or cannot be loaded by its text, that is why.
            steps = set(found.error.frames)
            files = {where for where, _line in steps} | {file}
            explained = any((one.file, one.line) in steps for one in effects)
            explained = explained or tells(self.project.found, found.error.text)
            if not explained and not files & self.found.failing:
                self.findings += _findings.of_error(file, found.error, self.project)
            return
        self.findings += _findings.of_dags(file, found, self.project)
        if not found.dags:
            is_imported = any(file in others for others in self.found.imports.values())
            self.findings.append(_findings.of_no_dag(file, is_imported))
        if found.seconds > self.project.settings.max_parse_seconds:
            self.findings.append(_findings.of_time(file, found.seconds, self.project))
