# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of a wrong form: a clear error of that host, and the run of the others goes on."""

import json
import math

import pytest
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


@pytest.fixture(scope="module")
def core_run(tmp_path_factory):
    """Return the exit code and the output of a run in which a host answers with each of them."""
    answers = {case: {"changed": True, **answer} for case, answer in CORE.items()}
    tasks = [
        {"command": "true", "register": "ran"},
        {"debug": {"msg": "goes on"}},
    ]
    return Fleet(tmp_path_factory.mktemp("core"), answers).play(tasks, "--diff")


@pytest.mark.parametrize("case", [*CORE])
def test_no_answer_ends_the_run_of_the_others(core_run, case):
    """Ansible itself falls over some of these, in the process that all hosts share."""
    code, output = core_run
    assert code == 2
    assert recap(output, case)["failed"] == "1"
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
        ({"rc": 0, "stdout": "{" * 100_000},
         f"{UNUSABLE}: the status is not JSON that can be read"),
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


STATUSES = [json.dumps(GOOD | {"blocked": "x"}), "x", "[]", json.dumps({"published": EVIL})]


@pytest.fixture(scope="module")
def fleet_report(tmp_path_factory):
    """Return what the report's own filter says, in a play that all hosts share."""
    look = {f"hostile{number}": {"rc": 0, "stdout": said} for number, said in enumerate(STATUSES)}
    fleet = Fleet(tmp_path_factory.mktemp("report"), {host: {} for host in look})
    look["honest"] = {"rc": 0, "stdout": json.dumps(GOOD)}
    report = "hostvars | caspian.airflow.sync_report(ansible_play_hosts_all)"
    tasks = [
        {"set_fact": {"__dag_sync_status": "{{ look[inventory_hostname] }}"}},
        {
            "debug": {"msg": "{{ (report.nodes + report.silent) | join('\n') }}"},
            "run_once": True,
            "vars": {"report": f"{{{{ {report} }}}}"},
        },
    ]
    code, output = fleet.play(tasks, "-e", json.dumps({"look": look}), COLUMNS="1000")
    assert code == 0, output
    return output


@pytest.mark.parametrize("stdout", STATUSES)
def test_fleet_report_tells_of_the_others(fleet_report, stdout):
    host = f"hostile{STATUSES.index(stdout)}"
    assert f"honest: published {SHA} since {TIME}, last success 3 s ago" in fleet_report
    assert f"{host}: no status" in fleet_report
    assert f"{host}: airflow-dag-sync status: its answer cannot be used: " in fleet_report


WRONG = {"host": "w1", "component": "worker", "kind": "inactive", "problem": "it is away"}
HEALTH = {
    "environment": {"airflow": "3", "python": "3.11.2", "rax": "1", "node": "w1"},
    "release": {"published": SHA, "published_since": TIME, "pinned": None},
    "services": [{"unit": "airflow-worker.service", "state": "active"}],
    "problems": [WRONG],
    "jobs": [{"type": "SchedulerJob", "hostname": "s1", "age_seconds": 3}],
}
PLACES = ["", *HEALTH, *(f"{key}.{name}" for key in HEALTH for name in
          (HEALTH[key] if isinstance(HEALTH[key], dict) else HEALTH[key][0]))]  # fmt: skip


def texts_of(value):
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for one in value:
            yield from texts_of(one)
    elif isinstance(value, str):
        yield value
    else:
        assert value is None or type(value) in (int, bool), value


def with_odd(place, odd):
    """Return a health answer as JSON, with something odd in one place of it."""
    answer = json.loads(json.dumps(HEALTH))
    key, _dot, name = place.partition(".")
    if not place:
        answer = odd
    elif not name:
        answer[key] = odd
    else:
        (answer[key] if isinstance(answer[key], dict) else answer[key][0])[name] = odd
    try:
        return json.dumps(answer)
    except ValueError:
        return '{"problems": 1' + "0" * 5000 + "}"


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{type(odd).__name__}")
@pytest.mark.parametrize("place", PLACES)
def test_odd_health_answers(place, odd):
    """Every place with every type: an answer of the right form, or a problem in words."""
    for form in (node_answers.node_status, node_answers.cluster_status):
        try:
            said = texts_of(form(with_odd(place, odd)))
        except node_answers.AnswerError as error:
            said = [str(error)]
        assert all(is_printable(text) for text in said)


