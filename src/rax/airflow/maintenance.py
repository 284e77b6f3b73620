# SPDX-License-Identifier: Apache-2.0
"""Keep what grows with each task within bounds: the logs of this node, and the metadata database.

``airflow-maintenance.service`` runs this on every node, hourly::

    python -m rax.airflow.maintenance --status FILE --logs FOLDER --log-percent 40

What was done is written to the status file, ``{"ended", "problems": [...], ...}``. It ends with 0
when there is no problem, with 1 otherwise.
"""

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rax._printable import one_line
from rax.airflow._old_logs import limit_logs

# The timer fires each hour, for the logs. The database is cleaned once a day, and again an hour
# after it failed.
MIN_HISTORY_SECONDS = 20 * 3600
MAX_PROBLEM_CHARACTERS = 500


def read_status(path: Path) -> dict[str, Any]:
    """Return what the last run wrote, or nothing where it can't be read."""
    try:
        status = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def is_due(status: dict[str, Any], now: datetime) -> bool:
    """Tell whether the database is to be cleaned now, by what the last run wrote."""
    try:
        cleaned = datetime.fromisoformat(status["history_cleaned"])
        return not timedelta(0) <= now - cleaned < timedelta(seconds=MIN_HISTORY_SECONDS)
    except (KeyError, TypeError, ValueError):
        return True


def main(arguments: list[str] | None = None) -> int:
    """Do what the options ask for, write down what became of it, return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rax.airflow.maintenance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--status", type=Path, required=True, help="the file to write")
    parser.add_argument("--logs", required=True, help="the folder of Airflow's logs")
    parser.add_argument(
        "--log-percent", type=int, required=True, help="of its file system; 0: no bound"
    )
    parser.add_argument(
        "--history-days", type=int, help="clean the metadata database; 0: of what expired alone"
    )
    options = parser.parse_args(arguments)
    last, now = read_status(options.status), datetime.now(UTC)
    problems: list[str] = []
    status: dict[str, Any] = {}
    if options.log_percent:
        try:
            kept = limit_logs(options.logs, options.log_percent)
        except OSError as error:
            problems.append(f"the logs can't be looked through: {error}")
        else:
            status["logs_removed_bytes"] = kept.removed
            if kept.excess > 0:
                problems.append(
                    f"the logs in {options.logs} take {options.log_percent} % of their disk and"
                    f" {kept.excess >> 20} MB more: what could still be removed is being written to"
                )
    if options.history_days is not None:
        cleaned = last.get("history_cleaned")
        if is_due(last, now):
            from rax.airflow._old_rows import remove_old_rows

            found = remove_old_rows(options.history_days, now)
            problems += found
            cleaned = cleaned if found else now.isoformat(timespec="seconds")
        status["history_cleaned"] = cleaned
    ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    problems = [one_line(problem, MAX_PROBLEM_CHARACTERS) for problem in problems]
    _write(options.status, {"ended": ended, "problems": problems, **status})
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201 - the unit's journal
    return 1 if problems else 0


def _write(path: Path, status: dict[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(json.dumps(status) + "\n")
    # Monitoring may run as anybody; there is no secret in it.
    aside.chmod(0o644)
    aside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
