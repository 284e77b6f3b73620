# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a host how it is, and returns an answer of a known form, or why there is none."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers
from ansible_collections.caspian.airflow.plugins.plugin_utils.asking import AskingAction

FORMS = {"node": node_answers.node_status, "cluster": node_answers.cluster_status}
# What a host may send, beside what this process has: it is held in memory before it is looked at.
MAX_MEMORY_BYTES = 2**28
MAX_SAID_CHARACTERS = 400
# The shell's exit codes of a program that is not there, or cannot be started.
_NO_PROGRAM = (126, 127)


class LateError(BaseException):
    """The host's time is over. No handler of errors on the way catches it."""


class ActionModule(AskingAction):
    """The action that Ansible looks up by its name; each host has a process of its own."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask; whatever the host does is in the result, and never a failure of this task."""
        result = super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(
            {
                "argv": {"type": "list", "elements": "str", "required": True},
                "form": {"type": "str", "required": True, "choices": [*FORMS]},
                "seconds": {"type": "float", "required": True},
            }
        )
        result.update(changed=False, answer=None, kind="unanswered", problem="")
        if self._task.check_mode:
            result["skipped"] = True
            return result
        try:
            with _limited(options["seconds"]):
                # No module is sent, so that a host is also heard whose Python is broken.
                said = self.said(options["argv"])
                result.update(_judged(said, options["argv"], FORMS[options["form"]]))
        except LateError:
            _kill_children()
            result["problem"] = f"no answer within {options['seconds']:g} s"
        except AnsibleConnectionFailure as error:
            result.update(kind="unreachable", problem=_short(str(error)))
        except MemoryError:
            result["problem"] = "its answer is longer than any that it can have"
        except AnsibleError as error:
            result["problem"] = _short(str(error))
        return result


def _judged(said: dict[str, Any], argv: list[str], form: Any) -> dict[str, Any]:
    """Return the answer in what a program has printed; its exit code says what is in it, too."""
    try:
        return {"answer": form(said["stdout"]), "kind": "", "problem": ""}
    except node_answers.AnswerError as error:
        problem = f"its answer cannot be used: {error}"
    words = _last_line(said["stderr"] or said["stdout"])
    if said["rc"] in _NO_PROGRAM:
        return {"kind": "missing", "problem": f"{argv[0]} is not there or of no use ({words}):"
                " run site.yml"}  # fmt: skip
    if not said["stdout"].strip():
        problem = f"{' '.join(argv[:2])} ended with {said['rc']} and without an answer"
    return {"problem": _short(f"{problem}; it said: {words}" if words else problem)}


def _last_line(text: str) -> str:
    """Return the line in which a program says what is wrong, also below a traceback."""
    return _short(next((line for line in reversed(text.splitlines()) if line.strip()), ""))


def _short(text: str) -> str:
    """Return the end of a text as one line."""
    return node_answers.shown(text[-MAX_SAID_CHARACTERS:])


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise LateError after so many seconds, and MemoryError where too much was sent."""

    def on_alarm(_signal: int, _frame: FrameType | None) -> None:
        raise LateError

    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(
            resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_MEMORY_BYTES, hard)
        )
    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _kill_children() -> None:
    """End the ssh that still waits for the host; a watch that runs often would collect them."""
    with contextlib.suppress(OSError):
        for children in Path("/proc/self/task").glob("*/children"):
            for child in children.read_text().split():
                with contextlib.suppress(OSError):
                    os.kill(int(child), signal.SIGKILL)
