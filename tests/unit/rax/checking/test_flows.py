"""Stage 4: what becomes of the cases of specs, and what a repository lacks of them."""

from pathlib import Path

import pytest

from rax.checking import _flows
from rax.checking._dags._answers import STANDARD, Dag, Task
from rax.checking._finding import Finding
from rax.checking._flows import _check
from rax.testing._drafting._text import UNVERIFIED
from rax.testing._judging._difference import Kind
from rax.testing._model import TaskKey
from rax.testing._outputs import Captured, CaseOutput, RunOutput, TaskOutput
from rax.testing._specs import FOLDER

TASKS = (
    Task("answers", "check"), Task("load"), Task("store"), Task("report", "summary"),
)  # fmt: skip
GENES = ("dags/genes.py", Dag("genes_daily", 12, "", "", True, TASKS))
WHOLE = """\
workflow: genes_daily
given:
  postgres: {DB: null}
cases:
  good:
    runs: [once, again]
    expect:
      alerts: [resolve]
      tasks:
        load[*]: {returns: {rows: 3}}
        store: {unverified: it is only told how much there is}
      DB:
        SELECT * FROM genes: genes.csv
  no answer:
    given: {down: [DB]}
    expect: {check: answers, alerts: ["trigger: does not answer"]}
  less than expected:
    expect: {failed: [report], alerts: [trigger]}
"""


@pytest.fixture
def outcome(repository, monkeypatch):
    """Run the stage on files, with these DAGs, and outputs by the names of cases."""

    def run(files, dags=(GENES,), outputs=None, unloaded=(), **options):
        repository.write({"dags/genes.py": "", **files})
        ran = []

        class Server:
            def __init__(self, root):
                assert root == repository.root

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def wait_until_ready(self):
                return 0.0

            def run(self, _spec, case, *, max_seconds, **_options):
                assert max_seconds == project.settings.flows.max_seconds
                ran.append(case.name)
                return good_output(case, **(outputs or {}).get(case.name, {}))

        monkeypatch.setattr(_check, "Server", Server)
        project = repository.project(**options)
        project.dags, project.unloaded = list(dags), set(unloaded)
        return _flows.check(project), ran

    return run


def good_output(case, table=b"id\n1\n", **values):
    """Return an output that is as the cases of WHOLE have it, but for what is given."""
    states = {
        "no answer": ("failed", "upstream_failed", "upstream_failed", "failed"),
        "less than expected": ("success", "success", "success", "failed"),
    }.get(case.name, ("success",) * 4)
    keys = (TaskKey("answers"), TaskKey("load", 0), TaskKey("store"), TaskKey("report"))
    tasks = tuple(
        TaskOutput(key, state, task.part, returned={"rows": 3})
        for key, state, task in zip(keys, states, TASKS, strict=True)
    )
    state, alert = "success", {"event_action": "resolve"}
    if "failed" in states:
        state, alert = "failed", {"event_action": "trigger",
                                  "payload": {"summary": "DB does not answer"}}  # fmt: skip
    runs = tuple(
        RunOutput(kind, state, tasks, alerts=(alert,),
                  tables={query: Captured(table) for query in expected.tables})
        for kind, expected in case.runs.items()
    )  # fmt: skip
    return CaseOutput(runs, **values)


def spec(text=WHOLE, **files):
    return {
        f"{FOLDER}/genes_daily.flow.yaml": text,
        f"{FOLDER}/genes.csv": "id\n1\n",
        "rax.toml": "[flows]\nrequired = true\n",
        **files,
    }


def rules(found):
    return [(one.rule, one.line, one.problem, one.advice) for one in sorted(found.findings)]


def test_a_repository_that_lacks_nothing(outcome):
    found, ran = outcome(spec())
    assert found.findings == []
    assert (found.looked_at, found.skipped) == ("3 cases of 1 workflow", "")
    assert ran == ["good", "no answer", "less than expected"]
    name = f"{FOLDER}/genes_daily.flow.yaml"
    assert found.names == tuple(f"{name}::{case}" for case in ran)
    assert found.table[1] == ("genes_daily", "3", "3 of 4", "1", "1 of 1", "yes", "1", "yes")


