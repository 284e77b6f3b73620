"""Specs of workflows: what they say, once read."""

import datetime
import re
import textwrap

import pytest

from rax.testing import _specs
from rax.testing._model import UNSET, Answer, Given, Query, RunKind, TaskKey

ONCE, AGAIN, LOST = RunKind

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


def case(flows, expect="{}", given="{}", shared="{}", rest=""):
    """Return the one case of a spec, of which parts are given."""
    text = "workflow: genes\ngiven:\n{}\ncases:\n  good:\n{}    given:\n{}\n    expect:\n{}\n"
    parts = (shared, 2), (rest, 4), (given, 6), (expect, 6)
    indented = [textwrap.indent(part, " " * columns) for part, columns in parts]
    return flows.read(text.format(*indented)).cases[0]


def test_of_what_all_are_given_a_case_replaces_what_it_names(flows):
    given = case(
        flows,
        shared="""\
postgres: {A: before.sql, B: null, C: null}
files: [before.sql, flights.csv.zip]
config: {a.b: {list: [1, 2], inner: {x: 1, y: 2}}, c: {x: 1}}
variables: {x: "1", y: {z: [1]}}
triggers: {genes_daily: success, other.dag: failed}
conf: {x: 1, y: 2}
down: [C]
meanwhile: {load: {A: "SELECT 1"}, report: {A: "SELECT 2"}}
logical_date: "2026-01-31 22:30"
""",
        given="""\
postgres: {A: [before.sql, before.sql]}
sqlite: {S: before.sql}
files: {before.sql: absent, in/flights.zip: flights.csv.zip}
config: {a.b: {list: [3], inner: {y: 3}}}
variables: {x: text}
triggers: {genes_daily: failed}
conf: {y: null}
down: [B]
meanwhile: {load: {files: {a.csv: before.sql, b.csv: absent}}}
logical_date: "2026-01-31T22:30:00+01:00"
environment: {SIZE: 7, NAME: a}
connections: {db: "http://db"}
credentials: {D: {user: u, pass: p, metadata: {port: 1}}}
""",
    ).given
    before, flights = flows.folder / "before.sql", flows.folder / "flights.csv.zip"
    assert given.postgres == {"A": (before, before), "B": (), "C": ()}
    assert given.sqlite == {"S": (before,)}
    assert given.files == {"flights.csv.zip": flights, "in/flights.zip": flights}
    assert given.configs == {"a.b": {"list": [3], "inner": {"x": 1, "y": 3}}, "c": {"x": 1}}
    assert given.variables == {"x": "text", "y": '{"z": [1]}'}
    assert given.triggers == {"genes_daily": "failed", "other.dag": "failed"}
    assert given.environment == {"SIZE": "7", "NAME": "a"}
    assert given.connections == {"db": "http://db"}
    assert given.credentials == {"D": {"user": "u", "pass": "p", "metadata": {"port": 1}}}
    assert given.conf == {"x": 1, "y": None}
    assert given.down == {"B", "C"}
    load, report = given.meanwhile
    assert (str(load.after), load.statements) == ("load", {})
    assert load.files == {"a.csv": before, "b.csv": None}
    assert (str(report.after), report.statements) == ("report", {"A": "SELECT 2"})
    assert given.logical_date.isoformat() == "2026-01-31T22:30:00+01:00"


def test_nothing_is_given_by_default(flows):
    given = case(flows).given
    assert given == Given()


def test_a_date_without_a_time_zone_is_in_utc(flows):
    date = case(flows, given='logical_date: "2026-01-31"').given.logical_date
    assert date == datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)


def test_a_source_is_a_folder_or_answers(flows):
    (flows.folder / "page.html").write_bytes(b"<p>\xff")
    given = case(
        flows,
        given="""\
http:
  FILES: site
  API:
    GET /flights?month=1: {json: {rows: [1, null]}}
    GET /page: {file: page.html, headers: {Content-Type: text/html}}
    POST /flights: {status: 503, text: later}
    HEAD /: {}
""",
    ).given
    assert given.http["FILES"].folder == flows.folder / "site"
    json_type = {"Content-Type": "application/json"}
    assert given.http["API"].answers == (
        Answer("GET", "/flights?month=1", headers=json_type, body=b'{"rows": [1, null]}'),
        Answer("GET", "/page", headers={"Content-Type": "text/html"}, body=b"<p>\xff"),
        Answer("POST", "/flights", status=503, body=b"later"),
        Answer("HEAD", "/"),
    )


