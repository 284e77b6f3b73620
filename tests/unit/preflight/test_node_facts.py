# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms that the facts of a node must have."""

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.filter import node_facts as filters
from ansible_collections.caspian.airflow.plugins.plugin_utils import node_answers, node_facts

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIIK6yDkCDdOEi8YtYjGWwhvZ9ahVzjNrDCwvHvLYQGZf"
# As the module setup returns them on Debian 12.
FACTS = {
    "distribution": "Debian",
    "distribution_major_version": "12",
    "distribution_version": "12.11",
    "python_version": "3.11.2",
    "python": {"executable": "/usr/bin/python3", "version": {"major": 3, "minor": 11}},
    "default_ipv4": {"address": "10.0.0.7", "network": "10.0.0.0", "prefix": 24},
    "default_ipv6": {"address": "fd00::7", "prefix": 64},
    "all_ipv4_addresses": ["10.0.0.7", "192.0.2.7"],
    "all_ipv6_addresses": ["fd00::7", "fe80::1"],
    "ssh_host_key_ed25519_public": KEY,
}


def test_what_is_used_passes_and_nothing_else():
    networks = {"10.0.0.7": "10.0.0.0/24", "fd00::7": "fd00::/64"}
    assert node_facts.checked(FACTS | {"airflow_lock": "/etc/shadow", "env": {}}) == FACTS | {
        "networks": networks
    }
    assert node_facts.checked({}) == {}


def test_networks_are_by_address_and_not_by_names_that_a_node_chooses():
    given = {
        "airflow_lock": {"ipv4": {"address": "10.0.0.7", "prefix": "24"}},
        "eth0": {
            "ipv4": {"address": "x", "prefix": "24"},
            "ipv4_secondaries": [{"address": "192.0.2.7", "prefix": "30"}, "x", None],
            "ipv6": [
                {"address": "FD00::7", "prefix": "64"},
                {"address": "fe80::7%eth0", "prefix": "64"},
                {"address": "fd00::8", "prefix": "129"},
            ],
        },
        "default_ipv6": {"address": "2001:db8::7", "prefix": "128"},
    }
    assert node_facts.checked(given)["networks"] == {
        "10.0.0.7": "10.0.0.0/24",
        "192.0.2.7": "192.0.2.4/30",
        "fd00::7": "fd00::/64",
        "2001:db8::7": "2001:db8::7/128",
    }


def test_one_value_has_one_notation():
    given = {
        "default_ipv4": {"prefix": "24"},
        "default_ipv6": {"address": "FD00:0::7", "prefix": "64"},
    }
    assert node_facts.checked(given) == {
        "default_ipv4": {"prefix": 24},
        "default_ipv6": {"address": "fd00::7", "prefix": 64},
        "networks": {"fd00::7": "fd00::/64"},
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("distribution", 12),
        ("distribution", "Debian\n"),
        ("distribution", "Debian\x1b[2J"),
        ("distribution", ""),
        ("distribution", "x" * 65),
        ("distribution_major_version", None),
        ("distribution_version", "{{ 1 }}"),
        ("python_version", "3.11.2/../../x"),
        ("python_version", "3.11\n"),
        ("python", []),
        ("python", "3.11"),
        ("python.executable", "python3"),
        ("python.executable", "/usr/bin/python3; id"),
        ("python.version", None),
        ("python.version.major", True),
        ("python.version.major", -3),
        ("python.version.minor", "../11"),
        ("python.version.minor", "１１"),
        ("python.version.minor", 10**4000),
        ("python.version.minor", 3.11),
        ("default_ipv4", "10.0.0.7"),
        ("default_ipv4.address", "10.0.0.7@evil.example.org"),
        ("default_ipv4.address", 167772167),
        ("default_ipv4.address", "fd00::7"),
        ("default_ipv4.network", "0.0.0.0/0"),
        ("default_ipv4.prefix", 33),
        ("default_ipv4.prefix", "24 trust"),
        ("default_ipv6.address", "fe80::1%eth0"),
        ("default_ipv6.address", "10.0.0.7"),
        ("default_ipv6.prefix", 129),
        ("all_ipv4_addresses", "10.0.0.7"),
        ("all_ipv4_addresses", ['10.0.0.7",command="id']),
        ("all_ipv4_addresses", ["10.0.0.7"] * 1001),
        ("all_ipv6_addresses", ["fd00::7", None]),
        ("ssh_host_key_ed25519_public", ""),
        ("ssh_host_key_ed25519_public", [KEY]),
        ("ssh_host_key_ed25519_public", KEY + "AAAA"),
        ("ssh_host_key_ed25519_public", KEY[:-4]),
        ("ssh_host_key_ed25519_public", f"{KEY} a comment"),
        ("ssh_host_key_ed25519_public", f"{KEY}\n@cert-authority * ssh-ed25519 {KEY}"),
        ("ssh_host_key_ed25519_public", "AAAAB3NzaC1yc2EAAAADAQABAAAAgQ=="),
    ],
)
def test_another_form_is_refused_by_the_name_of_the_fact(path, value):
    facts = value
    for key in reversed(path.split(".")):
        facts = {key: facts}
    with pytest.raises(node_answers.AnswerError) as caught:
        node_facts.checked(facts)
    message = str(caught.value)
    assert f"the fact {path} " in message
    assert message.isprintable()
    assert len(message) < 200


@pytest.mark.parametrize("facts", [None, [], "facts", 5])
def test_facts_are_a_mapping(facts):
    with pytest.raises(node_answers.AnswerError, match="its facts are not a mapping"):
        node_facts.checked(facts)


def test_the_filter_names_itself():
    with pytest.raises(AnsibleFilterError, match=r"^node_facts: the fact distribution has a form"):
        filters.node_facts({"distribution": 5})


@pytest.mark.parametrize("line", [f"ssh-ed25519 {KEY}", f"ssh-ed25519 {KEY} caspian-refresh"])
def test_a_public_key_passes(line):
    assert filters.public_key(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "",
        None,
        [f"ssh-ed25519 {KEY}"],
        f"ssh-rsa {KEY}",
        f"ssh-ed25519 {KEY} two words",
        f"ssh-ed25519 {KEY}\n",
        f"ssh-ed25519 {KEY}\nssh-ed25519 {KEY}",
        f'command="id" ssh-ed25519 {KEY}',
    ],
)
def test_anything_else_is_no_public_key(line):
    with pytest.raises(AnsibleFilterError, match=r"^public_key: not one line with an ed25519"):
        filters.public_key(line)


def test_a_measurement_is_four_numbers():
    assert node_facts.measured("1795000000.1 1795000000.2 30000 4000") == [
        1795000000.1,
        1795000000.2,
        30000,
        4000,
    ]


@pytest.mark.parametrize(
    "answer",
    ["", None, ["1", "2", "3", "4"], "1 2 3", "1 2 3 4 5", "nan 1 2 3", "1 2 3 1e9", "-1 2 3 4"],
)
def test_any_other_measurement_is_refused(answer):
    with pytest.raises(node_answers.AnswerError, match="are not four numbers: "):
        node_facts.measured(answer)
