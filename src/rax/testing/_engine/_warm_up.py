# SPDX-License-Identifier: Apache-2.0
"""What is done once, so that no case pays for it: imports, and the first run of a DAG."""

import contextlib
import importlib
import os
import shutil
import time
from pathlib import Path

from rax.airflow._local_runs import make_database
from rax.errors import RaxError
from rax.testing._engine._api import ExecutionApi

# Threads that end themselves have a second to find out.
_MAX_THREAD_SECONDS = 10.0
_PAUSE_SECONDS = 0.05
# Of each part that workflows have, one.
_WARM_UP = '''
"""Runs once, for what it imports."""

from airflow.sdk import task
from rax.workflow import check, summary, workflow


@workflow(schedule=None, default_args={"retries": 1})
def rax_warm_up():
    @check
    def answers():
        """Do nothing."""

    @task
    def months():
        return [1, 2]

    @task
    def load(month):
        return {"month": month}

    @summary
    def report():
        return {"rows": 1}

    answers() >> load.expand(month=months()) >> report()


rax_warm_up()
'''


class NotWarmError(RaxError):
    """Airflow cannot run a DAG here, or would not survive a fork."""


def warm_up(home: Path, template: Path) -> None:
    """Run a DAG, then bring this process into a state in which it can be forked.

    :param home: Airflow's, empty
    :param template: the empty metadata database, made here if it is not there
    :raises NotWarmError: the DAG did not run
    """
    from airflow import settings
    from airflow.dag_processing.dagbag import BundleDagBag

    import rax.testing._engine._runs
    import rax.testing._engine._worker  # noqa: F401 - what each case imports

    for driver in ("psycopg", "psycopg2"):
        # They have to be here before they can be guarded.
        with contextlib.suppress(ImportError):
            importlib.import_module(driver)
    file = home / "rax_warm_up.py"
    file.write_text(_WARM_UP)
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(file)
    os.environ["RAX_ALERTING_CAPTURE"] = str(home / "alerts")
    database = home / "airflow.db"
    if template.exists():
        shutil.copyfile(template, database)
        settings.configure_vars()
    else:
        settings.configure_vars()
        make_database(template)
    ExecutionApi.installed().start()
    bag = BundleDagBag(dag_folder=str(file), bundle_path=file, bundle_name="dags-folder")
    if bag.import_errors:
        raise NotWarmError("\n".join(bag.import_errors.values()))
    state = bag.dags["rax_warm_up"].test().state
    if str(state) != "success":
        raise NotWarmError(f"the first DAG of this process is {state}")
    settings.dispose_orm()
    _wait_for_threads()
    file.unlink()


def _wait_for_threads() -> None:
    """Wait until no other thread is left: a fork has only one, and the locks of all."""
    tasks = Path("/proc/self/task")
    ends = time.monotonic() + _MAX_THREAD_SECONDS
    while tasks.is_dir() and len(list(tasks.iterdir())) > 1:
        if time.monotonic() > ends:
            raise NotWarmError("a thread of Airflow goes on, and would not survive a fork")
        time.sleep(_PAUSE_SECONDS)
