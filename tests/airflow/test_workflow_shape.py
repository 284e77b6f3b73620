"""What the shape makes of a function, how it stays plain Airflow, and ends that no summary sees."""

import re
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.serialization.serialized_objects import LazyDeserializedDAG

from rax.airflow import _callbacks, _outcomes
from rax.airflow.workflow import CHECK_TIMEOUT
from tests.airflow.workflow_testing import (
    FAILED,
    GOOD_CHECK,
    GOOD_LOAD,
    RESOLVED,
    body,
)


def edges(dag):
    return {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks}


def test_how_it_is_wired(load):
    dag = load(
        body(
            "@check\ndef one():\n    pass\n@check\ndef two():\n    pass\n"
            "@task\ndef a():\n    pass\n@task\ndef b():\n    pass\n"
            "@check\ndef between():\n    pass\n"
            "one() >> two()\na() >> between() >> b()\n"
            "@summary\ndef report():\n    pass",
            options=", tags=['ebi'], default_args={'retries': 3, 'depends_on_past': True}",
        )
    )
    assert edges(dag) == {
        "one": [],
        "two": ["one"],
        "a": ["one", "two"],
        "between": ["a"],
        "b": ["between"],
        "report": ["b"],
    }
    assert (dag.tags, dag.doc_md, Path(dag.fileloc).name) == ({"ebi"}, "Load.", "workflow_0.py")
    assert {task.task_id: task.retries for task in dag.tasks} == {
        "one": 0,
        "two": 0,
        "a": 3,
        "between": 0,
        "b": 3,
        "report": 0,
    }
    assert not dag.get_task("report").depends_on_past
    assert dag.get_task("one").execution_timeout == CHECK_TIMEOUT


def test_a_check_in_the_middle_aborts_what_is_after_it(run):
    result = run(
        body(
            "@task\ndef a():\n    pass\n@task\ndef b():\n    pass\n"
            "@check\ndef between():\n    raise CheckError('half')\na() >> between() >> b()"
        )
    )
    assert result.states == {
        "a": "success",
        "between": "failed",
        "b": "upstream_failed",
        "summary": "failed",
    }
    assert result.events == [("trigger", f"{FAILED}check between: CheckError: half")]


def test_names_and_arguments_are_those_of_dag(load):
    text = """
@workflow
def plain():
    @task
    def load():
        pass
    load()

@workflow("named", schedule=None, params={"year": 2013})
def other(month: int = 1):
    @check
    def source(name):
        print(name)
    source("a")
    source.override(task_id="again")("b")

plain()
other(month=2)
"""
    assert load(text, "plain").schedule is None
    dag = load(text, "named")
    assert dag.params["month"] == 2
    assert edges(dag) == {"source": [], "again": [], "summary": ["again", "source"]}


def test_what_is_added_later(run, load):
    """It is plain Airflow: what is not wired is not the summary's, unless it is wired anew."""
    text = body(GOOD_CHECK, GOOD_LOAD).replace("\nebi()", "\ndag = ebi()") + (
        "\nwith dag:\n    @task\n    def added():\n        raise ValueError('no')\n    added()\n"
    )
    assert edges(load(text))["added"] == []
    result = run(text)
    assert (result.state, result.events) == ("failed", RESOLVED)
    text += "wire(dag)\nwire(dag)\n"
    assert edges(load(text)) == {
        "source": [],
        "load": ["source"],
        "added": ["source"],
        "summary": ["added", "load"],
    }
    result = run(text)
    assert (result.state, result.events) == (
        "failed",
        [("trigger", f"{FAILED}added: ValueError: no")],
    )


PLAIN = """
with DAG("ebi", schedule=None):
    @check
    def source():
        {}
    @task
    def load(month):
        {}
    @summary
    def report(summary):
        return summary.rows
    source() >> load.expand(month=[1]) >> report()
"""


@pytest.mark.parametrize(
    ("source", "work", "state", "events"),
    [
        ("pass", "return {'rows': 2}", "success", RESOLVED),
        (
            "raise CheckError('down')",
            "pass",
            "failed",
            [("trigger", f"{FAILED}check source: CheckError: down")],
        ),
        (
            "pass",
            "raise ValueError('no')",
            "failed",
            [("trigger", f"{FAILED}load[0]: ValueError: no")],
        ),
    ],
)
def test_a_dag_that_adopts_check_and_summary(run, source, work, state, events):
    result = run(PLAIN.format(source, work))
    assert (result.state, result.events) == (state, events)
    assert result.line["rows"] == ({"load": 2} if state == "success" else {})


def test_checks_of_one_function(load):
    parts = "def asked():\n    pass\nfor name in 'ab':\n    check(asked, task_id=name)"
    assert edges(load(body(parts, GOOD_LOAD))) == {
        "a": [],
        "b": [],
        "load": ["a", "b"],
        "summary": ["load"],
    }


