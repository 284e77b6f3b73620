# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a cluster, of what its hosts and its scheduler say."""

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import health_report

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
OLD, NEW = "a" * 40, "b" * 40
VERSIONS = {"airflow": "3.3.2", "python": "3.11.2", "python_environment": "e1", "rax": "1",
            "sync": "s1", "release": OLD, "release_since": "2026-01-31T10:00:00Z"}  # fmt: skip
SCHEDULER = ["api-server", "scheduler", "dag-processor", "triggerer"]
JOBS = [{"type": kind, "hostname": "s1", "age_seconds": 3} for kind in health_report.JOBS]


def answer(problems=(), running=("worker",), node=None, pinned=False, **versions):
    told = {
        "problems": [*problems],
        "versions": VERSIONS | versions,
        "names": [node] if node else [],
        "running": [*running],
        "pinned": pinned,
    }
    return {"answer": told, "kind": "", "problem": ""}


def wrong(component, kind, problem="it is so", **host):
    return {**host, "component": component, "kind": kind, "problem": problem}


def well():
    """Return the answers of a scheduler, two workers and a control node, all well."""
    return {
        "s1": answer(running=SCHEDULER, node="s1"),
        "w1": answer(node="w1"),
        "w2": answer(node="w2"),
        "c1": answer(running=(), airflow=None, python_environment=None, sync=None,
                     release=None, release_since=None),
    }  # fmt: skip


def cluster(*problems, jobs=JOBS):
    return {"answer": {"problems": [*problems], "jobs": jobs}, "kind": "", "problem": ""}


def report(answers, of_cluster=None, names=None):
    return health_report.report(
        answers, of_cluster or cluster(), names or {}, reference="s1", now=NOW
    )


def told(*arguments, **options):
    """Return the problems as host, component and kind."""
    problems = report(*arguments, **options)["problems"]
    return [(one["host"], one["component"], one["kind"]) for one in problems]


def test_a_cluster_that_is_well():
    found = report(well())
    assert found == {
        "checked_at": "2026-01-31T12:00:00Z",
        "hosts": {
            host: {"state": "answered", "versions": one["answer"]["versions"]}
            for host, one in well().items()
        },
        "cluster": {"state": "answered"},
        "problems": [],
    }


AWAY = {"answer": None, "kind": "unreachable", "problem": "no route"}
DOWN = wrong("worker", "inactive")


@pytest.mark.parametrize(("changes", "of_cluster", "expected"), [
    ({"w1": AWAY}, None, [("w1", "node", "unreachable")]),
    ({"w1": {}}, None, [("w1", "node", "unasked")]),
    ({"w1": answer([DOWN], running=())}, None, [("w1", "worker", "inactive")]),
    # Its own node has said why it does not answer.
    ({"w1": answer([DOWN], running=())}, cluster(wrong("worker", "silent", host="w1")),
     [("w1", "worker", "inactive")]),
    ({"s1": answer([wrong("triggerer", "inactive")], running=SCHEDULER[:3])},
     cluster(wrong("triggerer", "silent", host="")), [("s1", "triggerer", "inactive")]),
    # A dead worker is no news of the other one.
    ({"w1": AWAY}, cluster(wrong("worker", "no-task", host="w2")),
     [("w1", "node", "unreachable"), ("w2", "worker", "no-task")]),
    ({}, cluster(wrong("broker", "silent", host=""), wrong("dags/a.py", "import-error", host="")),
     [("cluster", "broker", "silent"), ("cluster", "dags/a.py", "import-error")]),
    ({}, {"answer": None, "kind": "unanswered", "problem": "late"},
     [("cluster", "health", "unanswered")]),
    ({}, {"skipped": True}, []),
])  # fmt: skip
def test_what_hosts_and_cluster_say(changes, of_cluster, expected):
    assert told(well() | changes, of_cluster) == expected


def jobs(**ages):
    """Return heartbeats of triggerers by host, and those of a well scheduler otherwise."""
    others = [job for job in JOBS if job["type"] != "TriggererJob"]
    return others + [
        {"type": "TriggererJob", "hostname": host, "age_seconds": age} for host, age in ages.items()
    ]


SECOND = {"s2": answer(running=["triggerer"], node="s2.example.org")}


