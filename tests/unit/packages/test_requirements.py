# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of requirements files, and the dates beside them: nothing in them is ignored."""

import datetime

import pytest

from scripts.lib.locks.content import not_imported
from scripts.lib.locks.recipe import date_arguments
from scripts.lib.locks.requirements import LockError, newest_day, read_lines, refuse_future

GOOD = """\
# Packages of the nodes. Until Airflow 4, they stay as they are.
apache-airflow[celery]==3.3.2  # until 2026-09-18

pagerduty >= 7.2, < 8  # until 2026-11-10: Airflow does not use it
a.b_c  #until 2024-02-29, which is a day of the calendar
numpy ; python_version < "3.12"  # what we calculate with
numpy>2 ; python_version >= "3.12"
"""


def read(text, **others):
    texts = {"in": text, **others}

    def text_of(name):
        if name not in texts:
            raise FileNotFoundError(name)
        return texts[name]

    return read_lines("in", text_of)


def test_lines_and_their_dates_are_read():
    assert [(line.number, line.name, line.asked, str(line.until)) for line in read(GOOD)] == [
        (2, "apache-airflow", "apache-airflow[celery]==3.3.2", "2026-09-18"),
        (4, "pagerduty", "pagerduty >= 7.2, < 8", "2026-11-10"),
        (5, "a-b-c", "a.b_c", "2024-02-29"),
        (6, "numpy", 'numpy ; python_version < "3.12"', "None"),
        (7, "numpy", 'numpy>2 ; python_version >= "3.12"', "None"),
    ]


def test_the_date_beside_airflow_is_that_of_all_packages():
    assert date_arguments(read(GOOD)) == [
        "--exclude-newer=2026-09-18T23:59:59Z",
        "--exclude-newer-package=pagerduty=2026-11-10T23:59:59Z",
        "--exclude-newer-package=a-b-c=2024-02-29T23:59:59Z",
    ]
    assert date_arguments(read("pandas\n")) == []


def test_a_package_may_be_left_out_of_the_proof():
    asked = (
        "a  # not imported\nb  # not imported: it draws\nc  # until 2026-11-10, not imported\n"
        "d  # until 2026-11-10: not imported by Airflow\ne  # imported\n"
    )
    assert [(line.name, line.imported) for line in read(asked)] == [
        ("a", False), ("b", False), ("c", False), ("d", True), ("e", True),
    ]  # fmt: skip
    assert not_imported(read(asked)) == "# Not imported: a, b, c\n"
    assert not_imported(read("x\n")) == ""


def test_included_files_are_read_from_where_they_are():
    lines = read("-r other.in\nruff\n", **{"other.in": "pandas\n"})
    assert [line.place for line in lines] == ["other.in:1", "in:2"]


FORM = "write `name>=7.2,<8  # until 2026-11-10`, `# not imported`, or both with a comma between"
NO_NOTE = f"in:1: the comment looks like a note that counts, and is none: {FORM}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x  # until 2026-02-30", "in:1: 2026-02-30 is no day of the calendar"),
        ("x  # until 2026-13-01", "in:1: 2026-13-01 is no day of the calendar"),
        ("x  # until 2026-9-18", NO_NOTE),
        ("x  # until November", NO_NOTE),
        ("x  # until", NO_NOTE),
        ("x  # Until 2026-11-10", NO_NOTE),
        ("x  # until 2026-11-10T12:00:00Z", NO_NOTE),
        ("x  # until 2026-11-10 since it is needed", NO_NOTE),
        ("x  # newer, until 2026-11-10", NO_NOTE),
        ("x  # 2026-11-10", NO_NOTE),
        ("x  # until 10.11.2026", NO_NOTE),
        ("# until 2026-11-10\nx", f"in:1: the note has no package beside it: {FORM}"),
        (
            "-r o  # until 2026-11-10",
            "in:1: `until 2026-11-10` belongs beside the line of one package",
        ),
        ("x  # Not imported", NO_NOTE),
        ("x  # until 2026-11-10 not imported", NO_NOTE),
        ("# not imported", f"in:1: the note has no package beside it: {FORM}"),
        ("x==1\nX>2", "in:2: x is asked for in in:1 too"),
        ("a_b\n\n-r o", "o:1: a-b is asked for in in:1 too"),
        ("pandas=>2", "in:1: `pandas=>2` is not a requirement: Expected "),
        ("pandas>=2 numpy", "in:1: `pandas>=2 numpy` is not a requirement: Expected "),
        ("--index-url https://u:p@x.example.org", "in:1: options are not taken: "),
        ("-e .", "in:1: options are not taken: "),
        ("x @ https://x.example.org/x.whl", "in:1: x is from an address, and "),
        ("x @ git+https://x.example.org/x", "in:1: x is from an address, and "),
        ("-r in", "in: it includes itself"),
        ("-r nosuch.in", "nosuch.in: there is no such file"),
    ],
)
def test_what_would_be_ignored_or_misread_is_refused(text, problem):
    with pytest.raises(LockError) as caught:
        read(f"{text}\n", o="a.b\n")
    assert str(caught.value).startswith(problem)
    # A password in an address is not repeated.
    assert "u:p" not in str(caught.value)


def test_airflow_without_its_day_is_refused():
    with pytest.raises(LockError, match="in:1: the day on which this Airflow came out is missing"):
        newest_day(read("apache-airflow==3.3.2\n"))


def test_a_day_that_is_still_to_come_is_refused():
    lines = read("x  # until 2026-11-10\n")
    refuse_future(lines, datetime.date(2026, 11, 10))
    with pytest.raises(LockError, match="in:1: 2026-11-10 is still to come"):
        refuse_future(lines, datetime.date(2026, 11, 9))
