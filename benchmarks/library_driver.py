# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes the times of the library rax, run by the nodes' packages: see library.py.

Each stage prints what it found as JSON, in its last line. Ways that are compared take turns, so
that the machine's other work meets all of them.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import timeit
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.dag_sync_repository import YAML
from benchmarks.library_files import ROOT, credential, folder, name_of, settle, write_locked
from benchmarks.library_flips import flips
from benchmarks.turns import Stages, WrongMeasureError, compare, in_turns, run_stage

SOURCES = 1000
CALLS = 2000

IMPORTS = {"json, pathlib": "json, pathlib", "rax": "rax.credentials, rax.config"}
# Prints the seconds that an import takes, and what of it was loaded before.
IMPORT = """
import sys, time
sys.path.insert(0, sys.argv[1])
names = sys.argv[2].split(", ")
loaded = sorted(set(names) & set(sys.modules))
began = time.perf_counter()
exec(f"import {sys.argv[2]}")
print(time.perf_counter() - began, *loaded)
"""


def write_credentials(where: Path, count: int) -> None:
    """Write a set of credentials, and tell rax where it is."""
    where.mkdir()
    for number in range(count):
        write_locked(where / f"{name_of(number)}.json", credential(number, f"password-{number}"))
    os.environ["RAX_CREDENTIALS_DIR"] = str(where)
    settle()


def seconds_per_call(call: Callable[[], object], calls: int) -> float:
    """Return how long a call takes, the loop around it included."""
    return timeit.timeit(call, number=calls) / calls


# Stages


def look_up(rounds: int) -> dict[str, Any]:
    """One credential, again and again, and what is least to notice a change of its file."""
    from rax.credentials import get_credentials

    with folder() as here:
        write_credentials(here / "credentials", 1)
        name = name_of(0)
        path = str(here / "credentials" / f"{name}.json")
        known = {name: get_credentials(name)}

        def least() -> object:
            os.stat(path)  # noqa: PTH116 - the least there is
            return known[name]

        if get_credentials(name) != known[name]:
            raise WrongMeasureError("get_credentials() does not return the same twice")
        ways = {
            "os.stat + dict": partial(seconds_per_call, least, CALLS),
            "get_credentials, warm": partial(
                seconds_per_call, partial(get_credentials, name), CALLS
            ),
        }
        return {"seconds": compare(ways, rounds)}


