# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight's list of problems, and the check of networks."""

import pytest
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter import addresses
from ansible_collections.caspian.airflow.plugins.filter import preflight as filters
from ansible_collections.caspian.airflow.plugins.plugin_utils import preflight

GROUPS = {
    "all": ["s1", "w1"],
    "ungrouped": [],
    "scheduler": ["s1"],
    "worker": ["w1"],
    "metadata_db": ["s1"],
    "broker": ["s1"],
}
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIIK6yDkCDdOEi8YtYjGWwhvZ9ahVzjNrDCwvHvLYQGZf"
FACTS = {
    "distribution": "Debian",
    "distribution_major_version": "12",
    "python": {"executable": "/usr/bin/python3", "version": {"major": 3, "minor": 11, "micro": 2}},
    "all_ipv4_addresses": ["198.51.100.1"],
    "all_ipv6_addresses": ["fd00:ffff::1"],
    "ssh_host_key_ed25519_public": KEY,
}
CANARY = "CANARY"
NOW = 1795000000.0


def stdout(measured, asked=NOW):
    """Return what a host says whose clock differs by the first number."""
    skew, *rest = measured.split()
    return " ".join([str(asked), str(NOW + float(skew)), *rest])


def host(measured="0.4 30000 4000", facts=None, **variables):
    """Return a host's variables as the playbook's first two tasks leave them."""
    told = {**FACTS, **(facts or {})}
    return {
        "ansible_facts": {name: value for name, value in told.items() if value is not None},
        "__preflight_gathered": {"ansible_facts": {"there": "is something"}},
        "__preflight_measured": {"stdout": stdout(measured), "rc": 0},
        "caspian_secrets_dir": "/home/me/secrets",
        "dag_sync_repository": "ssh://git@git.example.org/dags.git",
        **variables,
    }


def problems(groups=None, hosts=("s1", "w1"), **variables):
    """Return the problems of a good cluster with some variables set on all its hosts."""
    hostvars = {name: host(**variables) for name in ("s1", "w1")}
    return preflight.problems_of(hostvars, {**GROUPS, **(groups or {})}, list(hosts), NOW)


def test_a_good_cluster_has_no_problems():
    assert problems() == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"airflow_outage_seconds": 120}, []),
        (
            {"airflow_outage_seconds": 1},
            ["airflow_outage_seconds is 1: it has to be from 60 to 1800"],
        ),
        (
            {"airflow_settings": {"core": {"executor": "CeleryExecutor"}}},
            [
                "airflow_settings: [core] executor names an executor whose tasks fail while the"
                " broker is away: name rax.airflow.executor.CeleryExecutor"
            ],
        ),
        # Enough for a shorter outage.
        (
            {
                "airflow_settings": {"workers": {"execution_api_retries": 20}},
                "airflow_outage_seconds": 60,
            },
            [],
        ),
    ],
)
def test_outages_are_looked_at_once_for_all_hosts(given, expected):
    assert problems(**given) == expected


@pytest.mark.parametrize(
    ("groups", "variables", "expected"),
    [
        ({"worker": []}, {}, ["the group worker is empty: give it a host in the inventory"]),
        ({"scheduler": []}, {}, ["the group scheduler is empty: give it a host in the inventory"]),
        (
            {"metadata_db": []},
            {},
            [
                "the group metadata_db is empty: give it a host, or set"
                " airflow_external_database_url"
            ],
        ),
        ({"metadata_db": []}, {"airflow_external_database_url": "postgresql://db/a"}, []),
        (
            {"metadata_db": [], "broker": []},
            {
                "airflow_external_database_url": "postgresql://db/a",
                "airflow_external_broker_url": "redis://b",
            },
            [],
        ),
        (
            {},
            {"airflow_external_broker_url": f"redis://:{CANARY}@b"},
            [
                "airflow_external_broker_url set although the group broker has hosts (s1):"
                " take out the one that is not meant"
            ],
        ),
        ({}, {"airflow_external_database_url": ""}, []),
        ({}, {"credentials_sources": ["EBI-1", {"name": "EBI-2", "hosts": ["worker", "s1"]}]}, []),
        # The key of the control node's own alerts.
        (
            {"control": ["c1"]},
            {"credentials_sources": [{"name": "EBI-1", "hosts": ["worker", "control"]}]},
            [],
        ),
    ],
)
def test_the_inventory_as_a_whole(groups, variables, expected):
    assert problems(groups, **variables) == expected


