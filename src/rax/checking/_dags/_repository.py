# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of a DAG repository on the nodes: its files are read, and none is run."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rax.airflow.dag_files import looks_like_dags
from rax.checking._compiled import SourceError
from rax.checking._dags import _airflow_moves, _distributions, _environment
from rax.checking._dags._process import AirflowProcess
from rax.checking._finding import Finding
from rax.checking._project import Project
from rax.checking._source import Import, Source, read
from rax.errors import CommandError

# What DAGs and tasks are given beside the folder of DAGs.
_HELPERS = ("lib", "util")
_PORT = "port it, or name it in .airflowignore or dag_sync_gate_exclude"
# Functions whose names say that they make DAGs.
_MAKES_DAGS = re.compile("dag|workflow", re.IGNORECASE)
_IGNORED = "named in .airflowignore"


# The rules, by which findings are told apart.
BROKEN, RELATIVE, AIRFLOW, ARGUMENT = "syntax", "relative-import", "airflow-import", "dag-argument"
MODULE, PACKAGE, SHADOW, DEPRECATED = "module", "package", "shadow", "deprecated"


class Repository:
    """The files of a repository, as the nodes will see them.

    :param project: a clone or a release, for example
    :param dags_folder: where its DAGs are, below it; ``.`` is the folder itself
    :param airflow: whom to ask about Airflow and the packages
    :raises CommandError: there is no folder of DAGs, or no Airflow to ask
    """

    def __init__(self, project: Project, dags_folder: str, airflow: AirflowProcess) -> None:
        self.root = project.root
        self.dags = (self.root / dags_folder).resolve()
        self.files = project.python_files
        if not self.dags.is_dir() or not self.dags.is_relative_to(self.root):
            raise CommandError(self._without_dags(dags_folder))
        # Files that Airflow runs to find DAGs, and why it leaves others of the folder out.
        self.run: list[str] = []
        self.left_out: dict[str, str] = {}
        self.problems: list[Finding] = []
        # What works today, and what Airflow says will not for ever.
        self.notes: list[Finding] = []
        # Files that cannot be loaded because of a problem of theirs.
        self.failing: set[str] = set()
        # Which files of the repository a file imports, by its text.
        self.imports: dict[str, set[str]] = {}
        # Files that Airflow does not search for DAGs, and that look as if they made some.
        self.unsearched: set[str] = set()
        # Top-level modules that the nodes have no package for.
        self.lacking: set[str] = set()
        # Ids and names that are in the text; what is put together at run time is not.
        self.needs: dict[str, set[str]] = {"connections": set(), "variables": set(), "pools": set()}
        self._check(airflow)

    def _check(self, airflow: AirflowProcess) -> None:
        sources, broken = self._read()
        here = _ask(airflow, sources)
        for file in filter(self._is_in_dags, self.files):
            if str(self.root / file) not in here.searched:
                self.left_out[file] = _IGNORED
            elif not looks_like_dags((self.root / file).read_bytes()):
                self.left_out[file] = "without the words of DAGs"
                if file in sources and _MAKES_DAGS.search(" ".join(sources[file].calls)):
                    self.unsearched.add(file)
            else:
                self.run.append(file)
        for file, why in broken.items():
            if not self._is_ignored(file):
                blocks = self._is_in_dags(file) or _is_helper(file)
                what = "it blocks the commit" if blocks else "it cannot be imported"
                self.problems.append(Finding(file, why.line, BROKEN, f"{what}: {why}", _PORT))
                self.failing.add(file)
        for file, source in sources.items():
            if not self._is_ignored(file):
                self.needs["connections"] |= source.connections
                self.needs["variables"] |= source.variables
                self.needs["pools"] |= source.pools
                self.problems += self._of_source(file, source, here)
        self.problems = sorted(set(self.problems))
        self.notes = sorted(set(self.notes))

    def _read(self) -> tuple[dict[str, Source], dict[str, SourceError]]:
        """Read what is in the folder of DAGs, lib and util, and whatever they import."""
        sources: dict[str, Source] = {}
        broken: dict[str, SourceError] = {}
        known = set(self.files)
        waiting = [file for file in self.files if self._is_in_dags(file) or _is_helper(file)]
        while waiting:
            file = waiting.pop()
            if file in sources or file in broken:
                continue
            try:
                sources[file] = read((self.root / file).read_bytes())
            except SourceError as error:
                broken[file] = error
            else:
                self.imports[file] = {
                    other
                    for found in sources[file].imports
                    for other in known & self._files_of(file, found)
                }
                waiting += self.imports[file]
        return dict(sorted(sources.items())), broken

    def _files_of(self, file: str, found: Import) -> set[str]:
        """Return the names that the files behind an import would have in the repository."""
        starts = [self._folder_of(file, found.level)] if found.level else [self.dags, self.root]
        names = [name for name in found.module.split(".") if name]
        names += [found.name] if found.name else []
        paths = set()
        for start in starts:
            if start.is_relative_to(self.root):
                folder = start.relative_to(self.root)
                for length in range(1, len(names) + 1):
                    inner = folder.joinpath(*names[:length])
                    paths |= {f"{inner}.py", f"{inner}/__init__.py"}
        return paths

    def _folder_of(self, file: str, level: int) -> Path:
        """Return where a relative import begins; too many dots lead to the root of all files."""
        folders = (self.root / file).parents
        return folders[min(level, len(folders)) - 1]

    def _without_dags(self, dags_folder: str) -> str:
        found = {
            str(Path(file).parent)
            for file in self.files
            if looks_like_dags((self.root / file).read_bytes())
        }
        elsewhere = ", ".join(sorted(found)[:5]) or "no folder"
        return (
            f"{self.root} has no folder {dags_folder}, and files like DAGs are in {elsewhere}: "
            "name it with --dags-folder, and in the inventory by dag_sync_dags_folder"
        )

    def _is_in_dags(self, file: str) -> bool:
        return (self.root / file).is_relative_to(self.dags)

    def _is_ignored(self, file: str) -> bool:
        return self.left_out.get(file) == _IGNORED

    def _of_source(self, file: str, source: Source, here: "_Here") -> Iterator[Finding]:
        for found in source.imports:
            for problem in self._of_import(file, found, here):
                if found.at_the_top and problem.rule != SHADOW:
                    self.failing.add(file)
                yield problem
        for line, name in source.dag_arguments:
            if name not in here.dag_arguments:
                self.failing.add(file)
                advice = _airflow_moves.argument_instead(name)
                yield Finding(file, line, ARGUMENT, f"DAG takes no argument {name}", advice)

    def _of_import(self, file: str, found: Import, here: "_Here") -> Iterator[Finding]:
        if found.level:
            if found.at_the_top and file in self.run:
                yield self._relative(file, found)
        elif _is_airflow(found.module):
            yield from self._of_airflow(file, found, here)
        else:
            yield from self._of_module(file, found, here)

    def _relative(self, file: str, found: Import) -> Finding:
        dots = "." * found.level
        folder = self._folder_of(file, found.level)
        top = self.dags if folder.is_relative_to(self.dags) else self.root
        names = [*folder.relative_to(top).parts] if folder.is_relative_to(top) else ["?"]
        names += [name for name in found.module.split(".") if name]
        whole = f"from {'.'.join(names)} import" if names else "import"
        valid = all(name.isidentifier() for name in names)
        return Finding(
            file,
            found.line,
            RELATIVE,
            f"Airflow runs this file by itself, where 'from {dots}{found.module} import' fails",
            f"write '{whole}'" if valid else "give the module's whole name",
        )

    def _of_airflow(self, file: str, found: Import, here: "_Here") -> Iterator[Finding]:
        verdict, text = here.airflow[found.module, found.name]
        whole = f"{found.module}.{found.name}" if found.name else found.module
        if verdict == _environment.MISSING:
            own = found.module.replace(".", "/")
            if package := _airflow_moves.provider(whole):
                self.lacking.add(package)
                advice = f"add {package} to packages/requirements.in of the deployment"
                problem = f"nodes lack the provider of {text}"
                yield Finding(file, found.line, PACKAGE, problem, advice)
                return
            advice = _airflow_moves.moved_to(whole)
            if _has_module(self.root, found.module):
                advice = f"move {own} into lib: the name airflow is Airflow's own"
            problem = f"{text} is not in Airflow {here.version}"
            yield Finding(file, found.line, AIRFLOW, problem, advice)
        elif verdict == _environment.NEEDS:
            self.lacking.add(text)
            problem = f"{found.module} needs {text}, which nodes lack"
            yield Finding(file, found.line, PACKAGE, problem, _distributions.advice(text))
        elif verdict == _environment.FAILS:
            problem = f"{found.module} cannot be imported: {text}"
            yield Finding(file, found.line, PACKAGE, problem)
        elif verdict == _environment.DEPRECATED:
            self.notes.append(Finding(file, found.line, DEPRECATED, text, warning=True))

    def _of_module(self, file: str, found: Import, here: "_Here") -> Iterator[Finding]:
        top = found.module.partition(".")[0]
        own = [root for root in (self.dags, self.root) if _has_module(root, top)]
        lacking = here.others[found.module, found.name]
        if own and lacking == top:
            if not any(_has_module(root, found.module) for root in own):
                problem = f"the repository has no module {found.module}"
                yield Finding(file, found.line, MODULE, problem)
        elif own and top not in sys.stdlib_module_names:
            shown = (own[0] / top).relative_to(self.root)
            problem = f"{top} is a package of the nodes, too, which is imported in place of {shown}"
            yield Finding(file, found.line, SHADOW, problem, f"rename {shown}")
        elif lacking == top and (where := self._elsewhere(top)):
            folder = self.dags.relative_to(self.root)
            into = "the root" if folder == Path() else f"{folder} or the root"
            advice = f"move {where} into {into}: nothing else is searched"
            problem = f"{top} is not where Python searches"
            yield Finding(file, found.line, MODULE, problem, advice)
        elif lacking and (instead := _airflow_moves.of_old_python(lacking)):
            problem = f"Python no longer has {lacking}"
            yield Finding(file, found.line, MODULE, problem, instead)
        elif lacking:
            self.lacking.add(lacking)
            problem = f"nodes have no package with {lacking}"
            yield Finding(file, found.line, PACKAGE, problem, _distributions.advice(lacking))

    def _elsewhere(self, name: str) -> str | None:
        for file in self.files:
            parts = file.removesuffix(".py").split("/")
            if name in parts:
                above = parts[: parts.index(name)]
                if above and "/".join([*above, "__init__.py"]) in self.files:
                    # It is a part of a package, and has that one's name before its own.
                    continue
                whole = "/".join([*above, name])
                return whole + ".py" * (f"{whole}.py" == file)
        return None


