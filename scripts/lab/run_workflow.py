#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a workflow of the lab through Airflow's API, and read back what it loaded.

Prints the state of the run and which nodes its tasks ran on, and for the example's workflow the
rows by month, read from the database with the credential as a task would. Ends with 1 when the run
did not succeed.
"""

import argparse
import collections
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "ebi_flights_daily"
MAX_RUN_SECONDS = 300
# An API server that shares two cores with several clusters may take a minute.
MAX_REPLY_SECONDS = 150
PYTHON = "/opt/airflow/current/bin/python"
COUNT_ROWS = """
import json, psycopg2
from rax.credentials import get_credentials
from rax.config import get_config
config = get_config("ebi.flights.daily")
account = get_credentials(config.source)
with psycopg2.connect(
    host=account["host"], port=account["metadata"]["port"], dbname=account["metadata"]["database"],
    user=account["user"], password=account["pass"],
) as connection:
    cursor = connection.cursor()
    cursor.execute(f'SELECT month, count(*) FROM "{config.table}" GROUP BY month ORDER BY month')
    print(json.dumps(cursor.fetchall()))
"""


class Api:
    """Airflow's REST API, as the admin."""

    def __init__(self, url: str, password: str) -> None:
        """Log in."""
        self.url, self.token = url, ""
        account = {"username": "admin", "password": password}
        self.token = self.call("POST", "/auth/token", account)["access_token"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the reply to one request; an error ends the program with its text."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=MAX_REPLY_SECONDS) as reply:
                return dict(json.load(reply))
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read(500).decode(errors='replace')}")
        except OSError as error:
            sys.exit(f"{method} {self.url}{path}: {error}")


def run(api: Api, dag: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Unpause and trigger the DAG, wait for the run's end, return it and its task instances."""
    deadline = time.monotonic() + MAX_RUN_SECONDS
    # Airflow has yet to parse what was published a moment ago.
    while not api.call("GET", f"/api/v2/dags?dag_id_pattern={dag}")["dags"]:
        if time.monotonic() > deadline:
            sys.exit(f"Airflow knows no DAG {dag} after {MAX_RUN_SECONDS} s: has it been pushed?")
        time.sleep(1)
    api.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
    run_id = api.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"]
    while True:
        found = api.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}")
        if found["state"] in ("success", "failed"):
            break
        if time.monotonic() > deadline:
            sys.exit(
                f"The run {run_id} of {dag} is still {found['state']} after {MAX_RUN_SECONDS} s"
            )
        time.sleep(1)
    return found, api.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances")[
        "task_instances"
    ]


def read_rows(lab: Path) -> list[tuple[int, int]]:
    """Return each month of the example's table with its number of rows, as worker1 reads it."""
    count = subprocess.run(
        ["ssh", "-F", str(lab / "ssh_config"), "worker1", f"sudo -u airflow {PYTHON} -"],
        input=COUNT_ROWS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if count.returncode:
        sys.exit(
            f"The rows could not be read back on worker1: {count.stderr.strip().splitlines()[-1:]}"
        )
    return [(month, rows) for month, rows in json.loads(count.stdout)]


def main() -> int:
    """Run the workflow and print what became of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cluster", default="demo", help="default: %(default)s")
    parser.add_argument("--dag", default=EXAMPLE, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    lab = ROOT / ".lab" / options.cluster
    known = re.findall(r"^(\w+),(\S+)", (lab / "known_hosts").read_text(), re.MULTILINE)
    # An IPv6 address is in brackets in URLs, and as a task's host.
    hosts_of = {name: f"[{at}]" if ":" in at else at for name, at in known}
    names = {host: name for name, host in hosts_of.items()}
    if "scheduler1" not in hosts_of:
        sys.exit(f"{lab}/known_hosts has no scheduler1: run scripts/demo")
    api = Api(
        f"http://{hosts_of['scheduler1']}:8080",
        (lab / "secrets" / "airflow_admin_password").read_text().strip(),
    )
    found, tasks = run(api, options.dag)
    rows = read_rows(lab) if options.dag == EXAMPLE else []
    hosts = collections.Counter(
        names.get(task["hostname"], task["hostname"] or "nowhere") for task in tasks
    )
    states = collections.Counter(str(task["state"]) for task in tasks)
    if options.json:
        print(
            json.dumps(
                {"state": found["state"], "hosts": hosts, "states": states, "rows": dict(rows)}
            )
        )
    else:
        print(f"run     {found['dag_run_id']} of {options.dag}: {found['state']}")
        print("tasks   " + ", ".join(f"{count} {state}" for state, count in states.items()))
        print("        " + ", ".join(f"{count} on {host}" for host, count in sorted(hosts.items())))
        if rows:
            print("rows    " + ", ".join(f"{month}: {count}" for month, count in rows))
            print(f"        {sum(count for _, count in rows)} in all, read back from the database")
    return 0 if found["state"] == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
