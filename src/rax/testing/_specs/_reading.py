# SPDX-License-Identifier: Apache-2.0
"""From the file of a spec to what it says, or to all its mistakes."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rax.config import _files as config_files
from rax.config._dumper import config_dumper
from rax.errors import MalformedConfigError
from rax.testing._model import Case, Place, Spec
from rax.testing._specs import _form
from rax.testing._specs._document import Document, Steps, Value
from rax.testing._specs._expectations import ExpectationReader
from rax.testing._specs._files import FOLDER, SUFFIX
from rax.testing._specs._given import given_of
from rax.testing._specs._mistakes import Mistake, SpecError
from rax.testing._specs._sections import DATABASES, Sections, names_said
from rax.testing._specs._target import target_of

_MAX_SPEC_BYTES = 1_000_000
_MAX_VALUES = 100_000


def read(file: Path, root: Path) -> Spec:
    """Return what a spec says; each of its cases has all that it is given.

    :param file: the spec, below the folder tests/flows of root
    :param root: the folder of the repository
    :raises SpecError: with all its mistakes
    """
    root = root.absolute()
    file = file.absolute()
    name = str(file)
    if file.is_relative_to(root):
        name = file.relative_to(root).as_posix()
    return _read(Document(file, name, _content(file, root, Place(name, 1))), root / FOLDER)


def made(values: Mapping[str, Any], file: Path) -> Spec:
    """Return what a spec says that code has made; its files are beside that of the code.

    :param values: what the file of a spec would hold
    :param file: of the code
    :raises SpecError: with all its mistakes, whose lines are none of the file's
    """
    try:
        text = yaml.dump(values, Dumper=config_dumper(), sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, RecursionError):
        text = "has a value that is no text, number, truth, list or mapping"
        raise SpecError((Mistake(Place(file.name, 1), text),)) from None
    return _read(Document(file.absolute(), file.name, text.encode()), file.absolute().parent)


def _read(document: Document, top: Path) -> Spec:
    spec = _spec(document, top) if document.is_whole else None
    if document.mistakes or spec is None:
        mistakes = sorted(dict.fromkeys(document.mistakes), key=lambda mistake: mistake.place.line)
        raise SpecError(tuple(mistakes))
    return spec


def _content(file: Path, root: Path, place: Place) -> bytes:
    problem, content = "is not there", None
    if not file.is_relative_to(root / FOLDER) or ".." in file.parts:
        problem = f"is not below {FOLDER}"
    elif not file.name.endswith(SUFFIX):
        problem = f"has to end in {SUFFIX}"
    else:
        try:
            if file.stat().st_size > _MAX_SPEC_BYTES:
                problem = f"has more than {_MAX_SPEC_BYTES:,} bytes"
            elif found := config_files.read(file, root / FOLDER):
                content = found.content
        except OSError as error:
            problem = str(error.strerror)
        except MalformedConfigError as error:
            problem = str(error).removeprefix(f"{file}: ")
    if content is None:
        raise SpecError((Mistake(place, problem),))
    return content


def _spec(document: Document, top: Path) -> Spec:
    """Return what has the form of a spec, and note in the document what has not."""
    if not _check_texts(document):
        return Spec(document.file, document.place(()), "", ())
    values = copy.deepcopy(document.values)
    cases = values.get("cases")
    holders = [values, *(cases.values() if isinstance(cases, dict) else ())]
    misfits = _form.misfits(values, names_said(holders, DATABASES))
    for misfit in misfits:
        document.refuse(misfit.steps, misfit.text)
    for misfit in misfits:
        if misfit.is_value:
            _remove(values, misfit.steps)
    whole = Value(document, (), values)
    shared = whole.get("given")
    return Spec(
        path=document.file,
        place=document.place(()),
        workflow=values.get("workflow", ""),
        cases=tuple(_case(name, value, shared, top) for name, value in whole.items("cases")),
    )


def _case(name: str, value: Value, shared: Value | None, top: Path) -> Case:
    values = value.document.values
    sections = Sections(shared, value.get("given"), (values, values["cases"][name]))
    given = given_of(sections, top)
    reader = ExpectationReader(top, sections.databases(), sections.down())
    expected = value.get("expect") or Value(value.document, value.steps, {})
    named, target = value.get("runs"), value.get("target")
    runs = reader.runs(expected, named)
    return Case(
        place=value.place,
        name=name,
        given=given,
        runs=runs,
        target=target_of(target, runs, named, given, reader) if target else {},
    )


def _check_texts(document: Document) -> bool:
    """Note texts that nothing could take, or that there are too many; say whether all is well."""
    waiting: list[tuple[Steps, Any]] = [((), document.values)]
    count, is_well = 0, True
    while waiting:
        steps, value = waiting.pop()
        count += 1
        if count > _MAX_VALUES:
            document.refuse((), f"holds more than {_MAX_VALUES:,} keys and values")
            return False
        if isinstance(value, dict):
            waiting += [((*steps, key), inner) for key, inner in value.items()]
            waiting += [((*steps, key), key) for key in value]
        elif isinstance(value, list):
            waiting += [((*steps, index), inner) for index, inner in enumerate(value)]
        elif isinstance(value, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            document.refuse(steps, "has NUL or half a character, which no text of a spec has")
            is_well = False
    return is_well


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
