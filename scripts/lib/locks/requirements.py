"""The lines of requirements/*.in and packages/requirements.in, and the dates beside them."""

import datetime
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# A comment begins a line or has a space before it, as for pip.
_COMMENT = re.compile(r"(?:^|\s)#(.*)$")
_NOTE = re.compile(
    r"\s*(?:until (?P<until>\d{4}-\d\d-\d\d)(?P<both>, not imported)?|(?P<alone>not imported))"
    r"(?:[,:;] .*)?\Z"
)
# What was probably meant for a note: it would be ignored without a word.
_ALMOST_NOTE = re.compile(
    r"\s*until\b|\buntil\s+\d|\d{4}-\d\d?-\d\d?|not[ -]imported", re.IGNORECASE
)
_INCLUDE = re.compile(r"-r\s+(\S+)\Z")
_FORM = "write `name>=7.2,<8  # until 2026-11-10`, `# not imported`, or both with a comma between"

# The date beside this package is that of all packages which have none of their own.
AIRFLOW = "apache-airflow"


class LockError(Exception):
    """What keeps a lock from being made; the message says where and what to do."""


@dataclass(frozen=True)
class Line:
    """A package that a file asks for, as it is written there (`asked`) and as it is understood.

    `until` is the last day of which a version of it may be, or None. What is not `imported` is left
    out when a new environment is proved.
    """

    file: str
    number: int
    asked: str
    requirement: Requirement
    until: datetime.date | None = None
    imported: bool = True

    @property
    def name(self) -> str:
        """The package's name as indexes spell it."""
        return canonicalize_name(self.requirement.name)

    @property
    def place(self) -> str:
        """Where a person finds the line."""
        return f"{self.file}:{self.number}"


def read_lines(file: str, text_of: Callable[[str], str]) -> list[Line]:
    """Return what a file and those that it includes (`-r`) ask for, in their order.

    Takes the file's path and what returns the text of such a path. Raises LockError.
    """
    lines = list(_parsed(file, text_of, ()))
    seen: dict[tuple[str, str], Line] = {}
    for line in lines:
        key = (line.name, str(line.requirement.marker or ""))
        if (other := seen.setdefault(key, line)) is not line:
            raise LockError(f"{line.place}: {line.name} is asked for in {other.place} too")
    return lines


def _parsed(file: str, text_of: Callable[[str], str], above: tuple[str, ...]) -> Iterator[Line]:
    if file in above:
        raise LockError(f"{file}: it includes itself")
    try:
        whole = text_of(file)
    except FileNotFoundError:
        raise LockError(f"{file}: there is no such file") from None
    for number, text in enumerate(whole.splitlines(), start=1):
        place = f"{file}:{number}"
        comment = _COMMENT.search(text)
        asked = (text[: comment.start()] if comment else text).strip()
        note = _note(comment[1], place, alone=not asked) if comment else None
        if include := _INCLUDE.match(asked):
            if note:
                raise LockError(
                    f"{place}: `{note[0].strip()}` belongs beside the line of one package"
                )
            yield from _parsed(
                str(PurePosixPath(file).parent / include[1]), text_of, (*above, file)
            )
        elif asked:
            requirement = _requirement(asked, place)
            imported = not note or not (note["both"] or note["alone"])
            yield Line(file, number, asked, requirement, _day(note, place), imported)


def _note(comment: str, place: str, *, alone: bool) -> re.Match[str] | None:
    found = _NOTE.match(comment)
    if not found:
        if not alone and _ALMOST_NOTE.search(comment):
            raise LockError(
                f"{place}: the comment looks like a note that counts, and is none: {_FORM}"
            )
    elif alone:
        raise LockError(f"{place}: the note has no package beside it: {_FORM}")
    return found


def _day(note: re.Match[str] | None, place: str) -> datetime.date | None:
    if not note or not note["until"]:
        return None
    try:
        return datetime.date.fromisoformat(note["until"])
    except ValueError:
        raise LockError(f"{place}: {note['until']} is no day of the calendar") from None


def _requirement(asked: str, place: str) -> Requirement:
    if asked.startswith("-"):
        raise LockError(
            f"{place}: options are not taken: the locks serve behind any index, so that"
            " a line is a package, such as pandas>=2.2,<3"
        )
    try:
        requirement = Requirement(asked)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise LockError(f"{place}: `{asked}` is not a requirement: {reason}") from None
    if requirement.url:
        raise LockError(
            f"{place}: {requirement.name} is from an address, and nodes take packages by their"
            " hashes from an index: publish it there, or to a folder of wheels"
        )
    return requirement


def newest_day(lines: list[Line]) -> datetime.date | None:
    """Return the date beside Airflow, or None where the lines don't ask for Airflow.

    Raises LockError if Airflow has no date.
    """
    for line in lines:
        if line.name == AIRFLOW:
            if line.until is None:
                raise LockError(
                    f"{line.place}: the day on which this Airflow came out is missing, up to which"
                    f" packages are taken: {_FORM}"
                )
            return line.until
    return None


def refuse_future(lines: list[Line], today: datetime.date) -> None:
    """Raise LockError for a date that is not over: the same lock could not be made again."""
    for line in lines:
        if line.until and line.until > today:
            raise LockError(
                f"{line.place}: {line.until} is still to come. Until then, what is newest changes"
                " from day to day: take today's date, or an earlier one"
            )