def test_good_health_answers():
    found = node_answers.node_status(json.dumps(HEALTH))
    assert found["problems"] == [{key: WRONG[key] for key in ("component", "kind", "problem")}]
    assert (found["running"], found["names"], found["pinned"]) == (["worker"], ["w1"], False)
    assert found["versions"]["release"] == SHA
    found = node_answers.cluster_status(json.dumps(HEALTH))
    assert found == {"problems": [WRONG], "jobs": HEALTH["jobs"]}


@pytest.mark.parametrize("kind", ["Inactive", "", "a b", "a" * 41, "-a", "a\n", "\u0131nactive"])
def test_a_kind_that_is_no_word(kind):
    with pytest.raises(node_answers.AnswerError, match="kind is not a word"):
        node_answers.node_status(json.dumps({"problems": [WRONG | {"kind": kind}]}))


def test_more_problems_than_anybody_reads():
    with pytest.raises(node_answers.AnswerError, match="more than 200 entries"):
        node_answers.node_status(json.dumps({"problems": [WRONG] * 201}))


CHATTY = {
    "never": ("sleep 60", "unanswered", "no answer within 1 s"),
    "endless": ("yes | tr -d '\\n'", "unanswered",
                "its answer is longer than any that it can have"),
    "steering": (r"printf 'ok: [honest]\n\033]0;OWNED\007'", "unanswered",
                 r"its answer cannot be used: the status is not JSON that can be read; it said:"
                 r" \x1b]0;OWNED\x07"),
    "broken": (r"printf 'Traceback (most recent call last):\n  x\nKeyError: 1\n' >&2; exit 1",
               "unanswered", "sh -c ended with 1 and without an answer; it said: KeyError: 1"),
    "silent": ("exit 3", "unanswered", "sh -c ended with 3 and without an answer"),
    "absent": ("exit 127", "missing", "sh is not there or of no use (): run site.yml"),
}  # fmt: skip


@pytest.fixture(scope="module")
def health_run(tmp_path_factory):
    """Return the exit code, the output and the report of a run with all of these hosts."""
    folder = tmp_path_factory.mktemp("health")
    said = {case: command for case, (command, _kind, _problem) in CHATTY.items()}
    fleet = Fleet(folder, {host: {} for host in said})
    said["honest"] = "echo '" + json.dumps(HEALTH | {"problems": []}) + "'"
    tasks = [
        {
            "caspian.airflow.health_answer": {
                "argv": ["sh", "-c", "{{ said[inventory_hostname] }}"],
                "form": "node",
                # The others say it within a minute, also on a busy machine.
                "seconds": "{{ 1 if inventory_hostname == 'never' else 60 }}",
            },
            "register": "__health_status",
        },
        {
            "caspian.airflow.health_report": {"path": str(folder / "report.json")},
            "run_once": True,
        },
    ]
    code, output = fleet.play(tasks, "-e", json.dumps({"said": said}), COLUMNS="1000")
    return code, output, json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("case", [*CHATTY])
def test_what_a_host_says_of_its_health_is_its_own_problem(health_run, case):
    """Hostile hosts answer so, and an honest one well: the report has all of them."""
    _, kind, problem = CHATTY[case]
    code, output, report = health_run
    assert code == 2
    assert f"Not all is well: {len(CHATTY)} problems" in output
    assert not any(raw in output for raw in ("\x1b]0;", "\x07", "Traceback"))
    assert [found for found in report["problems"] if found["host"] == case] == [
        {"host": case, "component": "node", "kind": kind, "problem": problem}
    ]
    assert report["hosts"]["honest"]["state"] == "answered"
    assert report["hosts"][case] == {"state": kind, "versions": None}


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
