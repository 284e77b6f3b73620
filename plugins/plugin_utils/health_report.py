# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether all is well in a cluster: what its hosts said, put together. Pure functions.

An answer is what the action health_answer has returned: its form is checked, and every name and
text in it is the node's own word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

# What the tasks of playbooks/health.yml register.
STATUS, CLUSTER = "__health_status", "__health_cluster"
# The host of what is wrong with no single one.
NO_HOST = "cluster"
# Nodes publish a release within the minute; a large one takes its time to be checked out.
MAX_LAG_SECONDS = 300
# Airflow's components say every 5 s that they are alive; its own limit is 30 s.
MAX_HEARTBEAT_SECONDS = 60
# Airflow's names of the components that have a heartbeat in the metadata database.
JOBS = {
    "SchedulerJob": "scheduler",
    "DagProcessorJob": "dag-processor",
    "TriggererJob": "triggerer",
}
# What a deployment makes the same everywhere; the Python may differ with the distribution.
_SAME = {"rax": "rax", "sync": "dag-sync", "airflow": "airflow"}

# Why a component does nothing: the first of these is enough.
_DOWN = ("inactive", "restarting", "silent", "no-task")

Problem = dict[str, str]
Answers = Mapping[str, Mapping[str, Any]]


def answers_of(hostvars: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> Answers:
    """Return the answer of each host; one that an earlier play has lost has none."""
    found = {}
    for host in hosts:
        answer = hostvars[host].get(STATUS)
        found[host] = answer if isinstance(answer, Mapping) else {}
    return found


def running(answers: Answers, hosts: Iterable[str], component: str) -> list[str]:
    """Return those of the hosts that have answered, and on which a component is active."""
    return [
        host
        for host in hosts
        if component in (answers.get(host, {}).get("answer") or {}).get("running", ())
    ]


def report(
    answers: Answers,
    cluster: Mapping[str, Any],
    names: Mapping[str, Sequence[str]],
    *,
    reference: str,
    now: datetime,
) -> dict[str, Any]:
    """Return ``checked_at``, ``hosts`` (name → state, versions), ``cluster`` and ``problems``.

    names: what a host may be called, besides what it calls itself
    reference: the host whose versions the others should have
    """
    problems = [problem for host, answer in answers.items() for problem in _own(host, answer)]
    told = {host: answer["answer"] for host, answer in answers.items() if answer.get("answer")}
    problems += _silent_jobs((cluster.get("answer") or {}).get("jobs"), told, names)
    problems += _of_cluster(cluster, problems)
    problems += _other_versions(told, reference) + _lagging(told, now)
    listed = {tuple(problem.values()): problem for problem in problems}
    return {
        "checked_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "hosts": {
            host: {
                "state": "answered" if host in told else answer.get("kind") or "unasked",
                "versions": told.get(host, {}).get("versions"),
            }
            for host, answer in answers.items()
        },
        # Whether what is not there is known not to be, such as a file that cannot be imported.
        "cluster": {"state": "answered" if cluster.get("answer") else "unasked"},
        "problems": sorted(listed.values(), key=lambda problem: _order(problem, [*answers])),
    }


def lines(problems: Iterable[Problem]) -> list[str]:
    """Return the problems for people: a line for each host, and one for each problem below it."""
    found: list[str] = []
    host = None
    for problem in problems:
        if problem["host"] != host:
            host = problem["host"]
            found.append(f"{host}:")
        found.append(f"- {problem['component']}: {problem['problem']} [{problem['kind']}]")
    return found


def _order(problem: Problem, hosts: list[str]) -> tuple[int, str, str]:
    place = hosts.index(problem["host"]) if problem["host"] in hosts else len(hosts)
    return place, problem["component"], problem["kind"]


def _problem(host: str, component: str, kind: str, problem: str) -> Problem:
    return {"host": host, "component": component, "kind": kind, "problem": problem}


def _own(host: str, answer: Mapping[str, Any]) -> list[Problem]:
    if not answer:
        lost = "it was not asked, since an earlier part of this run has failed there"
        return [_problem(host, "node", "unasked", lost)]
    if answer.get("answer") is None:
        return [_problem(host, "node", answer["kind"], answer["problem"])]
    return [{"host": host, **problem} for problem in answer["answer"]["problems"]]


