# SPDX-License-Identifier: GPL-3.0-or-later
import ast
import subprocess

import pytest

from benchmarks import checking
from benchmarks.checking import BY_HAND, FAST, SINCE
from benchmarks.measure import BenchError

SECONDS = {BY_HAND: [4.0, 5.0, 4.0], FAST: [4.4, 5.0, 4.8], SINCE: [5.5, 5.0, 9.6]}


def test_figures_are_medians_of_the_ratios_of_rounds():
    report = checking.report(SECONDS)
    assert {name: round(figure.value, 6) for name, figure in report.figures.items()} == {
        "fast": 1.1,
        "since": 1.25,
    }
    assert "| --since, 100 files | 5.5 | 5.0 | 9.6 | 3 | 1.38 |" in report.text


def test_a_command_that_took_nothing_was_not_measured():
    with pytest.raises(BenchError, match="rax check took no processor time"):
        checking.report(SECONDS | {FAST: [4.4, 0.0, 4.8]})


def test_a_repository_of_many_dags_of_which_one_differs(tmp_path):
    folder = checking.repository(tmp_path / "many", 12)
    files = [*(folder / "dags").rglob("*.py")]
    trees = [ast.parse(file.read_text()) for file in files]
    names = {node.name for tree in trees for node in tree.body if hasattr(node, "name")}
    assert len(files) == len(names) == 12
    assert checking.changed(folder) == folder
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert status.stdout == f" M {checking.DAG}\n"