def test_a_difference_is_at_its_line(outcome):
    wrong = {"table": b"id\n2\n", "trouble": "load hung"}
    found, _ran = outcome(spec(), outputs={"good": wrong})
    name = f"{FOLDER}/genes_daily.flow.yaml"
    assert sorted(found.findings) == [
        Finding(name, 5, "flow-trouble", "good: load hung", item=f"{name}::good"),
        Finding(name, 13, "flow-table",
                "good: once: DB: SELECT * FROM genes: beside genes.csv: 1 row changed in id",
                "where this is what is meant: ./rax flow record writes it, and git diff shows it",
                details=("the row: id 1 → 2",), item=f"{name}::good"),
    ]  # fmt: skip


def test_the_page_names_each_kind_of_difference():
    page = (Path(__file__).parents[4] / "docs/checking.md").read_text()
    assert [kind for kind in Kind if f"`flow-{kind}`" not in page] == []


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("        load[*]: {returns: {rows: 3}}\n", "",
     ("flow-task", 1, "nothing is expected of the task load",
      "below tasks: of a case's expect, write load: {returns: …}, or tables or files, or load: "
      "{unverified: the reason}")),
    # That it succeeds is said already.
    ("load[*]: {returns: {rows: 3}}", "load[*]: {state: success}",
     ("flow-task", 1, "nothing is expected of the task load",
      "below tasks: of a case's expect, write load: {returns: …}, or tables or files, or load: "
      "{unverified: the reason}")),
    # Nor is the reason one that a draft begins with.
    ("{unverified: it is only told how much there is}", f"{{unverified: {UNVERIFIED}}}",
     ("flow-task", 1, "nothing is expected of the task store",
      "below tasks: of a case's expect, write store: {returns: …}, or tables or files, or store: "
      "{unverified: the reason}")),
    ("{check: answers, alerts", "{state: failed, alerts",
     ("flow-check", 1, "in no case does the check answers fail",
      "add a case with expect: {check: answers}")),
    ("{failed: [report], alerts", "{state: failed, alerts",
     ("flow-summary", 1, "in no case does the summary report find something wrong",
      "add a case in which rows go missing, by given: {meanwhile: …}, with expect: {failed: "
      "[report]}")),
    ("DB: null", "DB: before.sql",
     ("flow-empty", 1, "no case that succeeds begins with an empty database DB",
      "add one, which sees the tables that the workflow makes itself: given: {postgres: "
      "{DB: null}}")),
    ("{failed: [report], alerts: [trigger]}", "{failed: [report]}",
     ("flow-alerts", 17, "'less than expected' fails, and nothing is said of its alerts",
      'add to its expect: alerts: ["trigger: a part of what it says"]')),
])  # fmt: skip
@pytest.mark.parametrize("required", [True, False])
def test_what_a_spec_lacks(outcome, old, new, expected, required):
    files = spec(WHOLE.replace(old, new), **{f"{FOLDER}/before.sql": ""})
    if not new.endswith("before.sql"):
        del files[f"{FOLDER}/before.sql"]
    if not required:
        del files["rax.toml"]
    found, _ran = outcome(files)
    assert expected in rules(found)
    assert {one.warning for one in found.findings if one.rule == expected[0]} == {not required}


def test_a_summary_that_nobody_wrote_needs_no_case(outcome):
    tasks = (*TASKS[:3], Task("report", STANDARD))
    text = WHOLE.partition("  less than expected:")[0]
    found, _ran = outcome(spec(text), [(GENES[0], GENES[1]._replace(tasks=tasks))])
    assert found.findings == []
    assert found.table[1][5] == "-"


@pytest.mark.parametrize(("settings", "expected"), [
    (None, [("no-flows", 0, "1 workflow, and no spec yet of what the tasks do",
             "./rax flow new WORKFLOW writes one; required = true below [flows] in rax.toml asks "
             "for all")]),
    ("[flows]\nrequired = true\n",
     [("flow-none", 12, "the workflow genes_daily has no spec: nobody sees what its tasks do",
       "./rax flow new genes_daily writes tests/flows/genes_daily.flow.yaml")]),
    ("[flows]\nrequired = true\nunverified = {genes_daily = 'of another team'}\n",
     [("flow-bar", 0, "the workflow genes_daily needs no spec: of another team", "")]),
    ("[flows]\nrequired = true\nunverified = {gene_daily = 'x'}\n",
     [("flow-bar", 0, "there is no workflow gene_daily, which needs no spec: did you mean "
       "genes_daily?", "take it out of [flows] unverified"),
      ("flow-none", 12, "the workflow genes_daily has no spec: nobody sees what its tasks do",
       "./rax flow new genes_daily writes tests/flows/genes_daily.flow.yaml")]),
])  # fmt: skip
def test_a_workflow_without_a_spec(outcome, settings, expected):
    found, ran = outcome({"rax.toml": settings} if settings else {})
    assert sorted(rules(found)) == expected
    assert {one.rule for one in found.findings if not one.warning} <= {"flow-none"}
    assert ran == []