def test_a_group_that_the_inventory_does_not_have_is_empty():
    groups = {name: GROUPS[name] for name in ("all", "scheduler", "worker", "metadata_db")}
    found = preflight.problems_of({"s1": host(), "w1": host()}, groups, ["s1", "w1"], NOW)
    assert found == [
        "the group broker is empty: give it a host, or set airflow_external_broker_url"
    ]


@pytest.mark.parametrize(
    ("sources", "named"),
    [
        (["EBI-1", "EBI-1"], "EBI-1"),
        (["EBI-1", {"name": "EBI-1", "record": "other"}], "EBI-1"),
        (["../passwd"], "../passwd"),
        ([{"name": "EBI-1", "hosts": ["elsewhere"]}], "elsewhere"),
        ("EBI-1", "not a list"),
    ],
)
def test_credential_names(sources, named):
    (problem,) = problems(credentials_sources=sources)
    assert problem.startswith("credentials_sources: ")
    assert named in problem


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://me:{CANARY}@example.org/dags.git", "https://***@example.org/dags.git"),
        (f"https://{CANARY}@example.org/dags.git", "https://***@example.org/dags.git"),
        (f"HTTP://{CANARY}@example.org/dags.git", "HTTP://***@example.org/dags.git"),
        (f"https://me:p@{CANARY}@example.org/dags.git", "https://***@example.org/dags.git"),
        (f"ssh://git:{CANARY}@example.org/dags.git", "ssh://***@example.org/dags.git"),
        (f"https://a:b@example.org/dags.git?key={CANARY}", "https://***@example.org/dags.git"),
    ],
)
def test_a_repository_url_with_a_password_is_named_without_it(url, shown):
    (problem,) = problems(dag_sync_repository=url)
    assert shown in problem
    assert CANARY not in problem


@pytest.mark.parametrize(
    "url",
    [
        "git@example.org:team/dags.git",
        "ssh://git@example.org:2222/dags.git",
        "https://example.org/team/dags@home.git",
        "/srv/git/dags.git",
    ],
)
def test_a_repository_url_without_a_password(url):
    assert problems(dag_sync_repository=url) == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"facts": {"distribution": "Ubuntu", "distribution_major_version": "24"}},
            "w1: runs Ubuntu 24: Debian 12 and 13 are supported",
        ),
        (
            {"facts": {"distribution_major_version": "11"}},
            "w1: runs Debian 11: Debian 12 and 13 are supported",
        ),
        (
            {"facts": {"distribution_major_version": "13"}},
            "w1: /usr/bin/python3 is Python 3.11, and Debian 13 has 3.13:"
            " set ansible_python_interpreter to /usr/bin/python3",
        ),
        (
            {"measured": "-94.2 30000 4000"},
            "w1: its clock is 94 s behind the clock here: synchronise both"
            " (systemd-timesyncd, chrony), or signed tokens will be refused",
        ),
        (
            {"measured": "5.6 30000 4000"},
            "w1: its clock is 6 s ahead of the clock here: synchronise both"
            " (systemd-timesyncd, chrony), or signed tokens will be refused",
        ),
        (
            {"measured": "0.1 2047 4000"},
            "w1: / has 2047 MB free, less than preflight_disk_mb (2048)",
        ),
        (
            {"measured": "0.1 30000 899"},
            "w1: it has 899 MB of memory, less than preflight_memory_mb (900)",
        ),
        (
            {"preflight_memory_mb": "8000"},
            "w1: it has 4000 MB of memory, less than preflight_memory_mb (8000)",
        ),
        (
            {
                "__preflight_gathered": {
                    "unreachable": True,
                    "msg": "Task failed: Failed to connect to the host via ssh:"
                    " ssh: connect to host 10.0.0.9 port 22: No route to host",
                },
                "__preflight_measured": {"skipped": True},
            },
            "w1: cannot be reached: ssh: connect to host 10.0.0.9 port 22: No route to host",
        ),
        (
            {
                "__preflight_gathered": {"failed": False, "msg": "Missing sudo password"},
                "__preflight_measured": {"skipped": True},
            },
            "w1: answers, but cannot be examined: Missing sudo password",
        ),
        (
            {"__preflight_measured": {"unreachable": True, "msg": "Connection reset"}},
            "w1: cannot be reached: Connection reset",
        ),
    ],
)
def test_one_host(variables, expected):
    hostvars = {"s1": host(), "w1": host(**variables)}
    assert preflight.problems_of(hostvars, GROUPS, ["s1", "w1"], NOW) == [expected]


