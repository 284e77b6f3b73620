"""Which locks there are, what each is made of, and how uv is asked for it."""

import datetime
from dataclasses import dataclass

from scripts.lib.locks.requirements import AIRFLOW, Line, newest_day


@dataclass(frozen=True)
class Lock:
    """A lock: where it is, and what it is made of.

    It is of one Python, or a `universal` one for each from that Python on. The versions of packages
    that are in the lock `constraint`, too, are the same there.
    """

    path: str
    source: str
    python: str = "3.11"
    universal: bool = True
    constraint: str = ""


# The nodes have one Python each. The others run on controllers, whatever these have.
LOCKS = (
    Lock("requirements/uv.txt", "requirements/uv.in"),
    Lock("requirements/build.txt", "requirements/build.in"),
    Lock("requirements/dev.txt", "requirements/dev.in"),
    Lock("requirements/deploy.txt", "requirements/deploy.in", constraint="requirements/dev.txt"),
    Lock("requirements/refresh.txt", "requirements/refresh.in", constraint="requirements/dev.txt"),
    Lock("packages/requirements-py311.txt", "packages/requirements.in", "3.11", universal=False),
    Lock("packages/requirements-py313.txt", "packages/requirements.in", "3.13", universal=False),
    # What authors test with has to be of versions that go with the nodes' packages.
    Lock(
        "requirements/authors-py311.txt",
        "requirements/authors.in",
        "3.11",
        universal=False,
        constraint="packages/requirements-py311.txt",
    ),
    Lock(
        "requirements/authors-py313.txt",
        "requirements/authors.in",
        "3.13",
        universal=False,
        constraint="packages/requirements-py313.txt",
    ),
)
# The locks name no index and no download address, so that they serve behind any mirror. Their
# head names the one command that makes them.
OPTIONS = (
    "--quiet",
    "--no-config",
    "--system-certs",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--custom-compile-command=scripts/lock",
)


def compile_arguments(lock: Lock, lines: list[Line], constraint: str, output: str) -> list[str]:
    """Return the arguments of `uv pip compile` for a lock, without its source.

    Takes the paths of the lock that constrains it ("" for none) and of the one to write.
    """
    return [
        *OPTIONS,
        f"--python-version={lock.python}",
        *(["--universal"] if lock.universal else []),
        *([f"--constraint={constraint}"] if constraint else []),
        *date_arguments(lines),
        f"--output-file={output}",
    ]


def date_arguments(lines: list[Line]) -> list[str]:
    """Return how new uv is told that packages may be.

    Airflow's official constraints can't be had from a package index. What was newest when the
    release came out is the nearest thing to what it was tested with.
    """
    newest = newest_day(lines)
    return [
        *([f"--exclude-newer={_end_of(newest)}"] if newest else []),
        *(
            f"--exclude-newer-package={line.name}={_end_of(line.until)}"
            for line in lines
            if line.until and line.name != AIRFLOW
        ),
    ]


def _end_of(day: datetime.date) -> str:
    """Return the end of a day in UTC: a date alone would be of the time zone of whoever locks."""
    return f"{day.isoformat()}T23:59:59Z"
