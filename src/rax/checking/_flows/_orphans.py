# SPDX-License-Identifier: Apache-2.0
"""Files beside the specs that none of them names any more."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rax.checking._finding import Finding
from rax.checking._project import Project
from rax.checking._reading import UnreadableError
from rax.testing._model import Spec
from rax.testing._specs import FOLDER

ORPHAN = "flow-orphan"
# What may name a file, and what is there for people.
_NAMING = (".yaml", ".yml", ".py")
_FOR_PEOPLE = (".md", ".txt")


def of_files(project: Project, specs: Iterable[Spec]) -> Iterator[Finding]:
    """Say which files nobody needs: a golden that is compared with nothing, for example."""
    files = [file for file in project.files if file.startswith(f"{FOLDER}/")]
    texts = [_text(project, file) for file in files if file.endswith(_NAMING)]
    served = {
        source.folder.resolve()
        for spec in specs
        for case in spec.cases
        for source in case.given.http.values()
        if source.folder
    }
    for file in files:
        path = project.root / file
        if file.endswith((*_NAMING, *_FOR_PEOPLE)) or path.name.startswith("."):
            continue
        if not served & {*path.resolve().parents} and not _is_named(path, texts):
            advice = "remove it, or name it in a spec"
            yield Finding(file, 0, ORPHAN, "no spec names this file", advice, warning=True)


def _is_named(path: Path, texts: Iterable[str]) -> bool:
    name = re.compile(rf"(?<![\w.-]){re.escape(path.name)}(?![\w-])")
    return any(map(name.search, texts))


def _text(project: Project, file: str) -> str:
    try:
        return project.read(file).decode(errors="replace")
    except (UnreadableError, FileNotFoundError):
        return ""
