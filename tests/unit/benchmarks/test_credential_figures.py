# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest
import yaml
from bench_testing import CLEAN, make_run

from benchmarks import credentials, credentials_fleet, measure
from benchmarks.figures import Aim

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
    assert [aim.value for aim in figures.aims()] == [
        pytest.approx(value) for value in (1.5, 1.3, 4.0, 2.0, 2.0, 150.0 / 50 / (3.5 / 1000), 42)
    ]


@pytest.mark.parametrize(
    ("aim", "text", "met"),
    [
        pytest.param(Aim("x", 1.5, 2.0), "1.50×", True, id="below"),
        pytest.param(Aim("x", 2.0, 2.0), "2.00×", True, id="just"),
        pytest.param(Aim("x", 2.01, 2.0), "2.01×", False, id="above"),
        pytest.param(Aim("x", 1234.5, 200, at_least=True), "1,234×", True, id="faster"),
        pytest.param(Aim("x", 150, 200, at_least=True), "150×", False, id="slower"),
        pytest.param(Aim("x", 42, 42, unit=""), "42", True, id="count"),
        pytest.param(Aim("x", 43, 42, unit=""), "43", False, id="one-too-many"),
    ],
)
def test_an_aim_is_met_or_missed(aim, text, met):
    what, measured, _, verdict = aim.row()
    assert (what, measured) == ("x", text)
    assert verdict == ("met" if met else "**missed**")
    assert (aim.share <= 1) == met


def test_the_report_has_every_figure_and_every_run(figures):
    raw, text = credentials.report(figures)
    assert "| first refresh, 1,000 sources, 3 nodes, in pings | 1.50× | ≤ 2.00× | met |" in text
    assert "| 30 nodes, nothing changed, in pings | 2.00× | ≤ 1.60× | **missed** |" in text
    assert "asked 42 times for 1,000 sources of one project: 1 token, 41 pages of 25" in text
    assert "| ping, 3 nodes | 2.0 | 1.0 | 10.0 | 3 | 0.0 | 1.00 |" in text
    assert "| first refresh, 30 nodes | 30.0 | 30.0 | 30.0 | 1 | 0.0 | 3.00 |" in text
    assert "| unchanged | 60.5 | 99.0 |" in text
    assert [run["seconds"] for run in raw["runs"]["first refresh, 3 nodes"]] == [3.0, 3.5, 14.0]
    assert [aim["met"] for aim in raw["aims"]] == [True, True, True, True, False, True, True]
    assert json.loads(json.dumps(raw)) == raw


def test_the_drawing_shows_every_aim_and_every_step(figures):
    drawing = credentials.drawing(figures)
    for words in [aim.what for aim in figures.aims()] + [step.name for step in credentials.STEPS]:
        assert f">{words}<" in drawing


def test_the_parts_of_a_run_add_up():
    parts = credentials.parts_of(make_run(3.0, SPANS))
    assert parts == {"Ansible itself": 2.25, "ask the vault": 0.25, "lock the files": 0.5}


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
