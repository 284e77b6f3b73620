"""Cases on a cluster: which run there, what they give, and what becomes of faults."""

import datetime
import textwrap

import pytest
import trustme

from rax.credentials import Credential
from rax.errors import CommandError
from rax.testing._judging import judge
from rax.testing._model import RunKind, TaskKey
from rax.testing._runner import Chosen, Progress, run_cases
from rax.testing._staging import (
    Client,
    Databases,
    StagedCases,
    _cases,
    _client,
    address_of,
    portable,
    reason_against,
)
from tests.unit.rax.testing.airflow_api_testing import (
    PASSWORD,
    TOKEN,
    USER,
    Cluster,
    cut_off,
    dropped,
    instance,
    said,
    served,
)

FIELDS = {"host": "", "url": "", "description": "", "metadata": {}}
DAG, RUNS = "/api/v2/dags/genes", "/api/v2/dags/genes/dagRuns"
GOOD = """\
target: true
runs: [once]
expect:
  tasks: {"load[0]": {returns: {rows: 2}}, "load[1]": {returns: null}, answers: {state: success}}
"""


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(_cases, "_MIN_PAUSE_SECONDS", 0.01)
    with served(Cluster()) as found:
        yield found


def account(password=PASSWORD):
    return Credential("STAGING", {**FIELDS, "user": USER, "pass": password})


def client(cluster, **values):
    return Client(address_of(cluster.url, "--target"), account(), away_seconds=0.0, **values)


def case(flows, text=GOOD, given="{}"):
    """Return the only case of a spec."""
    spec = flows.read(
        f"workflow: genes\ngiven: {given}\ncases:\n  good:\n" + textwrap.indent(text, "    ")
    )
    return Chosen(spec, spec.cases[0])


def verdict(cluster, one, *, max_seconds=20.0, progress=None, **values):
    """Return how a case ends on the cluster."""
    found = portable(one.case)
    staged = StagedCases(client(cluster), Databases([]), {}, progress or Progress())
    chosen = [one._replace(case=found.case)]
    (only,) = run_cases(staged, chosen, max_seconds=max_seconds, progress=progress, **values)
    return only


def texts(found):
    return [one.text for one in found.differences]


class Seen(Progress):
    def __init__(self):
        self.tasks, self.waiting = [], []

    def task(self, kind, key):
        self.tasks.append((kind, str(key)))

    def waits(self, kind, text):
        self.waiting.append((kind, text))


def test_a_case_that_passes(cluster, flows):
    seen = Seen()
    cluster.others = [{"dag_run_id": "scheduled__1", "state": "running"}]
    found = verdict(cluster, case(flows, given="{conf: {months: [1]}}"), progress=seen)
    assert texts(found) == []
    (run,) = found.output.runs
    assert (run.kind, run.state) == (RunKind.ONCE, "success")
    # In the order of the workflow.
    assert [str(one.key) for one in run.tasks] == ["answers", "load[0]", "load[1]", "report"]
    assert [one.part for one in run.tasks] == ["check", "", "", "summary"]
    assert run.tasks[1].upstream == {"answers"}
    assert seen.tasks == [(RunKind.ONCE, "load[1]")]
    assert (RunKind.ONCE, "queued and waits for scheduled__1") in seen.waiting
    (run_id,) = cluster.runs
    assert run_id.startswith("rax_flow__")
    assert found.output.notes == (f"once: {cluster.url}/dags/genes/runs/{run_id}",)
    order = next(
        body for method, path, _, body in cluster.asked if (method, path) == ("POST", RUNS)
    )
    assert order == {
        "dag_run_id": run_id,
        "conf": {"months": [1]},
        "logical_date": None,
        "note": "rax flow --target: tests/flows/genes.flow.yaml::good",
    }


def test_what_differs_is_told_as_of_a_case_here(cluster, flows):
    cluster.states = ["failed"]
    cluster.instances = [
        instance("answers"),
        instance("load", "failed", 0),
        instance("load", "upstream_failed", 1),
        instance("report", "failed"),
    ]
    cluster.xcoms = {("load", 0, "rax_outcome"): {"reason": "OSError: no\x1b file"}}
    found = verdict(cluster, case(flows))
    assert texts(found) == [
        "the run: success → failed\nload[0]: failed: OSError: no\\x1b file",
        "returns nothing: it is failed",
        "did not run: upstream_failed",
    ]


