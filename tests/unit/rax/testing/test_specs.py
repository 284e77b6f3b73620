"""Specs of workflows: what they say, once read."""

import jsonschema

from rax.testing import _specs
from rax.testing._model import UNSET, Query, RunKind, TaskKey

EBI = """\
workflow: ebi_flights_daily
given:
  postgres: {EBI-ETL-DEV-01: before.sql}
  files: [flights.csv.zip]
  config: {ebi.flights.daily: {months: [1, 2], file: flights.csv.zip}}
cases:
  loads two months:
    runs: [once, again, lost]
    expect:
      state: success
      alerts: [resolve]
      tasks:
        source_has_flights: {returns: {rows: 7}}
        target_answers: {unverified: it answers or raises}
        create_table: {returns: null}
        load_month[0]:
          returns: {month: 1, rows: 4}
          EBI-ETL-DEV-01: {"SELECT * FROM flights WHERE month = 1": january.csv}
        load_month[*]:
          state: success
        report: {returns: {expected: 7, found: 7}}
      EBI-ETL-DEV-01: {"SELECT * FROM flights": all.csv}
  a month without flights:
    given: {config: {ebi.flights.daily: {months: [1, 5]}}}
    expect: {check: source_has_flights, alerts: ["trigger: The source has no flights"]}
  the database is down:
    given: {down: [EBI-ETL-DEV-01]}
    expect: {check: target_answers, alerts: ["trigger: does not answer"]}
  rows go missing before the summary:
    given:
      meanwhile:
        load_month[1]: {EBI-ETL-DEV-01: DELETE FROM flights WHERE month = 2}
    expect: {failed: [report], alerts: ["trigger: "]}
"""


def test_a_whole_spec(flows):
    spec = flows.read(EBI)
    assert (spec.path, str(spec.place)) == (
        flows.folder / "genes.flow.yaml",
        "tests/flows/genes.flow.yaml:1",
    )
    assert spec.workflow == "ebi_flights_daily"
    good, no_flights, down, missing = spec.cases
    assert [(case.name, case.place.line) for case in spec.cases] == [
        ("loads two months", 7),
        ("a month without flights", 23),
        ("the database is down", 26),
        ("rows go missing before the summary", 29),
    ]
    assert good.given.postgres == {"EBI-ETL-DEV-01": (flows.folder / "before.sql",)}
    assert good.given.files == {"flights.csv.zip": flows.folder / "flights.csv.zip"}
    assert [*good.runs] == [RunKind.ONCE, RunKind.AGAIN, RunKind.LOST]

    expected = good.runs[RunKind.LOST]
    assert (expected.state, expected.place.line, expected.failed) == ("success", 9, None)
    assert [(alert.action, alert.text) for alert in expected.alerts] == [("resolve", "")]
    tasks = {str(task.key): task for task in expected.tasks}
    assert tasks["source_has_flights"].returns == {"rows": 7}
    assert tasks["create_table"].returns is None
    assert tasks["target_answers"].unverified == "it answers or raises"
    assert tasks["target_answers"].returns is UNSET
    assert tasks["load_month[*]"].state == "success"
    query = Query("EBI-ETL-DEV-01", "SELECT * FROM flights WHERE month = 1")
    assert tasks["load_month[0]"].tables[query].golden == flows.folder / "january.csv"
    assert tasks["load_month[0]"].tables[query].place.line == 18
    assert [content.golden.name for content in expected.tables.values()] == ["all.csv"]

    months = {"ebi.flights.daily": {"months": [1, 5], "file": "flights.csv.zip"}}
    assert no_flights.given.configs == months
    assert [*no_flights.runs] == [RunKind.ONCE]
    assert no_flights.runs[RunKind.ONCE].state == "failed"
    assert no_flights.runs[RunKind.ONCE].check == "source_has_flights"
    assert down.given.down == {"EBI-ETL-DEV-01"}
    change = missing.given.meanwhile[0]
    assert (change.after, change.place.line) == (TaskKey("load_month", 1), 32)
    assert change.statements == {"EBI-ETL-DEV-01": "DELETE FROM flights WHERE month = 2"}
    assert missing.runs[RunKind.ONCE].failed == ("report",)
    assert missing.runs[RunKind.ONCE].alerts[0].action == "trigger"


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(_specs.schema())
