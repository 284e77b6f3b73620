"""What the tests of workflows share: their parts, and Airflow to run them."""

import json
import logging
import os
import re
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy
from airflow.api.common.delete_dag import delete_dag
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.models.dag import DagModel
from airflow.utils.session import create_session

from rax import alerting
from rax.alerting import Outcome

HEADER = """
from datetime import timedelta
from airflow.sdk import DAG, Param, chain, setup, task, task_group, teardown
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from rax.errors import CheckError
from rax.workflow import *

"""
# The parts that most of the workflows share.
GOOD_CHECK = """
    @check
    def source():
        return {"rows": 3}
"""
GOOD_LOAD = """
    @task
    def load():
        return {"rows": 12}
    load()
"""


def body(*parts, options=""):
    head = f"@workflow(schedule=None{options})\ndef ebi():\n    '''Load.'''\n"
    parts = [textwrap.indent(textwrap.dedent(part), "    ") for part in parts]
    return "\n".join([head, *parts, "ebi()"])


BAD_CHECK = "@check\ndef source():\n    raise CheckError('down')"
BAD_LOAD = "@task\ndef load():\n    raise ValueError('no rows')\nload()"
REPORT = "@summary\ndef report(summary):\n    print('SEEN', {})"
FAILED = "ebi (default) failed: "
RESOLVED = [("resolve", "default/ebi")]


@pytest.fixture
def alerts(monkeypatch):
    """Return the alerts that are sent; each answers with the state in `outcome`."""
    alerts = SimpleNamespace(sent=[], outcome="sent", error=None)

    def send(action):
        def call(*arguments, **options):
            if alerts.error:
                raise alerts.error
            alerts.sent.append((action, arguments, options))
            return Outcome(alerts.outcome)

        return call

    for action in ("trigger", "resolve"):
        monkeypatch.setattr(alerting, action, send(action))
    return alerts


@pytest.fixture
def load(_metadata_database):
    """Return a function that loads the DAG of a text, as the DAG processor does."""
    folder = Path(os.environ["AIRFLOW_HOME"], "dags")
    folder.mkdir(exist_ok=True)
    made = []

    def load(text, dag_id="ebi", error=None):
        file = folder / f"workflow_{len(made)}.py"
        made.append(file)
        file.write_text(HEADER + text)
        bag = BundleDagBag(dag_folder=file, bundle_path=folder, bundle_name="dags-folder")
        said = [text.strip().splitlines()[-1] for text in bag.import_errors.values()]
        assert said == ([error] if error else [])
        return None if error else bag.dags[dag_id]

    yield load
    for file in made:
        file.unlink()
    with create_session() as session:
        known = session.scalars(sqlalchemy.select(DagModel.dag_id)).all()
    for dag_id in known:
        delete_dag(dag_id)


@pytest.fixture
def run(load, alerts, caplog):
    """Return a function that runs a workflow and returns what became of it."""
    caplog.set_level(logging.INFO, "rax.workflow")

    def run(text, dag_id="ebi", **options):
        alerts.sent.clear()
        caplog.clear()
        ended = load(text, dag_id).test(**options)
        states = {
            f"{ti.task_id}[{ti.map_index}]" if ti.map_index >= 0 else ti.task_id: str(ti.state)
            for ti in ended.get_task_instances()
        }
        lines = [record.message for record in caplog.records if record.name == "rax.workflow"]
        logged = [json.loads(line) for line in lines if line.startswith("{")]
        return SimpleNamespace(
            state=str(ended.state),
            run_id=ended.run_id,
            states=states,
            lines=lines,
            line=logged[-1] if logged else None,
            report=next((line for line in lines if re.match(r"ebi \(.*\), run ", line)), None),
            events=[(action, *arguments[:1]) for action, arguments, _ in alerts.sent],
            sent=list(alerts.sent),
        )

    return run


def spooling(tmp_path, monkeypatch):
    """Be a node that has a key of PagerDuty, which is nowhere, and a spool."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    file = folder / "PAGERDUTY.json"
    file.touch(0o600)
    fields = {"user": "u", "host": "h", "url": "", "description": "", "metadata": {}}
    file.write_text(json.dumps(fields | {"pass": "f" * 32}))
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(folder))
    monkeypatch.setenv("RAX_ALERTING_URL", "https://localhost:1")
    monkeypatch.setenv("RAX_ALERTING_SPOOL", str(tmp_path / "alerts"))
