# SPDX-License-Identifier: Apache-2.0
"""The text of a spec to begin with: what is not known is said to be so."""

import json
from collections.abc import Iterator

from rax.airflow._outcomes import CHECK
from rax.testing._drafting._workflow import HTTP, POSTGRES, UNKNOWN, Task, Workflow

UNVERIFIED = "nobody has said yet what it is to give"


def draft(workflow: Workflow) -> str:
    """Return a spec of all tasks: it has the right form, and may fail until it is filled in."""
    return "".join(f"{line}\n" for line in _lines(workflow))


def _lines(workflow: Workflow) -> Iterator[str]:
    yield "---"
    yield f"# What {workflow.dag_id} does in each case. Lines that begin with # are for you: follow"
    yield "# them, or take them away. ./rax flow runs this; docs/testing_workflows.md of the"
    yield "# deployment has all that can be said here."
    yield f"workflow: {_text(workflow.dag_id)}"
    yield "given:"
    yield from _given(workflow)
    yield "cases:"
    yield from _good(workflow)
    for task in workflow.tasks:
        if task.part == CHECK:
            yield from _failing_check(task)
    for name, kind in workflow.sources:
        yield from _down(name, kind)
    yield from _empty_target()


def _given(workflow: Workflow) -> Iterator[str]:
    yield "  # What tasks read, beside this file; it is copied into the folder where tasks begin. A"
    yield "  # few rows will do, if they have what is hard: a NULL, a comma, what is not selected."
    yield "  files: []"
    by_kind: dict[str, list[str]] = {}
    for name, kind in workflow.sources:
        by_kind.setdefault(kind, []).append(name)
    if POSTGRES in by_kind:
        yield "  # Each is a new database. In place of null: a file of SQL beside this one that"
        yield "  # makes its tables, with rows that the workflow has to leave alone."
        yield "  postgres:"
        for name in by_kind[POSTGRES]:
            yield f"    {_text(name)}: null"
    if HTTP in by_kind:
        yield "  # In place of its answers: a folder beside this file, which is served."
        yield "  http:"
        for name in by_kind[HTTP]:
            yield f"    {_text(name)}:"
            yield "      GET /: {status: 200}"
    for name in by_kind.get(UNKNOWN, ()):
        yield f"  # {_text(name)} is named in the code or in a config. Say what is behind it, above"
        yield "  # or here: postgres: {NAME: before.sql}, sqlite: …, http: {NAME: folder}, or"
        yield "  # credentials: {NAME: {user: …}}."
    if workflow.configs:
        yield "  # What is to be other than in the configs, such as paths, or fewer months."
        yield "  config:"
        for name in workflow.configs:
            yield f"    {_text(name)}: {{}}"


def _good(workflow: Workflow) -> Iterator[str]:
    yield "  good:"
    yield "    # It runs once, again, and with each task losing its first result."
    yield "    expect:"
    yield "      alerts: [resolve]"
    yield "      tasks:"
    yield "        # In place of unverified: what the task returns, and what is there when it has"
    yield "        # ended. ./rax flow record writes the goldens; look at them."
    yield "        #   returns: {rows: 3}"
    yield "        #   files: {out.csv: golden.csv}"
    databases = [name for name, kind in workflow.sources if kind == POSTGRES] or ["NAME"]
    yield f"        #   {_text(databases[0])}: {{SELECT …: golden.csv}}"
    for task in workflow.tasks:
        yield f"        {_text(_key(task))}:"
        yield f"          unverified: {UNVERIFIED}"


def _failing_check(task: Task) -> Iterator[str]:
    yield f"  {_text(f'{task.task_id} fails')}:"
    yield "    # What makes it fail: a file that is absent, a source that is down, another config."
    yield "    given: {}"
    yield "    expect:"
    yield f"      check: {_text(task.task_id)}"
    yield f"      alerts: [{_text(f'trigger: check {task.task_id}')}]"


def _down(name: str, kind: str) -> Iterator[str]:
    comment = "  # " if kind == UNKNOWN else "  "
    yield f"{comment}{_text(f'{name} is down')}:"
    yield f"{comment}  given: {{down: [{_text(name)}]}}"
    yield f"{comment}  # Better, which check sees it: check: NAME"
    yield f"{comment}  expect: {{state: failed, alerts: [trigger]}}"


def _empty_target() -> Iterator[str]:
    yield "  empty target:"
    yield "    # Nothing is there yet, no table and no file, as for the first run in production."
    yield "    given: {}"
    yield "    runs: [once]"
    yield "    expect:"
    yield "      alerts: [resolve]"


def _key(task: Task) -> str:
    return f"{task.task_id}[*]" if task.is_mapped else task.task_id


def _text(text: str) -> str:
    """Return a text as YAML has it: in quotes where it would be something else without."""
    is_plain = text.replace(" ", "").replace("_", "").replace("-", "").replace(".", "").isalnum()
    is_word = is_plain and not text[0].isdigit() and text.lower() not in _WORDS
    return text if is_word else json.dumps(text, ensure_ascii=False)


# What YAML takes for a truth or for nothing.
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
