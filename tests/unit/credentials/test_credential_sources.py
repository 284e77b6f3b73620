"""From the declared sources and the vault's records to what one node receives."""

import pytest
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter.credentials import (
    FilterModule,
    credential_sources_for,
)
from ansible_collections.caspian.airflow.plugins.plugin_utils.credential_sources import (
    for_host,
    parse,
    problems_of,
    resolve,
)

SOURCES = ["A", {"name": "B", "record": "Group/B"}, {"name": "C", "hosts": ["worker", "node1"]}]


def test_parse():
    expected = [
        {"name": "A", "record": "A", "hosts": ["airflow"]},
        {"name": "B", "record": "Group/B", "hosts": ["airflow"]},
        {"name": "C", "record": "C", "hosts": ["worker", "node1"]},
    ]
    assert parse(SOURCES) == expected
    assert parse(expected) == expected


@pytest.mark.parametrize(
    ("sources", "problems"),
    [
        ([], []),
        (SOURCES, []),
        (["case", "CASE"], []),
        ("A", ["credentials_sources is not a list"]),
        ({"A": None}, ["credentials_sources is not a list"]),
        (None, ["credentials_sources is not a list"]),
        (["A", "B", "A"], ["A: declared more than once"]),
        (["A", {"name": "A", "record": "x"}], ["A: declared more than once"]),
        ([5], ["entry 1: the name 5 is not a text (a name that looks like a number needs quotes)"]),
        ([{}], ["entry 1: it has no name"]),
        (
            [None],
            ["entry 1: the name None is not a text (a name that looks like a number needs quotes)"],
        ),
        ([{"name": "A", "record": ""}], ["A: record is not a text"]),
        ([{"name": "A", "record": 7}], ["A: record is not a text"]),
        ([{"name": "A", "host": ["x"]}], ["A: unknown key 'host' (known: name, record, hosts)"]),
        ([{"name": "A", "hosts": "node1"}], ["A: hosts is not a list of hosts and groups"]),
        (
            [{"name": "A", "hosts": []}],
            ["A: hosts is empty: nobody would receive it; leave it out, or the whole entry"],
        ),
        ([{"name": "A", "hosts": [1]}], ["A: hosts: 1 is not a text"]),
        (
            [{"name": "A", "hosts": ["wroker"]}],
            ["A: hosts: 'wroker' is no host or group of the inventory"],
        ),
        ([{"name": "A", "hosts": ["all", "node1"]}], []),
    ],
)
def test_problems_of(sources, problems):
    assert problems_of(sources, ["worker", "node1"]) == problems


@pytest.mark.parametrize(
    "name", ["../etc/passwd", "a/b", ".x", "-x", "", "a b", "a\n", "é", "x" * 129]
)
def test_unsafe_names(name):
    (problem,) = problems_of([name])
    assert problem.startswith("entry 1: the name ")


def test_hosts_go_unchecked_without_places():
    assert problems_of([{"name": "A", "hosts": ["anything"]}]) == []


def test_an_error_names_the_filter_and_all_problems():
    with pytest.raises(AnsibleFilterError) as raised:
        credential_sources_for(["A", "A", "../B"], ["airflow"])
    assert str(raised.value).startswith(
        "credential_sources_for: A: declared more than once; entry 3: the name '../B' is not a safe"
    )


@pytest.mark.parametrize(
    ("places", "only", "names"),
    [
        (["worker2", "airflow", "worker"], [], ["A", "B", "C", "E"]),
        (["node1"], [], ["C", "E"]),
        (["scheduler1", "airflow", "scheduler"], [], ["A", "B", "E"]),
        (["control1", "control"], [], ["E"]),
        ([], [], ["E"]),
        (["worker2", "airflow", "worker"], "C", ["C"]),
        (["worker2", "airflow", "worker"], ["A", "C"], ["A", "C"]),
        (["scheduler1", "airflow"], "C", []),
    ],
)
def test_credential_sources_for(places, only, names):
    sources = [*SOURCES, {"name": "E", "hosts": ["all"]}]
    assert [source["name"] for source in credential_sources_for(sources, places, only)] == names


@pytest.mark.parametrize(
    ("only", "problems"),
    [
        ([], []),
        ("", []),
        ("A", []),
        (["A", "C"], []),
        ("a", ["credentials_only: 'a' is not declared in credentials_sources"]),
        (
            ["EBI-DEV-02"],
            [
                "credentials_only: 'EBI-DEV-02' is not declared in credentials_sources"
                " (near: EBI-DEV-01)"
            ],
        ),
    ],
)
def test_only_declared_sources_can_be_delivered_alone(only, problems):
    sources = [*SOURCES, "EBI-DEV-01"]
    assert problems_of(sources, ["worker", "node1"], only) == problems


def test_credential_sources_for_a_text():
    with pytest.raises(AnsibleFilterError, match="credential_sources_for: the hosts and groups"):
        credential_sources_for(SOURCES, "worker")


def record(name, **changes):
    return {"name": name, "user": "u", "pass": "p", "host": "h", **changes}


def test_resolve():
    result = resolve(
        [
            record("A"),
            record("Group/B", **{"pass": ""}),
            {"name": "C", "error": "no entry has this title or path"},
            record("nobody asked"),
        ],
        parse([*SOURCES, "D", {"name": "A2", "record": "A"}]),
    )
    assert list(result["credentials"]) == ["A", "A2"]
    assert result["credentials"]["A"]["host"] == "h"
    assert result["problems"] == {
        "B": "pass missing or empty",
        "C": "no entry has this title or path",
        "D": "the vault lookup returned no record",
    }
    assert result["others"] == []
    assert result["hosts"]["C"] == ["worker", "node1"]


def test_for_host():
    """A host gets its own out of what all hosts receive, and keeps what was not asked for."""
    everything = resolve(
        [record("A"), record("C")], parse([*SOURCES, "D", {"name": "E", "hosts": ["control"]}])
    )
    here = for_host(everything, ["worker2", "airflow", "worker"])
    assert list(here["credentials"]) == ["A", "C"]
    assert list(here["problems"]) == ["B", "D"]
    assert here["keep"] == []
    assert for_host(everything, ["control"])["problems"].keys() == {"E"}
    one = resolve([record("A")], parse([*SOURCES, "D"]), "A")
    assert for_host(one, ["airflow"]) == {
        "credentials": one["credentials"],
        "problems": {},
        "keep": ["B", "D"],
    }


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ("s3cret", "the records are not a list"),
        ({"A": "s3cret"}, "the records are not a list"),
        (None, "the records are not a list"),
        (["s3cret"], "the vault lookup returned something else than records"),
        ([{"password": "s3cret"}], "the vault lookup returned something else than records"),
    ],
)
def test_resolve_anything_else(records, message):
    with pytest.raises(AnsibleError, match=message) as raised:
        resolve(records, parse(SOURCES))
    assert "s3cret" not in str(raised.value)


def test_filters_by_name():
    assert FilterModule().filters() == {"credential_sources_for": credential_sources_for}