@pytest.mark.parametrize(("ages", "expected"), [
    ({"s1": 3, "s2.example.org": 3}, []),
    # The freshest heartbeat hides none that is old.
    ({"s1": 3, "s2.example.org": 61}, [("s2", "triggerer", "silent")]),
    ({"s1": 900, "s2.example.org": 3}, [("s1", "triggerer", "silent")]),
    ({"s1": 3}, [("s2", "triggerer", "silent")]),
    ({}, [("s1", "triggerer", "silent"), ("s2", "triggerer", "silent")]),
    # The address that the inventory gives is one of its names, too.
    ({"s1": 3, "10.0.0.2": 3}, []),
    ({"s1": 3, "10.0.0.2": 90}, [("s2", "triggerer", "silent")]),
    # A name that nobody knows, with a fresh heartbeat, may be that of a host that has none.
    ({"s1": 3, "other": 3}, []),
    ({"s1": 3, "other": 300}, [("s2", "triggerer", "silent")]),
    # A host that is no longer there.
    ({"s1": 3, "s2.example.org": 3, "gone": 10**6}, []),
])  # fmt: skip
def test_each_host_has_heartbeats_of_its_own(ages, expected):
    names = {"s2": ["10.0.0.2"]}
    assert told(well() | SECOND, cluster(jobs=jobs(**ages)), names) == expected


def test_a_component_that_is_not_active_needs_no_heartbeat():
    answers = well() | {"s2": answer(running=[], node="s2")}
    assert told(answers, cluster(jobs=jobs(s1=3))) == []


@pytest.mark.parametrize(("host", "versions", "expected"), [
    ("w1", {"rax": "2"}, [("w1", "rax", "versions")]),
    ("c1", {"rax": "2"}, [("c1", "rax", "versions")]),
    ("w1", {"sync": "s2", "airflow": "3.4"},
     [("w1", "airflow", "versions"), ("w1", "dag-sync", "versions")]),
    ("w1", {"python_environment": "e2"}, [("w1", "environment", "versions")]),
    # Another distribution has another Python, and so another environment.
    ("w1", {"python_environment": "e2", "python": "3.13.5"}, []),
    ("s1", {"rax": "2"},
     [("w1", "rax", "versions"), ("w2", "rax", "versions"), ("c1", "rax", "versions")]),
])  # fmt: skip
def test_versions_that_differ_from_the_schedulers(host, versions, expected):
    answers = well()
    answers[host]["answer"]["versions"] |= versions
    assert told(answers) == expected


@pytest.mark.parametrize(("seconds", "pinned", "expected"), [
    (299, False, []),
    (301, False, [("w2", "dag-sync", "sync-lagging")]),
    (301, True, []),
])  # fmt: skip
def test_a_host_that_keeps_the_release_before(seconds, pinned, expected):
    since = (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    newest = {"release": NEW, "release_since": since}
    answers = {
        "s1": answer(running=SCHEDULER, node="s1", **newest),
        "w1": answer(node="w1", **newest),
        "w2": answer(node="w2", pinned=pinned),
    }
    assert told(answers) == expected


def test_a_release_of_the_future_makes_no_host_late():
    answers = well()
    answers["w1"]["answer"]["versions"] |= {
        "release": NEW, "release_since": "9999-01-01T00:00:00Z",
    }  # fmt: skip
    assert ("s1", "dag-sync", "sync-lagging") not in told(answers)


def test_problems_are_told_once_and_in_the_order_of_the_hosts():
    twice = answer([wrong("b", "disk"), wrong("b", "disk"), wrong("a", "disk")])
    problems = report(well() | {"w1": twice, "s1": AWAY}, {"skipped": True})["problems"]
    assert health_report.lines(problems) == [
        "s1:", "- node: no route [unreachable]",
        "w1:", "- a: it is so [disk]", "- b: it is so [disk]",
    ]  # fmt: skip


def test_the_hosts_that_run_a_component():
    answers = well() | {"w2": AWAY, "w3": {}}
    assert health_report.running(answers, ["w2", "w3", "w1", "gone"], "worker") == ["w1"]
    assert health_report.answers_of({"w1": {health_report.STATUS: ["x"]}}, ["w1"]) == {"w1": {}}
