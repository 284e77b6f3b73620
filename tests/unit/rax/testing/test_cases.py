"""Cases: which of them are chosen, how they are run and judged, and what is said of them."""

import json
import re
from xml.etree import ElementTree

import pytest

from rax.cli._flow._choosing import choose
from rax.cli._flow._files import as_json, remove_junit, write_junit
from rax.cli._flow._last import LastRun
from rax.cli._flow._report import Tally, Terminal
from rax.errors import CommandError
from rax.testing._model import Place, RunKind, TaskKey
from rax.testing._outputs import CaseOutput, RunOutput
from rax.testing._runner import Progress, run_cases
from rax.testing._specs import Mistake

GENES = """\
workflow: genes_daily
cases:
  good: {runs: [once], expect: {}}
  down: {expect: {state: failed}}
"""
SPECS = {"genes.flow.yaml": GENES, "ebi/trials.flow.yaml": GENES.replace("genes", "trials")}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository with specs of two workflows."""
    for name, text in SPECS.items():
        file = tmp_path / "dags/tests/flows" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path / "dags")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "dags"


class Successful:
    """Runs cases that all succeed, whatever is expected."""

    def __init__(self):
        self.asked = []

    def wait_until_ready(self):
        return 0.0 if self.asked else 9.25

    def run(self, spec, case, *, max_seconds, keep=False, on_task=None):
        self.asked.append((spec.workflow, case.name, max_seconds, keep))
        on_task(RunKind.ONCE, TaskKey("load", 1))
        return CaseOutput(runs=(RunOutput(RunKind.ONCE, "success", (), log="a\x1bb\n"),))


def ids(found):
    return [one.id.removeprefix("tests/flows/") for one in found.chosen]


EBI, ALL = "ebi/trials.flow.yaml", ["ebi/trials.flow.yaml::good", "ebi/trials.flow.yaml::down"]


@pytest.mark.parametrize(
    ("names", "expression", "chosen"),
    [
        ([], "", [*ALL, "genes.flow.yaml::good", "genes.flow.yaml::down"]),
        ([], "good", [ALL[0], "genes.flow.yaml::good"]),
        ([], "trials_daily and down", [ALL[1]]),
        (["tests/flows/ebi"], "", ALL),
        (["tests/flows/ebi/trials.flow.yaml"], "", ALL),
        (["tests/flows/ebi/trials.flow.yaml::down"], "", [ALL[1]]),
        ([f"tests/flows/{ALL[1]}", f"tests/flows/{ALL[0]}"], "", ALL),
        ([f"tests/flows/{ALL[1]}", f"tests/flows/{EBI}"], "", ALL),
        ([f"tests/flows/{EBI}", f"tests/flows/{ALL[1]}"], "", ALL),
    ],
)
def test_which_cases_are_chosen(root, names, expression, chosen):
    assert ids(choose(root, names, expression)) == chosen


def test_paths_are_meant_from_here_or_from_the_root(root, monkeypatch):
    monkeypatch.chdir(root / "tests/flows")
    for name in (EBI, f"tests/flows/{EBI}", str(root / "tests/flows" / EBI)):
        assert ids(choose(root, [name], "")) == ALL


@pytest.mark.parametrize(
    ("names", "expression", "problem"),
    [
        (["nosuch.flow.yaml"], "", "nosuch.flow.yaml is no spec, nor a folder that has some"),
        (["dags"], "", "dags is no spec"),
        (
            [f"tests/flows/{EBI}::godo"],
            "",
            f"tests/flows/{EBI} has no case 'godo': it has 'good', 'down'",
        ),
        ([], "nosuch", "-k 'nosuch' chooses none of the cases"),
        ([], "and", "-k 'and': parts of names"),
    ],
)
def test_a_choice_that_is_none(root, names, expression, problem):
    with pytest.raises(CommandError) as caught:
        choose(root, names, expression)
    assert str(caught.value).startswith(problem)


def test_a_repository_without_specs(tmp_path):
    with pytest.raises(CommandError, match=r"has no specs yet: \./rax flow new WORKFLOW"):
        choose(tmp_path, [], "")


def test_a_spec_with_mistakes_does_not_hide_the_others(root):
    (root / "tests/flows" / EBI).write_text("workflow: a\ncases: {good: {epxect: {}}}\n")
    found = choose(root, [], "")
    assert ids(found) == ["genes.flow.yaml::good", "genes.flow.yaml::down"]
    assert {place for place, _ in found.mistakes} == {Place(f"tests/flows/{EBI}", 2)}


def test_cases_are_run_in_their_order_and_judged_each(root):
    server, heard = Successful(), []

    class Listening(Progress):
        def ready(self, seconds):
            heard.append(seconds)

        def case(self, chosen):
            heard.append(chosen.case.name)

        def task(self, kind, key):
            heard.append(f"{kind} {key}")

    chosen = choose(root, ["tests/flows/ebi"], "").chosen
    verdicts = run_cases(server, chosen, max_seconds=7, keep=True, progress=Listening())
    first = next(verdicts)
    assert server.asked == [("trials_daily", "good", 7, True)]
    assert first.differences == ()
    (second,) = verdicts
    # The first case alone has waited, and its seconds are its own.
    assert heard == [9.25, "good", "once load[1]", "down", "once load[1]"]
    assert [one.place for one in second.differences] == [
        second.chosen.case.runs[RunKind.ONCE].place
    ]


@pytest.fixture
def verdicts(root):
    return [*run_cases(Successful(), choose(root, ["tests/flows/ebi"], "").chosen)]


def test_what_a_person_sees(verdicts, capsys):
    shown = Terminal(logs=True)
    shown.begin("what only a terminal is told")
    shown.mistakes([Mistake(Place("tests/flows/a.flow.yaml", 3), "what\x1b is this")])
    shown.ready(9.25)
    for verdict in verdicts:
        shown.verdict(verdict)
    log = ["  log of once:", "    a\\x1bb"]
    place = f"tests/flows/{EBI}"
    lines = [re.sub(r"[0-9.]+ s\)", "… s)", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "tests/flows/a.flow.yaml:3: what\\x1b is this",
        "Airflow is ready after 9.2 s",
        f"passed  {place}::good  (once; … s)",
        *log,
        f"FAILED  {place}::down  (once; … s)",
        f"  {place}:4: {verdicts[1].differences[0].headline}",
        *log,
    ]


def test_the_last_line(capsys):
    shown = Terminal(logs=False)
    for tally in (Tally(2), Tally(1, 1), Tally(0, 2), Tally(3, 0, 1), Tally(0, 0, 2)):
        shown.end(tally, 2.34)
    assert capsys.readouterr().out.splitlines() == [
        "2 cases passed in 2.3 s",
        "1 case passed, 1 failed in 2.3 s",
        "2 cases failed in 2.3 s",
        "3 cases passed, 1 spec cannot be read in 2.3 s",
        "0 cases passed, 2 specs cannot be read in 2.3 s",
    ]


MISTAKES = [
    Mistake(Place("a.flow.yaml", 3), "is wrong"),
    Mistake(Place("a.flow.yaml", 4), "too"),
]


def test_what_ci_gets(verdicts, tmp_path):
    write_junit(tmp_path, verdicts, MISTAKES)
    suite = ElementTree.parse(tmp_path / "rax-flow.xml").getroot()[0]  # noqa: S314 - it is ours
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    good, down, mistakes = suite
    assert (good.get("classname"), good.get("name")) == (f"tests/flows/{EBI}", "good")
    assert len(good) == 0
    assert down[0].tag == "failure"
    assert "tests/flows/ebi/trials.flow.yaml:4" in down[0].text
    assert mistakes[0].text == "a.flow.yaml:3: is wrong\na.flow.yaml:4: too"
    remove_junit(tmp_path)
    assert list(tmp_path.glob("*.xml")) == []


def test_what_a_program_gets(verdicts):
    found = json.loads(json.dumps(as_json(verdicts, MISTAKES)))
    assert [case["state"] for case in found["cases"]] == ["passed", "failed"]
    assert found["cases"][1]["differences"][0]["line"] == 4
    assert found["mistakes"][0] == {
        "file": "a.flow.yaml",
        "line": 3,
        "text": "is wrong",
    }


def test_those_that_failed_last(root):
    chosen = choose(root, [], "").chosen
    assert LastRun(root).chosen(chosen) == chosen
    LastRun(root).note([chosen[0].id, chosen[1].id], [])
    assert LastRun(root).chosen(chosen) == chosen[:2]
    LastRun(root).note([], [chosen[0].id])
    assert LastRun(root).chosen(chosen) == chosen[1:2]
    # None of these failed.
    assert LastRun(root).chosen(chosen[2:]) == chosen[2:]


@pytest.mark.parametrize("content", ["", "[]", '{"failed": 1}', "null"])
def test_notes_of_the_last_run_that_are_broken_count_for_none(root, content):
    chosen = choose(root, [], "").chosen
    LastRun(root).note([chosen[0].id], [])
    (file,) = (root.parent / "cache").rglob("*.json")
    file.write_text(content)
    assert LastRun(root).chosen(chosen) == chosen
