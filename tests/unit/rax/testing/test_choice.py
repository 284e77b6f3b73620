"""The option -k of rax flow: which names an expression means, and which expressions mean none."""

import re

import pytest

from rax.errors import CommandError
from rax.testing._choice import choice

NAMES = {
    "good": "tests/flows/genes_daily.flow.yaml::good genes_daily",
    "two months": "tests/flows/ebi_flights.flow.yaml::Loads two months ebi_flights",
    "down": "tests/flows/genes_daily.flow.yaml::the source is down genes_daily",
}


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("good", ["good"]),
        ("GOOD", ["good"]),
        ("genes_daily", ["good", "down"]),
        ("two months", ["two months"]),
        ("loads  two", ["two months"]),
        ("not genes", ["two months"]),
        ("genes and not down", ["good"]),
        ("down or two", ["two months", "down"]),
        ("not (down or two)", ["good"]),
        ("not not good", ["good"]),
        ("good or genes and down", ["good", "down"]),
        ("(good or genes) and down", ["down"]),
        ("::good", ["good"]),
        ("nosuch", []),
        ("android", []),
    ],
)
def test_what_an_expression_means(expression, meant):
    is_meant = choice(expression)
    assert [key for key, name in NAMES.items() if is_meant(name)] == meant


@pytest.mark.parametrize(
    ("expression", "place"),
    [
        (" ", "its begin"),
        ("and", "its begin"),
        ("good and", "good and"),
        ("not", "not"),
        ("(good", "( good"),
        ("good)", "good"),
        ("()", "("),
        ("good not down", "good"),
    ],
)
def test_an_expression_that_means_none(expression, place):
    problem = f"-k {expression!r}: parts of names, joined by and, or and not, are expected"
    with pytest.raises(
        CommandError, match=f"^{re.escape(problem)}; it is wrong after {re.escape(place)}$"
    ):
        choice(expression)