def test_once_and_again_are_two_runs(cluster, flows):
    found = verdict(cluster, case(flows, "target: true\nruns: [once, again]\nexpect: {}\n"))
    assert [run.kind for run in found.output.runs] == [RunKind.ONCE, RunKind.AGAIN]
    assert len(cluster.runs) == 2


def test_a_run_of_the_same_date_takes_the_place_of_the_one_before(cluster, flows):
    given = '{logical_date: "2026-01-31"}'
    assert texts(verdict(cluster, case(flows, given=given))) == []
    (first,) = cluster.runs
    assert texts(verdict(cluster, case(flows, given=given))) == []
    (second,) = cluster.runs
    assert first != second


@pytest.mark.parametrize(("name", "state"), [("manual__1", "success"), ("rax_flow__1", "running")])
def test_a_run_that_is_not_ours_or_goes_on_is_left_alone(cluster, flows, name, state):
    date = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC).isoformat()
    cluster.runs = {name: {"logical_date": date, "states": [state]}}
    found = verdict(cluster, case(flows, given='{logical_date: "2026-01-31"}'))
    assert texts(found) == [
        f"genes has a run of {date} already, {name} ({state}), and there can be one: have it "
        "removed, or take another logical_date"
    ]
    assert [*cluster.runs] == [name]


@pytest.mark.parametrize(
    ("state", "where"), [("queued", " and waits for manual__1"), ("running", " in load[1]")]
)
def test_a_run_that_does_not_end_goes_on_there(cluster, flows, state, where):
    cluster.states, cluster.others = [state], [{"dag_run_id": "manual__1", "state": "running"}]
    found = verdict(cluster, case(flows), max_seconds=0.05)
    (run_id,) = cluster.runs
    assert texts(found) == [
        f"after 0.05 s the run {run_id} is {state}{where}, and goes on on the cluster"
    ]
    assert "DELETE" not in {method for method, *_ in cluster.asked}


ERRORS = [{"filename": f"dags/{name}.py"} for name in ("a\x1b", "b", "c", "d")]


@pytest.mark.parametrize(
    ("dag", "errors", "problem"),
    [
        (None, [], "the cluster has no workflow genes: has its commit been published there?"),
        (None, ERRORS, "the cluster has no workflow genes; it cannot load dags/a\\x1b.py, "
         "dags/b.py, dags/c.py"),
        ({"is_stale": True}, [], "genes is in no file of the cluster any more: has its commit been "
         "published there?"),
        ({"has_import_errors": True}, [], "the file of genes cannot be loaded on the cluster, "
         "which would run what it was before"),
        ({"is_paused": True}, [], "genes is paused on the cluster, where a run would wait: unpause "
         "it"),
    ],
)  # fmt: skip
def test_a_workflow_that_would_not_run_as_it_is_meant(cluster, flows, dag, errors, problem):
    cluster.dag, cluster.import_errors = dag, errors
    assert texts(verdict(cluster, case(flows))) == [problem]
    assert cluster.runs == {}


INSTANCES = "an answer has no {}, or one that is none of Airflow 3"
SILENT = "{url} does not answer: Remote end closed connection without response"


@pytest.mark.parametrize(
    ("method", "path", "fault", "problem"),
    [
        ("GET", DAG, dropped, SILENT),
        ("GET", DAG, cut_off, "{url} does not answer: its answer ends in the middle"),
        ("GET", DAG, said(503, {}), "{url} does not answer: HTTP 503"),
        ("GET", DAG, said(200, b"<html>"), f"GET {DAG}: the answer is no object of JSON, as "
         "Airflow's are"),
        ("GET", DAG, said(200, b"[" * 100_000), f"GET {DAG}: the answer is no object of JSON, as "
         "Airflow's are"),
        ("GET", DAG, said(200, b"1" * 2001), "an answer has more than 0 MiB"),
        ("GET", DAG, said(403, {}), f"the user of the credential STAGING may not GET {DAG}"),
        ("GET", DAG, said(302, {}, Location="http://127.0.0.1:1/"), "{url} leads elsewhere (HTTP "
         "302), where no password goes: give the address that it leads to"),
        ("GET", f"{DAG}/tasks", said(500, {"detail": f"\x1b {PASSWORD} {TOKEN}"}),
         f"GET {DAG}/tasks: HTTP 500: \\x1b *** ***"),
        ("GET", f"{DAG}/tasks", said(200, {"tasks": [{"task_id": 1}]}),
         INSTANCES.format("task_id")),
        ("GET", f"{DAG}/tasks", said(200, {"tasks": [1]}), INSTANCES.format("tasks")),
        ("POST", RUNS, said(422, {"detail": [{"msg": "no"}]}), f"POST {RUNS}: HTTP 422: "
         "[{{'msg': 'no'}}]"),
        ("POST", RUNS, said(409, {"detail": "there is"}), f"POST {RUNS}: HTTP 409: there is"),
        ("POST", RUNS, dropped, "the cluster was away, and has begun no run"),
    ],
)  # fmt: skip
def test_a_fault_fails_its_case_with_a_reason(
    cluster, flows, monkeypatch, method, path, fault, problem
):
    monkeypatch.setattr(_client, "MAX_ANSWER_BYTES", 200_000 if "JSON" in problem else 2000)
    cluster.faults = {(method, path): [fault]}
    assert texts(verdict(cluster, case(flows))) == [problem.format(url=cluster.url)]


