"""What `rax check` says at a terminal, and its exit code."""

import json

import pytest

from rax import cli
from rax.checking import _report, _stages
from rax.checking._finding import Finding, Outcome
from rax.errors import CommandError

GREEN = Outcome([], "3 files")
WRONG = Finding("dags/a.py", 3, "F401", "`os` imported but unused", "remove it")
ODD = Finding("", 0, "odd", "the repository\nis \x1b[31modd", warning=True)


@pytest.fixture
def check(repository, monkeypatch, capsys):
    """Run `rax check` with stages that a test makes up; return exit code, output and errors."""
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setattr(_stages.time, "monotonic", lambda: 0.0)

    def run(*ends, words=()):
        stages = []
        for number, end in enumerate(ends):

            def stage(_project, end=end):
                if isinstance(end, Exception):
                    raise end
                return end

            title = ("Files", "DAGs", "Tests")[number]
            stages.append(_stages.Stage(title.lower(), title, stage))
        monkeypatch.setattr(_stages, "STAGES", tuple(stages))
        code = cli.main(["check", str(repository.root), *words])
        return (code, *capsys.readouterr())

    return run


@pytest.mark.parametrize(("ends", "code", "lines"), [
    ([GREEN], 0, ["Files  no problem in 3 files, 0.0 s", "no problem: ready to be merged"]),
    ([GREEN, Outcome([], "", "no Airflow")], 0,
     ["Files  no problem in 3 files, 0.0 s", "DAGs   skipped: no Airflow",
      "no problem: ready to be merged"]),
    ([Outcome([WRONG, WRONG], "3 files")], 1,
     ["dags/a.py:3: F401 `os` imported but unused", "    → remove it",
      "Files  1 problem in 3 files, 0.0 s", "1 problem: not ready to be merged"]),
    # A warning does not stand in the way.
    ([Outcome([ODD], "1 file")], 0,
     [r"odd warning: the repository is \x1b[31modd", "Files  1 warning in 1 file, 0.0 s",
      "1 warning: ready to be merged"]),
    ([Outcome([WRONG, ODD], "1 file"), GREEN], 1,
     [r"odd warning: the repository is \x1b[31modd",
      "dags/a.py:3: F401 `os` imported but unused", "    → remove it",
      "Files  1 problem and 1 warning in 1 file, 0.0 s",
      "DAGs   no problem in 3 files, 0.0 s",
      "1 problem and 1 warning: not ready to be merged"]),
    # What cannot be done keeps nothing after it from being done.
    ([CommandError("no ruff\n\x1b"), Outcome([WRONG], "1 file")], 3,
     [r"Files  could not be done: no ruff \x1b",
      "dags/a.py:3: F401 `os` imported but unused", "    → remove it",
      "DAGs   1 problem in 1 file, 0.0 s",
      "1 problem, and it could not all be done: Files"]),
    ([Outcome([Finding("a\nb:1.py", 0, "r", "p", "x" * 600)], "1 file")], 1,
     [r"a\nb:1.py: r p", f"    → {'x' * 499}…",
      "Files  1 problem in 1 file, 0.0 s", "1 problem: not ready to be merged"]),
])  # fmt: skip
def test_for_people(check, ends, code, lines):
    ended, output, errors = check(*ends)
    assert (ended, output.splitlines(), errors) == (code, lines, "")


def test_of_many_findings_of_a_rule_some_are_shown(check):
    many = [WRONG._replace(line=line) for line in range(1, 1023)]
    _, output, _ = check(Outcome([*many, ODD], "1 file"))
    lines = output.splitlines()
    assert sum(line.startswith("dags/a.py") for line in lines) == _report.MAX_SHOWN
    assert "… and 1,002 more of F401" in lines
    assert lines[-1] == "1,022 problems and 1 warning: not ready to be merged"


@pytest.mark.parametrize(("environment", "tty", "colours"), [
    ({}, True, True),
    ({}, False, False),
    ({"NO_COLOR": "1"}, True, False),
    ({"NO_COLOR": ""}, True, True),
    ({"TERM": "dumb"}, True, False),
])  # fmt: skip
def test_colours_only_where_wanted(check, monkeypatch, environment, tty, colours):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: tty, raising=False)
    _, output, _ = check(Outcome([WRONG], "1 file"))
    assert ("\x1b[1mdags/a.py:3:\x1b[0m \x1b[31mF401\x1b[0m" in output) is colours
    assert ("\x1b" in output) is colours


def test_for_programs(check, repository):
    code, output, _ = check(Outcome([WRONG], "1 file"), CommandError("no"), words=["--json"])
    assert code == 3
    assert json.loads(output) == {
        "path": str(repository.root),
        "stages": [
            {"name": "files", "looked_at": "1 file", "skipped": "", "failed": "", "seconds": 0.0,
             "findings": [{"file": "dags/a.py", "line": 3, "rule": "F401",
                           "problem": "`os` imported but unused", "advice": "remove it",
                           "warning": False}]},
            {"name": "dags", "looked_at": "", "skipped": "", "failed": "no", "seconds": 0.0,
             "findings": []},
        ],
    }  # fmt: skip


def test_the_default_is_the_repository_of_the_wrapper(repository, monkeypatch, capsys):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    monkeypatch.setenv("RAX_REPOSITORY", str(repository.write({"a.py": "import os\n"}).root))
    assert cli.main(["check"]) == 1
    assert capsys.readouterr().out.startswith("a.py:1: F401")
    monkeypatch.delenv("RAX_REPOSITORY")
    (repository.root / "x").mkdir()
    monkeypatch.chdir(repository.root / "x")
    assert cli.main(["check"]) == 0


def test_what_cannot_be_begun(repository, monkeypatch, capsys):
    monkeypatch.setenv("RAX_ACCOUNT", "root")
    repository.write({"rax.toml": "[chek]\n"})
    assert cli.main(["check", str(repository.root)]) == 3
    assert capsys.readouterr() == ("", "rax: rax.toml: 'chek' is unknown: did you mean check?\n")
