# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of both versions of IP: in URLs, in ssh's files, and where nodes listen."""

import subprocess

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter import addresses
from ansible_collections.caspian.airflow.plugins.plugin_utils.node_facts import checked

RAW = {
    "all_ipv4_addresses": ["10.0.0.5", "192.168.7.5"],
    "all_ipv6_addresses": ["2001:db8::5", "fd00:1::5", "fe80::3096:e7ff:feb2:ba42"],
    "default_ipv4": {"address": "10.0.0.5", "prefix": "24", "network": "10.0.0.0"},
    "default_ipv6": {"address": "2001:db8::5", "prefix": "64", "scope": "global"},
    "eth0": {
        "ipv4": {"address": "10.0.0.5", "prefix": "24"},
        "ipv6": [
            {"address": "2001:db8::5", "prefix": "64", "scope": "global"},
            {"address": "fe80::3096:e7ff:feb2:ba42", "prefix": "64", "scope": "link"},
        ],
    },
    "eth1": {
        "ipv4": {"address": "10.9.9.9", "prefix": "30"},
        "ipv4_secondaries": [{"address": "192.168.7.5", "prefix": "22"}],
        "ipv6": [{"address": "fd00:1::5", "prefix": "48", "scope": "global"}],
    },
    "distribution": "Debian",
}
FACTS = checked(RAW)
# What a machine of one version of IP has.
IPV4 = {**FACTS, "all_ipv6_addresses": ["fe80::1"], "default_ipv6": {}}
IPV6 = {**FACTS, "all_ipv4_addresses": [], "default_ipv4": {}}
# No default route, and one address that others can reach.
ISOLATED = {
    "all_ipv4_addresses": [],
    "all_ipv6_addresses": ["fe80::1", "fd00:1::5"],
    "default_ipv4": {},
    "default_ipv6": {},
    "networks": {"fd00:1::5": "fd00:1::/48"},
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("db1", "db1"),
        ("db-1.example.org", "db-1.example.org"),
        ("db_1.example.org.", "db_1.example.org."),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("2001:DB8:0:0::1", "[2001:db8::1]"),
        ("::1", "[::1]"),
    ],
)
def test_a_host_of_a_url(given, expected):
    assert addresses.url_host(given) == expected


UNREACHABLE = [
    ("fe80::1%eth0", "is link-local, which is an address together with a zone of one machine"),
    ("fe80::1", "is link-local"),
    ("2001:db8::1%eth0", "is link-local"),
    ("[2001:db8::1]", "is an address in brackets: write it without them"),
    ("::ffff:192.0.2.1", "is an IPv4 address within IPv6: write it as 192.0.2.1"),
    ("::", "is not the address of one node"),
    ("0.0.0.0", "is not the address of one node"),  # noqa: S104 - it is refused
    ("ff02::1", "is not the address of one node"),
    ("192.0.2.1:22", "is neither a name nor an address; ansible_port takes a port"),
    ("[2001:db8::1]:22", "is neither a name nor an address"),
    ("db1:5432", "is neither a name nor an address"),
    ("http://db1", "is neither a name nor an address"),
    ("me@db1", "is neither a name nor an address"),
    ("192.0.2", "is neither a name nor an address"),
    ("-oProxyCommand=x", "is neither a name nor an address"),
    ("a,*", "is neither a name nor an address"),
    ("a\n@cert-authority *", "is neither a name nor an address"),
    ("", "is neither a name nor an address"),
]


@pytest.mark.parametrize(("given", "problem"), UNREACHABLE)
@pytest.mark.parametrize("name", ["url_host", "known_host"])
def test_what_other_nodes_cannot_reach(name, given, problem):
    with pytest.raises(AnsibleFilterError) as error:
        getattr(addresses, name)(given)
    assert str(error.value).startswith(f"{name}: {given} {problem}")


@pytest.mark.parametrize(
    ("given", "port", "expected"),
    [
        ("w1", 22, "w1"),
        ("w1", "2222", "[w1]:2222"),
        ("192.0.2.1", 22, "192.0.2.1"),
        ("2001:DB8:0::1", 22, "2001:db8::1"),
        ("2001:DB8:0::1", 2222, "[2001:db8::1]:2222"),
    ],
)
def test_a_line_of_known_hosts(given, port, expected):
    assert addresses.known_host(given, port) == expected


