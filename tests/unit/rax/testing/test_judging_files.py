"""How the judge tells of files, and of what tasks return."""

import datetime

import pytest

from rax.testing._judging import _contents, _values
from rax.testing._model import RunKind
from rax.testing._outputs import Captured
from tests.unit.rax.testing.outputs_testing import captured, content


def told(expected, found, name="out.txt"):
    return _contents.of_file(expected, _contents.Found(RunKind.ONCE, found), name)


@pytest.mark.parametrize(("expected", "found", "lines"), [
    ({"absent": True}, Captured(), []),
    ({"absent": True}, captured("abc"), ["is there, with 3 bytes"]),
    ({"rows": 2}, Captured(), ["is not there"]),
    ({"rows": 2}, Captured(error="it is a link out of the case"), ["it is a link out of the case"]),
    ({"rows": 2}, captured("a\n1\n2\n"), []),
    ({"rows": 2}, captured("a\n1\n2"), []),
    ({"rows": 2}, captured("a\n1\n"), ["2 lines below the first → 1"]),
    ({"rows": 0}, captured(""), []),
    ({"text": "done\n"}, captured("done\n"), []),
    ({"text": "done\n"}, captured("done"), ["1 line differs", "line 2 is missing: ''"]),
    ({"text": ""}, captured("x"), ["1 line differs", "line 1: '' → 'x'"]),
])  # fmt: skip
def test_files(expected, found, lines):
    assert told(content(**expected), found) == lines


@pytest.mark.parametrize(("name", "golden", "found", "lines"), [
    ("a.txt", b"a\nb\nc\n", b"a\nb\nc\n", []),
    ("a.txt", b"a\nb\nc\n", b"a\nx\nc\n", ["1 line differs", "line 2: 'b' → 'x'"]),
    ("a.txt", b"a\nb\nc\n", b"a\nc\n", ["1 line differs", "line 2 is missing: 'b'"]),
    ("a.txt", b"a\nc\n", b"a\nb\nc\n", ["1 line differs", "not expected after line 1: 'b'"]),
    ("a.txt", b"a\n", b"a\r\n", ["1 line differs", r"line 1: 'a' → 'a\r'"]),
    ("a.bin", b"\xff\x00ab", b"\xff\x00bc", ["differs from byte 2 on; 4 bytes → 4 bytes"]),
    ("a.bin", b"\xff\x00", b"\xff\x00b", ["differs from byte 2 on; 2 bytes → 3 bytes"]),
    ("a.csv", b"a,b\n1,2\n", b"a,b\n1,3\n", ["1 row changed in b", "the row: b 2 → 3"]),
    # Each byte counts, and the order of rows too.
    ("a.csv", b"a\n1\n2\n", b"a\n2\n1\n",
     ["2 lines differ", "not expected after line 1: '2'", "line 3 is missing: '2'"]),
    ("a.json", b'{"a": 1}', b'{"a": 2, "b": 1}',
     ["2 values differ", "a: 1 → 2", "b is not expected"]),
    ("a.json", b'{"a": [1]}', b'{"a": [2]}', ["a[0]: 1 → 2"]),
    ("a.json", b'{"a": 1}', b'{"a":1}', ["1 line differs", """line 1: '{"a": 1}' → '{"a":1}'"""]),
    ("a.json", b'{"a": 1}', b'{"a": ', ["1 line differs", """line 1: '{"a": 1}' → '{"a": '"""]),
])  # fmt: skip
def test_a_file_beside_its_golden(tmp_path, name, golden, found, lines):
    path = tmp_path / name
    path.write_bytes(golden)
    expected = [f"beside {name}: {lines[0]}", *lines[1:]] if lines else []
    assert told(content(golden=path), Captured(found), name) == expected


def test_few_of_many_lines_are_told(tmp_path):
    (tmp_path / "a.txt").write_text("a\n" * 40)
    lines = told(content(golden=tmp_path / "a.txt"), captured("b\n" * 40))
    assert (lines[0], len(lines)) == ("beside a.txt: 40 lines differ", 14)
    assert (lines[1], lines[-1]) == ("line 1: 'a' → 'b'", "and 28 more")


@pytest.mark.parametrize(("expected", "found", "lines"), [
    (None, None, []),
    (None, {"rows": 1}, ['null → {"rows": 1}']),
    ({"rows": 4}, {"rows": 4, "host": "node-1"}, []),
    ({"rows": 4}, {"rows": 4.0}, []),
    ({"rows": 4}, {"rows": 3}, ["rows: 4 → 3"]),
    ({"rows": 4}, {"rows": "4"}, ['rows: 4 → "4"']),
    ({"rows": 1}, {"rows": True}, ["rows: 1 → true"]),
    ({"rows": False}, {"rows": 0}, ["rows: false → 0"]),
    ({"rows": 4}, {"row": 4}, ["rows is missing: did you mean row?"]),
    ({"rows": 4}, None, ['{"rows": 4} → null']),
    ({"by": {"a": 1}}, {"by": {"a": 2, "b": 3}}, ["by.a: 1 → 2"]),
    ([1, 2], (1, 2), []),
    ([1, 2], [2, 1], ["[0]: 1 → 2", "[1]: 2 → 1"]),
    ([1, 2], [1], ["2 items → 1 item"]),
    ({"all": [{"a": 1}]}, {"all": [{"a": 2, "b": 1}]}, ["all[0].a: 1 → 2"]),
    ("2013-01-01", datetime.date(2013, 1, 1), []),
    ("2013-01-01T05:00:00+00:00", datetime.datetime(2013, 1, 1, 5, tzinfo=datetime.UTC), []),
    (float("nan"), float("nan"), []),
    ("x" * 90 + "a", "x" * 90 + "b", [f'…{"x" * 15}a" → …{"x" * 15}b"']),
    ("a\nb", "a\x1bb", [r'"a\nb" → "a\u001bb"']),
])  # fmt: skip
def test_values(expected, found, lines):
    assert _values.differing(expected, found) == lines
