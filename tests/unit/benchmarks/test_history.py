# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of benchmarks/README.md, and how values get there."""

import re

import pytest
from bench_testing import MACHINE, make_report

from benchmarks import bench, history
from benchmarks.aims import AIMS
from benchmarks.history import BEGIN, END, Value
from benchmarks.measure import BenchError

PAGE = f"# Words\n\n{BEGIN}{END}\nAnd more.\n"
KEY = ("first_run", "seconds")
WHAT = AIMS["first_run"]["seconds"].what


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(PAGE)
    return path


def enter(page, seconds, commit, date="2026-01-02", load=0.1):
    machine = MACHINE | {"commit": commit, "date": date, "load": load}
    history.enter(page, machine, [make_report("first_run", seconds=seconds)])
    (line,) = (one for one in page.read_text().splitlines() if f"| {WHAT} | ≤" in one)
    return line


def test_the_readme_has_each_figure_with_its_aim_and_nothing_else():
    """Aims, bounds and figures have one home; what a person writes there by hand is undone."""
    text = history.README.read_text()
    written = history.with_tables(text, history.read(text, "README.md"))
    assert text == written, "To write the tables anew: python -m benchmarks.history"
    for part, aims in AIMS.items():
        assert all(aim.bound for aim in aims.values() if aim.limit), part


def test_the_last_three_values_are_kept_the_newest_first(page):
    before = f"| first_run | {WHAT} | ≤ 170 s |"
    one, two, three, four = (f"{n}00 s (abcdef{n}, 2026-01-0{n})" for n in range(1, 5))
    assert enter(page, 100, "abcdef1", "2026-01-01") == f"{before} {one} |  |  |"
    assert enter(page, 200, "abcdef2", "2026-01-02") == f"{before} {two} | {one} |  |"
    assert enter(page, 300, "abcdef3", "2026-01-03") == f"{before} {three} | {two} | {one} |"
    assert enter(page, 400, "abcdef4", "2026-01-04") == f"{before} {four} | {three} | {two} |"


def test_a_value_takes_the_place_of_another_of_its_commit(page):
    enter(page, 100, "abcdef1")
    enter(page, 200, "abcdef2")
    once = enter(page, 150, "abcdef1")
    assert "| 150 s (abcdef1, 2026-01-02) | 200 s (abcdef2, 2026-01-02) |  |" in once
    text = page.read_text()
    assert enter(page, 150, "abcdef1") == once
    assert page.read_text() == text


def test_a_value_of_a_busy_machine_is_marked_until_it_is_measured_again(page):
    assert "150 s (abcdef1, 2026-01-02, busy) |" in enter(page, 150, "abcdef1", load=3.0)
    assert "150 s (abcdef1, 2026-01-02) |" in enter(page, 150, "abcdef1")


def test_what_is_around_the_tables_stays_and_so_do_other_figures(page):
    page.chmod(0o640)
    history.enter(page, MACHINE, [make_report("converged", pings=30.0)])
    enter(page, 100, "abcdef1")
    text = page.read_text()
    assert text.startswith(f"# Words\n\n{BEGIN}\n| part |")
    assert text.endswith(f" |\n\n{END}\nAnd more.\n")
    known = {key: values for key, values in history.read(text, "x").items() if values}
    assert known == {
        KEY: [Value(100, "abcdef1", "2026-01-02")],
        ("converged", "pings"): [Value(30, "abcdef0", "2026-01-02")],
    }
    assert page.stat().st_mode & 0o777 == 0o640
    assert [*page.parent.iterdir()] == [page]


@pytest.mark.parametrize("number", [0.004, 0.32, 1.0, 14_010.4, 1_234_567.0])
@pytest.mark.parametrize(
    "aim", [aim for aims in AIMS.values() for aim in aims.values()], ids=lambda aim: aim.what
)
def test_a_value_is_read_as_it_is_written(aim, number):
    for busy in (False, True):
        text = Value(number, "abcdef1", "2026-01-02", busy).text(aim)
        read = history._value(text, "x")
        assert read.text(aim) == text
        assert (read.commit, read.date, read.busy) == ("abcdef1", "2026-01-02", busy)