@pytest.mark.parametrize("port", [22, 2222])
@pytest.mark.parametrize("given", ["W1.example.org", "192.0.2.1", "2001:DB8:0:0::1", "::1"])
def test_ssh_finds_that_line(given, port, tmp_path):
    """As ssh asks: by the canonical form of an address, which getaddrinfo makes."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJtMIoug1isIKttgvXB5F+lj5zpfS9+KtvtxJmjqBSko"
    file = tmp_path / "known_hosts"
    file.write_text(f"{addresses.known_host(given, port)} {key}\n")
    asked = subprocess.run(
        ["ssh", "-G", "-p", str(port), given], capture_output=True, text=True, check=True
    ).stdout
    host = next(line.split()[1] for line in asked.splitlines() if line.startswith("hostname "))
    wanted = host if port == 22 else f"[{host}]:{port}"
    found = subprocess.run(["ssh-keygen", "-F", wanted, "-f", file], check=False)
    assert found.returncode == 0


@pytest.mark.parametrize(
    ("facts", "known_as", "expected"),
    [
        (FACTS, "db1", ["10.0.0.5", "2001:db8::5"]),
        (IPV4, "db1", ["10.0.0.5"]),
        (IPV6, "db1", ["2001:db8::5"]),
        (ISOLATED, "db1", ["fd00:1::5"]),
        # An address of its own, whichever.
        (FACTS, "192.168.7.5", ["192.168.7.5"]),
        (FACTS, "fd00:1::5", ["fd00:1::5"]),
        (FACTS, "FD00:1:0::5", ["fd00:1::5"]),
        # Translated on the way.
        (FACTS, "203.0.113.1", ["10.0.0.5"]),
        (FACTS, "2001:db8:ffff::1", ["2001:db8::5"]),
        # A cluster of one machine.
        (FACTS, "127.0.0.1", ["127.0.0.1"]),
        (FACTS, "::1", ["::1"]),
    ],
)
def test_where_a_node_listens(facts, known_as, expected):
    assert addresses.own_addresses(facts, known_as) == expected


@pytest.mark.parametrize(
    ("facts", "known_as", "kind"),
    [
        (IPV4, "2001:db8::5", "IPv6 address"),
        (IPV6, "10.0.0.5", "IPv4 address"),
        ({}, "db1", "address"),
        # Several and no default route: nobody knows which.
        ({**FACTS, "default_ipv4": {}}, "203.0.113.1", "IPv4 address"),
    ],
)
def test_nowhere_to_listen(facts, known_as, kind):
    with pytest.raises(AnsibleFilterError) as error:
        addresses.own_addresses(facts, known_as)
    assert str(error.value) == (
        f"own_addresses: the node that others reach as {known_as} has no {kind} with a default"
        " route, nor has it a single one: say on which it listens"
    )


@pytest.mark.parametrize(
    ("known_as", "expected"),
    [
        ("db1", ["10.0.0.0/24", "2001:db8::/64"]),
        ("192.168.7.5", ["192.168.4.0/22"]),
        ("fd00:1::5", ["fd00:1::/48"]),
        ("203.0.113.1", ["10.0.0.0/24"]),
        ("10.9.9.9", ["10.0.0.0/24"]),
    ],
)
def test_the_networks_of_these_addresses(known_as, expected):
    assert addresses.own_networks(FACTS, known_as) == expected


def test_a_network_that_the_facts_do_not_tell():
    with pytest.raises(AnsibleFilterError) as error:
        addresses.own_networks({"all_ipv4_addresses": ["10.0.0.5"]}, "10.0.0.5")
    assert str(error.value) == (
        "own_networks: the network of 10.0.0.5 is not among the node's facts"
    )


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, ["10.0.0.5", "192.168.7.5", "2001:db8::5", "fd00:1::5"]),
        (IPV4, ["10.0.0.5", "192.168.7.5"]),
        (ISOLATED, ["fd00:1::5"]),
        ({}, []),
    ],
)
def test_where_connections_come_from(facts, expected):
    assert addresses.source_addresses(facts) == expected


@pytest.mark.parametrize("name", ["own_addresses", "source_addresses"])
def test_what_is_given_instead_of_facts(name):
    with pytest.raises(AnsibleFilterError, match=f"{name}: give it"):
        getattr(addresses, name)(*["facts", "db1"][: 2 if name == "own_addresses" else 1])
