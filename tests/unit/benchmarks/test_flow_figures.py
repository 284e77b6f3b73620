# SPDX-License-Identifier: GPL-3.0-or-later
import ast

import pytest

from benchmarks import flow
from benchmarks.flow import BY_AIRFLOW, CASE, MANY, TWICE
from benchmarks.measure import BenchError

SECONDS = {BY_AIRFLOW: [12.0, 11.0], CASE: [0.5, 0.5], TWICE: [0.8, 0.9], MANY: [0.6, 0.5]}


def test_figures_are_medians_of_the_ratios_of_rounds():
    report = flow.report(SECONDS)
    assert {name: round(figure.value, 6) for name, figure in report.figures.items()} == {
        "case": 23.0,
        "further": 0.7,
        "files": 1.1,
    }
    assert "| a case of two runs | 0.9 | 0.8 | 0.9 | 2 | 1.70 |" in report.text


def test_a_case_that_took_nothing_was_not_measured():
    with pytest.raises(BenchError, match="a case took no processor time"):
        flow.report(SECONDS | {CASE: [0.5, 0.0]})


def test_a_repository_of_many_workflows(tmp_path):
    folder = flow.repository(tmp_path / "many", 12)
    trees = [ast.parse(file.read_text()) for file in (folder / "dags").iterdir()]
    names = {node.name for tree in trees for node in tree.body if hasattr(node, "name")}
    assert len(trees) == len(names) == 12
    assert "measured" in names
