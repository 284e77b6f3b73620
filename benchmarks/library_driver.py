# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes the times of the library rax, run by the nodes' packages: see library.py.

Each stage prints what it found as JSON, in its last line. Ways that are compared take turns, so
that the machine's other work meets all of them.
"""

import argparse
import contextlib
import getpass
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.dag_sync_node import YAML, in_turns

ROOT = Path(__file__).resolve().parent.parent
SOURCES = 1000
READERS = 8
# Of the set that is published again and again.
FLIPPED = 10
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


class WrongMeasureError(Exception):
    """What was timed is not what it should have been."""


def name_of(number: int) -> str:
    """Return the name of a credential."""
    return f"EBI-ETL-{number:04}"


def credential(number: int, mark: str) -> dict[str, Any]:
    """Return a credential whose user, password and metadata have the same mark."""
    return {
        "user": mark,
        "pass": mark,
        "host": f"db{number}.example.org",
        "url": "",
        "description": "the nightly load",
        "metadata": {"conn_type": "postgres", "port": 5432, "database": "ebi", "mark": mark},
    }


def write_locked(path: Path, value: object) -> None:
    """Write a file that rax reads: nobody else may."""
    path.touch(0o600)
    path.write_text(json.dumps(value))


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-library-") as name:
        yield Path(name)


def write_credentials(where: Path, count: int) -> None:
    """Write a set of credentials, and tell rax where it is."""
    where.mkdir()
    for number in range(count):
        write_locked(where / f"{name_of(number)}.json", credential(number, f"password-{number}"))
    os.environ["RAX_CREDENTIALS_DIR"] = str(where)
    settle()


def settle() -> None:
    """Wait until what was written is no longer so new that rax reads it anew each time."""
    time.sleep(0.2)


def seconds_per_call(call: Callable[[], object], calls: int) -> float:
    """Return how long a call takes, the loop around it included."""
    return timeit.timeit(call, number=calls) / calls


def compare(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in in_turns([*ways], number):
            seconds[name].append(ways[name]())
    return seconds


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


def backend(rounds: int) -> dict[str, Any]:
    """One of 1,000 at random: from rax, and from Airflow's backend for files."""
    with folder() as here:
        os.environ["AIRFLOW_HOME"] = str(here / "airflow")
        from airflow.secrets.local_filesystem import LocalFilesystemBackend

        from rax.airflow.secrets import CredentialsBackend
        from rax.credentials import get_credentials

        file = here / "connections.json"
        connections = {
            name_of(number): {
                "conn_type": "postgres",
                "host": f"db{number}.example.org",
                "login": f"password-{number}",
                "password": f"password-{number}",
                "port": 5432,
                "schema": "ebi",
            }
            for number in range(SOURCES)
        }
        write_locked(file, connections)
        write_credentials(here / "credentials", SOURCES)
        theirs, ours = LocalFilesystemBackend(connections_file_path=str(file)), CredentialsBackend()
        choice = random.Random(0)  # noqa: S311 - which name does not matter

        def names(count: int) -> list[str]:
            return choice.choices([*connections], k=count)

        def refuse_other(found: object, name: str) -> None:
            if found != connections[name]["password"]:
                raise WrongMeasureError(f"{name}: another password than the one written")

        def by_airflow() -> float:
            (name,) = names(1)
            begin = timeit.default_timer()
            connection = theirs.get_connection(name)
            seconds = timeit.default_timer() - begin
            refuse_other(connection and connection.password, name)
            return seconds

        def timed(get: Callable[[str], object], wanted: Sequence[str]) -> float:
            begin = timeit.default_timer()
            for name in wanted:
                get(name)
            return (timeit.default_timer() - begin) / len(wanted)

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
        first = timed(get_credentials, [*connections])
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


# Reads while generations flip


def publish(link: Path, until: int) -> None:
    """Publish so many generations with the module itself, each in a process, as on a node."""
    from ansible.module_utils.testing import patch_module_args
    from ansible_collections.caspian.airflow.plugins.modules import credential_files

    for generation in range(until):
        mark = f"generation-{generation}"
        arguments = {
            "path": str(link),
            "owner": getpass.getuser(),
            "credentials": {name_of(number): credential(number, mark) for number in range(FLIPPED)},
        }
        child = os.fork()
        if child == 0:
            code: object = 1
            try:
                # The module's result; it has written its errors there too.
                os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
                with patch_module_args(arguments):
                    credential_files.main()
            except SystemExit as ended:
                code = ended.code
            finally:
                sys.stdout.flush()
                os._exit(1 if code else 0)
        if os.waitpid(child, 0)[1]:
            raise WrongMeasureError("the module has failed")
        print(generation, flush=True)