@pytest.mark.parametrize(
    "variables",
    [
        {"measured": "4.9 2048 900"},
        {"measured": "-4.9 2048 900"},
        {"measured": "60 30000 4000", "preflight_clock_skew_seconds": 61},
        {"measured": "0 100 4000", "preflight_disk_mb": 100},
        {
            "facts": {
                "distribution_major_version": "13",
                "python": {
                    "executable": "/usr/bin/python3",
                    "version": {"major": 3, "minor": 13, "micro": 5},
                },
            }
        },
    ],
)
def test_limits_that_just_hold(variables):
    assert problems(**variables) == []


@pytest.mark.parametrize("variable", ["caspian_secrets_dir", "dag_sync_repository"])
def test_what_every_inventory_has_to_say(variable):
    (found,) = problems(**{variable: ""})
    assert found.startswith(f"{variable} is not set: it is the ")


@pytest.mark.parametrize(("skew", "count"), [("-6", 0), ("-26", 1), ("0", 0), ("6", 1)])
def test_a_slow_answer_is_not_a_wrong_clock(skew, count):
    # Asked 20 s ago: the clock was read somewhere in between.
    measured = stdout(f"{skew} 30000 4000", asked=NOW - 20)
    hostvars = {"s1": host(), "w1": host(__preflight_measured={"stdout": measured, "rc": 0})}
    assert len(preflight.problems_of(hostvars, GROUPS, ["s1", "w1"], NOW)) == count


def test_all_problems_at_once_and_the_same_one_only_once():
    found = problems(
        {"worker": [], "broker": []}, measured="9 1 4000", dag_sync_repository="https://t@h/r"
    )
    assert [problem.split(":")[0] for problem in found] == [
        "the group worker is empty",
        "the group broker is empty",
        "dag_sync_repository",
        "s1",
        "s1",
        "w1",
        "w1",
    ]


class Unreadable(dict):
    """A host's variables, of which those that are an exception raise it, as hostvars do."""

    def __getitem__(self, name):
        if isinstance(value := super().__getitem__(name), AnsibleError):
            raise value
        return value


@pytest.mark.parametrize(
    "variable",
    [
        "caspian_secrets_dir",
        "dag_sync_repository",
        "airflow_external_api_url",
        "caspian_address",
        "credentials_sources",
        "airflow_outage_seconds",
        "preflight_disk_mb",
    ],
)
def test_a_variable_that_cannot_be_made_out_is_a_problem_among_the_others(variable):
    broken = {variable: AnsibleError("Task failed: 'fqdn' is undefined")}
    hostvars = {"s1": Unreadable(host(**broken)), "w1": Unreadable(host("9 30000 4000", **broken))}
    found = preflight.problems_of(hostvars, GROUPS, ["s1", "w1"], NOW)
    assert [line.split(":")[0] for line in found] == [
        "w1",
        f"{variable} cannot be made out for s1, w1",
    ]
    assert found[1].endswith(": 'fqdn' is undefined")


def test_a_service_whose_url_cannot_be_made_out_is_not_called_missing():
    url = AnsibleError("no such file")
    given = {"airflow_external_broker_url": url}
    hostvars = {name: Unreadable(host(**given)) for name in ("s1", "w1")}
    assert preflight.problems_of(hostvars, {**GROUPS, "broker": []}, ["s1", "w1"], NOW) == [
        "airflow_external_broker_url cannot be made out for s1, w1: no such file"
    ]


