"""The command scripts/lock."""

import argparse
import datetime
import functools
import os
import sys
from pathlib import Path

from scripts.lib.locks.advisories import scan
from scripts.lib.locks.check import problems
from scripts.lib.locks.compile import make_locks, run_uv
from scripts.lib.locks.osv import SERVICE, NoAnswerError, ask
from scripts.lib.locks.recipe import LOCKS
from scripts.lib.locks.requirements import LockError
from scripts.lib.locks.wheels import NODE_LOCKS, PYTHONS, fill

ROOT = Path(__file__).resolve().parents[3]
# For scripts/test, a stage that could not be run.
SKIPPED = 77


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="scripts/lock", description="Pins all Python packages.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest of everything")
    parser.add_argument(
        "--upgrade-package", metavar="NAME", action="append", default=[], help="take its newest"
    )
    parser.add_argument(
        "--check", action="store_true", help="only say whether the locks are current and complete"
    )
    parser.add_argument(
        "--wheels", metavar="DIR", type=Path, help="only fill a folder for nodes without an index"
    )
    parser.add_argument(
        "--advisories", action="store_true", help="only look for known vulnerabilities"
    )
    parser.add_argument("--machine", default="x86_64", help="of the nodes, for --wheels")
    given = parser.parse_args()
    try:
        if given.check:
            return check()
        if given.advisories:
            return look_for_advisories()
        if given.wheels:
            return bring_wheels(given.wheels, given.machine)
        more = ["--upgrade"] if given.upgrade else []
        more += [f"--upgrade-package={name}" for name in given.upgrade_package]
        changes = make_locks(ROOT, LOCKS, more, utc_today(), run_uv)
    except LockError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(changes) if changes else "No version of any package changed.")
    return 0


def utc_today() -> datetime.date:
    """Return the date that is the same wherever this runs."""
    return datetime.datetime.now(datetime.UTC).date()


def text_of(name: str) -> str:
    """Return the text of a file of this checkout."""
    return (ROOT / name).read_text()


def check() -> int:
    """Print what is wrong with the locks; return the exit code."""
    found = [problem for lock in LOCKS for problem in problems(lock, text_of)]
    print("\n".join(found) if found else f"{len(LOCKS)} locks are current and complete.")
    return 1 if found else 0


def look_for_advisories() -> int:
    """Print the known vulnerabilities of what the locks pin; return the exit code."""
    service = os.environ.get("CASPIAN_ADVISORY_SERVICE") or SERVICE
    try:
        report = scan(LOCKS, text_of, utc_today(), functools.partial(ask, service=service))
    except NoAnswerError as error:
        print(f"skipped: {error}")
        return SKIPPED
    for note in report.notes:
        print(f"note: {note}")
    print("\n".join(report.failures) or "Nothing that the locks pin has to be changed.")
    return 1 if report.failures else 0


def bring_wheels(folder: Path, machine: str) -> int:
    """Fill the folder for each Python that nodes have; return the exit code."""
    for python in PYTHONS:
        found = fill(
            folder,
            python,
            machine,
            {path: text_of(path) for path in NODE_LOCKS[python]},
        )
        print(f"{found}: {len([*found.iterdir()])} files for Python {python} on {machine}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
