# SPDX-License-Identifier: GPL-3.0-or-later
"""What `rax check --fast` costs an author, to the least that finds the same: ruff and Airflow.

All of it is in seconds of processor time, of processes that begin and end with the command, in the
environment `.venv-airflow`, which has the packages that the nodes have.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import figures, measure
from benchmarks.aims import figures_of
from benchmarks.figures import Report, ratio
from benchmarks.measure import ROOT, BenchError
from benchmarks.turns import compare

PYTHON = ROOT / ".venv-airflow/bin/python"
EXAMPLE = ROOT / "examples/dag-repo"
DAG = "dags/ebi/flights_daily.py"
DAG_ID = "ebi_flights_daily"
FILES = 100
ROUNDS, QUICK_ROUNDS = 5, 1
BY_HAND, FAST, SINCE = "ruff, one DagBag", "rax check", f"--since, {FILES} files"
# What Airflow itself does to read all files of a folder once.
DAG_BAG = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1], safe_mode=False)
sys.exit(f"{bag.import_errors}" if bag.import_errors or not bag.dags else 0)
"""
WHO = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")


def repository(folder: Path, files: int) -> Path:
    """Make a repository of git with so many files of the example's DAG, and return it."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "local"))
    text = (folder / DAG).read_text()
    for number in range(1, files):
        other = DAG_ID.replace("daily", f"daily_{number}")
        (folder / DAG).with_name(f"{other}.py").write_text(text.replace(DAG_ID, other))
    for words in (["init", "-q"], ["add", "-A"], [*WHO, "commit", "-qm", "All"]):
        subprocess.run(["git", *words], cwd=folder, check=True)  # noqa: S607 - git of the path
    return folder


def changed(folder: Path) -> Path:
    """Change one of the files, so that it differs from the commit."""
    path = folder / DAG
    path.write_text(path.read_text().replace("whatever happened.", "whatever has happened."))
    return folder


def command(*argv: str) -> float:
    """Run a command, and return the processor time of it and all that it started."""
    ended = measure.run(
        "checking", *argv, RAX_ACCOUNT="root",
        PATH=f"{ROOT}/.venv/bin:{os.environ['PATH']}", PYTHONPATH=str(ROOT / "src"),
    )  # fmt: skip
    return ended.cpu_seconds


def rax_check(folder: Path, *words: str) -> float:
    """Check a repository in which nothing is wrong."""
    return command(str(PYTHON), "-P", "-m", "rax", "check", "--fast", str(folder), *words)


def by_hand(folder: Path, home: Path) -> float:
    """Find the same with ruff and Airflow alone."""
    config, path = f"RAX_CONFIG_DIR={folder}/configs", f"PYTHONPATH={ROOT}/src:{folder}"
    ruff = [[str(ROOT / ".venv/bin/ruff"), *words, "--no-cache", str(folder)]
            for words in (("check",), ("format", "--check"))]  # fmt: skip
    bag = ["env", config, path, f"AIRFLOW_HOME={home}", "PYTHONDONTWRITEBYTECODE=1",
           str(PYTHON), "-c", DAG_BAG, str(folder / "dags")]  # fmt: skip
    return sum(command(*words) for words in (*ruff, bag))


def measured(*, quick: bool = False) -> Report:
    """Take all figures, and return the report."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="bench-checking-") as name:
        here = Path(name)
        one, many = repository(here / "one", 1), changed(repository(here / "many", FILES))
        (here / "home").mkdir()
        ways = {
            BY_HAND: partial(by_hand, one, here / "home"),
            FAST: partial(rax_check, one),
            SINCE: partial(rax_check, many, "--since", "HEAD"),
        }
        # Airflow writes its settings into a new home, and Python what it compiles, once.
        ways[BY_HAND]()
        return report(compare(ways, rounds), quick=quick)


def report(seconds: Mapping[str, Sequence[float]], *, quick: bool = False) -> Report:
    """Return what was found."""
    if odd := [name for name, times in seconds.items() if min(times) <= 0]:
        raise BenchError(f"{', '.join(odd)} took no processor time, so it was not measured")
    values = {
        "fast": ratio(seconds[FAST], seconds[BY_HAND]),
        "since": ratio(seconds[SINCE], seconds[FAST]),
    }
    text = "\n".join([
        "`rax check --fast` of the example, where nothing is wrong; ruff twice and a DagBag of the"
        " same files; and the check of a repository with"
        f" {FILES} such files, of which one differs from the commit that `--since` names:\n",
        figures.ways_table("seconds of processor time", 1.0, seconds, BY_HAND),
    ])  # fmt: skip
    found = {"seconds": {name: list(times) for name, times in seconds.items()}}
    return Report("checking", figures_of("checking", values), found, text, quick)
