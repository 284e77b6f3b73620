"""Outputs of runs and what is expected of them, as the tests of the judge have them."""

from rax.testing._model import (
    Case,
    Content,
    Expectation,
    Given,
    Place,
    Query,
    RunKind,
    TaskExpectation,
    TaskKey,
)
from rax.testing._outputs import Captured, CaseOutput, RunOutput, TaskOutput

PLACE = Place("tests/flows/flights.flow.yaml", 12)
ALL_FLIGHTS = Query("EBI-ETL-DEV-01", "SELECT * FROM flights")


def key(text):
    name, _, index = text.rstrip("]").partition("[")
    return TaskKey(name, (-1 if index == "*" else int(index)) if index else None)


def task(name, state="success", **values):
    values = {"part": values.pop("part", ""), **values}
    return TaskOutput(key(name), state, **values)


def flights(*, check="success", load="success", report="success", **of_load):
    """Return the tasks of a workflow: a check, two instances of load, a summary."""
    return (
        task("answers", check, part="check", reason="CheckError: no" * (check == "failed")),
        task("create", "success" if check == "success" else "upstream_failed",
             upstream=frozenset({"answers"})),
        task("load[0]", load, upstream=frozenset({"create"}), **of_load),
        task("load[1]", load, upstream=frozenset({"create"})),
        task("report", report, part="summary", upstream=frozenset({"load"})),
    )  # fmt: skip


def run(state="success", kind=RunKind.ONCE, tasks=None, **values):
    return RunOutput(kind, state, flights() if tasks is None else tasks, **values)


def expectation(**values):
    return Expectation(PLACE, **values)


def expected_task(name, **values):
    return TaskExpectation(PLACE, key(name), **values)


def content(**values):
    return Content(PLACE, **values)


def captured(text):
    return Captured(text.encode())


def case(*expected, credentials=()):
    """Return a case whose runs have these expectations, each another kind of run."""
    kinds = dict(zip(RunKind, expected, strict=False))
    return Case(PLACE, "good", Given(credentials=dict(credentials)), kinds)


def output(*runs, **values):
    return CaseOutput(runs, **values)
