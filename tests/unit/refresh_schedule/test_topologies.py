# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control node is told of the others, wherever it is, and how they let it in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/refresh_schedule"
ADDRESSES = {
    "s1": "2001:DB8:0::1",
    "w1": "2001:db8::2",
    "w2": "w2.example.org",
    "d1": "2001:db8::4",
    "c1": "192.0.2.5",
}
# A control node of its own, or one that is the scheduler, a worker or the database's too.
CONTROLS = ("c1", "s1", "w2", "d1")
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJtMIoug1isIKttgvXB5F+lj5zpfS9+KtvtxJmjqBSko"


def template(name):
    """Return what renders a template of the role."""
    return f"{{{{ lookup('ansible.builtin.template', '{ROLE}/templates/{name}.j2') }}}}"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Render what each control node would get, as the role does; return it by control node."""
    folder = tmp_path_factory.mktemp("rendered")
    (folder / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    groups = {
        "airflow": {
            "children": {
                "scheduler": {"hosts": {"s1": {}}},
                "worker": {"hosts": {"w1": {"ansible_port": 2222}, "w2": {}}},
            }
        },
        "metadata_db": {"hosts": {"d1": {}}},
        "control": {"hosts": {name: {} for name in CONTROLS}},
    }
    hosts = {name: {"caspian_address": address} for name, address in ADDRESSES.items()}
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "children": groups}}))
    facts = {
        "ssh_host_key_ed25519_public": KEY,
        "all_ipv4_addresses": ["192.0.2.9"],
        "all_ipv6_addresses": ["2001:db8::9", "fd00::9", "fe80::9"],
        "cacheable": True,
    }
    authorize = next(
        task
        for task in yaml.safe_load((ROLE / "tasks/authorize.yml").read_text())
        if task["name"].startswith("authorize | Accept the key")
    )
    files = {
        "inventory": template("inventory.json"),
        "known_hosts": template("known_hosts"),
        "itself": "{{ __refresh_schedule_options }}",
        "other": "{{ __refresh_schedule_other }}",
    }
    # As another node has it.
    other = authorize["vars"]["__refresh_schedule_options"].replace(
        "__refresh_schedule_loopback", "[]"
    )
    play = {
        "hosts": "control",
        "gather_facts": False,
        "connection": "local",
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "vars": {
            **authorize["vars"],
            "__refresh_schedule_key": {"rc": 1},
            "__refresh_schedule_other": other,
            "refresh_schedule_control_host": "{{ inventory_hostname }}",
            "refresh_schedule_variables": {},
        },
        "tasks": [
            {"ansible.builtin.set_fact": {"shown": files}},
            {
                # One copy of all that is shown: a copy for each host takes most of the time.
                "ansible.builtin.copy": {
                    "content": (
                        "{{ ansible_play_hosts | map('extract', hostvars, 'shown') | to_json }}"
                    ),
                    "dest": str(folder / "shown.json"),
                    "mode": "0600",
                },
                "run_once": True,
            },
        ],
    }
    book = folder / "play.yml"
    book.write_text(
        json.dumps(
            [
                {
                    "hosts": "all",
                    "gather_facts": False,
                    "connection": "local",
                    "tasks": [{"ansible.builtin.set_fact": facts}],
                },
                play,
            ]
        )
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, book],
        cwd=ROOT, env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads((folder / "shown.json").read_text())
    return {
        control: SimpleNamespace(**files) for control, files in zip(CONTROLS, shown, strict=True)
    }


@pytest.mark.parametrize("control", CONTROLS)
def test_the_control_node_reaches_each_node_of_airflow_as_root_over_ssh(rendered, control):
    hosts = json.loads(rendered[control].inventory)["all"]["hosts"]
    for name in ("s1", "w1", "w2"):
        told = hosts[name]
        assert told["ansible_host"] == ADDRESSES[name]
        assert told["ansible_become"] is True
        assert told["ansible_user"] == "caspian-refresh"
        assert "ansible_connection" not in told
    assert set(hosts) == {"s1", "w1", "w2", control}


@pytest.mark.parametrize("control", CONTROLS)
def test_its_own_credentials_are_where_tasks_look_where_it_runs_tasks(rendered, control):
    told = json.loads(rendered[control].inventory)["all"]["hosts"][control]
    if control in ("s1", "w2"):
        expected = ("/etc/airflow/credentials", "root", "airflow")
    else:
        expected = ("/var/lib/caspian-refresh/credentials", "caspian-refresh", "caspian-refresh")
        # Its own files, for which it needs neither ssh nor root.
        assert told["ansible_connection"] == "local"
        assert told["ansible_become"] is False
    fields = ("credentials_directory", "credentials_owner", "credentials_group")
    assert tuple(told[field] for field in fields) == expected


@pytest.mark.parametrize("control", CONTROLS)
def test_it_knows_their_host_keys_by_what_ssh_asks_for(rendered, control):
    lines = [
        line for line in rendered[control].known_hosts.splitlines() if line[:1] not in ("#", "")
    ]
    assert lines == [
        f"2001:db8::1 ssh-ed25519 {KEY}",
        f"[2001:db8::2]:2222 ssh-ed25519 {KEY}",
        f"w2.example.org ssh-ed25519 {KEY}",
    ]


@pytest.mark.parametrize("control", CONTROLS)
def test_nodes_let_it_in_from_its_addresses_of_both_versions(rendered, control):
    sources = "192.0.2.9,2001:db8::9,fd00::9"
    assert rendered[control].other == f'restrict,from="{sources}"'
    # Itself from its loopback too.
    assert rendered[control].itself == f'restrict,from="{sources},127.0.0.1,::1"'


def test_nothing_of_the_dag_repository_is_the_refresh_s():
    """An inventory sets variables of role dag_sync for all hosts, which are not this one's."""
    tasks = yaml.safe_load((ROLE / "tasks/checkout.yml").read_text())
    (configure,) = [
        task
        for task in tasks
        if task.get("ansible.builtin.include_role", {}).get("tasks_from") == "configure"
    ]
    specs = yaml.safe_load((ROOT / "roles/dag_sync/meta/argument_specs.yml").read_text())
    options = set(specs["argument_specs"]["main"]["options"])
    assert options - set(configure["vars"]) == set()
