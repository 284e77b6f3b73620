# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of each node when a cluster is not healthy."""

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter.health import FilterModule, health_problems

HEALTHY = json.dumps({"problems": [], "workers": {"w1": "w1", "w2": "w2"}})
SICK = json.dumps(
    {
        "problems": [
            {"host": "", "component": "triggerer", "problem": "it never reported"},
            {"host": "w1", "component": "worker", "problem": "it does not answer a Celery ping"},
            {"host": "w2", "component": "worker", "problem": "the task is queued"},
        ],
        "workers": {},
    }
)
# The host of the check gets what belongs to no host.
ASKED = ["scheduler", "triggerer"]


def told(states, components, report, host, asked):
    """Return the problems as lines."""
    found = health_problems(states, components, report, host, asked)
    return [f"{entry['component']}: {entry['problem']}" for entry in found]


@pytest.mark.parametrize(
    ("states", "components", "report", "host", "asked", "expected"),
    [
        (["active", "active"], ASKED, HEALTHY, "s1", True, []),
        (["active"], ["worker"], HEALTHY, "w1", False, []),
        (["failed"], ["worker"], HEALTHY, "w1", False, ["worker: its unit is failed"]),
        (
            ["activating", "inactive"],
            ASKED,
            HEALTHY,
            "s2",
            False,
            ["scheduler: its unit is activating", "triggerer: its unit is inactive"],
        ),
        (["active", "active"], ASKED, SICK, "s1", True, ["triggerer: it never reported"]),
        (["active", "active"], ASKED, SICK, "s2", False, []),
        (["active"], ["worker"], SICK, "w2", False, ["worker: the task is queued"]),
        (
            ["failed"],
            ["worker"],
            SICK,
            "w1",
            False,
            ["worker: its unit is failed", "worker: it does not answer a Celery ping"],
        ),
        (["active"], ["worker"], SICK, "w3", False, []),
    ],
)
def test_each_node_is_told_its_own(states, components, report, host, asked, expected):
    assert told(states, components, report, host, asked) == expected


@pytest.mark.parametrize(
    "report", ["", "Traceback (most recent call last):", "[]", "null", "{}", '{"problems": [']
)
def test_a_check_that_failed_is_the_problem_of_the_node_it_ran_on(report):
    (found,) = health_problems(["active"], ["scheduler"], report, "s1", True)
    assert found["component"] == "health"
    assert found["problem"].startswith("the check itself failed")
    assert health_problems(["active"], ["worker"], report, "w1", False) == []


@pytest.mark.parametrize("states", [[], ["active"], ["active"] * 3])
def test_states_that_do_not_fit_the_components(states):
    message = f"^health_problems: systemctl told {len(states)} states of 2 components of s1$"
    with pytest.raises(AnsibleFilterError, match=message):
        health_problems(states, ASKED, HEALTHY, "s1", True)


def test_the_filters_are_the_documented_ones():
    assert set(FilterModule().filters()) == {"health_problems"}