def test_what_ends_soon_is_waited_for(cluster, flows):
    cluster.faults = {("GET", DAG): [said(503, {}), dropped]}
    patient = Client(address_of(cluster.url, "--target"), account(), away_seconds=20.0)
    staged = StagedCases(patient, Databases([]), {}, Progress())
    one = case(flows)
    output = staged.run(one.spec, portable(one.case).case, max_seconds=20)
    assert [run.state for run in output.runs] == ["success"]


def test_a_run_that_was_taken_though_no_answer_came_is_not_begun_twice(cluster, flows):
    def taken(handler):
        (*_, body) = cluster.asked[-1]
        cluster.answer("POST", RUNS, {}, body)
        dropped(handler)

    cluster.faults = {("POST", RUNS): [taken]}
    assert texts(verdict(cluster, case(flows))) == []
    assert len(cluster.runs) == 1


def test_a_token_that_is_too_old_is_renewed_once(cluster, flows):
    cluster.faults = {("GET", DAG): [said(401, {})]}
    assert texts(verdict(cluster, case(flows))) == []
    assert cluster.logins == 2
    cluster.faults = {("GET", DAG): [said(401, {"detail": "no"})] * 2}
    assert texts(verdict(cluster, case(flows))) == [f"GET {DAG}: HTTP 401: no"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (said(401, {}), "{url} does not know the user and the password of the credential STAGING: "
         "./rax credentials set STAGING"),
        (said(404, {}), "{url} has no API of Airflow 3"),
        (said(201, {}), "{url} gives no token: it is no API of Airflow 3"),
        (said(201, {"access_token": "a\r\nX: b"}), "{url} gives no token: it is no API of "
         "Airflow 3"),
        (said(307, {}, Location="http://127.0.0.1:1/"), "{url} leads elsewhere (HTTP 307), where "
         "no password goes: give the address that it leads to"),
        (dropped, SILENT),
    ],
)  # fmt: skip
def test_a_cluster_that_lets_nobody_in(cluster, answer, problem):
    cluster.faults = {("POST", "/auth/token"): [answer]}
    with pytest.raises(CommandError) as caught:
        client(cluster)
    assert str(caught.value) == problem.format(url=cluster.url)


def test_a_certificate_that_nobody_vouches_for_gets_no_password(tmp_path, monkeypatch):
    authority = trustme.CA()
    with served(Cluster(), authority.issue_cert("localhost")) as cluster:
        with pytest.raises(CommandError, match="certificate verify failed"):
            client(cluster)
        assert cluster.asked == []
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert client(cluster).get(DAG) == cluster.dag


