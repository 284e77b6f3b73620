# SPDX-License-Identifier: GPL-3.0-or-later
"""What ./rax of a DAG repository costs beside the command that it starts, once all is made."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import turns
from benchmarks.aims import figures_of
from benchmarks.figures import Report, table
from benchmarks.measure import ROOT, BenchError

WRAPPER = ROOT / "src/rax/templates/repository/rax"
ROUNDS, QUICK_ROUNDS = 400, 20
MILLI = 1e3


def repository(folder: Path) -> tuple[Path, Path, dict[str, str]]:
    """Make a DAG repository whose environment is there: its Python is a program that does nothing.

    Return the wrapper, that Python, and the variables with which the former finds the latter.
    """
    root, cache = folder.resolve() / "dags", folder.resolve() / "cache"
    pin = '[deployment]\nrepository = "/srv/git/deploy.git"\nref = "v0.1.0"\npython = "3.11"\n'
    python = cache / "rax/environments/0-py311/bin/python"
    record = cache / f"rax/repositories{root}/.rax"
    for path in (root, python.parent, record.parent):
        path.mkdir(parents=True)
    shutil.copy(WRAPPER, root / "rax")
    (root / "rax.toml").write_text(pin)
    record.write_text(f"{python.parents[1].name}\n{pin}")
    python.symlink_to(shutil.which("true") or "/bin/true")
    return root / "rax", python, {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(cache)}


def seconds_of(command: Sequence[str | Path], environ: Mapping[str, str]) -> float:
    """Return how long a command takes.

    :raises BenchError: it failed, or said something, as the wrapper does when it makes things
    """
    began = time.perf_counter()
    ended = subprocess.run(command, env=environ, capture_output=True, check=False)
    seconds = time.perf_counter() - began
    if ended.returncode or ended.stdout or ended.stderr:
        raise BenchError(f"{command[0]} is not what is to be measured: {ended.stderr.decode()}")
    return seconds


def measured(*, quick: bool = False) -> Report:
    """Take the figure, and return the report."""
    with tempfile.TemporaryDirectory() as folder:
        wrapper, python, environ = repository(Path(folder))
        ways = {
            "./rax": lambda: seconds_of([wrapper, "check"], environ),
            "without it": lambda: seconds_of([python, "-P", "-m", "rax", "check"], environ),
        }
        return report(turns.compare(ways, QUICK_ROUNDS if quick else ROUNDS), quick=quick)


def report(seconds: Mapping[str, Sequence[float]], *, quick: bool = False) -> Report:
    """Return what was found: how much longer a start takes, the median of all turns."""
    pairs = zip(seconds["./rax"], seconds["without it"], strict=True)
    more = statistics.median(with_it - without for with_it, without in pairs)
    rows = [(way, statistics.median(taken) * MILLI) for way, taken in seconds.items()]
    text = (
        "rax itself is replaced by a program that does nothing, which is started in turns through"
        f" the wrapper and without it:\n\n{table(('way', 'median, ms'), rows)}"
    )
    return Report(
        "wrapper", figures_of("wrapper", {"more": more * MILLI}), dict(seconds), text, quick
    )