@pytest.mark.parametrize(
    ("expect", "rest", "runs", "state"),
    [
        ("{}", "", [ONCE, AGAIN, LOST], "success"),
        ("failed: []", "", [ONCE, AGAIN, LOST], "success"),
        ("state: failed", "", [ONCE], "failed"),
        ("failed: [load]", "", [ONCE], "failed"),
        ("check: load", "", [ONCE], "failed"),
        ("check: load", "runs: [again, once]\n", [ONCE, AGAIN], "failed"),
        ("{}", "runs: [lost]\n", [LOST], "success"),
        ("state: success\nfailed: [load]", "", [ONCE, AGAIN, LOST], "success"),
    ],
)
def test_how_a_case_is_run_follows_from_its_end(flows, expect, rest, runs, state):
    found = case(flows, expect, rest=rest)
    assert [*found.runs] == runs
    assert {one.state for one in found.runs.values()} == {state}


def test_again_and_lost_say_what_differs(flows):
    runs = case(
        flows,
        shared="postgres: {A: null}",
        expect="""\
alerts: [resolve]
skipped: [clean]
tasks:
  load: {returns: 7, state: success, A: {SELECT 1: a.csv}}
  report: {unverified: it is slow}
A: {SELECT 2: b.csv}
again:
  tasks:
    load: {returns: 0, A: {SELECT 3: c.csv}}
    clean: {state: success}
    report: {returns: 1}
  A: {SELECT 2: {rows: 0}}
  files: {a.csv: absent}
  skipped: []
lost:
  failed: [load]
  tasks: {load: {unverified: it has failed}}
""",
    ).runs
    once, again, lost = (runs[kind] for kind in RunKind)
    assert (once.state, again.state, lost.state) == ("success", "success", "failed")
    assert (once.failed, again.failed, lost.failed) == (None, None, ("load",))
    assert (once.skipped, again.skipped, lost.skipped) == (("clean",), (), ("clean",))
    assert once.alerts == again.alerts == lost.alerts
    load, report, clean = again.tasks
    assert (load.returns, load.state, load.place.line) == (0, "success", 17)
    assert [query.sql for query in load.tables] == ["SELECT 1", "SELECT 3"]
    assert (report.unverified, report.returns) == ("", 1)
    assert str(clean.key) == "clean"
    assert again.tables[Query("A", "SELECT 2")].rows == 0
    assert again.files["a.csv"].absent
    assert not once.files
    assert (lost.tasks[0].unverified, lost.tasks[0].tables) == ("it has failed", {})
    assert once.tables[Query("A", "SELECT 2")].golden == flows.folder / "b.csv"


def test_a_run_that_differs_in_its_end_says_all_of_its_end(flows):
    runs = case(flows, "check: load\nagain: {state: success}", rest="runs: [once, again]\n").runs
    assert (runs[AGAIN].state, runs[AGAIN].check) == ("success", None)


def test_what_tables_and_files_hold(flows):
    expected = case(
        flows,
        shared="sqlite: {S: null}",
        expect="""\
S:
  ? |
    SELECT a, b
    FROM genes;
  : folder/a.csv
  SELECT 1: {rows: 2}
files:
  ./out//a.csv: a.csv
  b.csv: {rows: 3}
  c.txt: {text: ""}
  d.txt: absent
  e.txt: ./absent
""",
    ).runs[ONCE]
    first, second = expected.tables.items()
    assert first[0] == Query("S", "SELECT a, b\nFROM genes")
    assert (first[1].golden, first[1].place.line) == (flows.folder / "folder/a.csv", 10)
    assert (second[1].rows, second[1].golden) == (2, None)
    files = expected.files
    assert files["out/a.csv"].golden == flows.folder / "a.csv"
    assert files["b.csv"].rows == 3
    assert files["c.txt"].text == ""
    assert files["d.txt"].absent
    assert files["d.txt"].golden is None
    assert files["e.txt"].golden == flows.folder / "absent"


def test_alerts_as_texts_and_as_mappings(flows):
    alerts = case(
        flows,
        """\
alerts:
- trigger
- "trigger: a: b"
- trigger: the source is empty
  severity: critical
  custom_details: {rows: 0}
- resolve
- acknowledge:
""",
    ).runs[ONCE]
    assert [(alert.action, alert.text) for alert in alerts.alerts] == [
        ("trigger", ""),
        ("trigger", "a: b"),
        ("trigger", "the source is empty"),
        ("resolve", ""),
        ("acknowledge", ""),
    ]
    fields = {"severity": "critical", "custom_details": {"rows": 0}}
    assert [alert.fields for alert in alerts.alerts] == [{}, {}, fields, {}, {}]
    assert [alert.place.line for alert in alerts.alerts] == [10, 11, 12, 15, 16]


def test_of_nothing_said_of_alerts_nothing_is_expected_and_of_none_none(flows):
    assert case(flows).runs[ONCE].alerts is None
    assert case(flows, "alerts: []").runs[ONCE].alerts == ()


