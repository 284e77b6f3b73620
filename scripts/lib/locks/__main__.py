"""The command scripts/lock."""

import argparse
import datetime
import sys
from pathlib import Path

from scripts.lib.locks.check import problems
from scripts.lib.locks.compile import make_locks, run_uv
from scripts.lib.locks.recipe import LOCKS
from scripts.lib.locks.requirements import LockError
from scripts.lib.locks.wheels import NODE_LOCKS, PYTHONS, fill

ROOT = Path(__file__).resolve().parents[3]


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
    parser.add_argument("--machine", default="x86_64", help="of the nodes, for --wheels")
    given = parser.parse_args()
    try:
        if given.check:
            return check()
        if given.wheels:
            return bring_wheels(given.wheels, given.machine)
        more = ["--upgrade"] if given.upgrade else []
        more += [f"--upgrade-package={name}" for name in given.upgrade_package]
        today = datetime.datetime.now(datetime.UTC).date()
        changes = make_locks(ROOT, LOCKS, more, today, run_uv)
    except LockError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(changes) if changes else "No version of any package changed.")
    return 0


def check() -> int:
    """Print what is wrong with the locks; return the exit code."""
    found = [
        problem
        for lock in LOCKS
        for problem in problems(lock, lambda name: (ROOT / name).read_text())
    ]
    print("\n".join(found) if found else f"{len(LOCKS)} locks are current and complete.")
    return 1 if found else 0


def bring_wheels(folder: Path, machine: str) -> int:
    """Fill the folder for each Python that nodes have; return the exit code."""
    for python in PYTHONS:
        found = fill(
            folder,
            python,
            machine,
            {path: (ROOT / path).read_text() for path in NODE_LOCKS[python]},
        )
        print(f"{found}: {len([*found.iterdir()])} files for Python {python} on {machine}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
