"""What became of a refresh on all hosts."""

import pytest
from ansible_collections.caspian.airflow.plugins.plugin_utils import refresh_report

FETCHED = {
    "started_at": "2026-01-01T00:00:00Z",
    "fetched": "{}",
    "records_warned_of": {"B": "it has expired in the vault, at 2020-01-01T00:00:00Z"},
}
PUBLISHED = {"added": ["A"], "removed": [], "changed": True, "summary": {"current": 1}}


@pytest.mark.parametrize(
    ("delivered", "outcome"),
    [
        (PUBLISHED, {"state": "delivered", "summary": {"current": 1}, "changes": {"added": ["A"]}}),
        (
            PUBLISHED | {"failed": True, "msg": "B: gone", "problems": {"B": "gone"}},
            {
                "state": "delivered",
                "error": "B: gone",
                "summary": {"current": 1},
                "changes": {"added": ["A"]},
            },
        ),
        ({"failed": True, "msg": "disk full"}, {"state": "failed", "error": "disk full"}),
        (
            {"unreachable": True, "msg": "no route to host"},
            {"state": "unreachable", "error": "no route to host"},
        ),
        ({}, {"state": "not_reached"}),
    ],
    ids=["delivered", "one_source_fails", "failed", "unreachable", "not_reached"],
)
def test_report(delivered, outcome):
    variables = {"__credentials_fetched": FETCHED, "__credentials_delivered": delivered}
    found = refresh_report.report({"w1": variables}, ["w1"], vault="caspian.airflow.kdbx")
    assert found.pop("ended_at") > "2026-01-01T00:00:00Z"
    assert found == {
        "version": 1,
        "started_at": "2026-01-01T00:00:00Z",
        "vault": "caspian.airflow.kdbx",
        "vault_copy_of": None,
        "vault_error": None,
        "problems": delivered.get("problems", {}),
        "warnings": {"B": "it has expired in the vault, at 2020-01-01T00:00:00Z"},
        "hosts": {"w1": {"error": None, "summary": None, "changes": {}} | outcome},
    }


def test_report_of_a_vault_that_is_down():
    failed = {"__credentials_fetched": {"failed": True, "msg": "it does not answer"}}
    found = refresh_report.report({"w1": failed, "w2": failed}, ["w1", "w2"], vault="x.y.z")
    assert found["vault_error"] == "it does not answer"
    assert {host["state"] for host in found["hosts"].values()} == {"not_reached"}