class _Here(NamedTuple):
    """What this environment, which should be that of the nodes, has."""

    version: str
    airflow: dict[tuple[str, str | None], tuple[str, str]]
    # The part of a module that it lacks, if any.
    others: dict[tuple[str, str | None], str | None]
    dag_arguments: set[str]
    # The paths that Airflow's own search finds in the folder of DAGs.
    searched: set[str]


def _ask(airflow: AirflowProcess, sources: dict[str, Source]) -> "_Here":
    imports = {
        (one.module, one.name)
        for source in sources.values()
        for one in source.imports
        if not one.level
    }
    of_airflow = sorted((one for one in imports if _is_airflow(one[0])), key=str)
    others = sorted((one for one in imports if not _is_airflow(one[0])), key=str)
    found = airflow.about(of_airflow, others)
    verdicts = dict(zip(of_airflow, found.airflow, strict=True))
    lacking = dict(zip(others, found.others, strict=True))
    return _Here(found.version, verdicts, lacking, found.dag_arguments, found.searched)


def _is_airflow(module: str) -> bool:
    return module.partition(".")[0] == "airflow"


def _is_helper(file: str) -> bool:
    return file.split("/")[0] in _HELPERS


def _has_module(root: Path, module: str) -> bool:
    path = root.joinpath(*module.split("."))
    return path.is_dir() or path.with_name(f"{path.name}.py").is_file()
