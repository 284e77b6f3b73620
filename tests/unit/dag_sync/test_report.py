# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of playbooks/sync_dags.yml on all nodes."""

import json

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils.sync_report import sync_report

A, B, TIME = "a" * 40, "b" * 40, "2026-01-01T00:00:00Z"
GOOD = {
    "published": A, "published_since": TIME, "seen": A, "previous": B, "pinned": None,
    "blocked": None, "last_success": TIME, "age_seconds": 3, "error": None, "error_since": None,
    "failures": 0, "repairs": 0, "releases": [A, B],
}  # fmt: skip
AWAY = {"unreachable": True, "msg": "no route"}


def answer(**changes):
    return {"rc": 0, "stdout": json.dumps(GOOD | changes), "stderr": ""}


def report(*answers, **fetched):
    """Return the report on w1, w2 … with these answers."""
    hostvars = {f"w{number}": {} for number, _ in enumerate(answers, start=1)}
    for (host, variables), given in zip(hostvars.items(), answers, strict=True):
        if given is not None:
            variables["__dag_sync_status"] = given
        if host in fetched:
            variables["__dag_sync_fetched"] = fetched[host]
    return sync_report(hostvars, list(hostvars))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (answer(), f"published {A} since {TIME}, last success 3 s ago"),
        (answer(pinned=A), f"published {A} since {TIME}, pinned, last success 3 s ago"),
        (
            answer(published=None, published_since=None, last_success=None, age_seconds=None),
            "nothing published, no success yet",
        ),
        (
            answer(
                blocked={"sha": B, "reason": "dags/a.py:1: invalid syntax", "since": TIME},
                error=f"blocked {B}: dags/a.py:1: invalid syntax",
                error_since=TIME,
            ),
            f"published {A} since {TIME}, last success 3 s ago,"
            f" blocked {B} (dags/a.py:1: invalid syntax)",
        ),
        (
            answer(error="it cannot be read", error_since=TIME),
            f"published {A} since {TIME}, last success 3 s ago,"
            f" failing since {TIME} (it cannot be read)",
        ),
        (AWAY, "unreachable"),
        ({"rc": 1, "stderr": "failed: x"}, "no status"),
        ({"rc": 0, "stdout": "hello"}, "no status"),
        (None, "no status"),
    ],
)
def test_what_a_node_has(given, line):
    assert report(given)["nodes"] == [f"w1: {line}"]


def test_who_does_not_answer():
    found = report(AWAY, answer(), {"rc": 2, "stderr": "failed: x", "stdout": ""}, None)
    assert found["silent"] == [
        "w1: unreachable: no route",
        "w3: airflow-dag-sync status: failed: x",
        "w4: airflow-dag-sync status: it was not asked",
    ]


def test_who_lacks_the_release_of_a_rollback():
    fetched = {"rc": 0, "stdout": f"fetched {A}"}
    found = report(
        answer(), answer(), answer(), w1=fetched, w2={"rc": 2, "stderr": "failed: no commit"}
    )
    # The third was not asked, so it may lack it.
    assert found["lacking"] == ["w2: failed: no commit", "w3: it was not asked"]


@pytest.mark.parametrize(
    ("answers", "previous"),
    [
        ((answer(), answer()), [B]),
        ((answer(), answer(previous=A)), [B, A]),
        ((answer(), answer(previous=None)), [B, ""]),
        ((answer(), answer(pinned=A)), [B, ""]),
        ((answer(pinned=A), answer(pinned=A)), [""]),
        ((answer(), AWAY), [B, ""]),
    ],
)
def test_what_they_can_go_back_to(answers, previous):
    assert report(*answers)["previous"] == previous


def test_what_a_person_chooses_from():
    found = report(answer(), answer(previous=None, pinned=A), AWAY)
    assert found["choices"] == [
        f"w1: previous {B}, published {A}",
        f"w2: previous none, published {A}, pinned",
        "w3: previous none, published none",
    ]