def test_a_limited_run_examines_its_hosts_alone():
    hostvars = {"s1": {}, "w1": host(measured="0 1 4000")}
    assert preflight.problems_of(hostvars, GROUPS, ["w1"], NOW) == [
        "w1: / has 1 MB free, less than preflight_disk_mb (2048)"
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "no reason given"),
        ("Task failed: Missing sudo password", "Missing sudo password"),
        (
            'Task failed: Data could not be sent to remote host "h". Make sure this host can be'
            " reached over ssh: @@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n"
            "Host key verification failed.\n",
            "Host key verification failed.",
        ),
    ],
)
def test_reason(message, expected):
    assert preflight.reason(message) == expected


@pytest.mark.parametrize("hostvars", [None, "s1", ["s1"]])
def test_preflight_problems_names_itself(hostvars):
    with pytest.raises(AnsibleFilterError, match=r"^preflight_problems: give it hostvars"):
        filters.preflight_problems(hostvars, GROUPS, ["s1"], NOW)


def test_networks():
    given = ["10.0.0.0/24", "2001:DB8:0::/64", "10.1.2.3"]
    assert addresses.networks(given) == ["10.0.0.0/24", "2001:db8::/64", "10.1.2.3/32"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["10.0.0.0/24", "10.0.0.7/24"], "networks: 10.0.0.7/24 has host bits set; write it like"),
        (["10.0.0.0/33"], "networks: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network"),
        (["db.example.org"], "'db.example.org' does not appear to be"),
        ("10.0.0.0/24", "networks: give it a list"),
        (None, "networks: give it a list"),
    ],
)
def test_networks_names_what_is_wrong(given, message):
    with pytest.raises(AnsibleFilterError) as error:
        addresses.networks(given)
    assert message in str(error.value)


def test_the_filters_are_the_documented_ones():
    assert set(filters.FilterModule().filters()) == {"preflight_problems"}


def topology(hosts, **groups):
    """Return the problems of a cluster of these hosts: name → variables that differ."""
    hostvars = {name: host(**variables) for name, variables in hosts.items()}
    all_groups = {**GROUPS, "all": [*hosts], **groups}
    return preflight.problems_of(hostvars, all_groups, [*hosts], NOW)


def at(address, *own):
    """Return the variables of a host by its address, which has some more."""
    facts = {
        "all_ipv4_addresses": [one for one in own if ":" not in one],
        "all_ipv6_addresses": [one for one in own if ":" in one],
    }
    return {"caspian_address": address, **({"facts": facts} if own else {})}


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("w1.example.org", None),
        ("192.0.2.2", None),
        ("2001:db8::2", None),
        ("fd00::2", None),
        ("fe80::2%eth0", "link-local"),
        ("fe80::2", "link-local"),
        ("[2001:db8::2]", "without them"),
        ("192.0.2.2:22", "neither a name nor an address"),
        ("::ffff:192.0.2.2", "write it as 192.0.2.2"),
        ("127.0.0.1", "each of the other hosts finds itself"),
        ("::1", "each of the other hosts finds itself"),
        ("localhost", "each of the other hosts finds itself"),
    ],
)
def test_an_address_by_which_others_reach_a_host(address, problem):
    found = topology({"s1": at("s1"), "w1": at(address)})
    if problem is None:
        assert found == []
    else:
        (line,) = found
        assert line.startswith(f"w1: caspian_address is {address}, ")
        assert problem in line


def test_the_address_of_a_control_node_that_nobody_has_to_reach():
    hosts = {"s1": at("s1"), "w1": at("w1"), "c1": at("localhost")}
    assert topology(hosts, control=["c1"]) == []
    assert topology({"s1": at("localhost")}, worker=["s1"], control=["s1"]) == []


@pytest.mark.parametrize("control", [["c1"], ["s1"], ["w1"], ["d1"], []])
def test_where_the_control_node_is(control):
    hosts = {"s1": at("s1"), "w1": at("w1"), "c1": at("c1"), "d1": at("d1")}
    assert topology(hosts, control=control, metadata_db=["d1"], broker=["d1"]) == []


