# SPDX-License-Identifier: Apache-2.0
"""``rax run``: a workflow once on a laptop, and what matters of its output."""

import argparse
import datetime
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rax import _laptop
from rax._layout import span
from rax._printable import one_line
from rax._temporary import temporary_folder
from rax.cli._commands import add_command
from rax.cli._on_laptops import repository_to_run
from rax.cli._output import write, write_json
from rax.errors import CommandError

if TYPE_CHECKING:
    from rax.airflow._run_once import Result
    from rax.airflow._run_output import Output
    from rax.cli._commands import Commands
    from rax.cli._run_process import Process

_MORE = """\
Airflow runs the workflow in a process and a folder of its own: no scheduler, no web server, and a
database that is empty at the start. Settings are those of the nodes. Credentials are in
local/credentials (`rax credentials set NAME`), and configs of local/configs are merged over those
in configs. No alert is sent: it is shown. A task that fails is tried again at once. Nothing is
written into the repository but by your tasks, which begin at its root.
Shown is what your code logs and prints, and the warnings and errors of all.
exit codes:
  0  the run was successful
  1  it has failed
  3  it could not be begun; the reason is on standard error"""
# A task that says nothing for so long is named, and again after as long.
_QUIET_SECONDS = 60
_MAX_NAMED = 10


class Told(NamedTuple):
    """What is told of a run in JSON."""

    workflow: str
    # Airflow's, of the run.
    state: str
    # The structured line of its summary; None where it has none.
    summary: dict[str, Any] | None
    # The events that PagerDuty would have got.
    alerts: list[dict[str, Any]]
    # The credentials that were asked for and are not there.
    missing: list[str]


def add_parser(commands: "Commands") -> None:
    """Add the command to the command line."""
    run = add_command(commands, "run", _run, "a workflow once on this laptop, by Airflow", _MORE)
    run.add_argument("workflow", metavar="WORKFLOW", help="the id of its DAG")
    run.add_argument(
        "--conf", metavar="JSON|@FILE", help="the run's conf: a JSON object, or a file that has one"
    )
    run.add_argument(
        "--logical-date", metavar="DATE", help="such as 2026-01-31T08:00 (UTC); default: now"
    )
    run.add_argument("--logs", action="store_true", help="show all that Airflow logs, too")


def _run(options: argparse.Namespace) -> int:
    from rax.checking._settings import Settings
    from rax.cli._run_process import Order, Process

    root = repository_to_run("start the workflow in Airflow")
    order = Order(
        root=root,
        dags_folder=Settings.read(root).dags_folder,
        workflow=options.workflow,
        conf=_conf(options.conf),
        logical_date=_logical_date(options.logical_date),
    )
    _laptop.use_local()
    with temporary_folder("run") as folder:
        with Process(order, folder) as process:
            output = _followed(process, order.root, options)
            result = process.result()
        return _told(process, output, result, order, is_json=options.json)


def _conf(given: str | None) -> dict[str, Any] | None:
    if given is None:
        return None
    where = "--conf"
    if given.startswith("@"):
        where, given = f"--conf {given}", Path(given[1:]).read_text()
    try:
        found = json.loads(given)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        raise CommandError(f"{where} is not JSON: {reason}") from None
    if not isinstance(found, dict):
        raise CommandError(f"{where} is not a JSON object")
    return found


def _logical_date(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        date = datetime.datetime.fromisoformat(given)
    except ValueError:
        raise CommandError(
            f"--logical-date {given!r} is not a date such as 2026-01-31 or 2026-01-31T08:00+01:00"
        ) from None
    return date.replace(tzinfo=date.tzinfo or datetime.UTC).isoformat()


def _followed(process: "Process", root: Path, options: argparse.Namespace) -> "Output":
    """Show what the run writes until it has ended."""
    from rax.airflow._run_output import Output
    from rax.alerting._secrets import local_secrets

    def show(text: str) -> None:
        if not options.json:
            write(text)
            sys.stdout.flush()

    output = Output(root, local_secrets(), show, everything=options.logs)
    last = told = time.monotonic()
    task = ""
    try:
        for line in process.lines():
            now = time.monotonic()
            if line:
                output.line(line)
            if line or output.task != task:
                last = told = now
                task = output.task
            elif output.task and now - told >= _QUIET_SECONDS:
                told = now
                _say(f"{output.task} has said nothing for {span(now - last)}; Ctrl-C ends the run")
    except KeyboardInterrupt:
        _say(f"interrupted while {output.task} ran" if output.task else "interrupted")
        raise
    return output


def _say(text: str) -> None:
    sys.stderr.write(f"rax: {one_line(text)}\n")


def _told(
    process: "Process", output: "Output", result: "Result | None", order: Any, *, is_json: bool
) -> int:
    """Tell how the run has ended; return the exit code."""
    from rax.alerting._capture import captured

    if result is None:
        if not output.is_begun:
            raise CommandError(f"the process of the run {process.how_ended()}: see its lines above")
        state = "failed"
        _say(f"the process of the run {process.how_ended()} while {output.task or 'no task'} ran")
    elif not result.state:
        raise CommandError(_not_there(order.workflow, order.root, result))
    else:
        state = result.state
    alerts = captured(process.alerts)
    if is_json:
        told = Told(order.workflow, state, output.summary, alerts, list(output.missing))
        write_json(told._asdict())
        return int(state != "success")
    report = output.report or (output.masked(result.report) if result else "")
    write(f"\n{report}\n" if report else "")
    for event in alerts:
        write(f"{_alert(event)}\n")
    for name in output.missing:
        write(f"→ ./rax credentials set {name}\n")
    return int(state != "success")


def _alert(event: dict[str, Any]) -> str:
    from rax.alerting._events import describe

    return f"PagerDuty would have got: {describe(event)}"


def _not_there(workflow: str, root: Path, result: "Result") -> str:
    """Say which workflow may be meant, and whether it may be in a file that cannot be loaded."""
    from rax.config._files import near

    places = {name: os.path.relpath(file, root) for name, file in sorted(result.workflows.items())}
    meant = near(workflow, places).removeprefix(": did you mean ").removesuffix("?")
    names = [name for name in meant.split(" or ") if name in places] or list(places)
    known = ", ".join(f"{name} ({places[name]})" for name in names[:_MAX_NAMED]) or "none"
    if len(names) > _MAX_NAMED:
        known += f" and {len(names) - _MAX_NAMED} more"
    hint = f"did you mean {known}?" if meant else f"there is {known}"
    files = "a file that cannot be loaded, see above"
    if result.broken > 1:
        files = f"one of {result.broken} files that cannot be loaded, see above"
    in_broken = f"; it may be in {files}" if result.broken else ""
    return f"{root.name} has no workflow {workflow!r}: {hint}{in_broken}"
