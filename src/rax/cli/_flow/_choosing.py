# SPDX-License-Identifier: Apache-2.0
"""Which specs are read, and which of their cases are run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rax.errors import CommandError
from rax.testing._choice import choice
from rax.testing._runner import Chosen
from rax.testing._specs import Mistake, SpecError, find, read

_SEPARATOR = "::"


class Found(NamedTuple):
    """The cases to run, and what is wrong with specs that cannot be read."""

    chosen: list[Chosen]
    mistakes: list[Mistake]


def choose(root: Path, names: Sequence[str], expression: str) -> Found:
    """Read specs, and choose among their cases.

    :param names: files and folders of specs, or a case as pytest names it, ``FILE::CASE``; where
        there is none, all specs of the repository
    :param expression: as ``-k`` takes it; nothing chooses all
    :raises CommandError: there is no such file, no such case, or none at all
    """
    is_meant = choice(expression) if expression else lambda _: True
    wanted = [*_wanted(root, names)]
    if not wanted:
        raise CommandError(f"{root.name} has no specs yet: ./rax flow new WORKFLOW writes one")
    found = Found([], [])
    for file, cases in wanted:
        try:
            spec = read(file, root)
        except SpecError as error:
            found.mistakes.extend(error.mistakes)
            continue
        known = [case.name for case in spec.cases]
        if unknown := [case for case in cases if case not in known]:
            there = ", ".join(map(repr, known))
            raise CommandError(f"{spec.place.file} has no case {unknown[0]!r}: it has {there}")
        of_spec = [Chosen(spec, case) for case in spec.cases if not cases or case.name in cases]
        found.chosen.extend(one for one in of_spec if is_meant(_name(one)))
    if not found.chosen and not found.mistakes:
        raise CommandError(f"-k {expression!r} chooses none of the cases")
    return found


def _name(one: Chosen) -> str:
    """Return what parts of names are looked for in."""
    return f"{one.id} {one.spec.workflow}"


def _wanted(root: Path, names: Sequence[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield each file to read, once, and the cases that are named of it; none means all."""
    known = find(root)
    wanted: dict[Path, set[str] | None] = {} if names else dict.fromkeys(known)
    for name in names:
        text, _separator, case = name.partition(_SEPARATOR)
        path = _path(root, text)
        files = [file for file in known if file == path or file.is_relative_to(path)]
        if not files:
            raise CommandError(f"{text} is no spec, nor a folder that has some")
        for file in files:
            before = wanted.get(file, set())
            wanted[file] = {*before, case} if case and before is not None else None
    for file, cases in wanted.items():
        yield file, tuple(sorted(cases or ()))


def _path(root: Path, text: str) -> Path:
    """Return a path as it is meant from here, or else from the root."""
    here = Path(text).resolve()
    return here if here.exists() else (root / text).resolve()