@pytest.mark.parametrize(
    "cell",
    [
        "100 s",
        "100 s (abcdef1)",
        "100 s (abcdef1, 2026-01-02, quiet)",
        "100 s (abcdef1-dirty, 2026-01-02)",
        "fast (abcdef1, 2026-01-02)",
        "100 min (abcdef1, 2026-01-02)",
        "100 s (abcdef1, 2026-01-02) 50 s (abcdef2, 2026-01-02)",
    ],
)
def test_a_cell_that_can_not_be_read_is_named_and_nothing_is_lost(page, cell):
    enter(page, 100, "abcdef1")
    text = page.read_text().replace("100 s (abcdef1, 2026-01-02)", cell)
    page.write_text(text)
    with pytest.raises(BenchError, match=f"^README.md has a figure .*: {re.escape(cell)}$"):
        enter(page, 200, "abcdef2")
    assert page.read_text() == text


@pytest.mark.parametrize("lost", [BEGIN, END])
def test_a_page_without_a_place_for_the_tables_is_left_alone(page, lost):
    page.write_text(PAGE.replace(lost, ""))
    with pytest.raises(BenchError, match=r"^README.md lacks the lines between which"):
        enter(page, 100, "abcdef1")
    assert page.read_text() == PAGE.replace(lost, "")


def test_a_figure_that_is_no_longer_measured_leaves_the_table(page):
    enter(page, 100, "abcdef1")
    page.write_text(page.read_text().replace(WHAT, "what nobody asks"))
    assert "abcdef1" not in enter(page, 200, "abcdef2")
    assert "what nobody asks" not in page.read_text()


@pytest.mark.parametrize(
    ("words", "dirty", "entered"),
    [
        pytest.param([], False, True, id="all"),
        pytest.param(["library"], False, True, id="one"),
        pytest.param([], True, False, id="changes"),
        pytest.param(["--quick"], False, False, id="few-rounds"),
        pytest.param(["converged", "--cluster", "demo"], False, False, id="another-cluster"),
    ],
)
def test_what_could_not_be_compared_later_is_not_entered(
    page, monkeypatch, capsys, words, dirty, entered
):
    """But each aim that it misses is told, also when what is measured next fails."""

    def measured(_):
        yield make_report("first_run", seconds=171.0)
        raise BenchError("no more")

    monkeypatch.setattr(bench, "measure_all", measured)
    monkeypatch.setattr(bench.measure, "look_at_machine", lambda: MACHINE | {"dirty": dirty})
    monkeypatch.setattr(bench.measure, "ROOT", page.parent)
    monkeypatch.setattr(bench.history, "README", page)
    folder = ["--package-cache", "x", "--reports", str(page.parent / "reports")]
    monkeypatch.setattr("sys.argv", ["bench", *words, *folder])
    assert bench.main() == 1
    told = capsys.readouterr()
    assert (
        f"Missed aims: 1 of 1.\n\n| part | what | measured | aim |\n| --- | --- | --- | --- |\n\
| first_run | {WHAT} | 171 s | ≤ 170 s |\n"
        in told.out
    )
    assert told.err == "\nscripts/bench: no more\n"
    assert ("171 s (abcdef0, 2026-01-02)" in page.read_text()) == entered
    assert ("bench: no value will be entered" in told.out) != entered


def test_a_page_that_can_not_be_read_is_found_before_anything_is_measured(
    page, monkeypatch, capsys
):
    page.write_text("no tables")
    monkeypatch.setattr(bench, "measure_all", lambda _: pytest.fail("it began"))
    monkeypatch.setattr(bench.measure, "look_at_machine", lambda: MACHINE)
    monkeypatch.setattr(bench.history, "README", page)
    monkeypatch.setattr("sys.argv", ["bench", "--package-cache", "x"])
    assert bench.main() == 1
    assert "README.md lacks the lines" in capsys.readouterr().err
