# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node says, checked for its form before anything uses it.

There is a function for each kind of answer. An answer may be of any type, endless, or about others,
since whoever is root on a node writes it; a function returns what can be used of it, of known types
and bounded length, or raises an AnswerError whose message can be printed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils.printable import one_line, text_of

MAX_ANSWER_CHARACTERS = 64 * 2**20
MAX_TEXT_CHARACTERS = 2000
MAX_QUOTED_CHARACTERS = 60
# Modules nest their answers less deeply, and Ansible walks them by recursion.
MAX_DEPTH = 100
MAX_ENTRIES = 100_000
# There are fewer seconds until the year 9999, and no node has more of anything.
MAX_NUMBER = 2**38

_JSON_TYPES = (str, int, float, bool, list, dict, type(None))
_SHA = re.compile(r"[0-9a-f]{40}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class AnswerError(ValueError):
    """A node's answer has not the form that it must have; the message can be printed."""


def quoted(value: Any) -> str:
    """Return what a message may quote of a value."""
    return one_line(
        repr(value) if isinstance(value, str) else text_of(value), MAX_QUOTED_CHARACTERS
    )


def shown(value: Any) -> str:
    """Return any value as one line that can be printed, no longer than a text may be."""
    return one_line(text_of(value), MAX_TEXT_CHARACTERS)


def document(text: Any, name: str) -> dict[str, Any]:
    """Return the JSON object that a program on a node has printed."""
    if not isinstance(text, str):
        raise AnswerError(f"{name} is not a text")
    if len(text) > MAX_ANSWER_CHARACTERS:
        raise AnswerError(f"{name} is longer than {MAX_ANSWER_CHARACTERS} characters")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise AnswerError(f"{name} is not JSON that can be read") from None
    if not isinstance(value, dict):
        raise AnswerError(f"{name} is not an object")
    return value


def text(value: Any, name: str) -> str:
    """Return a text as one line that can be printed."""
    if not isinstance(value, str):
        raise AnswerError(f"{name} is not a text")
    return shown(value)


def sha(value: Any, name: str) -> str:
    """Return the full name of a commit."""
    if not isinstance(value, str) or not _SHA.fullmatch(value):
        raise AnswerError(f"{name} is not the 40 characters of a commit: {quoted(value)}")
    return value


def time(value: Any, name: str) -> str:
    """Return a time such as 2026-11-22T17:39:37Z."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise AnswerError(f"{name} is not a time: {quoted(value)}")


def number(value: Any, name: str, most: int = MAX_NUMBER) -> int:
    """Return a whole number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise AnswerError(f"{name} is not a whole number from 0 to {most}: {quoted(value)}")
    return value


# What `airflow-dag-sync status` prints


_STATUS: dict[str, Callable[[Any, str], Any]] = {
    "published": sha,
    "published_since": time,
    "seen": sha,
    "previous": sha,
    "pinned": sha,
    "last_success": time,
    "age_seconds": number,
    "error": text,
    "error_since": time,
}


def sync_status(printed: Any) -> dict[str, Any]:
    """Return the status of a node's DAGs, with every key that it has to have."""
    given = document(printed, "the status")
    status = {key: _optional(given, key, check, "status") for key, check in _STATUS.items()}
    if (status["published"] is None) != (status["published_since"] is None):
        raise AnswerError("status.published and status.published_since do not go together")
    if (status["error"] is None) != (status["error_since"] is None):
        raise AnswerError("status.error and status.error_since do not go together")
    status["blocked"] = None
    if given.get("blocked") is not None:
        blocked = _mapping(given["blocked"], "status.blocked")
        status["blocked"] = {
            key: check(blocked.get(key), f"status.blocked.{key}")
            for key, check in {"sha": sha, "reason": text, "since": time}.items()
        }
    for key in ("failures", "repairs"):
        status[key] = number(given.get(key, 0), f"status.{key}")
    releases = _list(given.get("releases", []), "status.releases")
    status["releases"] = [sha(release, "status.releases") for release in releases]
    return status


# What `rax status --json` and the health check of the cluster print

MAX_PROBLEMS = 200
MAX_PROBLEM_CHARACTERS = 500
MAX_NAME_CHARACTERS = 250
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,39}")
_VERSIONS = ("airflow", "python", "python_environment", "rax", "sync")


def node_status(printed: Any) -> dict[str, Any]:
    """Return what a node says of itself, out of `rax status --json`.

    problems: a list of component, kind and problem
    versions: of airflow, python and so on, and the release; None is what it does not have
    names: what it calls itself
    running: its active components
    pinned: whether it stays on its release
    """
    given = document(printed, "the status")
    problems = [_problem(entry) for entry in _problems(given)]
    environment = _mapping(given.get("environment") or {}, "environment")
    release = _mapping(given.get("release") or {}, "release")
    versions = {key: _optional(environment, key, name, "environment") for key in _VERSIONS}
    versions["release"] = _optional(release, "published", sha, "release")
    versions["release_since"] = _optional(release, "published_since", time, "release")
    running = []
    for entry in _list(given.get("services") or [], "services"):
        unit = _mapping(entry, "a service")
        if unit.get("state") == "active":
            component = name(unit.get("unit"), "a service's unit").removesuffix(".service")
            running.append(component.removeprefix("airflow-"))
    names = [_optional(environment, key, name, "environment") for key in ("node", "address")]
    pinned = _optional(release, "pinned", sha, "release") is not None
    return {
        "problems": problems,
        "versions": versions,
        "names": [each for each in names if each],
        "running": running,
        "pinned": pinned,
    }


