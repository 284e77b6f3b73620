# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of a wrong form: a clear error of that host, and the run of the others goes on."""

import json
import math

import pytest
from ansible_collections.caspian.airflow.plugins.filter.health import health_problems
from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers, refresh_report
from ansible_collections.caspian.airflow.plugins.plugin_utils.sync_report import (
    sync_problem,
    sync_status,
)

from tests.attacks.answering_node import EVIL, Fleet, recap

SHA, TIME = "a" * 40, "2026-01-01T00:00:00Z"
GOOD = {
    "published": SHA, "published_since": TIME, "seen": SHA, "previous": None, "pinned": None,
    "blocked": None, "last_success": TIME, "age_seconds": 3, "error": None, "error_since": None,
    "failures": 0, "repairs": 0, "releases": [SHA],
}  # fmt: skip
UNUSABLE = "its answer cannot be used"
NO_SHA = "is not the 40 characters of a commit"
DEEP = json.loads("[" * 500 + "]" * 500)
# Of every type, and of none that anybody expects.
ODD = [EVIL, "x" * 10**6, "", 5, -1, 10**4000, 1.5, math.nan, math.inf, True, [], ["x"], [[]],
       [{"a": 1}], {}, {"a": 1}, {"data": 5}, DEEP]  # fmt: skip


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path)


def is_printable(text):
    return text.isprintable() and len(text) < 5000


CORE = {
    "statistics": {"ansible_stats": 5},
    "statistics_of_all": {"ansible_stats": {"data": {"a": 1}, "per_host": False}},
    "diff": {"diff": 5},
    "diffs": {"diff": [1]},
    "diff_of_numbers": {"diff": {"before": 5, "after": [1]}},
    "deprecations": {"deprecations": "x"},
    "warnings": {"warnings": [5]},
    "facts": {"ansible_facts": "x"},
    "output": {"stdout": 5},
    "deep": {"a": DEEP},
}


@pytest.mark.parametrize("case", [*CORE])
def test_no_answer_ends_the_run_of_the_others(fleet, case):
    """Ansible itself falls over some of these, in the process that all hosts share."""
    tasks = [
        {"command": "true", "register": "ran"},
        {"debug": {"msg": "goes on"}},
    ]
    code, output = fleet.play(tasks, {"changed": True, **CORE[case]}, "--diff")
    assert code == 2
    assert recap(output, "hostile")["failed"] == "1"
    assert recap(output, "honest") == {
        "ok": "2", "changed": "1", "unreachable": "0", "failed": "0", "skipped": "0",
        "rescued": "0", "ignored": "0",
    }  # fmt: skip
    assert "Callback dispatch" not in output


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{type(odd).__name__}")
@pytest.mark.parametrize("key", [*GOOD, "", "blocked.sha", "blocked.reason", "blocked.since"])
def test_odd_status_of_the_sync(key, odd):
    """Every key with every type: a status of the right form, or a problem in words."""
    status = dict(GOOD)
    if "." in key:
        status["blocked"] = {"sha": SHA, "reason": "a", "since": TIME, key.partition(".")[2]: odd}
    elif key:
        status[key] = odd
    else:
        status = odd
    try:
        printed = json.dumps(status)
    except ValueError:
        printed = '{"age_seconds": 1' + "0" * 5000 + "}"
    found = sync_status({"rc": 0, "stdout": printed})
    if found["problem"]:
        assert is_printable(found["problem"])
        return
    for name, value in found.items():
        values = value.values() if isinstance(value, dict) else [value]
        for one in values:
            if name == "releases":
                assert one == [] or one == [SHA]
            elif isinstance(one, str):
                assert is_printable(one)
            else:
                assert one is None or type(one) is int, name


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"rc": 0, "stdout": "hello"}, f"{UNUSABLE}: the status is not JSON that can be read"),
        ({"rc": 0, "stdout": "[]"}, f"{UNUSABLE}: the status is not an object"),
        ({"rc": 0}, f"{UNUSABLE}: the status is not a text"),
        ({"rc": 0, "stdout": json.dumps(GOOD | {"published": "../../evil"})},
         f"{UNUSABLE}: status.published {NO_SHA}: '../../evil'"),
        ({"rc": 0, "stdout": json.dumps(GOOD | {"previous": f"{SHA}\n"})},
         f"{UNUSABLE}: status.previous {NO_SHA}: '{SHA}\\n'"),
        ({"rc": 1, "stderr": "a\x1b[2J\nb", "stdout": ""}, r"a\x1b[2J b"),
        ({"rc": "0", "stderr": [EVIL]}, None),
        ({"unreachable": True, "msg": ["x"]}, "unreachable: ['x']"),
        ({"unreachable": True}, "unreachable: "),
        ({}, "it was not asked"),
        (5, "it was not asked"),
    ],
)  # fmt: skip
def test_status_problems(answer, problem):
    found = sync_status(answer)["problem"]
    assert is_printable(found)
    assert problem is None or found == problem


