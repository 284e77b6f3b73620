"""What a caller is told where the process with Airflow, or that of a case, ends or hangs."""

import textwrap
from pathlib import Path

import pytest

from rax.testing._engine import Server, ServerError, _server
from rax.testing._model import Case, Expectation, Given, Place, RunKind, Spec

PLACE = Place("x.flow.yaml", 1)
CASE = Case(PLACE, "a case", Given(), {RunKind.ONCE: Expectation(PLACE)})
SPEC = Spec(Path("x.flow.yaml"), PLACE, "flights", (CASE,))
HEAD = """
import json, pathlib, socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
folder = pathlib.Path(sys.argv[3])
def say(line):
    connection.sendall(line.encode() + b"\\n")
def hear():
    if not (line := connection.recv(1_000_000)):
        sys.exit()
    return line
def tell(number, kind, **fields):
    new = folder / f"0/events/.{number}"
    new.write_text(json.dumps(fields))
    new.rename(folder / f"0/events/{number}.{kind}")
    say("look")
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Return what makes a server of a program that stands in for the one with Airflow."""
    program = tmp_path / "program.py"
    monkeypatch.setattr(_server._program, "__file__", str(program))
    root = tmp_path / "root"
    (root / "dags").mkdir(parents=True)
    (root / "rax.toml").touch()

    def server(text):
        program.write_text(HEAD + textwrap.dedent(text))
        return Server(root)

    return server


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("sys.exit('no module named airflow')",
         "the process with Airflow has ended: no module named airflow"),
        ("sys.exit()", "the process with Airflow has ended: it said nothing"),
        ("say('failed the first DAG of this process is failed')",
         "Airflow cannot run a DAG here: the first DAG of this process is failed"),
        ("say('ready'); hear(); sys.exit('killed')", "the process with Airflow has ended: killed"),
    ],
)  # fmt: skip
def test_it_is_not_there(server, program, message):
    with server(program) as one, pytest.raises(ServerError) as caught:
        one.run(SPEC, CASE, max_seconds=30)
    assert str(caught.value) == message


def test_one_that_has_ended_is_started_again(server):
    with server("say('ready'); hear(); say('begun'); say('ended 0')") as one:
        folders = set()
        for _ in range(2):
            output = one.run(SPEC, CASE, max_seconds=30)
            assert output.trouble == "the case ended the process with exit code 0"
            folders.add(one._folder)
            one._process.wait()
        assert len(folders) == 2
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    ("events", "trouble"),
    [
        ("", "the case was still running after 0.5 s"),
        ("tell(1, 'Phase', text='loading a.py')", "loading a.py was still running after 0.5 s"),
        ("tell(1, 'Begun', run='once', key=['load', 3])",
         "load[3] was still running after 0.5 s"),
    ],
)  # fmt: skip
def test_a_case_that_hangs(server, events, trouble):
    with server(f"say('ready'); hear(); {events}\nhear(); say('ended 9'); hear()") as one:
        assert one.run(SPEC, CASE, max_seconds=0.5).trouble == trouble


@pytest.mark.parametrize(
    ("program", "trouble"),
    [
        ("say('ended 9')", "load was killed by SIGKILL"),
        ("say('ended 768')", "load ended the process with exit code 3"),
        ("say('ended -1')", "load was ended by what it had started, or by the system"),
        ("tell(2, 'Denied', text=1); say('ended 0')",
         "load has broken what the engine notes: 1 is not of <class 'str'>"),
        ("say('over used more than 2048 MiB of memory'); say('ended -1')",
         "load used more than 2048 MiB of memory"),
        ("tell(2, 'Phase', text='x'); tell(3, 'Done', trouble='it is wrong'); say('ended 0')",
         "it is wrong"),
    ],
)  # fmt: skip
def test_a_case_that_is_broken_off(server, program, trouble):
    begun = """
say('ready'); hear(); say('begun a guard')
tell(1, 'Begun', run='once', key=['load', None])
"""
    asked = []
    with server(f"{begun}{program}\nhear()") as one:
        output = one.run(SPEC, CASE, max_seconds=30, on_task=lambda *task: asked.append(task))
    assert output.trouble == trouble
    assert output.guard == "a guard"
    assert [(str(kind), str(key)) for kind, key in asked] == [("once", "load")]


def test_a_case_is_kept_until_it_is_released(server):
    program = """
        say('ready'); hear()
        tell(1, 'Done', kept=['psql -h /tmp/x'])
        assert hear() == b'end\\n'
        say('ended 9'); hear()
    """
    with server(program) as one:
        output = one.run(SPEC, CASE, max_seconds=30, keep=True)
        assert output.kept == ("psql -h /tmp/x",)
        folder = one._folder / "0"
        assert folder.exists()
        one.release()
        assert not folder.exists()
