# SPDX-License-Identifier: Apache-2.0
"""What a spec says: in which cases a workflow is run, what it is given, and what is expected of it.

A spec is a file ``tests/flows/<workflow>.flow.yaml``. Here it has been checked and resolved: a case
has all that is given to it, also what it shares with others, and paths on this disk are absolute.
"""

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple


class Place(NamedTuple):
    """Where something is said: a file below the repository's root, and a line, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class TaskKey(NamedTuple):
    """A task of a run; of a mapped one, one of its instances, or each (ALL)."""

    task_id: str
    # None is a task that is not mapped.
    map_index: int | None = None

    def __str__(self) -> str:
        if self.map_index is None:
            return self.task_id
        return f"{self.task_id}[{'*' if self.map_index == ALL else self.map_index}]"


ALL: Final = -1


class Unset(enum.Enum):
    """What stands for nothing said, where None is a value."""

    UNSET = enum.auto()


UNSET: Final = Unset.UNSET


class RunKind(enum.StrEnum):
    """How a case runs its workflow."""

    ONCE = "once"
    # Once more, on what the first run has left.
    AGAIN = "again"
    # From what is given anew: each task that may be retried does its work, then fails once.
    LOST = "lost"


class Query(NamedTuple):
    """A question to a database, which is called as its credential is."""

    database: str
    sql: str


@dataclass(frozen=True)
class Content:
    """What a table or a file has to hold: one of the four is said."""

    place: Place
    # The file that has the same.
    golden: Path | None = None
    # How many rows a table has, or how many lines a file has below its first.
    rows: int | None = None
    # What a file holds, to the letter.
    text: str | None = None
    # Whether there must be no such file.
    absent: bool = False
    # Whether `rax flow record` writes the golden: what a cluster gives, it does not.
    is_recorded: bool = True


@dataclass(frozen=True)
class TaskExpectation:
    """What is expected of a task; tables and files are those at the moment when it has ended."""

    place: Place
    key: TaskKey
    # Airflow's.
    state: str | None = None
    # Of a mapping those keys that are named count, at each level.
    returns: Any = UNSET
    tables: Mapping[Query, Content] = field(default_factory=dict)
    files: Mapping[str, Content] = field(default_factory=dict)
    # Why nothing else is said of it.
    unverified: str = ""


@dataclass(frozen=True)
class AlertExpectation:
    """An event that PagerDuty has to get."""

    place: Place
    # trigger, acknowledge or resolve.
    action: str
    # What its summary has somewhere.
    text: str = ""
    # What the event has besides; of a mapping those keys that are named count, at each level.
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Expectation:
    """What is expected of a run, and of what it leaves; None is nothing said."""

    place: Place
    # success or failed.
    state: str = "success"
    # The check that fails, so that nothing below it runs but the summary.
    check: str | None = None
    # All tasks that fail, and all that are skipped.
    failed: tuple[str, ...] | None = None
    skipped: tuple[str, ...] | None = None
    # All events, in their order.
    alerts: tuple[AlertExpectation, ...] | None = None
    tasks: tuple[TaskExpectation, ...] = ()
    # At the end of the run.
    tables: Mapping[Query, Content] = field(default_factory=dict)
    files: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What an HTTP source says to a request."""

    method: str
    # With its query, if it has one: /flights?month=1.
    path: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class HttpSource:
    """A source behind the URL of a credential: the files of a folder, or answers that are fixed."""

    folder: Path | None = None
    answers: tuple[Answer, ...] = ()
    # Whether that URL begins with https://.
    tls: bool = False


@dataclass(frozen=True)
class Change:
    """What changes outside of the workflow while it runs: after a task has ended."""

    place: Place
    after: TaskKey
    # SQL for the databases.
    statements: Mapping[str, str] = field(default_factory=dict)
    # Files of the case and where each comes from; None removes it.
    files: Mapping[str, Path | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What a case finds; paths of files without a root are in its folder, where tasks begin."""

    # Names of credentials, and the SQL that fills a new database for each.
    postgres: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    sqlite: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    http: Mapping[str, HttpSource] = field(default_factory=dict)
    # Where each file is copied from.
    files: Mapping[str, Path] = field(default_factory=dict)
    # What is merged over the configs of the repository, by their names.
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Fields of credentials, as the files of a node have them.
    credentials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Connections as URIs, and variables, of Airflow.
    connections: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    conf: Mapping[str, Any] | None = None
    # DAGs that the workflow triggers, and how their runs end: success or failed.
    triggers: Mapping[str, str] = field(default_factory=dict)
    # None is now.
    logical_date: datetime.datetime | None = None
    # The databases and sources that do not answer.
    down: frozenset[str] = frozenset()
    meanwhile: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Case:
    """One case of a spec."""

    place: Place
    name: str
    given: Given
    # What is expected of each run; each key is a run, in this order.
    runs: Mapping[RunKind, Expectation]
    # What is expected of each run on a staging cluster, where the case is made for one, too.
    target: Mapping[RunKind, Expectation] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """What a spec says of a workflow."""

    path: Path
    place: Place
    # The id of its DAG.
    workflow: str
    cases: tuple[Case, ...]
