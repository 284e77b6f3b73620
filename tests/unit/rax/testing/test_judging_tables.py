"""How the judge tells of tables: columns, rows and cells, whatever the order of rows."""

import pytest

from rax.testing._judging import _contents, _csv
from rax.testing._model import RunKind
from rax.testing._outputs import Captured
from tests.unit.rax.testing.outputs_testing import captured, content

FLIGHTS = "month,flight,delay,dest\n1,1545,2,IAH\n1,1714,4,IAH\n2,461,-6,ATL\n"


@pytest.mark.parametrize(("text", "columns", "rows"), [
    ("a,b\n", ("a", "b"), []),
    ("a,b\n1,2\n", ("a", "b"), [("1", "2")]),
    # What an editor may make of it.
    ("\ufeffa,b\r\n1,2\r\n", ("a", "b"), [("1", "2")]),
    ("a,b\n1,2", ("a", "b"), [("1", "2")]),
    ("a,b\n1,2\n\n", ("a", "b"), [("1", "2")]),
    # NULL and the empty text.
    ('a,b\n,""\n"",\n', ("a", "b"), [(None, ""), ("", None)]),
    ('a\n\n""\n', ("a",), [(None,), ("",)]),
    ('a,b\n"1, ""2""\n3",4\n5,6\n', ("a", "b"), [('1, "2"\n3', "4"), ("5", "6")]),
    ("a,a,b\n1,2,3\n", ("a", "a (2)", "b"), [("1", "2", "3")]),
])  # fmt: skip
def test_tables_are_read(text, columns, rows):
    table = _csv.read(text.encode())
    assert (table.columns, table.rows) == (columns, rows)
    assert _csv.count_rows(text.encode()) == len(rows)


@pytest.mark.parametrize(("content", "why"), [
    (b"", "it is empty, without the names of columns"),
    (b"a,b\n1\n", "line 2 has 1 cells, and the first 2"),
    (b'a,b\n"1\n2",3\n4\n', "line 4 has 1 cells, and the first 2"),
    (b'a,b\n1,2\n"3,4\n', "line 3 has a quote in the middle of a cell, or one that is not closed"),
    (b'a,b\n1,x"2"\n', "line 2 has a quote in the middle of a cell, or one that is not closed"),
    (b"a\n1\n\xff\n", "line 3 is not UTF-8"),
])  # fmt: skip
def test_what_is_no_table_is_told_by_its_line(content, why):
    with pytest.raises(_csv.FormError, match=f"^{why}$"):
        _csv.read(content)


@pytest.fixture
def told(tmp_path):
    """Return what is told of a table beside its golden."""

    def tell(golden, found, run=RunKind.ONCE, first=None):
        path = tmp_path / "all.csv"
        path.write_text(golden)
        before = None if first is None else captured(first)
        found = _contents.Found(run, captured(found), before)
        return _contents.of_table(content(golden=path), found)

    return tell