def test_no_proxy_hears_what_is_said_to_this_machine(cluster, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert client(cluster).get("/api/v2/dags/genes") == cluster.dag


HTTP = (
    "--target begins with http://, by which the password would travel in the open: write https://, "
    "or lead a port of this machine there (ssh -L 8080:localhost:8080 HOST) and write "
    "http://localhost:8080"
)
NO_URL = (
    "--target is no URL of an API, such as https://airflow.example.org; a spec is named before "
    "--target"
)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://airflow.example.org/", "https://airflow.example.org"),
        ("https://airflow.example.org:8443/one/", "https://airflow.example.org:8443/one"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://127.0.0.2", "http://127.0.0.2"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://airflow.example.org", HTTP),
        ("http://localhost.example.org", HTTP),
        ("http://10.0.0.1:8080", HTTP),
        ("tests/flows", NO_URL),
        ("ftp://a", NO_URL),
        ("https://", NO_URL),
        ("https://flow:hunter22@a", "--target has an account in it: that is taken from a "
         "credential"),
        ("https://a?b=1", "--target goes on after ? or #, which no address of an API does"),
        ("https://a#b", "--target goes on after ? or #, which no address of an API does"),
        ("https://a:b", "--target is no URL: its host or its port is none"),
        ("https://[a", "--target is no URL: its host or its port is none"),
        ("https://a b", "--target has characters that no URL has, or too many of them"),
        ("https://\u0430.example.org", "--target has characters that no URL has, or too many of "
         "them"),
    ],
)  # fmt: skip
def test_an_address_to_which_a_password_may_be_sent(url, found):
    if found.startswith("--target"):
        with pytest.raises(CommandError) as caught:
            address_of(url, "--target")
        assert str(caught.value) == found
    else:
        assert address_of(url, "--target").url == found


GIVEN = "{postgres: {DB: before.sql}, sqlite: {DAYS: null}, config: {a.b: {c: 1}}}"


def test_what_is_left_out_of_a_case_is_told(flows):
    one = case(
        flows,
        """\
target: true
expect:
  alerts: [resolve]
  files: {a.csv: absent}
  tasks: {load: {state: success, files: {a.csv: absent}, DB: {SELECT 1: {rows: 1}}}}
  DAYS: {SELECT 1: {rows: 1}}
  DB: {SELECT 2: {rows: 1}}
""",
        given=GIVEN,
    )
    found = portable(one.case)
    assert found.own == ("postgres", "sqlite", "config")
    assert found.left_out == (
        "alerts", "files", "DAYS", "tables of load when it ended", "files of load", "again", "lost",
    )  # fmt: skip
    expected = found.case.runs[RunKind.ONCE]
    assert [(query.database, query.sql) for query in expected.tables] == [("DB", "SELECT 2")]
    (task,) = expected.tasks
    assert (task.key, task.state, task.tables, task.files) == (TaskKey("load"), "success", {}, {})
    assert (expected.alerts, expected.files) == (None, {})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (GIVEN, "not portable: given.postgres, given.sqlite, given.config"),
        ("{http: {WEB: site}, down: [WEB]}", "not portable: given.http, given.down"),
        ("{conf: {a: 1}}", "not marked target: true"),
    ],
)
def test_why_a_case_is_not_run_on_a_cluster(flows, given, reason):
    assert reason_against(case(flows, "expect: {}\n", given).case) == reason


def test_values_are_those_that_a_case_here_gives(cluster, flows):
    def airflow(name, data):
        return {"__classname__": name, "__version__": 1, "__data__": data}

    zone = airflow("builtins.tuple", ["UTC", "pendulum.tz.timezone.FixedTimezone", 1, True])
    cluster.xcoms = {
        ("load", 0, "return_value"): {
            "pair": airflow("builtins.tuple", [1, 2]),
            "set": airflow("builtins.set", [3, 1]),
            "day": airflow("datetime.date", "2026-01-31"),
            "time": airflow("datetime.datetime", {"timestamp": 1769817600.0, "tz": zone}),
            "odd": airflow("datetime.datetime", {"timestamp": "x", "tz": None}),
        }
    }
    expect = (
        'target: true\nruns: [once]\nexpect: {tasks: {"load[*]": {returns: {pair: [1, 2], '
        'set: [1, 3], day: "2026-01-31", time: "2026-01-31T00:00:00+00:00"}}}}\n'
    )
    cluster.instances = [instance("load", index=0), instance("report")]
    assert texts(verdict(cluster, case(flows, expect))) == []


def test_the_secrets_of_a_database_are_in_no_difference(cluster, flows):
    cluster.xcoms = {("load", 0, "return_value"): {"rows": f"see {PASSWORD}"}}
    one = case(flows)
    found = portable(one.case).case
    fields = {"DB": {**FIELDS, "user": USER, "pass": PASSWORD}}
    found = found.__class__(**{**vars(found), "given": found.given.__class__(credentials=fields)})
    staged = StagedCases(client(cluster), Databases([]), {}, Progress())
    output = staged.run(one.spec, found, max_seconds=20)
    assert [one.text for one in judge(found, output)] == ['returns rows: 2 → "see ***"']
