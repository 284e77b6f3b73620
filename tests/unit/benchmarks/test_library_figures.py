# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import subprocess
import sys

import pytest
import yaml

from benchmarks import library, library_driver, library_files, library_flips, measure
from benchmarks.turns import WrongMeasureError, compare

LOOK_UP = {
    "seconds": {
        "os.stat + dict": [1e-6, 2e-6, 4e-6],
        "get_credentials, warm": [3e-6, 7e-6, 30e-6],
    }
}
BACKEND = {
    "seconds": {
        "LocalFilesystemBackend": [0.1, 0.2, 0.1],
        "get_credentials": [1e-5, 1e-5, 1e-5],
        "rax.airflow.secrets": [2e-5, 2e-5, 2e-5],
    },
    "first": 5e-5,
    "sources": 1000,
}
IMPORTS = {"seconds": {"json, pathlib": [0.01, 0.01, 0.02], "rax": [0.04, 0.04, 0.04]}}
SMALL = {
    "seconds": {
        "yaml.safe_load": [0.002, 0.002, 0.004],
        "the same with CSafeLoader": [0.0002, 0.0002, 0.0002],
        "cold": [0.001, 0.0005, 0.001],
        "warm": [1e-5, 1e-5, 1e-5],
    },
    "lines": 18,
}
LARGE = {**SMALL, "lines": 342}
FLIPS = {
    "seconds": 41.5,
    "published": 200,
    "readers": 8,
    "reads": 123_456,
    "errors": 0,
    "naive": 12_345,
    "naive_errors": 67,
    "kinds": {},
    "generations": 150,
}


@pytest.fixture
def figures():
    return library.Figures(LOOK_UP, BACKEND, IMPORTS, SMALL, LARGE, FLIPS)


# The report


def test_figures_are_medians_of_the_ratios_of_rounds(figures):
    assert figures.values() == pytest.approx({
        "warm": 3.5, "backend": 10_000, "imports": 4, "small_cold": 0.25, "small_warm": 200,
        "large_cold": 0.25, "large_warm": 200, "errors": 0,
    })  # fmt: skip


def test_the_report_has_every_figure_and_every_round(figures):
    report = library.report(figures)
    assert {name: one.value for name, one in report.figures.items()} == figures.values()
    assert "| get_credentials, warm | 7.0 | 3.0 | 30.0 | 3 | 3.50 |" in report.text
    assert "| get_credentials | 10.0 | 10.0 | 10.0 | 3 | 0.0001 |" in report.text
    assert "took 50 µs; in that, Airflow's masker" in report.text
    assert "| cold | 1,000.0 | 500.0 | 1,000.0 | 3 | 0.25 |" in report.text
    assert "| careless | 12345 | 67 |" in report.text
    assert "What failed" not in report.text
    assert not report.quick
    assert report.raw["imports"]["seconds"]["rax"] == [0.04, 0.04, 0.04]
    assert json.loads(json.dumps(report.raw)) == report.raw


def test_errors_are_told_by_kind():
    flips = FLIPS | {"errors": 3, "kinds": {"RaxError": 1, "CredentialNotFoundError": 2}}
    figures = library.Figures(LOOK_UP, BACKEND, IMPORTS, SMALL, LARGE, flips)
    report = library.report(figures, quick=True)
    assert not report.figures["errors"].met
    assert "What failed: CredentialNotFoundError: 2, RaxError: 1." in report.text
    assert report.quick


@pytest.mark.parametrize(("changes", "message"), [
    ({"naive_errors": 0}, "Of 12,345 careless reads none failed, so the others prove nothing"),
    ({"generations": 39}, "A reader has seen 39 of 200 generations only"),
])  # fmt: skip
def test_readers_that_met_too_few_publications_are_refused(changes, message):
    library.refuse_blunt_flips(FLIPS)
    with pytest.raises(measure.BenchError, match=message):
        library.refuse_blunt_flips(FLIPS | changes)


@pytest.mark.parametrize("quick", [False, True])
def test_a_stage_is_run_with_the_nodes_packages(monkeypatch, quick):
    given = []

    def run(*words, **environment):
        given.extend([*words, environment["PYTHONPATH"]])
        return measure.Ended(1.0, 0.1, 'a warning\n{"seconds": {}}\n')

    monkeypatch.setattr(measure, "run", run)
    assert library.stage("small_config", quick=quick) == {"seconds": {}}
    assert given[:2] == ["library-small-config", str(library.PYTHON)]
    assert given[-1].endswith("/src")
    assert ("--quick" in given) == quick
    assert sys.executable in given, "it has Ansible, for the module"


def test_there_is_a_stage_for_each_figure():
    assert [*library.Figures.__dataclass_fields__] == [*library_driver.STAGES]


# The driver


def test_ways_take_turns():
    order = []
    ways = {name: lambda name=name: float(order.append(name) or len(order)) for name in "ab"}
    assert compare(ways, 2) == {"a": [1.0, 4.0], "b": [2.0, 3.0]}
    assert order == ["a", "b", "b", "a"]


def test_a_config_of_many_lines_is_yaml():
    text = library_driver.config_of(100)
    assert 100 <= text.count("\n") < 120
    document = yaml.safe_load(text)
    assert document["part_3"]["source"] == "source_3"
    assert library_driver.plain({"a": [1, {"b": [2]}]}) == {"a": (1, {"b": (2,)})}


def test_what_is_imported_already_is_not_timed(monkeypatch):
    monkeypatch.setattr(library_driver, "IMPORT", "print(0.1, 'json')")
    with pytest.raises(WrongMeasureError, match="json was imported before"):
        library_driver.imports(1)


@pytest.mark.parametrize("stage", ["look_up", "imports", "small_config", "large_config"])
def test_a_stage_finds_seconds_of_each_way(monkeypatch, stage):
    for name in ("RAX_CREDENTIALS_DIR", "RAX_CONFIG_DIR"):
        monkeypatch.setenv(name, "")
    run, _, few = library_driver.STAGES[stage]
    found = run(*few)
    assert len({len(values) for values in found["seconds"].values()}) == 1
    assert all(value > 0 for values in found["seconds"].values() for value in values)


def test_flips_are_read_without_errors():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.library_driver", "flips", "--quick"],
        cwd=library.ROOT, env=os.environ | {"PYTHONPATH": str(library.ROOT / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == 0, found["kinds"]
    assert found["published"] == 5
    assert found["reads"] >= 800


def test_a_reader_counts_what_goes_wrong(tmp_path, monkeypatch):
    """A torn set, and one that is not there."""
    monkeypatch.setenv("RAX_CREDENTIALS_DIR", "")
    ended = tmp_path / "ended"
    ended.touch()
    torn = library_files.credential(0, "one") | {"user": "other"}
    for number in range(library_flips.FLIPPED - 1):
        path = tmp_path / f"{library_files.name_of(number)}.json"
        library_files.write_locked(path, torn)
    found = library_flips.read(tmp_path, 200, ended)
    assert found["reads"] == found["errors"] == 200
    assert set(found["kinds"]) == {"RaxError", "CredentialNotFoundError"}
    assert found["naive_errors"] == 0
    assert found["generations"] == 0
