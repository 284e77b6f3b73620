"""Each question has a limit of its own: none can hold up, end or lie about another."""

import contextlib
import json
import os
import time

import pytest

from rax.cli._node import _ask, questions
from rax.cli._node._ask import Question
from rax.cli._node._part import Part, Problem
from rax.errors import CommandError

GOOD = Part({"a": 1}, ["fine"], [])
# Both ends of the pipes that answers have come through, the newest last.
PIPES = []


@pytest.fixture(autouse=True)
def _pipes(monkeypatch):
    pipe = os.pipe
    monkeypatch.setattr(os, "pipe", lambda: PIPES.append(pipe()) or PIPES[-1])
    yield
    PIPES.clear()


def asked(look):
    """Return what is said of a question that looks so, asked beside a good one."""
    found = _ask.ask({"odd": Question(look), "good": Question(lambda: GOOD)})
    assert found.pop("good") == GOOD
    return found.pop("odd")


def raises(error):
    raise error


def floods():
    """Answer for ever."""
    while True:
        os.write(PIPES[-1][1], b"x" * 65536)


@pytest.mark.parametrize(("look", "problem"), [
    (lambda: raises(CommandError("RAX_X is odd")), "RAX_X is odd"),
    (lambda: raises(PermissionError(13, "Permission denied", "/x")),
     "[Errno 13] Permission denied: '/x'"),
    (lambda: os._exit(0), "it ended without an answer"),
    (lambda: os.kill(os.getpid(), 9), "it ended without an answer"),
    (lambda: "no part", "it ended without an answer"),
    (lambda: ({}, [], [("a", "b")]), "it ended without an answer"),
    (lambda: ({}, 5, []), "it ended without an answer"),
    (lambda: Part(None, ["x" * 2**21], []), "it ended without an answer"),
    (floods, "it ended without an answer"),
])  # fmt: skip
def test_a_question_that_fails_is_a_problem_of_its_own(look, problem):
    assert asked(look) == Part(None, [], [Problem("odd", "unanswered", problem)])


def test_an_error_that_nobody_expects_is_told_without_its_message():
    (problem,) = asked(lambda: raises(KeyError("a secret"))).problems
    assert problem.problem.startswith("unexpected KeyError at test_asking.py:")
    assert "secret" not in problem.problem


@pytest.mark.parametrize("look", [
    lambda: time.sleep(60),
    # It ignores what would end it, and has a child that holds its output open.
    lambda: os.fork() or time.sleep(60),
])  # fmt: skip
def test_a_question_that_hangs_is_killed_and_not_waited_for(look, monkeypatch):
    monkeypatch.setattr(_ask, "MAX_QUESTION_SECONDS", 0.5)
    pids = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: pids.append(fork()) or pids[-1])
    assert asked(look) == Part(None, [], [Problem("odd", "unanswered", "no answer within 0.5 s")])
    assert len(pids) == 2
    assert all(is_gone(group) for group in pids)


def is_gone(group):
    """Wait until no process of a group is left."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(group, os.WNOHANG)
        except ProcessLookupError:
            return True
    return False


def test_what_a_question_prints_is_not_the_commands(capfd):
    def look():
        os.write(1, b"noise")
        os.write(2, b"noise")
        return GOOD

    assert asked(look) == GOOD
    assert capfd.readouterr() == ("", "")


def test_text_of_others_cannot_steer_a_terminal(status, lines, monkeypatch):
    evil = "\x1b]0;OWNED\x07a\nproblem: b\u202e"
    part = Part({"x": evil}, [evil], [Problem("c", "k", evil * 100)])
    monkeypatch.setattr(questions, "QUESTIONS", {"maintenance": Question(lambda: part)})
    code, found = status()
    assert code == 1
    (problem,) = found["problems"]
    assert problem["problem"].isprintable()
    assert len(problem["problem"]) <= _ask.MAX_PROBLEM_CHARACTERS
    said, problems = lines()
    assert len(problems) == 1
    assert all(text.isprintable() for text in [*problems, *said["maintenance"]])
    assert json.dumps(found).isprintable()


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can become another account.")
def test_root_asks_as_the_account_of_the_tasks(monkeypatch):
    monkeypatch.setenv("RAX_ACCOUNT", "nobody")

    def look():
        return Part(os.geteuid(), [], [])

    found = _ask.ask({"theirs": Question(look), "roots": Question(look, as_root=True)})
    assert found["theirs"].found not in (0, None)
    assert found["roots"].found == 0
    assert os.geteuid() == 0


def test_an_account_that_is_not_there_fails_the_command(capsys, monkeypatch):
    from rax import cli

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("RAX_ACCOUNT", "no such account")
    assert cli.main(["status"]) == 3
    assert "RAX_ACCOUNT: there is no account" in capsys.readouterr().err
