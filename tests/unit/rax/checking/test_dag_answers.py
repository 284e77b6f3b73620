"""What the processes that load DAG files may answer, and what their authors are told of it."""

import json
import signal

import pytest

from rax.checking._dags import _answers, _findings
from rax.checking._dags._answers import Dag, Error, FormError, Loaded, Task
from rax.checking._finding import Finding

GOOD = {
    "seconds": 0.25,
    "effects": [["dags/a.py", 3, "network", "opens a connection to db:5432"]],
    "error": {"module": "builtins", "kind": "E", "text": "E: x", "frames": [["dags/a.py", 3]]},
    "dags": [
        {
            "id": "a",
            "line": 7,
            "cycle": "",
            "problem": "",
            "summary": True,
            "tasks": [["load", ""], ["report", "summary"]],
        }
    ],
    "loaded": ["lib/a.py"],
}
DAG = GOOD["dags"][0]


def test_an_answer_of_the_right_form():
    found = _answers.loaded(json.dumps(GOOD))
    assert found.dags == [Dag("a", 7, "", "", True, (Task("load"), Task("report", "summary")))]
    assert found.error == Error("builtins", "E", "E: x", [("dags/a.py", 3)])
    assert _answers.loaded(json.dumps(GOOD | {"error": None})).error is None


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", "[" * 100_000, '{"seconds": 1}', "null", *(
        json.dumps(GOOD | change)
        for change in (
            {"seconds": "1"}, {"seconds": -1}, {"seconds": 1e9}, {"seconds": float("nan")},
            {"effects": {}}, {"effects": [["a", 1, "network"]]}, {"effects": ["abcd"]},
            {"effects": [["a", 1, "x", "y"]]}, {"effects": [["a", "1", "network", "y"]]},
            {"effects": [["a", 1, ["network"], "y"]]},
            {"error": []}, {"error": {"text": "x"}},
            {"error": GOOD["error"] | {"frames": [[1, 2]]}},
            {"dags": [[]]}, {"dags": [DAG | {"id": 5}]}, {"dags": [DAG | {"line": True}]},
            {"dags": [DAG | {"id": "x" * 10_001}]}, {"dags": [DAG | {"line": -1}]},
            {"dags": [DAG | {"summary": 1}]},
            {"dags": [DAG | {"tasks": [["load"]]}]}, {"dags": [DAG | {"tasks": {}}]},
            {"loaded": [None]},
        )
    )],
)  # fmt: skip
def test_an_answer_of_another_form(text):
    with pytest.raises(FormError):
        _answers.loaded(text)


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"late": 0, "left": false, "said": "", "status": 0}',
     '{"late": false, "left": false, "said": 1, "status": 0}',
     '{"late": false, "left": false, "said": "", "status": null}'],
)  # fmt: skip
def test_an_end_of_another_form(text):
    with pytest.raises(FormError):
        _answers.ended(text)


@pytest.mark.parametrize("key", ["version", "airflow", "others", "dag_arguments", "searched"])
def test_an_environment_of_another_form(key):
    good = {"version": "3", "airflow": [["fine", ""]], "others": [None], "dag_arguments": ["x"],
            "searched": ["/a"]}  # fmt: skip
    assert _answers.about(json.dumps(good)).others == [None]
    with pytest.raises(FormError):
        _answers.about(json.dumps(good | {key: [{}]}))


def loaded(*dags, seconds=0.1):
    return Loaded(seconds, [], None, list(dags), [])


def test_plain_dags_are_welcome_where_the_settings_say_so(repository):
    dags = loaded(Dag("plain", 3, "", "", False), Dag("round", 5, "a -> a", "", False))
    rules = [finding.rule for finding in _findings.of_dags("a.py", dags, repository.project())]
    assert rules == ["summary", "cycle"]
    project = repository.write({"rax.toml": "[check]\nplain_dags = true\n"}).project()
    assert [finding.rule for finding in _findings.of_dags("a.py", dags, project)] == ["cycle"]


@pytest.mark.parametrize("gate", [False, True])
def test_a_file_that_takes_long(repository, gate):
    """On a node it is a warning: its speed is not the author's affair."""
    repository.write({"rax.toml": "[check]\nmax_parse_seconds = 0.5\n"})
    assert _findings.of_time("dags/a.py", 0.74, repository.project(gate=gate)) == Finding(
        "dags/a.py", 0, "parse-time",
        "loading this file takes 0.7 s of processor time, and may take 0.5",
        "import what only tasks need in the tasks; or raise max_parse_seconds in rax.toml", gate,
    )  # fmt: skip


def test_the_same_id_in_one_file():
    """Of both, Airflow shows one."""
    dags = {"b.py": [Dag("x", 1, "", "", True), Dag("x", 2, "", "", True)]}
    (found,) = _findings.of_duplicates(dags)
    assert found[:4] == ("b.py", 2, "duplicate-dag", "the id x is that of the DAG at b.py:1, too")


@pytest.mark.parametrize(
    ("status", "how"),
    [(None, "did not end within 30 s, and had to be stopped"),
     (signal.SIGKILL, "ended Python by SIGKILL"), (50, "ended Python by signal 50"),
     (7 << 8, "ended Python with exit code 7")],
)  # fmt: skip
def test_how_a_file_ends_python(status, how):
    found = _findings.of_exit("a.py", _findings.Exit(status), 30)
    assert found == Finding("a.py", 0, "import-exit", f"loading this file {how}")