def test_the_report_shows_a_lowered_bar(outcome):
    settings = "[flows]\nunverified = {genes_daily = 'of another team'}\n"
    found, _ran = outcome(spec(**{"rax.toml": settings}))
    assert rules(found) == [
        ("flow-bar", 0, "the workflow genes_daily has a spec, and is said to need none",
         "take it out of [flows] unverified")
    ]  # fmt: skip
    other = ("dags/other.py", Dag("other_daily", 3, "", "", True, TASKS))
    settings = "[flows]\nunverified = {other_daily = 'of another team'}\n"
    found, _ran = outcome(spec(**{"rax.toml": settings}), [GENES, other])
    assert found.table[2][:3] == ("other_daily", "of another team", "-")


def test_a_plain_dag_needs_no_spec(outcome):
    plain = ("dags/genes.py", Dag("plain", 1, "", "", False, (Task("load"),)))
    found, _ran = outcome({"rax.toml": "[flows]\nrequired = true\n"}, [plain])
    assert (found.findings, found.table) == ([], ())


def test_a_spec_of_no_workflow_is_not_run(outcome):
    found, ran = outcome(spec(WHOLE.replace("genes_daily", "gene_daily")))
    assert ("flow-workflow", 1, "there is no workflow gene_daily: did you mean genes_daily?",
            "") in rules(found)  # fmt: skip
    assert ran == []


def test_a_workflow_whose_file_cannot_be_loaded_is_told_once(outcome):
    found, ran = outcome(spec(), [], unloaded={"dags/genes.py"})
    assert (found.findings, ran, found.looked_at) == ([], [], "0 cases of 0 workflows")


def test_a_spec_that_cannot_be_read(outcome):
    found, ran = outcome(spec(WHOLE.replace("alerts: [resolve]", "alert: [resolve]")))
    assert [(one.file, one.line) for one in found.findings if one.rule == "flow-spec"] == [
        (f"{FOLDER}/genes_daily.flow.yaml", 8)
    ]
    # It is there, though.
    assert {one.rule for one in found.findings} == {"flow-spec"}
    assert ran == []


def test_files_that_no_spec_names(outcome):
    files = {
        f"{FOLDER}/old.csv": "", f"{FOLDER}/README.md": "", f"{FOLDER}/.gitattributes": "",
        f"{FOLDER}/test_more.py": "FILE = 'given.json'", f"{FOLDER}/given.json": "{}",
        f"{FOLDER}/other-genes.csv": "", f"{FOLDER}/site/a/page.html": "",
    }  # fmt: skip
    text = WHOLE.replace("given:\n", "given:\n  http: {SITE: site}\n", 1)
    found, _ran = outcome(spec(text, **files))
    assert [one.file for one in found.findings] == [
        f"{FOLDER}/old.csv", f"{FOLDER}/other-genes.csv",
    ]  # fmt: skip
    assert {(one.rule, one.warning) for one in found.findings} == {("flow-orphan", True)}


def test_settings_and_the_guard_reach_the_cases(outcome):
    guarded = {"guard": "the kernel refuses namespaces"}
    found, ran = outcome(spec(**{"rax.toml": "[flows]\nmax_seconds = 5\n"}),
                         outputs={"good": guarded})  # fmt: skip
    assert found.looked_at == "3 cases of 1 workflow; the kernel refuses namespaces"
    assert len(ran) == 3


@pytest.mark.parametrize(("changed", "runs"), [
    ({"README.md": "x"}, False), ({"tests/test_a.py": "x"}, False),
    ({"lib/genes.py": "x"}, True), ({"configs/genes.yaml": "a: 1"}, True),
    ({f"{FOLDER}/genes.csv": "id\n1\n"}, False), ({f"{FOLDER}/genes.csv": "id\n2\n"}, True),
])  # fmt: skip
def test_nothing_is_run_after_a_change_of_what_no_workflow_reads(
    outcome, repository, changed, runs
):
    repository.write({"dags/genes.py": "", **spec()}).commit()
    found, ran = outcome(changed, since="HEAD")
    assert bool(ran) is runs
    assert found.skipped == ("" if runs else "nothing has changed that workflows read")


def test_nothing_to_do(outcome):
    assert outcome({}, dags=())[0].skipped == "there is no workflow yet"
