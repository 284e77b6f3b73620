# SPDX-License-Identifier: GPL-3.0-or-later
"""What one more case of `rax flow` costs, to `airflow dags test` of the same workflow.

All of it is in seconds of processor time: of a command, of what begins and ends with it; of a case,
of what is forked for it from the process that has Airflow.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import figures, measure
from benchmarks.aims import figures_of
from benchmarks.checking import FILES, PYTHON
from benchmarks.figures import Report, ratio
from benchmarks.measure import ROOT, BenchError

ROUNDS, QUICK_ROUNDS = 5, 1
BY_AIRFLOW = "airflow dags test"
CASE, TWICE, MANY = "a case", "a case of two runs", f"a case, {FILES} files"
WORKFLOW = "measured"
TEXT = '''"""Three tasks, as workflows have them at least."""

from airflow.sdk import task
from rax.workflow import check, summary, workflow


@workflow(schedule=None)
def measured():
    @check
    def answers():
        """Find nothing wrong."""

    @task
    def load():
        return {"rows": 12}

    @summary
    def report():
        return {"rows": 12}

    answers() >> load() >> report()


measured()
'''


def repository(folder: Path, files: int) -> Path:
    """Make a repository with so many files of the workflow, and return it."""
    for name in ("dags", "configs"):
        (folder / name).mkdir(parents=True)
    for number in range(files):
        name = f"{WORKFLOW}_{number}" if number else WORKFLOW
        text = TEXT.replace(f"def {WORKFLOW}()", f"def {name}()").replace(
            f"\n{WORKFLOW}()\n", f"\n{name}()\n"
        )
        (folder / f"dags/{name}.py").write_text(text)
    (folder / "rax.toml").touch()
    return folder


def dags_test(root: Path, home: Path) -> float:
    """Run the workflow by Airflow's own command, in a home that has its database."""
    ended = measure.run(
        "flow", str(PYTHON.with_name("airflow")), "dags", "test", WORKFLOW,
        AIRFLOW_HOME=str(home), AIRFLOW__CORE__DAGS_FOLDER=str(root / "dags"),
        AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE="False", AIRFLOW__CORE__LOAD_EXAMPLES="False",
        RAX_ALERTING_CAPTURE=str(home / "alerts"), RAX_CONFIG_DIR=str(root / "configs"),
        PYTHONPATH=str(ROOT / "src"),
    )  # fmt: skip
    return ended.cpu_seconds


def cases(rounds: int, one: Path, many: Path) -> dict[str, list[float]]:
    """Run cases, and return the seconds of each way."""
    path = f"{ROOT}/src:{ROOT}"
    command = (str(PYTHON), "-m", "benchmarks.flow_driver", WORKFLOW, str(rounds))
    ended = measure.run("flow", *command, str(one), str(many), PYTHONPATH=path)
    found: dict[str, list[float]] = json.loads(ended.output.splitlines()[-1])
    return found


def measured(*, quick: bool = False) -> Report:
    """Take all figures, and return the report."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="bench-flow-") as name:
        one, many = (repository(Path(name, f"{files}"), files) for files in (1, FILES))
        # It makes the empty database, where there is none.
        found = cases(rounds, one, many)
        home = Path(name, "home")
        home.mkdir()
        template = measure.run(
            "flow", str(PYTHON), "-c",
            "from rax.airflow._local_runs import database_template; print(database_template())",
            PYTHONPATH=str(ROOT / "src"),
        ).output.split()[-1]  # fmt: skip
        shutil.copyfile(template, home / "airflow.db")
        dags_test(one, home)
        seconds = {BY_AIRFLOW: [dags_test(one, home) for _ in range(rounds)], **found}
        return report(seconds, quick=quick)


def report(seconds: Mapping[str, Sequence[float]], *, quick: bool = False) -> Report:
    """Return what was found."""
    if odd := [name for name, times in seconds.items() if min(times) <= 0]:
        raise BenchError(f"{', '.join(odd)} took no processor time, so it was not measured")
    further = [both - one for both, one in zip(seconds[TWICE], seconds[CASE], strict=True)]
    values = {
        "case": ratio(seconds[BY_AIRFLOW], seconds[CASE]),
        "further": ratio(further, seconds[CASE]),
        "files": ratio(seconds[MANY], seconds[CASE]),
    }
    text = "\n".join([
        "A workflow of three tasks, by Airflow's command, and as one more case of `rax flow`:\n",
        figures.ways_table("seconds of processor time", 1.0, seconds, CASE),
    ])  # fmt: skip
    found = {"seconds": {name: list(times) for name, times in seconds.items()}}
    return Report("flow", figures_of("flow", values), found, text, quick)