def cluster_status(printed: Any) -> dict[str, Any]:
    """Return what the health check on a scheduler node says, out of `rax.airflow.health`.

    problems: a list of host, component, kind and problem; no host is the cluster
    jobs: the newest heartbeat of each component, as type, hostname and age_seconds
    """
    given = document(printed, "the report")
    problems = [
        {"host": name(_mapping(entry, "a problem").get("host"), "a problem's host"),
         **_problem(entry)}
        for entry in _problems(given)
    ]  # fmt: skip
    jobs = []
    for entry in _list(given.get("jobs", []), "jobs"):
        job = _mapping(entry, "a job")
        found: dict[str, Any] = {
            key: name(job.get(key), f"a job's {key}") for key in ("type", "hostname")
        }
        jobs.append(found | {"age_seconds": number(job.get("age_seconds"), "a job's age")})
    return {"problems": problems, "jobs": jobs}


def name(value: Any, what: str) -> str:
    """Return a short text as one line."""
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARACTERS:
        raise AnswerError(f"{what} is not a short text: {quoted(value)}")
    return one_line(value)


def _problems(given: Mapping[str, Any]) -> list[Any]:
    problems = _list(given.get("problems"), "problems")
    if len(problems) > MAX_PROBLEMS:
        raise AnswerError(f"problems has more than {MAX_PROBLEMS} entries")
    return problems


def _problem(entry: Any) -> dict[str, str]:
    problem = _mapping(entry, "a problem")
    kind = problem.get("kind")
    if not isinstance(kind, str) or not _SLUG.fullmatch(kind):
        raise AnswerError(f"a problem's kind is not a word: {quoted(kind)}")
    return {
        "component": name(problem.get("component"), "a problem's component"),
        "kind": kind,
        "problem": one_line(text(problem.get("problem"), "a problem"), MAX_PROBLEM_CHARACTERS),
    }


# What modules return

# The kinds of change that the module credential_files returns.
CHANGES = ("added", "updated", "repaired", "removed", "kept", "layout", "notified")
_SOURCE_STATES = ("current", "kept", "missing")
_OLDEST = "oldest_last_good_at"


def delivered(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes and the summary that the module credential_files has returned."""
    found: dict[str, Any] = {}
    for kind in CHANGES:
        if result.get(kind):
            found[kind] = [text(entry, kind) for entry in _list(result[kind], kind)]
    if result.get("summary") is not None:
        summary = _mapping(result["summary"], "summary")
        found["summary"] = {
            key: number(summary[key], f"summary.{key}") for key in _SOURCE_STATES if key in summary
        }
        if summary.get(_OLDEST) is not None:
            found["summary"][_OLDEST] = time(summary[_OLDEST], f"summary.{_OLDEST}")
    return found


def module_result(result: Any) -> None:
    """Raise AnswerError where what a module has returned would end Ansible itself.

    It takes statistics and diffs from any result in the process that all hosts share.
    """
    result = _mapping(result, "the answer")
    if _is_deep(result):
        raise AnswerError(f"it is nested more than {MAX_DEPTH} deep")
    if "ansible_stats" in result:
        raise AnswerError("it has ansible_stats, which no module returns")
    if result.get("ansible_facts") is not None:
        _mapping(result["ansible_facts"], "ansible_facts")
    for key in ("stdout", "stderr"):
        if result.get(key) and not isinstance(result[key], str):
            raise AnswerError(f"{key} is not a text")
    for key, kind in (("warnings", str), ("deprecations", dict)):
        for entry in _list(result.get(key) or [], key):
            # Ansible has made objects of some, which are its own.
            if isinstance(entry, _JSON_TYPES) and not isinstance(entry, kind):
                raise AnswerError(f"{key} holds something else than messages")
    diffs = result.get("diff") or []
    for diff in diffs if isinstance(diffs, list) else [diffs]:
        _diff(_mapping(diff, "diff"))


def _diff(diff: Mapping[str, Any]) -> None:
    for key in ("before", "after"):
        if not isinstance(diff.get(key), str | dict | None):
            raise AnswerError(f"diff.{key} is neither a text nor an object")
    for key in ("before_header", "after_header", "prepared"):
        if not isinstance(diff.get(key), str | None):
            raise AnswerError(f"diff.{key} is not a text")
    for key in ("src_larger", "dst_larger"):
        if key in diff:
            number(diff[key], f"diff.{key}", 2**63)


# Types


def _optional(
    given: Mapping[str, Any], key: str, check: Callable[[Any, str], Any], name: str
) -> Any:
    return None if given.get(key) is None else check(given[key], f"{name}.{key}")


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise AnswerError(f"{name} is not an object")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise AnswerError(f"{name} is not a list")
    if len(value) > MAX_ENTRIES:
        raise AnswerError(f"{name} has more than {MAX_ENTRIES} entries")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _level in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            items = one.values() if isinstance(one, Mapping) else one
            inner += [item for item in items if isinstance(item, Mapping | list | tuple)]
        if not inner:
            return False
        level = inner
    return True


def _no_constant(constant: str) -> float:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(constant)
