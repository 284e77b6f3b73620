"""What a task returned, as a spec says it."""

import dataclasses
import datetime
import enum
import uuid
from decimal import Decimal
from pathlib import PurePosixPath

import pytest

from rax.testing._engine._values import plain


@dataclasses.dataclass
class Row:
    month: int
    on: datetime.date


class Color(enum.StrEnum):
    RED = "red"


class Other:
    """Something that no JSON has."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2.5, 2.5),
        ("x", "x"),
        ({"a": (1, [2])}, {"a": [1, [2]]}),
        ({1: {"b"}}, {"1": ["b"]}),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.datetime(2026, 1, 31, 8, tzinfo=datetime.UTC), "2026-01-31T08:00:00+00:00"),
        (datetime.time(8), "08:00:00"),
        (Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (b"a\xff", "a\\xff"),
        (Row(1, datetime.date(2026, 1, 1)), {"month": 1, "on": "2026-01-01"}),
        (Color.RED, "red"),
        # Without Airflow, which may know it.
        (Other(), f"({Other.__module__}.Other)"),
    ],
)
def test_a_value(value, expected):
    assert plain(value) == expected


def test_one_that_holds_itself_has_an_end():
    value = []
    value.append(value)
    assert "nested more than 50 times" in str(plain(value))
