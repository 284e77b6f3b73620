# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest
import yaml
from bench_testing import CLEAN, make_run

from benchmarks import credentials, credentials_fleet, measure

SECONDS = {
    credentials.PING: (2.0, 1.0, 10.0),
    credentials.FIRST: (3.0, 3.5, 14.0),
    credentials.AGAIN: (2.6, 1.2, 15.0),
    credentials.FIRST_MANY: (12.0, 14.0, 70.0),
    credentials.AGAIN_MANY: (5.2, 2.4, 45.0),
    credentials.PING_ALL: (10.0,),
    credentials.FIRST_ALL: (30.0,),
    credentials.AGAIN_ALL: (20.0,),
    credentials.COPY_LOOP: (150.0,),
}
SPANS = [("Refresh", "credentials", "Ask the vault", 0.25), ("Refresh", "", "Lock the files", 0.5)]


@pytest.fixture
def figures():
    runs = {
        step.name: [make_run(value, SPANS) for value in values] for step, values in SECONDS.items()
    }
    return credentials.Figures(
        runs, {"tokens": 1, "pages": 41}, {"unchanged": {"largest": 60.5, "together": 99.0}}
    )


def test_figures_are_medians_of_the_ratios_of_rounds(figures):
    assert figures.values() == pytest.approx({
        "first": 1.5, "unchanged": 1.3, "first_30": 3.0, "unchanged_30": 2.0, "many_first": 4.0,
        "many_unchanged": 2.0, "loop": 150.0 / 50 / (3.5 / 1000), "requests": 42,
    })  # fmt: skip


def test_the_report_has_every_figure_and_every_run(figures):
    report = credentials.report(figures)
    assert {name: one.value for name, one in report.figures.items()} == figures.values()
    assert "asked 42 times for 1,000 sources of one project: 1 token, 41 pages of 25" in report.text
    assert "| ping, 3 nodes | 2.0 | 1.0 | 10.0 | 3 | 0.0 | 1.00 |" in report.text
    assert "| first refresh, 30 nodes | 30.0 | 30.0 | 30.0 | 1 | 0.0 | 3.00 |" in report.text
    assert "| unchanged | 60.5 | 99.0 |" in report.text
    first = report.raw["runs"]["first refresh, 3 nodes"]
    assert [run["seconds"] for run in first] == [3.0, 3.5, 14.0]
    assert json.loads(json.dumps(report.raw)) == report.raw


def test_requests_are_counted_by_what_they_ask_for():
    paths = ["/v2.0/tokens", *["/projects/1000/credentials.json"] * 3]
    lines = [json.dumps({"method": "GET", "path": path, "status": 200}) for path in paths]
    assert credentials_fleet.count_requests(lines) == {"tokens": 1, "pages": 3}


@pytest.mark.parametrize(("sources", "expected"), [(1000, 41), (1001, 42), (25, 2)])
def test_a_listing_ends_with_an_empty_page(sources, expected):
    assert credentials.pages(sources) == expected


def test_every_declared_source_is_in_its_project():
    data = credentials_fleet.vault_data("word")
    for count in (credentials_fleet.SOURCES, credentials_fleet.MANY):
        names = [
            record["description"].split()[0]
            for record in data["credentials"]
            if record["project_id"] == count
        ]
        assert names == [credentials_fleet.name_of(number) for number in range(count)]
    identifiers = [record["id"] for record in data["credentials"]]
    assert len(set(identifiers)) == len(identifiers)


def test_an_inventory_names_its_nodes_and_sources(tmp_path):
    variables = {"credentials_sources": ["A", "B"], "ansible_ssh_common_args": "-o 'a b'"}
    credentials_fleet.write_inventory(tmp_path / "it", "192.0.2.7", 3, variables)
    hosts = json.loads((tmp_path / "it/hosts.json").read_text())["airflow"]["hosts"]
    assert [*hosts] == ["node1", "node2", "node3"]
    assert len({host["ansible_port"] for host in hosts.values()}) == 3
    assert len({host["bench_place"] for host in hosts.values()}) == 3
    written = yaml.safe_load((tmp_path / "it/group_vars/all.yml").read_text())
    assert written["ansible_host"] == "192.0.2.7"
    assert written.items() >= variables.items()


@pytest.mark.parametrize(
    ("listing", "names"),
    [
        pytest.param("1 1000\n2 1000\n3 1000\n4 0\n", None, id="all-there"),
        pytest.param("1 1000\n2 0\n3 999\n4 0\n", r"\{2: 0, 3: 999\}", id="some-missing"),
    ],
)
def test_a_run_that_did_not_deliver_is_refused(tmp_path, monkeypatch, listing, names):
    fleet = credentials_fleet.Fleet(tmp_path)
    monkeypatch.setattr(fleet, "on_the_machine", lambda _: listing)
    if names is None:
        fleet.refuse_unless_delivered(credentials.AGAIN)
    else:
        with pytest.raises(measure.BenchError, match=f"has 1000 files; files by node: {names}"):
            fleet.refuse_unless_delivered(credentials.AGAIN)


@pytest.mark.parametrize(
    ("step", "emptied", "changed"),
    [(credentials.FIRST, 1, 1), (credentials.AGAIN, 0, 0), (credentials.PING, 0, 0)],
    ids=lambda value: getattr(value, "name", value),
)
def test_nodes_are_emptied_before_a_first_run_alone(tmp_path, monkeypatch, step, emptied, changed):
    fleet, scripts = credentials_fleet.Fleet(tmp_path), []
    recap = {f"node{number}": CLEAN | {"changed": changed} for number in (1, 2, 3)}
    given = []

    def playbook(*arguments, **_):
        given.extend(arguments)
        return make_run(recap=recap)

    monkeypatch.setattr(fleet, "on_the_machine", scripts.append)
    monkeypatch.setattr(measure, "playbook", playbook)
    assert fleet.take(step).recap == recap
    assert len(scripts) == emptied
    assert given[1:] == [step.playbook, "--inventory", str(fleet.inventory(1000, 3))]


def test_a_vault_that_does_not_start_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(credentials_fleet.sys, "executable", "/bin/false")
    with (
        pytest.raises(measure.BenchError, match="does not start"),
        credentials_fleet.Vault(tmp_path).running(),
    ):
        pytest.fail("it started")
    assert (tmp_path / "password").stat().st_mode & 0o077 == 0
