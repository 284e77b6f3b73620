# SPDX-License-Identifier: GPL-3.0-or-later
import json
import re

import pytest
from bench_testing import MACHINE, make_report

from benchmarks import aims, figures
from benchmarks.aims import Aim, Figure


@pytest.mark.parametrize(
    ("aim", "value", "text", "limit", "met"),
    [
        pytest.param(Aim("x", 2.0, ""), 1.5, "1.50×", "≤ 2.00×", True, id="below"),
        pytest.param(Aim("x", 2.0, ""), 2.0, "2.00×", "≤ 2.00×", True, id="just"),
        pytest.param(Aim("x", 2.0, ""), 2.01, "2.01×", "≤ 2.00×", False, id="above"),
        pytest.param(Aim("x", 200, at_least=True), 1234.5, "1,234×", "≥ 200×", True, id="faster"),
        pytest.param(Aim("x", 200, at_least=True), 150, "150×", "≥ 200×", False, id="slower"),
        pytest.param(Aim("x", 42, unit=""), 42, "42", "≤ 42", True, id="count"),
        pytest.param(Aim("x", 42, unit=""), 43, "43", "≤ 42", False, id="one-too-many"),
        pytest.param(Aim("x", 0, unit=""), 0, "0", "≤ 0", True, id="none"),
        pytest.param(Aim("x", 0, unit=""), 1, "1", "≤ 0", False, id="one-of-none"),
        pytest.param(
            Aim("x", 25, unit=" pings"), 24.96, "25.0 pings", "≤ 25.0 pings", True, id="pings"
        ),
        pytest.param(Aim("x", 170, unit=" s"), 224, "224 s", "≤ 170 s", False, id="seconds"),
    ],
)
def test_an_aim_is_met_or_missed(aim, value, text, limit, met):
    figure = Figure(aim, value)
    assert figure.row() == ("x", text, limit, "met" if met else "**missed**")
    assert figure.met == met


@pytest.mark.parametrize("change", [{"seconds": None}, {"other": 1.0}])
def test_each_value_has_an_aim_and_each_aim_a_value(change):
    values = {name: value for name, value in ({"seconds": 1.0} | change).items() if value}
    with pytest.raises(ValueError, match=r"^first_run: a value or its aim is missing: \w+$"):
        aims.figures_of("first_run", values)


def test_a_table_keeps_its_columns():
    rows = [("write | Write", 1.26, "7%"), ("b", 3, "93%")]
    assert figures.table(("task", "n", "share"), rows).splitlines() == [
        "| task | n | share |",
        "| --- | --: | --: |",
        "| write \\| Write | 1.3 | 7% |",
        "| b | 3 | 93% |",
    ]


@pytest.mark.parametrize(("load", "warns"), [(0.2, False), (3.0, True)])
def test_figures_of_a_busy_machine_say_so(load, warns):
    assert ("busy" in figures.busy({"load": load, "cores": 2})) == warns


@pytest.mark.parametrize("quick", [False, True])
def test_a_report_is_written_to_read_and_to_count_with(tmp_path, capsys, quick):
    report = make_report("first_run", seconds=200.0, quick=quick)
    figures.write(tmp_path / "reports", MACHINE | {"dirty": quick}, report)
    text = (tmp_path / "reports/first_run.md").read_text()
    begin = (
        r"# first_run\n\n2026-01-02, commit abcdef0(, with changes)?: .* load 0\.1 .*\n\n"
        r"(\*\*Few rounds\*\* .*\n\n)?\| what \| measured \| aim \|  \|\n"
    )
    found = re.match(begin, text)
    assert [bool(group) for group in found.groups()] == [quick, quick]
    assert text.endswith(" | 200 s | ≤ 170 s | **missed** |\n\nThe **text**.\n")
    raw = json.loads((tmp_path / "reports/first_run.json").read_text())
    assert raw["figures"]["seconds"]["value"] == 200.0
    assert raw["figures"]["seconds"]["met"] is False
    assert raw["spans"] == [1.5]
    assert text in capsys.readouterr().out


def test_the_summary_names_what_is_missed_and_what_was_not_measured():
    reports = [make_report("dag_sync", tick=1.2, torn=1), make_report("converged", pings=25.0)]
    left = [part for part in aims.AIMS if part not in ("dag_sync", "converged")]
    assert figures.summary(reports).splitlines() == [
        "Missed aims: 1 of 6.",
        "",
        "| part | what | measured | aim |",
        "| --- | --- | --- | --- |",
        f"| dag_sync | {aims.AIMS['dag_sync']['torn'].what} | 1 | ≤ 0 |",
        "",
        f"Not measured: {', '.join(left)}.",
    ]


def test_a_summary_of_aims_that_are_met_is_short():
    assert figures.summary([make_report("converged", pings=1.0)]).startswith(
        "Missed aims: 0 of 1.\n\nNot measured: "
    )


def test_figures_of_all_parts_leave_nothing_out():
    reports = [
        figures.Report(part, {name: Figure(aim, aim.limit) for name, aim in of.items()}, {}, "")
        for part, of in aims.AIMS.items()
    ]
    assert figures.summary(reports) == f"Missed aims: 0 of {sum(map(len, aims.AIMS.values()))}.\n"
