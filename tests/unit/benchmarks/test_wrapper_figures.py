# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from benchmarks import wrapper
from benchmarks.measure import BenchError


def test_the_figure_is_the_median_of_the_differences_of_turns():
    report = wrapper.report({"./rax": [0.005, 0.104, 0.007], "without it": [0.001, 0.1, 0.002]})
    assert report.figures["more"].value == pytest.approx(4.0)
    assert report.figures["more"].met
    assert "| ./rax | 7.0 |" in report.text


def test_it_measures_the_wrapper_that_is_shipped_with_all_made():
    report = wrapper.measured(quick=True)
    assert [len(taken) for taken in report.raw.values()] == [wrapper.QUICK_ROUNDS] * 2
    assert report.figures["more"].value > 0


def test_a_wrapper_that_makes_something_is_no_measure(tmp_path):
    program, python, environ = wrapper.repository(tmp_path)
    python.unlink()
    with pytest.raises(BenchError, match="is not what is to be measured: rax: "):
        wrapper.seconds_of([program], environ)
