# SPDX-License-Identifier: Apache-2.0
"""What ``rax flow`` does: it chooses cases, runs them, and says how they ended."""

import argparse
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from rax.checking._settings import Settings
from rax.cli._flow._choosing import Found, choose
from rax.cli._flow._files import as_json, remove_junit, write_junit
from rax.cli._flow._keep import wait
from rax.cli._flow._last import LastRun
from rax.cli._flow._report import Quiet, Tally, Terminal
from rax.cli._flow._target import cluster, other_commits, split
from rax.cli._on_laptops import interruptible
from rax.cli._output import write_json
from rax.errors import CommandError, RaxError
from rax.testing._engine import Server
from rax.testing._runner import LeftOut, Verdict, run_cases
from rax.testing._specs import Mistake
from rax.testing._staging import StagedCases

_PASSED, _DIFFERENT, _FAILED = 0, 1, 3
_STARTS = "Airflow starts …"


@dataclass
class _Results:
    """What has come of a run of cases."""

    mistakes: list[Mistake]
    verdicts: list[Verdict] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    # What is said of all cases together.
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> set[str]:
        return {one.chosen.id for one in self.verdicts if one.differences}

    @property
    def passed(self) -> set[str]:
        return {one.chosen.id for one in self.verdicts if not one.differences}

    @property
    def tally(self) -> Tally:
        files = {one.place.file for one in self.mistakes}
        return Tally(len(self.passed), len(self.failed), len(files), len(self.left_out))

    @property
    def code(self) -> int:
        if self.mistakes:
            return _FAILED
        return _DIFFERENT if self.failed else _PASSED


def run(root: Path, options: argparse.Namespace) -> int:
    """Run the cases that the options choose; return the exit code."""
    if options.junit is not None:
        remove_junit(options.junit)
    began = time.monotonic()
    shown = Quiet() if options.json else Terminal(logs=options.logs)
    found = _found(root, options)
    results = _Results(found.mistakes)
    shown.mistakes(found.mistakes)
    if found.chosen and options.target is not None:
        _run_on_cluster(root, found, results, shown, options)
    elif found.chosen:
        shown.begin(_STARTS)
        with interruptible(), Server(root) as server:
            _run(root, found, results, server, shown, options)
    shown.end(results.tally, time.monotonic() - began)
    told = (results.verdicts, results.mistakes, results.left_out)
    if options.junit is not None:
        write_junit(options.junit, *told)
    if options.json:
        write_json({**as_json(*told), "notes": results.notes})
    return results.code


def _run_on_cluster(
    root: Path, found: Found, results: _Results, shown: Quiet, options: argparse.Namespace
) -> None:
    what = split(root, found.chosen)
    results.left_out.extend(what.left_out)
    with interruptible(), cluster(root, options, what, shown) as staged:
        for one in what.left_out:
            shown.left_out(one)
        _run(root, Found(what.chosen, []), results, staged, shown, options)
    results.notes.extend(other_commits(root, [*staged.versions]))
    for text in results.notes:
        shown.note(text)


def watch(root: Path, options: argparse.Namespace) -> int:
    """Run them, and again after each edit, until a person interrupts, which is a good end."""
    if options.json or options.junit is not None or options.keep:
        raise CommandError("--watch is for a person: it takes no --json, --junit and --keep")
    from rax.cli._flow._watch import edits

    shown = Terminal(logs=options.logs)
    shown.begin(_STARTS)
    with contextlib.suppress(KeyboardInterrupt), interruptible(), Server(root) as server:
        edited = edits(root)
        while True:
            _run_again(root, server, shown, options)
            shown.begin("waiting for an edit; Ctrl-C ends this")
            shown.edited(next(edited))
    shown.erase()
    return _PASSED


def _run_again(root: Path, server: Server, shown: Terminal, options: argparse.Namespace) -> None:
    began = time.monotonic()
    try:
        found = _found(root, options)
        results = _Results(found.mistakes)
        shown.mistakes(found.mistakes)
        _run(root, found, results, server, shown, options)
    except RaxError as error:
        # A spec that has just gone, for example: the next edit may bring it back.
        shown.problem(str(error))
    else:
        shown.end(results.tally, time.monotonic() - began)


def _found(root: Path, options: argparse.Namespace) -> Found:
    found = choose(root, options.specs, options.k)
    return found._replace(chosen=LastRun(root).chosen(found.chosen)) if options.lf else found


def _run(
    root: Path,
    found: Found,
    results: _Results,
    server: Server | StagedCases,
    shown: Quiet,
    options: argparse.Namespace,
) -> None:
    """Run the cases, and add the verdicts to the results as they come."""
    seconds = options.max_seconds or Settings.read(root).flows.max_seconds
    verdicts = run_cases(
        server, found.chosen, max_seconds=seconds, keep=options.keep, progress=shown
    )
    try:
        for verdict in verdicts:
            results.verdicts.append(verdict)
            shown.verdict(verdict)
            if options.keep:
                wait(verdict.output.kept)
                server.release()
            if options.x and verdict.differences:
                break
    finally:
        LastRun(root).note(results.failed, results.passed)