def _of_cluster(cluster: Mapping[str, Any], known: list[Problem]) -> list[Problem]:
    """Return what the health check has found, but for what hosts have said better themselves."""
    if not cluster or cluster.get("skipped"):
        return []
    if cluster.get("answer") is None:
        return [_problem(NO_HOST, "health", cluster["kind"], cluster["problem"])]
    down = {(one["host"], one["component"]) for one in known if one["kind"] in _DOWN}
    down |= {("", component) for _host, component in down}
    return [
        problem | {"host": problem["host"] or NO_HOST}
        for problem in cluster["answer"]["problems"]
        if problem["kind"] not in _DOWN or (problem["host"], problem["component"]) not in down
    ]


def _silent_jobs(
    jobs: Sequence[Mapping[str, Any]] | None, told: Answers, names: Mapping[str, Sequence[str]]
) -> list[Problem]:
    """Return the components whose own heart does not beat, though their units are active.

    What Airflow calls a host may be none of the names that are known of it: as long as there are
    as many fresh heartbeats of unknown hosts, these may be theirs.
    """
    if jobs is None:
        return []
    problems = []
    for kind, component in JOBS.items():
        ages = {job["hostname"]: job["age_seconds"] for job in jobs if job["type"] == kind}
        unknown = []
        for host in running(
            {host: {"answer": answer} for host, answer in told.items()}, told, component
        ):
            called = {host, *told[host]["names"], *names.get(host, ())} & {*ages}
            if not called:
                unknown.append(host)
                continue
            age = min(ages.pop(name) for name in called)
            if age > MAX_HEARTBEAT_SECONDS:
                silent = f"it is active, and its last heartbeat was {age} s ago"
                problems.append(_silent(host, component, silent))
        fresh = sum(age <= MAX_HEARTBEAT_SECONDS for age in ages.values())
        if len(unknown) > fresh:
            silent = "it is active, and no heartbeat of it is in the metadata database"
            problems += [_silent(host, component, silent) for host in unknown]
    return problems


def _silent(host: str, component: str, problem: str) -> Problem:
    look = f"{problem}: `journalctl -u airflow-{component}` there"
    return _problem(host, component, "silent", look)


def _other_versions(told: Answers, reference: str) -> list[Problem]:
    """Return which hosts have another version than the reference, or than the first that has one.

    A Python environment is named after its Python, too: it is compared among hosts of the same.
    """
    problems = []
    order = sorted(told, key=lambda host: host != reference)
    wanted: dict[tuple[str, str], tuple[str, str]] = {}
    for host in order:
        versions = told[host]["versions"]
        compared = {(what, ""): versions[what] for what in _SAME}
        compared["python_environment", versions["python"] or ""] = versions["python_environment"]
        for (what, python), version in compared.items():
            if version is None:
                continue
            first, right = wanted.setdefault((what, python), (host, version))
            if version != right:
                component = _SAME.get(what, "environment")
                other = f"it has {version}, and {first} has {right}: run site.yml"
                problems.append(_problem(host, component, "versions", other))
    return problems


def _lagging(told: Answers, now: datetime) -> list[Problem]:
    """Return which hosts still have the release before the newest one."""
    published = {
        host: (datetime.fromisoformat(versions["release_since"]), versions["release"])
        for host, answer in told.items()
        if (versions := answer["versions"])["release"]
        and versions["release_since"]
        # Somebody wants it there.
        and not answer["pinned"]
    }
    # What a node says is in the future is younger than anything.
    since, newest = max(
        (entry for entry in published.values() if entry[0] <= now.astimezone(UTC)),
        default=(now, None),
    )
    first = min((host for host in published if published[host][1] == newest), default="")
    if (now - since).total_seconds() <= MAX_LAG_SECONDS:
        return []
    return [
        _problem(host, "dag-sync", "sync-lagging",
                 f"it publishes {release[:12]}, and {first} {newest[:12]} since"
                 f" {since.strftime('%Y-%m-%dT%H:%M:%SZ')}: `airflow-dag-sync status` there")
        for host, (_when, release) in published.items()
        if newest and release != newest
    ]  # fmt: skip
