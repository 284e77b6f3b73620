# SPDX-License-Identifier: Apache-2.0
"""From the file of a spec to what it says, or to all its mistakes."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rax.config import _files as config_files
from rax.errors import MalformedConfigError
from rax.testing._model import Case, Place, Spec
from rax.testing._specs import _form
from rax.testing._specs._document import Document, Steps, Value
from rax.testing._specs._expectations import Reader
from rax.testing._specs._files import FOLDER
from rax.testing._specs._given import Sections
from rax.testing._specs._mistakes import Mistake, SpecError

_MAX_SPEC_BYTES = 1_000_000


def read(file: Path, root: Path) -> Spec:
    """Return what a spec says, with what all its cases are given in each.

    :param file: the spec, below the folder tests/flows of root
    :param root: of the repository
    :raises SpecError: with all its mistakes
    """
    document = Document(file, root, _content(file, root))
    spec = _spec(document, root / FOLDER) if document.is_whole else None
    if document.mistakes or spec is None:
        mistakes = sorted(set(document.mistakes), key=lambda mistake: mistake.place)
        raise SpecError(tuple(mistakes))
    return spec


def _content(file: Path, root: Path) -> bytes:
    place = Place(file.relative_to(root).as_posix(), 1)
    try:
        if file.stat().st_size > _MAX_SPEC_BYTES:
            raise SpecError((Mistake(place, f"has more than {_MAX_SPEC_BYTES:,} bytes"),))
        found = config_files.read(file, root / FOLDER)
    except (OSError, MalformedConfigError) as error:
        text = str(getattr(error, "strerror", None) or error)
        raise SpecError((Mistake(place, text.removeprefix(f"{file}: ")),)) from None
    if found is None:
        raise SpecError((Mistake(place, "is not there"),))
    return found.content


def _spec(document: Document, top: Path) -> Spec:
    """Return what has the form of a spec, and note in the document what has not."""
    values = copy.deepcopy(document.values)
    misfits = _form.misfits(values, set(_databases(document.values)))
    for misfit in misfits:
        document.refuse(misfit.steps, misfit.text)
    for misfit in misfits:
        if misfit.is_value:
            _remove(values, misfit.steps)
    whole = Value(document, (), values)
    cases = [_case(name, value, whole.get("given"), top) for name, value in whole.items("cases")]
    return Spec(
        path=document.file,
        place=document.place(()),
        workflow=values.get("workflow", ""),
        cases=tuple(cases),
    )


def _case(name: str, value: Value, shared: Value | None, top: Path) -> Case:
    sections = Sections(shared, value.get("given"), top)
    given = sections.given()
    expected = value.get("expect") or Value(value.document, value.steps, {})
    reader = Reader(top, sections.databases())
    return Case(
        place=value.place,
        name=name,
        given=given,
        runs=reader.runs(expected, value.get("runs")),
        target=value.content.get("target", False),
    )


def _databases(document: dict[str, Any]) -> Iterable[str]:
    """Yield what looks like the name of a given database, whatever is wrong around it."""
    cases = document.get("cases")
    holders = [document, *(cases.values() if isinstance(cases, dict) else ())]
    for holder in holders:
        given = holder.get("given") if isinstance(holder, dict) else None
        for section in ("postgres", "sqlite"):
            names = given.get(section) if isinstance(given, dict) else None
            for name in [names] if isinstance(names, str) else names or ():
                if isinstance(name, str):
                    yield name


def _remove(values: Any, steps: Steps) -> None:
    """Take out of a document what does not have its form; of a list the whole."""
    # Without one of its items, the places of those after it would be wrong.
    while steps and isinstance(steps[-1], int):
        steps = steps[:-1]
    for step in steps[:-1]:
        if isinstance(values, dict) and step not in values:
            return
        values = values[step]
    if steps:
        values.pop(steps[-1], None)
