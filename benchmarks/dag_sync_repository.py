# SPDX-License-Identifier: GPL-3.0-or-later
"""The repositories that are followed: DAGs and configs as people write them."""

from collections.abc import Iterable

from benchmarks.dag_sync_commands import GIT, PATH, SERVED, SERVER, run_as

SMALL, LARGE, MARKED = "small", "large", "marked"
FILES = {SMALL: 1_500, LARGE: 20_000, MARKED: 60}
READ = 30  # Files to a read; in the repository of marks, each commit changes all of them.
PY = '''"""Load number {number} of the night; revision {mark}."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

from airflow.sdk import DAG, task

log = logging.getLogger(__name__)
SOURCE = "source_{number}"
COLUMNS = {{"id": int, "name": str, "amount": float, "day": datetime.date}}


class RowError(ValueError):
    """A row that cannot be loaded."""


def parse(line: str, separator: str = ";") -> dict[str, object]:
    """Return the values of a line by column."""
    values = line.rstrip("\\n").split(separator)
    if len(values) != len(COLUMNS):
        raise RowError(f"{{len(values)}} values, {{len(COLUMNS)}} columns: {{line!r}}")
    return {{name: value for name, value in zip(COLUMNS, values, strict=True)}}


def rows(path: Path) -> list[dict[str, object]]:
    """Return the rows of a file; what cannot be read is logged."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(parse(line))
        except RowError as error:
            log.warning("%s, line %d: %s", path, number, error)
    return found


with DAG("load_{number}", schedule="@daily", start_date=datetime.datetime(2026, 1, 1)):

    @task
    def extract(day: str) -> list[dict[str, object]]:
        """Read what arrived that day."""
        return rows(Path("/srv/arrived", SOURCE, f"{{day}}.csv"))

    @task
    def transform(found: list[dict[str, object]]) -> dict[str, float]:
        """Add up by name."""
        sums: dict[str, float] = {{}}
        for row in found:
            sums[str(row["name"])] = sums.get(str(row["name"]), 0.0) + float(str(row["amount"]))
        return sums

    @task
    def load(sums: dict[str, float]) -> int:
        """Say what was loaded."""
        log.info("%s: %d names, %.2f in all", SOURCE, len(sums), sum(sums.values()))
        return len(sums)

    load(transform(extract("{{{{ ds }}}}")))
'''
YAML = """---
# Settings of load number {number}, revision {mark}
source: source_{number}
target: {{schema: night, table: load_{number}, mode: append}}
schedule: "{minute} 2 * * *"
retries: 3
owners: [etl, reporting]
columns:
  - {{name: id, type: integer, key: true}}
  - {{name: name, type: text, length: 120}}
  - {{name: amount, type: decimal, digits: [12, 2]}}
  - {{name: day, type: date, format: "%Y-%m-%d"}}
checks:
  rows_at_least: {number}
  late_after_minutes: 45
description: >-
  The rows that arrive over night,
  added up by name.
"""


def file_of(number: int, mark: int = 0) -> tuple[str, str]:
    """Return path and content of a file: four of five are DAGs, the others configs."""
    team = f"team_{number % 20:02}"
    if number % 5 == 4:
        content = YAML.format(number=number, mark=mark, minute=number % 60)
        return f"configs/{team}/load_{number:05}.yaml", content
    return f"dags/{team}/load_{number:05}.py", PY.format(number=number, mark=mark)


def marked_file(number: int, mark: int) -> tuple[str, str]:
    """Return path and content of a file that says of which commit it is."""
    return f"marks/part_{number % 6}/mark_{number:02}.txt", f"{mark}\n"


def commit_stream(number: int, files: Iterable[tuple[str, str]], *, first: bool) -> bytes:
    """Return a commit as `git fast-import` reads it."""
    begin = (
        f"commit refs/heads/main\ncommitter bench <bench@example.org> {1_700_000_000 + number}"
        f" +0000\ndata {len(str(number))}\n{number}\n"
    )
    parts = [begin.encode(), b"" if first else b"from refs/heads/main^0\n"]
    for path, content in files:
        data = content.encode()
        parts.append(f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
    return b"".join(parts)


class Repository:
    """A bare repository on the server, which need not exist yet, and commits to it."""

    def __init__(self, name: str) -> None:
        self.path = SERVED / f"{name}.git"
        self.url = f"ssh://{SERVER}@127.0.0.1{self.path}"

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git as the account that serves."""
        command = [GIT, *arguments]
        environment = {"PATH": PATH, "HOME": str(SERVED), "GIT_DIR": str(self.path)}
        return run_as(SERVER, command, environment, stdin).strip()

    def make(self, files: Iterable[tuple[str, str]]) -> str:
        """Make it, with a first commit."""
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.path))
        return self.push(0, files, first=True)

    def push(self, number: int, files: Iterable[tuple[str, str]], *, first: bool = False) -> str:
        """Commit these files, and return the commit."""
        stream = commit_stream(number, files, first=first)
        self.git("fast-import", "--quiet", stdin=stream)
        return self.git("rev-parse", "refs/heads/main")
