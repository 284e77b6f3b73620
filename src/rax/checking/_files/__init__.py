# SPDX-License-Identifier: Apache-2.0
"""Stage 1, files: what can be said of each without running anything of the repository."""

from collections.abc import Iterable

from rax.checking._files import _configs, _names, _ruff, _schemas
from rax.checking._files._credentials import Credentials
from rax.checking._files._syntax import read_modules
from rax.checking._finding import Finding, Outcome, count
from rax.checking._project import Project

__all__ = ["check", "syntax_problems", "tells"]

_REASONS = (_configs.REFUSED, _schemas.UNFIT, _names.MISSING)


def check(project: Project) -> Outcome:
    """Look at every file of the repository, or at those that have changed.

    :raises CommandError: a tool is missing, or does not do what it is for
    """
    modules, broken = read_modules(project)
    configs, credentials = _configs.Configs(project), Credentials(project)
    findings = [one for file, one in broken.items() if project.is_asked(file)]
    findings += credentials.problems
    findings += _configs.find_problems(project, configs, credentials.names or ())
    # A change of a config or a dataclass shows in files that have not changed.
    calls = _names.calls_of(modules)
    findings += _names.find_problems(project, calls, configs, credentials)
    folders = ("" if project.settings.dags_folder == "." else project.settings.dags_folder, "")
    # What is no setting is a key too many as well: it is told once.
    told = {(one.file, one.line) for one in findings}
    schemas = _schemas.Schemas(modules, folders)
    unfit = _schemas.find_problems(project, calls, configs, credentials, schemas)
    findings += [one for one in unfit if not one.line or (one.file, one.line) not in told]
    if not project.gate:
        findings += _ruff.check(project.root, tuple(filter(project.is_asked, modules)))
    looked_at = sorted(filter(project.is_asked, {*project.python_files, *configs.files}))
    return Outcome(findings, count(len(looked_at), "file"), names=tuple(looked_at))


def syntax_problems(project: Project) -> dict[str, Finding]:
    """Return the finding of each file of Python that cannot be compiled."""
    return read_modules(project).broken


def tells(findings: Iterable[Finding], error: str) -> bool:
    """Return whether one of these findings is the reason of an error that a run of the code had.

    :param error: the text of an error of rax.config
    """
    return any(_reason(finding) in error for finding in findings if finding.rule in _REASONS)


def _reason(finding: Finding) -> str:
    """Return what the error has in it that get_config() raises for what is wrong."""
    if finding.rule == _names.MISSING:
        return finding.problem.removeprefix(_names.THERE_IS)
    if finding.rule == _schemas.UNFIT:
        return f"config {_configs.name_of(finding.file)} does not fit"
    return f"/{finding.file}:"
