# SPDX-License-Identifier: GPL-3.0-or-later
"""Make what the vaults and PagerDuty of the scenario hold, unless it has been made.

usage: make_data.py LAB PAGERDUTY_URL

Each secret is random, so that it can be searched for. LAB/secrets has what is needed to log in to a
vault; LAB/<server>.json the data of the servers; LAB/vault.kdbx is the third vault. All have the
same names and other passwords.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

LAB, URL = Path(sys.argv[1]), sys.argv[2]
# Name in the vault -> user, host.
RECORDS = {
    "SHARED-01": ("etl", "db1.example.org"),
    "SCHEDULER-01": ("planner", "db2.example.org"),
    "OF-THE-WORKER": ("loader", "db3.example.org"),
    "PAGERDUTY": ("refresh", "events.example.org"),
}
MAKE_VAULT = Path(__file__).resolve().parents[3] / "scripts/lab/make_vault.py"


def write(path: Path, content: str) -> None:
    """Write a file for this account alone."""
    path.touch(0o600)
    path.write_text(content)


def main() -> None:
    """Make all of it."""
    if (LAB / "vault.kdbx").exists():
        return
    os.umask(0o077)
    logins = {name: secrets.token_hex(20) for name in ("passwordsafe", "beyondtrust", "kdbx")}
    for name, secret in logins.items():
        write(LAB / "secrets" / name, secret)
    routing_key = secrets.token_hex(16)

    def passwords() -> dict[str, str]:
        return {
            name: routing_key if name == "PAGERDUTY" else secrets.token_hex(20) for name in RECORDS
        }

    data = {
        "pagerduty": {"routing_keys": [routing_key]},
        "passwordsafe": {
            "users": {"caspian": logins["passwordsafe"]},
            "projects": [{"id": 101, "name": "EBI", "description": "The nightly loads"}],
            # So that there is more than one page of them.
            "page_size": 2,
            "credentials": [
                {
                    "id": number, "project_id": 101, "description": f"{name} env=test Of the tests",
                    "username": RECORDS[name][0], "hostname": f"{RECORDS[name][1]}:5432",
                    "password": password, "url": URL if name == "PAGERDUTY" else "",
                }
                for number, (name, password) in enumerate(passwords().items(), start=1)
            ],
        },
        "beyondtrust": {
            "clients": {"caspian": logins["beyondtrust"]},
            "secrets": [
                {
                    "Title": name, "FolderPath": "Airflow", "Username": RECORDS[name][0],
                    "Password": password, "Notes": f"host={RECORDS[name][1]}",
                    "Urls": [URL] if name == "PAGERDUTY" else [],
                }
                for name, password in passwords().items()
            ],
        },
    }  # fmt: skip
    for name, content in data.items():
        write(LAB / f"{name}.json", json.dumps(content))
    entries = [
        {
            "title": name, "user": RECORDS[name][0], "pass": password, "host": RECORDS[name][1],
            "properties": {"events_url": URL} if name == "PAGERDUTY" else {},
        }
        for name, password in passwords().items()
    ]  # fmt: skip
    subprocess.run(
        [sys.executable, MAKE_VAULT, LAB / "vault.kdbx"],
        input=json.dumps({"password": logins["kdbx"], "entries": entries}),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    # For the tests, which know what is in it.
    write(LAB / "kdbx.json", json.dumps({entry["title"]: entry["pass"] for entry in entries}))
    sys.stdout.write("made\n")


if __name__ == "__main__":
    main()