def test_good_status():
    assert sync_status({"rc": 0, "stdout": json.dumps(GOOD)}) == {"problem": "", **GOOD}
    assert sync_problem({"rc": 0, "stdout": f"fetched {SHA}", "stderr": ""}) == ""
    assert (
        sync_problem({"rc": 0, "stdout": "busy: another run", "stderr": ""}) == "busy: another run"
    )


@pytest.mark.parametrize(
    "stdout", [json.dumps(GOOD | {"blocked": "x"}), "x", "[]", json.dumps({"published": EVIL})]
)
def test_fleet_report_tells_of_the_others(fleet, stdout):
    """The report's own filter, in the play that all hosts share."""
    look = {"hostile": {"rc": 0, "stdout": stdout}, "honest": {"rc": 0, "stdout": json.dumps(GOOD)}}
    report = "hostvars | caspian.airflow.sync_report(ansible_play_hosts_all)"
    tasks = [
        {"set_fact": {"__dag_sync_status": "{{ look[inventory_hostname] }}"}},
        {
            "debug": {"msg": "{{ (report.nodes + report.silent) | join('\n') }}"},
            "run_once": True,
            "vars": {"report": f"{{{{ {report} }}}}"},
        },
    ]
    code, output = fleet.play(tasks, {}, "-e", json.dumps({"look": look}), COLUMNS="1000")
    assert code == 0, output
    assert f"honest: published {SHA} since {TIME}, last success 3 s ago" in output
    assert "hostile: no status" in output
    assert "hostile: airflow-dag-sync status: its answer cannot be used: " in output


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{type(odd).__name__}")
@pytest.mark.parametrize("key", ["", "problems", "host", "component", "problem"])
def test_odd_health_report(key, odd):
    """What the health check's node says is a problem of that node, whatever it is."""
    entry = {"host": "w1", "component": "worker", "problem": "it is away"}
    report = {"problems": [entry | {key: odd}]}
    report = {"problems": odd} if key == "problems" else report if key else odd
    try:
        printed = json.dumps(report)
    except ValueError:
        printed = '{"problems": 1' + "0" * 5000 + "}"
    for host, asked in (("s1", True), ("w1", False), ("w2", False)):
        problems = health_problems(["active"], ["worker"], printed, host, asked)
        assert all(is_printable(text) for problem in problems for text in problem.values())
        assert host != "w2" or problems == []


PUBLISHED = {
    "changed": True, "added": ["A"],
    "summary": {"current": 1, "kept": 0, "missing": 0, "oldest_last_good_at": TIME},
}  # fmt: skip
KEYS = ["problems", "summary", "msg", "failed", "unreachable", "skipped", *node_answers.CHANGES]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{type(odd).__name__}")
@pytest.mark.parametrize("key", KEYS)
def test_odd_delivery_in_the_refresh_report(key, odd):
    """`"problems": ["x"]` once ended the report of all hosts."""
    fetched = {"started_at": TIME, "fetched": "{}"}
    hostile = {"__credentials_fetched": fetched, "__credentials_delivered": PUBLISHED | {key: odd}}
    honest = {"__credentials_fetched": fetched, "__credentials_delivered": PUBLISHED}
    report = refresh_report.report(
        {"hostile": hostile, "honest": honest}, ["hostile", "honest"], vault="v"
    )
    assert report["hosts"]["honest"] == {
        "state": "delivered", "error": None, "summary": PUBLISHED["summary"],
        "changes": {"added": ["A"]},
    }  # fmt: skip
    assert is_printable(report["hosts"]["hostile"]["error"] or "")
    # Nobody's report is larger for it.
    assert len(json.dumps(report)) < 20_000


@pytest.mark.parametrize("odd", [5, "x", ["x"]])
def test_registered_results_of_another_type(odd):
    variables = {"__credentials_fetched": odd, "__credentials_delivered": odd}
    report = refresh_report.report({"w1": variables}, ["w1"], vault="v")
    assert report["hosts"]["w1"]["state"] == "not_reached"
