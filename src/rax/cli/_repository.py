# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of a DAG repository on the nodes: its files are read, and none is run."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rax.airflow.dag_files import looks_like_dags
from rax.checking._compiled import SourceError
from rax.cli import _airflow_moves, _environment
from rax.cli._source import Import, Source, read
from rax.errors import CommandError

# What DAGs and tasks are given beside the folder of DAGs.
_HELPERS = ("lib", "util")
_ADD = "add its package to packages/requirements.in of the deployment"
_PORT = "port it, or name it in .airflowignore or dag_sync_gate_exclude"
_IGNORED = "named in .airflowignore"
# Importing Airflow and all that a large repository names takes a few seconds.
_MAX_SECONDS = 300


class Problem(NamedTuple):
    """Something of a file that will fail on the nodes; line 0 is the file as a whole."""

    file: str
    line: int
    problem: str
    advice: str


class Repository:
    """The files of a repository, as the nodes will see them.

    :param root: a folder, such as a clone or a release
    :param dags_folder: where its DAGs are, below it; ``.`` is the folder itself
    :raises CommandError: there is no such folder, or no Airflow to ask
    """

    def __init__(self, root: Path, dags_folder: str) -> None:
        self.root = root.resolve()
        self.dags = (self.root / dags_folder).resolve()
        if not self.root.is_dir():
            raise CommandError(f"{root} is no folder")
        self.files = sorted(_python_files(self.root))
        if not self.dags.is_dir() or not self.dags.is_relative_to(self.root):
            raise CommandError(self._without_dags(dags_folder))
        # Files that Airflow runs to find DAGs, and why it leaves others of the folder out.
        self.run: list[str] = []
        self.left_out: dict[str, str] = {}
        self.problems: list[Problem] = []
        # What works today, and what Airflow says will not for ever.
        self.notes: list[Problem] = []
        # Top-level modules that the nodes have no package for.
        self.lacking: set[str] = set()
        # Ids and names that are in the text; what is put together at run time is not.
        self.needs: dict[str, set[str]] = {"connections": set(), "variables": set(), "pools": set()}
        self._check()

    def _check(self) -> None:
        sources, broken = self._read()
        here = _ask_environment(self.dags, sources)
        for file in filter(self._is_in_dags, self.files):
            if str(self.root / file) not in here.searched:
                self.left_out[file] = _IGNORED
            elif not looks_like_dags((self.root / file).read_bytes()):
                self.left_out[file] = "without the words of DAGs"
            else:
                self.run.append(file)
        for file, why in broken.items():
            if not self._is_ignored(file):
                blocks = self._is_in_dags(file) or _is_helper(file)
                what = "it blocks the commit" if blocks else "it cannot be imported"
                self.problems.append(Problem(file, why.line, f"{what}: {why}", _PORT))
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
                for found in sources[file].imports:
                    waiting += known & self._files_of(file, found)
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

    def _of_source(self, file: str, source: Source, here: "_Here") -> Iterator[Problem]:
        for found in source.imports:
            if found.level:
                if found.at_the_top and file in self.run:
                    yield self._relative(file, found)
            elif _is_airflow(found.module):
                yield from self._of_airflow(file, found, here)
            else:
                yield from self._of_module(file, found, here)
        for line, name in source.dag_arguments:
            if name not in here.dag_arguments:
                advice = _airflow_moves.argument_instead(name)
                yield Problem(file, line, f"DAG takes no argument {name}", advice)

    def _relative(self, file: str, found: Import) -> Problem:
        dots = "." * found.level
        folder = self._folder_of(file, found.level)
        top = self.dags if folder.is_relative_to(self.dags) else self.root
        names = [*folder.relative_to(top).parts] if folder.is_relative_to(top) else ["?"]
        names += [name for name in found.module.split(".") if name]
        whole = f"from {'.'.join(names)} import" if names else "import"
        valid = all(name.isidentifier() for name in names)
        return Problem(
            file,
            found.line,
            f"Airflow runs this file by itself, where 'from {dots}{found.module} import' fails",
            f"write '{whole}'" if valid else "give the module's whole name",
        )

    def _of_airflow(self, file: str, found: Import, here: "_Here") -> Iterator[Problem]:
        verdict, text = here.airflow[found.module, found.name]
        whole = f"{found.module}.{found.name}" if found.name else found.module
        if verdict == _environment.MISSING:
            own = found.module.replace(".", "/")
            if package := _airflow_moves.provider(whole):
                self.lacking.add(package)
                advice = f"add {package} to packages/requirements.in of the deployment"
                yield Problem(file, found.line, f"nodes lack the provider of {text}", advice)
                return
            advice = _airflow_moves.moved_to(whole)
            if _has_module(self.root, found.module):
                advice = f"move {own} into lib: the name airflow is Airflow's own"
            yield Problem(file, found.line, f"{text} is not in Airflow {here.version}", advice)
        elif verdict == _environment.NEEDS:
            self.lacking.add(text)
            yield Problem(file, found.line, f"{found.module} needs {text}, which nodes lack", _ADD)
        elif verdict == _environment.FAILS:
            yield Problem(file, found.line, f"{found.module} cannot be imported: {text}", _ADD)
        elif verdict == _environment.DEPRECATED:
            self.notes.append(Problem(file, found.line, text, ""))

    def _of_module(self, file: str, found: Import, here: "_Here") -> Iterator[Problem]:
        top = found.module.partition(".")[0]
        own = [root for root in (self.dags, self.root) if _has_module(root, top)]
        lacking = here.others[found.module, found.name]
        if own and lacking == top:
            if not any(_has_module(root, found.module) for root in own):
                problem = f"the repository has no module {found.module}"
                yield Problem(file, found.line, problem, "")
        elif own and top not in sys.stdlib_module_names:
            shown = (own[0] / top).relative_to(self.root)
            problem = f"{top} is a package of the nodes, too, which is imported in place of {shown}"
            yield Problem(file, found.line, problem, f"rename {shown}")
        elif lacking == top and (where := self._elsewhere(top)):
            folder = self.dags.relative_to(self.root)
            into = "the root" if folder == Path() else f"{folder} or the root"
            advice = f"move {where} into {into}: nothing else is searched"
            yield Problem(file, found.line, f"{top} is not where Python searches", advice)
        elif lacking and (instead := _airflow_moves.of_old_python(lacking)):
            yield Problem(file, found.line, f"Python no longer has {lacking}", instead)
        elif lacking:
            self.lacking.add(lacking)
            yield Problem(file, found.line, f"nodes have no package with {lacking}", _ADD)

    def _elsewhere(self, name: str) -> str | None:
        for file in self.files:
            parts = file.removesuffix(".py").split("/")
            if name in parts:
                whole = "/".join(parts[: parts.index(name) + 1])
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


