"""Goldens: what is written, and of what nothing is."""

import pytest

from rax.errors import CommandError
from rax.testing._judging import record
from rax.testing._model import RunKind
from rax.testing._outputs import Captured
from tests.unit.rax.testing.outputs_testing import (
    ALL_FLIGHTS,
    captured,
    case,
    content,
    expectation,
    expected_task,
    flights,
    output,
    run,
)

TABLE = "a,b\n1,\n"


def runs_of(*texts, state="success", tasks=None):
    return output(*(
        run(state, kind=kind, tasks=tasks, tables={ALL_FLIGHTS: captured(text)})
        for kind, text in zip(RunKind, texts, strict=False)
    ))  # fmt: skip


def runs_expected(folder, name="all.csv", number=1, **values):
    tables = {ALL_FLIGHTS: content(golden=folder / name)}
    return case(*number * [expectation(tables=tables, **values)])


@pytest.mark.parametrize("before", [None, b"a,b\n2,\n", b"\xff"])
def test_what_differs_is_written_as_it_was_found(tmp_path, before):
    golden = tmp_path / "deep" / "all.csv"
    if before is not None:
        golden.parent.mkdir()
        golden.write_bytes(before)
    done = record([(runs_expected(golden.parent, number=3), runs_of(TABLE, TABLE, TABLE))])
    assert (done.written, done.kept, done.refused) == ((golden,), (), ())
    assert golden.read_text() == TABLE
    assert [path.name for path in golden.parent.iterdir()] == ["all.csv"]


def test_what_is_the_same_is_left_as_it_is(tmp_path):
    golden = tmp_path / "all.csv"
    golden.write_text(TABLE)
    before = golden.stat()
    done = record([(runs_expected(tmp_path), runs_of(TABLE))])
    assert (done.written, done.kept) == ((), (golden,))
    assert (golden.stat().st_mtime_ns, golden.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(("found", "why"), [
    (runs_of(TABLE, state="failed"), "once: the run: success → failed"),
    (output(trouble="load hung"), "load hung"),
    (output(run(tables={ALL_FLIGHTS: captured(TABLE)}), denied=("load: 192.0.2.1 port 5432",)),
     "out of reach: load: 192.0.2.1 port 5432"),
    (output(run(tables={ALL_FLIGHTS: Captured(error="no such table")})),
     "once: EBI-ETL-DEV-01: SELECT * FROM flights: nothing to write into all.csv: no such table"),
])  # fmt: skip
def test_nothing_is_written_of_a_case_that_did_not_end_as_expected(tmp_path, found, why):
    done = record([(runs_expected(tmp_path), found)])
    assert (done.written, [one.headline for one in done.refused]) == ((), [why])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [None, "a,b\n1,\n", "a,b\n7,\n"])
def test_nothing_is_written_that_another_run_finds_otherwise(tmp_path, before):
    """A clock or a counter in a table would make each later run differ."""
    golden = tmp_path / "all.csv"
    if before:
        golden.write_text(before)
    done = record([(runs_expected(tmp_path, number=2), runs_of(TABLE, "a,b\n2,\n"))])
    name = "all.csv" if before == TABLE else "the first run"
    assert [(one.run, one.subject, one.text.partition("\n")[0]) for one in done.refused] == [
        ("again", "EBI-ETL-DEV-01: SELECT * FROM flights", f"beside {name}: 1 row changed in a")
    ]
    assert [path.read_text() for path in tmp_path.iterdir()] == [before] * bool(before)


def test_one_file_cannot_be_the_golden_of_two_contents(tmp_path):
    cases = [
        (runs_expected(tmp_path), runs_of(TABLE)),
        (runs_expected(tmp_path, "other.csv"), runs_of(TABLE)),
        (runs_expected(tmp_path), runs_of("a,b\n2,\n")),
    ]
    done = record(cases)
    assert done.written == (tmp_path / "other.csv",)
    assert [one.text for one in done.refused] == [
        "all.csv would need another content than for tests/flows/flights.flow.yaml:12: once: "
        "EBI-ETL-DEV-01: SELECT * FROM flights: name another file"
    ]
    assert not (tmp_path / "all.csv").exists()


def test_tables_and_files_of_tasks(tmp_path):
    wanted = expected_task(
        "load[0]",
        tables={ALL_FLIGHTS: content(golden=tmp_path / "load.csv")},
        files={"out.bin": content(golden=tmp_path / "out.bin"), "none": content(absent=True)},
        state="success",
    )
    left = {"tables": {ALL_FLIGHTS: captured(TABLE)}, "files": {"out.bin": Captured(b"\xff\x00")}}
    tasks = flights(**left)
    done = record([(case(expectation(tasks=(wanted,))), output(run(tasks=tasks)))])
    assert done.refused == ()
    assert (tmp_path / "load.csv").read_text() == TABLE
    assert (tmp_path / "out.bin").read_bytes() == b"\xff\x00"


def test_what_tasks_return_is_for_the_author_to_write():
    tasks = flights(returned={"rows": 4, "key": "hunter2hunter2"})
    wanted = (
        expected_task("load[0]"),
        expected_task("load[1]"),
        expected_task("create", unverified="it has nothing"),
    )
    credentials = {"DB": {"pass": "hunter2hunter2"}}
    found = case(expectation(tasks=wanted), expectation(tasks=wanted), credentials=credentials)
    runs = [run(kind=kind, tasks=tasks) for kind in (RunKind.ONCE, RunKind.AGAIN)]
    done = record([(found, output(*runs))])
    assert [one.text for one in done.advice] == ['load[0] has returned: {"rows": 4, "key": "***"}']


def test_a_golden_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match=r"all\.csv cannot be written: File exists"):
        record([(runs_expected(tmp_path / "file"), runs_of(TABLE))])