def read(link: Path, at_least: int, ended: Path) -> dict[str, Any]:
    """Read until the publisher has ended; count what goes wrong, and what would without rax."""
    os.environ["RAX_CREDENTIALS_DIR"] = str(link)
    from rax.credentials import get_credentials
    from rax.errors import RaxError

    choice = random.Random(os.getpid())  # noqa: S311 - which name does not matter
    found: dict[str, Any] = {"reads": 0, "errors": 0, "naive": 0, "naive_errors": 0, "kinds": {}}
    seen = set()
    while found["reads"] < at_least or not ended.exists():
        name = name_of(choice.randrange(FLIPPED))
        found["reads"] += 1
        try:
            got = get_credentials(name)
            marks = {got["user"], got["pass"], got["metadata"]["mark"]}
            if len(marks) != 1:
                raise RaxError("torn")
            seen |= marks
        except Exception as error:
            found["errors"] += 1
            kind = type(error).__name__
            found["kinds"][kind] = found["kinds"].get(kind, 0) + 1
        if found["reads"] % 10 == 0:
            # What a program does that takes the link for a folder: all of one set.
            found["naive"] += 1
            try:
                here = link.resolve()
                texts = [(here / f"{name_of(number)}.json").read_text() for number in range(2)]
                marks = {json.loads(text)["pass"] for text in texts}
                found["naive_errors"] += len(marks) != 1
            except OSError:
                found["naive_errors"] += 1
    return found | {"generations": len(seen)}


def flips(reads: int, generations: int, publisher: str) -> dict[str, Any]:
    """Read by 8 processes while generations are published one after the other."""
    with folder() as here:
        link, ended = here / "credentials", here / "ended"
        environment = os.environ | {"PYTHONPATH": str(ROOT / "collections")}
        module = [publisher, "-m", "benchmarks.library_driver", "publish"]
        began = timeit.default_timer()
        with subprocess.Popen(
            [*module, "--link", str(link), "--generations", str(generations)],
            stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        ) as publishing:  # fmt: skip
            lines = iter(publishing.stdout or ())
            if not next(lines, ""):
                raise WrongMeasureError("the module has published nothing")
            command = [
                sys.executable, "-m", "benchmarks.library_driver", "read", "--link", str(link),
                "--count", str(reads // READERS), "--ended", str(ended),
            ]  # fmt: skip
            readers = [
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
                for _ in range(READERS)
            ]
            try:
                published = 1 + sum(1 for _ in lines)
            finally:
                ended.touch()
                outputs = [reader.communicate()[0] for reader in readers]
            if publishing.wait() or published != generations:
                raise WrongMeasureError("the module has failed")
        if any(reader.returncode for reader in readers):
            raise WrongMeasureError("a reader has failed")
        counts = [json.loads(output) for output in outputs]
        kinds: dict[str, int] = {}
        for of in counts:
            for kind, count in of.pop("kinds").items():
                kinds[kind] = kinds.get(kind, 0) + count
        fewest = min(of["generations"] for of in counts)
        return {
            "seconds": timeit.default_timer() - began,
            "published": published,
            "readers": READERS,
            "kinds": kinds,
            **{name: sum(of[name] for of in counts) for name in counts[0]},
            "generations": fewest,
        }


# stage → its function, what it is told, and what in a quick run
STAGES: dict[str, tuple[Callable[..., dict[str, Any]], tuple[int, ...], tuple[int, ...]]] = {
    "look_up": (look_up, (51,), (3,)),
    "backend": (backend, (21,), (2,)),
    "imports": (imports, (51,), (3,)),
    "small_config": (configs, (17, 51), (17, 3)),
    "large_config": (configs, (340, 21), (340, 2)),
    "flips": (flips, (10_000, 200), (800, 5)),
}


def main() -> int:
    """Run one stage, and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "publish", "read"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--publisher", default=sys.executable, help="a python that has Ansible")
    parser.add_argument("--link", type=Path)
    parser.add_argument("--generations", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--ended", type=Path)
    options = parser.parse_args()
    try:
        if options.stage == "publish":
            publish(options.link, options.generations)
            return 0
        if options.stage == "read":
            print(json.dumps(read(options.link, options.count, options.ended)))
            return 0
        stage, rounds, few = STAGES[options.stage]
        more = (options.publisher,) if options.stage == "flips" else ()
        print(json.dumps(stage(*(few if options.quick else rounds), *more)))
    except WrongMeasureError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