@pytest.mark.parametrize(("old", "new", "lines"), [
    ("1,1545,2,IAH\n1,1714,4,IAH\n", "1,1714,4,IAH\n1,1545,2,IAH\n", []),
    ("IAH\n1,1714", '"IAH"\n1,1714', []),
    ("1545,2", "1545,4", ["1 row changed in delay", "flight=1545: delay 2 → 4"]),
    ("1545,2", "1545,", ["1 row changed in delay", "flight=1545: delay 2 → NULL"]),
    ("1545,2", '1545,""', ["1 row changed in delay", "flight=1545: delay 2 → ''"]),
    ("1545,2", "1545,NULL", ["1 row changed in delay", "flight=1545: delay 2 → 'NULL'"]),
    ("ATL", '"ATL "', ["1 row changed in dest", "flight=461: dest ATL → 'ATL '"]),
    ("ATL", "A\x1bL", ["1 row changed in dest", "flight=461: dest ATL → A\\x1bL"]),
    # The key itself: the row is told by what else it has.
    ("1545", "1546", ["1 row changed in flight", "delay=2: flight 1545 → 1546"]),
    ("2,461,-6,ATL\n", "", ["3 rows → 2 rows; 1 row missing",
                            "missing: flight=461, month=2, delay=-6, dest=ATL"]),
    ("2,461,-6,ATL\n", "2,461,-6,ATL\n3,7,0,BOS\n",
     ["3 rows → 4 rows; 1 row too many", "too many: flight=7, month=3, delay=0, dest=BOS"]),
    ("2,461,-6,ATL\n", "3,7,0,BOS\n",
     ["1 row missing; 1 row too many", "missing: flight=461, month=2, delay=-6, dest=ATL",
      "too many: flight=7, month=3, delay=0, dest=BOS"]),
    ("2,461,-6,ATL\n", "2,461,-6,ATL\n2,461,-6,ATL\n",
     ["3 rows → 4 rows; 1 row not as often as expected",
      "flight=461, month=2, delay=-6, dest=ATL: 1 × → 2 ×"]),
    ("delay", "late", ["column delay is called late"]),
    ("month,flight,delay,dest\n1,1545,2,IAH\n1,1714,4,IAH\n2,461,-6,ATL\n",
     "month,flight,dest\n1,1545,IAH\n1,1714,IAH\n2,461,ATL\n", ["column delay is missing"]),
    ("month,flight,delay,dest\n1,1545,2,IAH\n1,1714,4,IAH\n2,461,-6,ATL\n",
     "flight,month,delay,dest\n1545,1,2,IAH\n1714,1,5,IAH\n461,2,-6,ATL\n",
     ["the columns are in another order: flight, month, delay, dest", "1 row changed in delay",
      "flight=1714: delay 4 → 5"]),
    ("month,flight,delay,dest\n1,1545,2,IAH\n1,1714,4,IAH\n2,461,-6,ATL\n",
     "month,flight,delay,to,at\n1,1545,2,IAH,1\n1,1714,4,IAH,1\n2,461,-6,ATL,1\n",
     ["2 columns differ", "column dest is called to", "column at is not expected"]),
    # All cells of a column, and two columns that are swapped.
    ("month,flight,delay,dest\n1,1545,2,IAH\n1,1714,4,IAH\n2,461,-6,ATL\n",
     "month,flight,delay,dest\n1,1545,4,IAH\n1,1714,8,IAH\n2,461,-12,ATL\n",
     ["3 rows changed in delay", "flight=1545: delay 2 → 4", "flight=1714: delay 4 → 8",
      "flight=461: delay -6 → -12"]),
    ("1545,2", "2,1545", ["1 row changed in flight and delay",
                          "row 1: flight 1545 → 2, delay 2 → 1545"]),
    ("month,flight,delay,dest\n1,1545,2,IAH\n1,1714,4,IAH\n2,461,-6,ATL\n", "",
     ["what was found is no table: it is empty, without the names of columns"]),
])  # fmt: skip
def test_a_table_beside_its_golden(told, old, new, lines):
    assert told(FLIGHTS, FLIGHTS.replace(old, new)) == (
        [f"beside all.csv: {lines[0]}", *lines[1:]] if lines else []
    )


def test_one_row_is_that_row_whatever_it_holds(told):
    assert told("count\n7\n", "count\n0\n") == [
        "beside all.csv: 1 row changed in count",
        "the row: count 7 → 0",
    ]


def test_rows_without_a_key_have_their_number(told):
    assert told("a,b,c\n1,1,1\n1,1,1\n1,1,2\n", "a,b,c\n1,1,1\n1,1,1\n1,1,3\n") == [
        "beside all.csv: 1 row changed in c",
        "row 3: c 2 → 3",
    ]


def test_few_of_many_cells_and_rows_are_told(told):
    rows = [f"{number},{'x' * 100}a,0,0,0,0,0,0,0" for number in range(40)]
    golden = "\n".join(["id,a,b,c,d,e,f,g,h", *rows, ""])
    lines = told(golden, golden.replace("xa,0,0", "xb,1,0"))
    assert lines[:2] == [
        "beside all.csv: 40 rows changed in a and b",
        f"id=0: a …{'x' * 15}a → …{'x' * 15}b, b 0 → 1",
    ]
    assert (len(lines), lines[-1]) == (14, "and 28 more")
    assert (
        told(golden, golden.replace(f"{rows[39]}\n", ""))[1]
        == f"missing: id=39, a={'x' * 59}…, b=0, c=0, d=0, e=0, and 3 more"
    )


