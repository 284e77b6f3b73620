# SPDX-License-Identifier: Apache-2.0
"""``rax flow record``: what cases give, written where their specs name a golden."""

import argparse
import os
from pathlib import Path

from rax.checking._settings import Settings
from rax.cli._flow._choosing import choose
from rax.cli._flow._report import Quiet, Terminal
from rax.cli._on_laptops import interruptible
from rax.cli._output import write, write_json
from rax.testing._engine import Server
from rax.testing._judging import Recording, record
from rax.testing._runner import run_cases

_DONE, _REFUSED, _FAILED = 0, 1, 3


def record_cases(root: Path, options: argparse.Namespace) -> int:
    """Run the cases that the options choose, and write their goldens; return the exit code."""
    found = choose(root, options.specs, options.k)
    shown = Quiet() if options.json else Terminal(logs=False)
    shown.mistakes(found.mistakes)
    if not found.chosen:
        return _FAILED
    shown.begin("Airflow starts …")
    seconds = options.max_seconds or Settings.read(root).flows.max_seconds
    with interruptible(), Server(root) as server:
        verdicts = [*run_cases(server, found.chosen, max_seconds=seconds, progress=shown)]
    recording = record((one.chosen.case, one.output) for one in verdicts)
    if isinstance(shown, Terminal):
        shown.erase()
        _tell(recording, root)
    else:
        write_json(_as_json(recording, root))
    if found.mistakes:
        return _FAILED
    return _REFUSED if recording.refused else _DONE


def _tell(recording: Recording, root: Path) -> None:
    for title, paths in (("written", recording.written), ("as it was", recording.kept)):
        write(f"{title}:\n" * bool(paths))
        write("".join(f"  {os.path.relpath(path, root)}\n" for path in paths))
    write("left as they are:\n" * bool(recording.refused))
    for difference in recording.refused:
        write("".join(f"  {line}\n" for line in str(difference).split("\n")))
    write("to add to a spec:\n" * bool(recording.advice))
    for place, text in recording.advice:
        write(f"  {place}: {text}\n")
    if recording.written:
        write("next: look at each with git diff; what is there is what the workflow does\n")
    elif not recording.refused:
        write("nothing is written: no golden is named, or each is as it was\n")


def _as_json(recording: Recording, root: Path) -> dict[str, object]:
    return {
        "written": [os.path.relpath(path, root) for path in recording.written],
        "kept": [os.path.relpath(path, root) for path in recording.kept],
        "refused": list(map(str, recording.refused)),
        "advice": [f"{place}: {text}" for place, text in recording.advice],
    }