def test_the_callbacks_of_an_author_stay(run, capsys):
    text = """
def own(context):
    print("OWN", context["ti"].task_id)

def own_hook(context, result):
    raise ValueError("own hook")
"""
    result = run(
        text
        + body(
            GOOD_CHECK,
            "@task(post_execute=own_hook)\ndef load():\n    return {'rows': 2}\nload()",
            options=", default_args={'on_failure_callback': own}",
        )
    )
    assert result.events == [("trigger", f"{FAILED}load: ValueError: own hook")]
    assert re.findall("^OWN .*$", capsys.readouterr().out, re.MULTILINE) == [
        "OWN load",
        "OWN summary",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            body(GOOD_LOAD, "@summary\ndef a():\n    pass\n@summary\ndef b():\n    pass"),
            "rax.errors.WorkflowError: ebi has the summaries a, b: a workflow has one",
        ),
        (
            body("@summary\ndef end():\n    pass\n@task\ndef load():\n    pass\nend() >> load()"),
            "rax.errors.WorkflowError: load of ebi cannot depend on end: the summary comes last",
        ),
        (
            body("@setup\ndef make():\n    pass\nmake()"),
            "rax.errors.WorkflowError: nothing depends on the setup make of ebi",
        ),
        (
            body("@check(retries=1)\ndef source():\n    pass"),
            "rax.errors.WorkflowError: @check source is not retried: leave out 'retries'",
        ),
        (
            body("@check(retries=1)\ndef source(name):\n    pass\nsource.expand(name=['a'])"),
            "rax.errors.WorkflowError: @check source is not retried: leave out 'retries'",
        ),
        (
            body("@summary\ndef end(name):\n    pass\nend.expand(name=['a'])"),
            "rax.errors.WorkflowError: end of ebi cannot be mapped: a run has one summary",
        ),
        (
            body(
                "@task_group\ndef group(name):\n    @summary\n    def end(name):\n        pass\n"
                "    end(name)\ngroup.expand(name=['a'])"
            ),
            "rax.errors.WorkflowError: group.end of ebi cannot be mapped: a run has one summary",
        ),
        (
            body("@summary(retries=1)\ndef report():\n    pass"),
            "rax.errors.WorkflowError: @summary report is not retried: leave out 'retries'",
        ),
        (
            body("@summary(trigger_rule='all_done')\ndef report():\n    pass"),
            "ValueError: Trigger rule not configurable for teardown tasks.",
        ),
        (
            body("@check\ndef source(name):\n    pass"),
            "TypeError: missing a required argument: 'name'",
        ),
    ],
)
def test_what_cannot_be_wired(load, text, message):
    load(text, error=message)


def test_the_serialised_dag_does_not_change(load):
    """Or else each parse would make a version of the DAG."""
    text = body(GOOD_CHECK, "@task\ndef load(month):\n    pass\nload.expand(month=[1, 2])")
    dag = load(text)
    bag = BundleDagBag(
        dag_folder=dag.fileloc,
        bundle_path=Path(dag.fileloc).parent,
        bundle_name="dags-folder",
    )
    assert bag.dags["ebi"] is not dag
    first, second = (LazyDeserializedDAG.from_dag(made).hash for made in (dag, bag.dags["ebi"]))
    assert first == second


# Ends that no summary sees


@pytest.mark.parametrize("state", ["failed", "running"])
def test_a_run_that_failed_before_its_summary_ended(load, alerts, state):
    """By its dagrun_timeout: the scheduler tells, and nothing closes that incident."""
    task = load(body(GOOD_LOAD)).get_task("summary")
    ti = Lost("summary")
    ti.get_dagrun_state = lambda dag_id, run_id: state  # noqa: ARG005 - Airflow's names
    for callback in (*task.on_success_callback, *task.on_failure_callback):
        callback({"ti": ti, "task": task})
    assert [sent[0] for sent in alerts.sent] == (
        [] if state == "failed" else ["resolve", "trigger"]
    )


class Lost:
    """A task's instance in the DAG processor, when its worker is lost: XComs cannot be pushed."""

    dag_id, run_id, try_number, map_index = "ebi", "manual", 1, None

    def __init__(self, task_id):
        self.task_id = task_id

    def xcom_push(self, *_):
        raise RuntimeError("Unhandled request")


def test_a_worker_that_is_lost(load, alerts):
    dag = load(body(GOOD_CHECK, GOOD_LOAD))
    for task_id in ("source", "load", "summary"):
        task = dag.get_task(task_id)
        for callback in task.on_failure_callback:
            callback({"ti": Lost(task_id), "task": task})
    assert [sent[1][0] for sent in alerts.sent] == [
        f"{FAILED}check source: no reason is known",
        f"{FAILED}summary: no reason is known",
    ]


@pytest.mark.parametrize(
    ("note", "state"),
    [
        ({"rows": 5, "try_number": 2}, "success"),
        ({"reason": "ValueError", "try_number": 2}, "failed"),
    ],
)
def test_what_a_cleared_or_marked_task_noted_before(load, alerts, note, state):  # noqa: ARG001 - none are sent
    task = load(body(GOOD_LOAD)).get_task("load")
    for now in ("success", "failed", "skipped", "upstream_failed"):
        crumb = {"map_index": -1, "state": now, "duration": 1.5}
        outcome = _outcomes.outcome(task, crumb, note)
        assert (outcome.state, outcome.duration) == (now, 1.5)
        told = (outcome.rows, outcome.reason, outcome.try_number)
        kept = (note.get("rows"), note.get("reason", ""), 2)
        assert told == (kept if now == state else (None, "", None))


def test_what_cannot_be_noted_does_not_fail_the_task(run, monkeypatch):
    def away(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(_callbacks, "shown", away)
    result = run(body(GOOD_LOAD))
    assert (result.state, result.line["rows"]) == ("success", {})