def _ask_environment(dags: Path, sources: dict[str, Source]) -> _Here:
    imports = {
        (one.module, one.name)
        for source in sources.values()
        for one in source.imports
        if not one.level
    }
    airflow = sorted((one for one in imports if _is_airflow(one[0])), key=str)
    others = sorted((one for one in imports if not _is_airflow(one[0])), key=str)
    question = {"dags": str(dags), "airflow": airflow, "others": others}
    with tempfile.TemporaryDirectory(prefix="rax-repository-") as home:
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter, and a program of this package
                [sys.executable, "-I", _environment.__file__],
                input=json.dumps(question),
                capture_output=True, text=True, check=False, timeout=_MAX_SECONDS, cwd=home,
                # Nothing of the node's own settings, which would have it ask a database.
                env={"AIRFLOW_HOME": home, "HOME": home, "PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise CommandError(f"Airflow did not load within {_MAX_SECONDS} s") from None
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise CommandError(
            f"Airflow cannot be asked: {last}. Run this on a node, or where the packages of the "
            "nodes are"
        )
    found: dict[str, Any] = json.loads(done.stdout)
    verdicts = {
        key: (kind, text) for key, (kind, text) in zip(airflow, found["airflow"], strict=True)
    }
    lacking = dict(zip(others, found["others"], strict=True))
    names = (set(found[key]) for key in ("dag_arguments", "searched"))
    return _Here(found["version"], verdicts, lacking, *names)


def _is_airflow(module: str) -> bool:
    return module.partition(".")[0] == "airflow"


def _is_helper(file: str) -> bool:
    return file.split("/")[0] in _HELPERS


def _python_files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and not Path(folder, name, "pyvenv.cfg").exists()
        ]
        for name in files:
            if name.endswith(".py") and Path(folder, name).is_file():
                yield os.path.relpath(Path(folder, name), root)


def _has_module(root: Path, module: str) -> bool:
    path = root.joinpath(*module.split("."))
    return path.is_dir() or path.with_name(f"{path.name}.py").is_file()