def test_parts_that_cases_share_are_found_where_they_are_written(flows):
    spec = flows.read("""\
workflow: genes
cases:
  one:
    expect: &good
      tasks: &tasks
        load: {returns: 7}
  two:
    expect:
      <<: *good
      alerts: []
  three:
    expect: {tasks: *tasks}
""")
    places = [case.runs[ONCE].tasks[0].place.line for case in spec.cases]
    assert places == [6, 6, 6]


def test_specs_are_found_in_folders_too_and_in_order(flows):
    for name in ("b.flow.yaml", "a/c.flow.yaml", "d.flow.yml", "e.yaml", "flow.yaml"):
        (flows.folder / name).parent.mkdir(exist_ok=True)
        (flows.folder / name).touch()
    found = [path.relative_to(flows.folder).as_posix() for path in _specs.find(flows.root)]
    assert found == ["a/c.flow.yaml", "b.flow.yaml", "d.flow.yml"]
    assert _specs.find(flows.root / "dags") == []


def test_paths_of_a_spec_in_a_folder_are_beside_it(flows):
    (flows.folder / "daily").mkdir()
    (flows.folder / "daily" / "own.sql").touch()
    text = "workflow: a\ngiven: {sqlite: {S: own.sql}}\ncases:\n  b: {expect: {S: {Q: c.csv}}}"
    spec = flows.read(text, "daily/genes.flow.yaml")
    (one,) = spec.cases
    assert str(one.place) == "tests/flows/daily/genes.flow.yaml:4"
    assert one.given.sqlite["S"] == (flows.folder / "daily" / "own.sql",)
    assert one.runs[ONCE].tables[Query("S", "Q")].golden == flows.folder / "daily" / "c.csv"


def test_what_code_makes_is_read_as_it_is(tmp_path):
    texts = {"a": "1e3", "b": "NO", "c": "2026-01-31", "d": "0644", "e": "x: #y", "f": "a\n  b\n"}
    case = {"given": {"variables": texts}, "expect": {}}
    spec = _specs.made({"workflow": "genes", "cases": {"one": case}}, tmp_path / "test_genes.py")
    assert spec.cases[0].given.variables == texts


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (object(), "has a value that is no text, number, truth, list or mapping"),
        ({1, 2}, "variables.a has the tag !!set, where a list is expected"),
        (b"a", "variables.a has the tag !!binary, where a value without a tag is expected"),
        (datetime.date(2026, 1, 31), 'variables.a is read as a date: quote it, "2026-01-31"'),
    ],
)
def test_what_code_makes_is_what_a_file_may_hold(tmp_path, value, told):
    case = {"given": {"variables": {"a": value}}, "expect": {}}
    with pytest.raises(_specs.SpecError, match=rf"^test_genes\.py:\d+: .*{re.escape(told)}$"):
        _specs.made({"workflow": "genes", "cases": {"one": case}}, tmp_path / "test_genes.py")


def test_what_code_makes_does_not_hold_itself(tmp_path):
    value = {}
    value["a"] = value
    with pytest.raises(_specs.SpecError, match="has a value that is no text"):
        _specs.made(value, tmp_path / "test_genes.py")


def test_the_spec_that_the_module_shows_is_one(flows):
    (flows.folder / "genes.csv").touch()
    shown = textwrap.dedent(_specs.__doc__.partition("::\n")[2])
    good, down = flows.read(shown).cases
    assert good.given.http["PAGES-WEB-01"].folder == flows.folder / "site"
    assert down.runs[ONCE].check == "source_answers"


def test_what_is_expected_on_a_cluster(flows):
    spec = flows.read(
        """\
workflow: genes
given: {postgres: {GENES-DB-01: before.sql}}
cases:
  the same:
    target: true
    expect: {alerts: [resolve]}
  something else:
    runs: [once, again]
    target: {tasks: {load: {returns: 40}}, GENES-DB-01: {SELECT 1: {rows: 1}}}
    expect: {tasks: {load: {returns: 2}}}
  nothing:
    target: false
    expect: {}
  unsaid:
    expect: {}
"""
    )
    same, other, *none = spec.cases
    assert same.target == {ONCE: same.runs[ONCE]}
    assert [*other.target] == [ONCE, AGAIN]
    assert other.target[ONCE].tasks[0].returns == 40
    assert other.runs[ONCE].tasks[0].returns == 2
    ((query, content),) = other.target[ONCE].tables.items()
    assert (query, content.is_recorded) == (Query("GENES-DB-01", "SELECT 1"), False)
    assert [case.target for case in none] == [{}, {}]
