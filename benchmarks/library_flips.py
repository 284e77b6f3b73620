# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that read credentials while the module publishes one generation after the other."""

import argparse
import getpass
import json
import os
import random
import subprocess
import sys
import timeit
from pathlib import Path
from typing import Any

from benchmarks.library_files import ROOT, credential, folder, name_of
from benchmarks.turns import WrongMeasureError

READERS = 8
# Of the set that is published again and again.
FLIPPED = 10


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
        module = [publisher, "-m", __name__, "publish"]
        began = timeit.default_timer()
        with subprocess.Popen(
            [*module, "--link", str(link), "--generations", str(generations)],
            stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        ) as publishing:  # fmt: skip
            lines = iter(publishing.stdout or ())
            if not next(lines, ""):
                raise WrongMeasureError("the module has published nothing")
            command = [
                sys.executable, "-m", __name__, "read", "--link", str(link),
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


def main() -> int:
    """Publish, or read, in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("publish", "read"))
    parser.add_argument("--link", type=Path, required=True)
    parser.add_argument("--generations", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--ended", type=Path)
    options = parser.parse_args()
    if options.part == "read":
        print(json.dumps(read(options.link, options.count, options.ended)))
        return 0
    try:
        publish(options.link, options.generations)
    except WrongMeasureError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
