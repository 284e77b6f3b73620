"""The command line of rax flow: what is a command, what is a spec, and what it refuses."""

import json

import pytest

from rax import _laptop, cli
from rax.testing._specs import schema


def parsed(*words):
    return cli._parser().parse_args(["flow", *words])


@pytest.mark.parametrize(
    ("words", "run", "specs"),
    [
        ((), "_flow", []),
        (("a.flow.yaml", "b.flow.yaml"), "_flow", ["a.flow.yaml", "b.flow.yaml"]),
        (("-k", "record", "tests/flows"), "_flow", ["tests/flows"]),
        (("tests/flows", "-x", "--lf", "--watch"), "_flow", ["tests/flows"]),
        (("--", "record"), "_flow", ["record"]),
        (("./record",), "_flow", ["./record"]),
        (("record",), "_record", []),
        (("record", "-k", "good", "a.flow.yaml"), "_record", ["a.flow.yaml"]),
    ],
)
def test_a_first_word_is_a_command_or_a_spec(words, run, specs):
    options = parsed(*words)
    assert (options.run.__name__, options.specs) == (run, specs)


def test_the_words_of_the_other_commands():
    assert parsed("new", "genes_daily").workflow == "genes_daily"
    assert parsed("schema").run.__name__ == "_schema"
    assert parsed("--max-seconds", "1.5").max_seconds == 1.5


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--max-seconds", "0"), "'0' is no number of seconds"),
        (("--max-seconds", "soon"), "'soon' is no number of seconds"),
        (("--max-seconds", "nan"), "'nan' is no number of seconds"),
        (("new",), "rax flow new: error: the following arguments are required: WORKFLOW"),
        (("record", "--watch"), "unrecognized arguments: --watch"),
        (("--nosuch",), "unrecognized arguments: --nosuch"),
    ],
)
def test_a_command_line_that_is_wrong(words, problem, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(*words)
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("command", [("flow",), ("flow", "record"), ("flow", "new", "genes_daily")])
def test_a_node_runs_no_cases(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_laptop, "NODE", tmp_path)
    assert cli.main([*command]) == 3
    problem = (
        "this is a node, with the credentials of production: run the specs on a laptop or in CI"
    )
    assert capsys.readouterr().err == f"rax: {problem}\n"


def test_the_schema_is_for_editors(capsys):
    assert cli.main(["flow", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_the_other_commands_are_named_in_the_help(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    shown = capsys.readouterr().out
    for name in ("new", "record", "schema"):
        assert f"  rax flow {name} " in shown
    with pytest.raises(SystemExit):
        parsed("record", "--help")
    assert capsys.readouterr().out.startswith("usage: rax flow record [-h]")
