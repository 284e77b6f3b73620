# SPDX-License-Identifier: Apache-2.0
"""Asking all questions at once: one that hangs holds up neither the others nor the command."""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from rax._printable import one_line
from rax.cli._account import leave_root
from rax.cli._node._commands import CommandFailedError
from rax.cli._node._part import Part, Problem
from rax.errors import RaxError

MAX_QUESTION_SECONDS = 25.0
# No question has more to say; what is longer is the work of somebody hostile.
MAX_ANSWER_BYTES = 2**20
MAX_PROBLEM_CHARACTERS = 500


class Question(NamedTuple):
    """Something that a node is asked."""

    look: Callable[[], Part]
    # Whether root is needed where this is root; else it is asked as the account of the tasks.
    as_root: bool = False


def ask(questions: Mapping[str, Question]) -> dict[str, Part]:
    """Return the answer to each question, in their order.

    Each is asked in a process of its own, which is killed when it has had its time. One that
    waits for a disk or a server for ever cannot be killed at once, and is not waited for.
    """
    parts: dict[str, Part] = {}
    asked = {name: _begin(question) for name, question in questions.items()}
    deadline = time.monotonic() + MAX_QUESTION_SECONDS
    said = {reader: (name, bytearray()) for name, (_process, reader) in asked.items()}
    open_readers = set(said)
    while open_readers and (left := deadline - time.monotonic()) > 0:
        for reader in select.select(sorted(open_readers), [], [], left)[0]:
            name, answer = said[reader]
            chunk = os.read(reader, 65536)
            answer += chunk
            if not chunk or len(answer) > MAX_ANSWER_BYTES:
                open_readers.discard(reader)
    for reader, (name, answer) in said.items():
        late = reader in open_readers
        parts[name] = _late(name) if late else _read(name, bytes(answer))
        _end(*asked[name])
    return parts


def _begin(question: Question) -> tuple[int, int]:
    """Start to ask, and return the process and what its answer comes from."""
    reader, writer = os.pipe()
    process = os.fork()
    if process:
        os.close(writer)
        return process, reader
    # The child: nothing of the parent's may happen twice, whatever happens here.
    try:
        os.close(reader)
        # Whoever waits for the end of the command's output must not wait for this. Its commands
        # cannot type on a terminal, and are killed with it.
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        answer = json.dumps(_looked_at(question), default=str).encode()
        while answer:
            answer = answer[os.write(writer, answer) :]
    finally:
        os._exit(0)


def _looked_at(question: Question) -> Part:
    try:
        if not question.as_root:
            leave_root()
        return question.look()
    except (RaxError, CommandFailedError, OSError) as error:
        return _unanswered("", str(error))
    except Exception as error:
        # Its message stays out: nobody knows what it holds.
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
        return _unanswered("", f"unexpected {type(error).__name__} at {place}; please report it")


def _read(name: str, answer: bytes) -> Part:
    """Return what a child has said; it runs as an account that may have made it say anything."""
    try:
        found, lines, problems = json.loads(answer)
        return Part(
            found,
            [one_line(str(line)) for line in lines],
            [
                Problem(
                    one_line(str(component), MAX_PROBLEM_CHARACTERS) or name,
                    str(kind),
                    one_line(str(problem), MAX_PROBLEM_CHARACTERS),
                )
                for component, kind, problem in problems
            ],
        )
    except (ValueError, TypeError, RecursionError):
        return _unanswered(name, "it ended without an answer")


def _late(name: str) -> Part:
    return _unanswered(name, f"no answer within {MAX_QUESTION_SECONDS:g} s")


def _unanswered(name: str, problem: str) -> Part:
    return Part(None, [], [Problem(name, "unanswered", problem)])


def _end(process: int, reader: int) -> None:
    os.close(reader)
    with contextlib.suppress(OSError):
        os.killpg(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(process, os.WNOHANG)