def connections(passwords: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return connections as Airflow's backend for files reads them."""
    return {
        name: {
            "conn_type": "postgres",
            "host": f"db{number}.example.org",
            "login": password,
            "password": password,
            "port": 5432,
            "schema": "ebi",
        }
        for number, (name, password) in enumerate(passwords.items())
    }


def backend(rounds: int) -> dict[str, Any]:
    """One of 1,000 at random: from rax, and from Airflow's backend for files."""
    choice = random.Random(0)  # noqa: S311 - which name does not matter
    passwords = {name_of(number): f"password-{number}" for number in range(SOURCES)}

    def names(count: int) -> list[str]:
        return choice.choices([*passwords], k=count)

    def refuse_other(found: object, name: str) -> None:
        if found != passwords[name]:
            raise WrongMeasureError(f"{name}: another password than the one written")

    def timed(get: Callable[[str], object], wanted: Sequence[str]) -> float:
        begin = timeit.default_timer()
        for name in wanted:
            get(name)
        return (timeit.default_timer() - begin) / len(wanted)

    with folder() as here:
        os.environ["AIRFLOW_HOME"] = str(here / "airflow")
        from airflow.secrets.local_filesystem import LocalFilesystemBackend

        from rax.airflow.secrets import CredentialsBackend
        from rax.credentials import get_credentials

        file = here / "connections.json"
        write_locked(file, connections(passwords))
        write_credentials(here / "credentials", SOURCES)
        theirs, ours = LocalFilesystemBackend(connections_file_path=str(file)), CredentialsBackend()

        def by_airflow() -> float:
            wanted = names(1)
            connection = theirs.get_connection(wanted[0])
            refuse_other(connection and connection.password, wanted[0])
            return timed(theirs.get_connection, wanted)

        def by_rax() -> float:
            wanted = names(CALLS)
            refuse_other(get_credentials(wanted[0])["pass"], wanted[0])
            return timed(get_credentials, wanted)

        def by_our_backend() -> float:
            wanted = names(CALLS)
            found = json.loads(ours.get_conn_value(wanted[0]) or "{}")
            refuse_other(found.get("password"), wanted[0])
            return timed(ours.get_conn_value, wanted)

        # Airflow's first one also imports what it needs; ours reads each file, and tells Airflow's
        # masker of each password.
        by_airflow()
        first = timed(get_credentials, [*passwords])
        ways = {
            "LocalFilesystemBackend": by_airflow,
            "get_credentials": by_rax,
            "rax.airflow.secrets": by_our_backend,
        }
        return {"seconds": compare(ways, rounds), "first": first, "sources": SOURCES}


def imports(rounds: int) -> dict[str, Any]:
    """Imports, each in an interpreter of its own; the interpreter's own start is not in them."""

    def timed(names: str) -> float:
        argv = [sys.executable, "-I", "-c", IMPORT, str(ROOT / "src"), names]
        seconds, *loaded = subprocess.run(
            argv, check=True, capture_output=True, text=True
        ).stdout.split()
        if loaded:
            raise WrongMeasureError(f"{', '.join(loaded)} was imported before it was timed")
        return float(seconds)

    ways = {name: partial(timed, names) for name, names in IMPORTS.items()}
    compare(ways, 1)  # The first one compiles, and brings the files into memory.
    return {"seconds": compare(ways, rounds)}


def config_of(lines: int) -> str:
    """Return a config of about so many lines."""
    text, number = YAML.format(number=0, mark=0, minute=0), 1
    while text.count("\n") < lines:
        part = YAML.format(number=number, mark=0, minute=number % 60).removeprefix("---\n")
        text += f"part_{number}:\n" + "".join(f"  {line}\n" for line in part.splitlines())
        number += 1
    return text


def configs(lines: int, rounds: int) -> dict[str, Any]:
    """A config: read for the first time in each round, then again and again."""
    import yaml

    from rax.config import get_config

    with folder() as here:
        os.environ["RAX_CONFIG_DIR"] = str(here)
        text = config_of(lines)
        for number in range(rounds + 1):
            (here / f"load_{number}.yaml").write_text(text)
        settle()
        last = {"number": 0}

        def file() -> Path:
            return here / f"load_{last['number']}.yaml"

        def safe_load() -> float:
            return seconds_per_call(lambda: yaml.safe_load(file().read_bytes()), 1)

        def c_loader() -> float:
            return seconds_per_call(
                lambda: yaml.load(file().read_bytes(), Loader=yaml.CSafeLoader), 1
            )

        def cold() -> float:
            return seconds_per_call(partial(get_config, file().stem), 1)

        def warm() -> float:
            name = file().stem
            get_config(name)
            return seconds_per_call(partial(get_config, name), CALLS)

        ways = {"yaml.safe_load": safe_load, "the same with CSafeLoader": c_loader, "cold": cold}
        # The first one imports, and compiles patterns.
        compare(ways, 1)
        if get_config("load_0") != plain(yaml.safe_load(text)):
            raise WrongMeasureError("get_config() and yaml.safe_load() differ")
        seconds: dict[str, list[float]] = {name: [] for name in (*ways, "warm")}
        for number in range(rounds):
            # A file that this process has never read: nothing of it is cached.
            last["number"] = number + 1
            for name in in_turns([*ways], number):
                seconds[name].append(ways[name]())
            seconds["warm"].append(warm())
        return {"seconds": seconds, "lines": text.count("\n")}


def plain(value: Any) -> Any:
    """Return a document with tuples for lists, as a config has them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return tuple(map(plain, value)) if isinstance(value, list) else value


STAGES: Stages = {
    "look_up": (look_up, (51,), (3,)),
    "backend": (backend, (21,), (2,)),
    "imports": (imports, (51,), (3,)),
    "small_config": (configs, (17, 51), (17, 3)),
    "large_config": (configs, (340, 21), (340, 2)),
    "flips": (flips, (10_000, 200), (800, 5)),
}


def main() -> int:
    """Run the stage that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--publisher", default=sys.executable, help="a python that has Ansible")
    options = parser.parse_args()
    more = (options.publisher,) if options.stage == "flips" else ()
    return run_stage(STAGES, options.stage, quick=options.quick, more=more)


if __name__ == "__main__":
    sys.exit(main())