def test_a_node_without_a_host_key():
    """Ansible reaches this machine itself without ssh; the control node does not."""
    keyless = at("w1", "192.0.2.2")
    keyless["facts"]["ssh_host_key_ed25519_public"] = None
    hosts = {"s1": at("s1", "192.0.2.1"), "w1": keyless}
    assert topology(hosts) == []
    assert topology(hosts, control=["s1"]) == [
        "w1: it has no ed25519 host key, by which the control node would know it: install"
        " openssh-server and run ssh-keygen -A, also where Ansible does without"
    ]


def test_more_than_one_control_node():
    hosts = {"s1": at("s1"), "w1": at("w1"), "c1": at("c1")}
    assert topology(hosts, control=["c1", "s1"]) == [
        "the group control has 2 hosts (c1, s1), and the nodes let in the refresh of one: leave"
        " one in it"
    ]


@pytest.mark.parametrize(
    ("scheduler", "worker", "problems"),
    [
        (at("2001:db8::1", "2001:db8::1"), at("w1", "2001:db8::2", "192.0.2.2"), []),
        (at("192.0.2.1", "192.0.2.1"), at("w1", "192.0.2.2", "fe80::2"), []),
        (
            at("2001:db8::1", "2001:db8::1"),
            at("w1", "192.0.2.2", "fe80::2"),
            ["w1: it has no IPv6 address, and s1 can be reached by IPv6 alone (caspian_address)"],
        ),
        (
            at("192.0.2.1", "192.0.2.1"),
            at("2001:db8::2", "2001:db8::2"),
            ["w1: it has no IPv4 address, and s1 can be reached by IPv4 alone (caspian_address)"],
        ),
        # Nobody asks a worker by its address but the control node.
        (at("s1", "192.0.2.1"), at("2001:db8::2", "2001:db8::2"), []),
        # Translated on the way: who is behind it is not known.
        (at("203.0.113.1", "192.0.2.1"), at("w1", "192.0.2.2"), []),
    ],
)
def test_hosts_of_different_versions_of_ip(scheduler, worker, problems):
    assert topology({"s1": scheduler, "w1": worker}) == problems


def test_a_control_node_that_cannot_reach_a_worker():
    hosts = {"s1": at("s1"), "w1": at("2001:db8::2"), "c1": at("c1", "192.0.2.3")}
    assert topology(hosts, control=["c1"]) == [
        "c1: it has no IPv6 address, and w1 can be reached by IPv6 alone (caspian_address)"
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{CANARY}@2001:db8::1:6379/0", "redis://…2001:db8::1:6379"),
        (f"redis://:{CANARY}@2001:db8::1/0", "redis://…2001:db8::1"),
        (f"redis://:p:{CANARY}@fd00::1/0?a=b@c", "redis://…fd00::1"),
    ],
)
def test_an_address_without_brackets_in_a_url(url, shown):
    (problem,) = problems({"broker": []}, airflow_external_broker_url=url)
    assert problem == (
        f"airflow_external_broker_url: the host of {shown} is an IPv6 address without brackets:"
        " write it as in [2001:db8::1]:5432"
    )


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("[2001:db8::1]:6379", True),
        ("[2001:db8::1]", True),
        ("redis.example.org:6379", True),
        ("192.0.2.1", True),
        ("a:6379,b:6379,[::2]:6379", True),
        ("", True),
        ("[2001:db8::1", False),
        ("[fe80::1%eth0]:6379", False),
        ("[192.0.2.1]:6379", False),
        ("[redis.example.org]:6379", False),
        ("[2001:db8::1]6379", False),
    ],
)
def test_hosts_of_urls(host, good):
    found = problems({"broker": []}, airflow_external_broker_url=f"redis://:{CANARY}@{host}/0?x=[y")
    assert len(found) == (0 if good else 1)
    assert not any(CANARY in problem for problem in found)
    if not good:
        assert found == [
            f"airflow_external_broker_url: {host} is not an IPv6 address in brackets, as in"
            " [2001:db8::1]:5432"
        ]
