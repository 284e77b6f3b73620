"""rax flow --target: what is shown and written, what is refused, and whose password goes where."""

import json
import xml.etree.ElementTree as ET

import pytest

from rax import cli
from rax.cli import flow
from rax.cli._flow._run import run
from rax.errors import CommandError
from rax.testing._staging import _cases
from tests.unit.rax.testing.airflow_api_testing import PASSWORD, USER, Cluster, served

SPEC = """\
workflow: genes
given: {config: {genes.daily: {months: [1]}}}
cases:
  good:
    target: true
    runs: [once]
    expect: {alerts: [resolve], tasks: {"load[0]": {returns: {rows: 2}}}}
  no genes:
    given: {files: [before.sql]}
    expect: {check: answers}
"""
GOOD, OTHER = (f"tests/flows/genes.flow.yaml::{name}" for name in ("good", "no genes"))


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(_cases, "_MIN_PAUSE_SECONDS", 0.01)
    with served(Cluster()) as found:
        yield found


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a repository with a spec; what is kept of runs is beside it."""
    folder = tmp_path / "repository/tests/flows"
    folder.mkdir(parents=True)
    (folder / "genes.flow.yaml").write_text(SPEC)
    (folder / "before.sql").write_text("")
    credentials = tmp_path / "credentials"
    credentials.mkdir(0o700)
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", str(credentials))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "repository"


def store(root, url, password=PASSWORD, name="AIRFLOW-STAGING-01"):
    """Write the credential of the cluster."""
    file = root.parent / f"credentials/{name}.json"
    fields = {"user": USER, "pass": password, "host": "", "url": url, "description": ""}
    file.write_text(json.dumps({**fields, "metadata": {}}))
    file.chmod(0o600)


def options(*words):
    found = cli._parser().parse_args(["flow", *words])
    flow._check_target(found)
    return found


def test_a_run_on_a_cluster(cluster, root, capsys):
    store(root, cluster.url)
    assert run(root, options("--target", "--junit", str(root / "reports"))) == 0
    (run_id,) = cluster.runs
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"skipped {OTHER}  (not portable: given.files, given.config)"
    assert lines[1].startswith(f"passed  {GOOD}  (once; ")
    assert lines[2:-1] == [
        "    the cluster's own: config",
        "    left out: alerts",
        f"    once: {cluster.url}/dags/genes/runs/{run_id}",
        "note: the cluster ran 0123abc, and there is no commit here",
    ]
    assert lines[-1].startswith("1 case passed, 1 skipped in ")
    suite = ET.parse(root / "reports/rax-flow.xml").getroot()[0]  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "0", "1")
    assert (
        suite.find("testcase[@name='no genes']/skipped").get("message").startswith("not portable")
    )


def test_a_difference_and_json(cluster, root, capsys):
    store(root, "")
    cluster.xcoms = {}
    assert run(root, options("--target", cluster.url, "--json")) == 1
    found = json.loads(capsys.readouterr().out)
    (case,) = found["cases"]
    assert (case["id"], case["state"], case["runs"]) == (GOOD, "failed", ["once"])
    assert [one["text"] for one in case["differences"]] == ['returns {"rows": 2} → null']
    reason = "not portable: given.files, given.config"
    assert found["skipped"] == [{"id": OTHER, "reason": reason}]
    assert found["notes"] == ["the cluster ran 0123abc, and there is no commit here"]
    # It failed last, and what was not run is as it was.
    cluster.xcoms = {("load", 0, "return_value"): {"rows": 2}}
    assert run(root, options("--target", cluster.url, "--lf")) == 0
    assert OTHER not in capsys.readouterr().out


def test_a_run_that_somebody_stops_waiting_for_is_named(cluster, root, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    store(root, cluster.url)
    monkeypatch.setattr(_cases.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(root, options("--target"))
    (run_id,) = cluster.runs
    told = f"rax: the run goes on: {cluster.url}/dags/genes/runs/{run_id}\n"
    assert capsys.readouterr().err == told


NONE = (
    "none of these cases is made for a cluster: one that also holds with the data of the cluster "
    "says target: true"
)


@pytest.mark.parametrize(
    ("words", "url", "problem"),
    [
        (["--target", "-k", "no genes"], "https://a", NONE),
        (["--target"], "", "--target has no URL, and neither has the credential "
         "AIRFLOW-STAGING-01"),
        (["--target", "https://b"], "https://a", "--target is not the url of the credential "
         "AIRFLOW-STAGING-01, https://a: its password goes nowhere else; --credential names "
         "another"),
        (["--target"], "http://a", "the url of the credential AIRFLOW-STAGING-01 begins with "
         "http://, by which the password would travel in the open: write https://, or lead a port "
         "of this machine there (ssh -L 8080:localhost:8080 HOST) and write "
         "http://localhost:8080"),
        (["--target", "--credential", "NONE"], "", "the credential NONE is not here, by which the "
         "cluster is asked: ./rax credentials set NONE, with the url of the cluster, a user of its "
         "Airflow and the password"),
    ],
)  # fmt: skip
def test_a_cluster_that_is_not_asked(root, words, url, problem):
    store(root, url)
    with pytest.raises(CommandError) as caught:
        run(root, options(*words))
    assert str(caught.value) == problem


def test_the_credential_of_a_database_has_to_be_here_before_anything_runs(cluster, root):
    store(root, cluster.url)
    (root / "tests/flows/genes.flow.yaml").write_text(
        "workflow: genes\ngiven: {postgres: {GENES-DB-01: before.sql}}\ncases:\n  good:\n"
        "    expect: {}\n    target: {GENES-DB-01: {SELECT 1: {rows: 1}}}\n"
    )
    with pytest.raises(CommandError) as caught:
        run(root, options("--target"))
    assert str(caught.value) == (
        "the credential GENES-DB-01 is not here, by which the tables of the cluster are asked: "
        "./rax credentials set GENES-DB-01, with an account that may read them"
    )
    assert cluster.asked == []


HERE = (
    " is for cases that run here: --target runs them on a cluster, where their data and logs stay"
)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--target", "--watch"], f"--watch{HERE}"),
        (["--target", "--keep"], f"--keep{HERE}"),
        (["--target", "https://a", "--logs"], f"--logs{HERE}"),
        (["--credential", "A"], "--credential is that of the cluster which --target names"),
        (["record", "--target"], "goldens hold what cases give here: rax flow record takes no "
         "--target"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(words, problem, capsys):
    assert cli.main(["flow", *words]) == 3
    assert capsys.readouterr().err == f"rax: {problem}\n"