def test_a_large_table_is_compared_in_time(told):
    """More rows than are paired: a test that took the square of them would not end."""
    golden = "\n".join(["id,a,b", *(f"{number},1,2" for number in range(9_000)), ""])
    lines = told(golden, golden.replace(",1,2", ",2,1"))
    assert lines[0] == "beside all.csv: 9,000 rows missing; 9,000 rows too many"


@pytest.mark.parametrize(("run", "hint"), [
    (RunKind.ONCE, ""), (RunKind.AGAIN, "the second run has added again what the first had loaded"),
    (RunKind.LOST, "the retry has added again what the try before it had loaded"),
])  # fmt: skip
@pytest.mark.parametrize("stamp", [False, True])
def test_doubled_rows_have_a_hint(told, run, hint, stamp):
    columns, rows = "a,loaded\n", [f"{number},{number + stamp}\n" for number in range(3)]
    more = [f"{number},{number + stamp * 9}\n" for number in range(3)]
    lines = told(columns + "".join(rows), columns + "".join(rows + more), run)
    assert lines[0].startswith("beside all.csv: 3 rows → ")
    assert any(line.startswith(hint) for line in lines) or not hint
    assert any("DELETE" in line for line in lines) == bool(hint)


def test_a_further_run_is_told_beside_the_first_where_that_one_differs(told):
    wrong = FLIGHTS.replace("1545,2", "1545,9")
    assert told(FLIGHTS, wrong, RunKind.AGAIN, first=wrong) == []
    assert told(FLIGHTS, wrong.replace("ATL", "BOS"), RunKind.AGAIN, first=wrong) == [
        "beside the first run: 1 row changed in dest",
        "flight=461: dest ATL → BOS",
    ]
    # A first run that was right has nothing to add.
    assert told(FLIGHTS, wrong, RunKind.LOST, first=FLIGHTS) == [
        "beside all.csv: 1 row changed in delay",
        "flight=1545: delay 2 → 9",
    ]


@pytest.mark.parametrize(("expected", "found", "lines"), [
    ({"rows": 3}, FLIGHTS, []),
    ({"rows": 4}, FLIGHTS, ["4 rows → 3"]),
    ({"rows": 1}, "a\n", ["1 row → 0"]),
    ({"rows": 1}, "", ["1 row → 0"]),
    ({"rows": 1}, 'a\n"', ["is no table: line 2 has a quote in the middle of a cell, or one that "
                           "is not closed"]),
])  # fmt: skip
def test_numbers_of_rows(expected, found, lines):
    told = _contents.of_table(content(**expected), _contents.Found(RunKind.ONCE, captured(found)))
    assert told == lines


def test_what_could_not_be_asked(tmp_path):
    found = _contents.Found(RunKind.ONCE, Captured(error='relation "flights" does not exist'))
    golden = content(golden=tmp_path / "all.csv")
    assert _contents.of_table(golden, found) == ['relation "flights" does not exist']
    assert _contents.of_table(golden, _contents.Found(RunKind.ONCE, Captured())) == [
        "there is no such table"
    ]
    assert _contents.of_table(golden, _contents.Found(RunKind.ONCE, captured(FLIGHTS))) == [
        "there is no all.csv yet: ./rax flow record writes it"
    ]
    of_a_cluster = content(golden=tmp_path / "all.csv", is_recorded=False)
    assert _contents.of_table(of_a_cluster, _contents.Found(RunKind.ONCE, captured(FLIGHTS))) == [
        "there is no all.csv yet: write it, since ./rax flow record has no data of a cluster"
    ]
    (tmp_path / "all.csv").mkdir()
    assert _contents.of_table(golden, _contents.Found(RunKind.ONCE, captured(FLIGHTS))) == [
        "all.csv cannot be read: Is a directory"
    ]
