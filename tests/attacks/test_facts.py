# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that says of itself what would make it another, or would reach the controller's files.

The playbooks run for real, on this machine in the place of the nodes: only the interpreter and
the shell are hostile.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.forks import run_ansible

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "tests" / "fakes" / "hostile_python.py"
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIIK6yDkCDdOEi8YtYjGWwhvZ9ahVzjNrDCwvHvLYQGZf"


@pytest.fixture
def run(tmp_path):
    """Return what runs a playbook on nodes that answer as they like.

    It takes host → module → what is answered instead, and returns the finished run and, by host,
    the modules that its interpreter was sent.
    """

    def run(playbook, hosts, config=ROOT / "ansible.cfg", **variables):
        declared = {}
        for host, answers in hosts.items():
            (tmp_path / host).mkdir(exist_ok=True)
            interpreter = shutil.copy(FAKE, tmp_path / host)
            (tmp_path / host / "answers.json").write_text(json.dumps(answers))
            (tmp_path / host / "seen.log").write_text("")
            shell = shutil.copy(FAKE, tmp_path / host / "sh")
            declared[host] = {
                "ansible_python_interpreter": interpreter,
                "ansible_shell_executable": str(shell),
            }
        named = {host: {} for host in hosts}
        groups = ("scheduler", "worker", "airflow", "metadata_db", "broker", "control")
        inventory = tmp_path / "inventory.json"
        inventory.write_text(
            json.dumps(
                {
                    "all": {
                        "hosts": declared,
                        "children": {name: {"hosts": named} for name in groups},
                        "vars": {
                            "ansible_connection": "local",
                            "ansible_become": False,
                            **variables,
                        },
                    }
                }
            )
        )
        done = run_ansible(
            *("ansible-playbook", "-i", inventory, playbook),
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(config), "ANSIBLE_NOCOLOR": "1"},
        )
        seen = {host: (tmp_path / host / "seen.log").read_text().split() for host in hosts}
        return done, seen

    return run


@pytest.fixture
def playbook(tmp_path):
    """Return what writes a playbook with these tasks."""

    def write(*tasks):
        path = tmp_path / "play.yml"
        path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        return path

    return write


SETUP = {"ansible.builtin.setup": {"gather_subset": ["min"]}}
# What took the place of variables: a file of the controller, another host's credentials and
# secrets, another way for Ansible to log in.
PLACES = {
    "airflow_lock": "/stolen",
    "ansible_airflow_lock": "/stolen",
    "credentials_sources": ["STOLEN"],
    "airflow_components": ["stolen"],
    "caspian_address": "stolen",
    "inventory_hostname": "stolen",
    "group_names": ["stolen"],
    "ansible_local": {"airflow_lock": "/stolen"},
}


def test_nothing_a_node_says_becomes_a_variable(run, playbook):
    mine = {"airflow_lock": "mine", "airflow_components": ["mine"], "caspian_address": "mine"}
    names = [name for name in PLACES if name != "ansible_local"]
    show = {
        "ansible.builtin.debug": {
            "msg": "{{ query('ansible.builtin.vars', *names, default='') | to_json }}"
        },
        "vars": {"names": names},
    }
    look = {"ansible.builtin.stat": {"path": "/"}}
    lie = {"ansible_facts": PLACES}
    done, seen = run(
        playbook(SETUP, look, show), {"facts": {"setup": lie}, "result": {"stat": lie}}, **mine
    )
    assert done.returncode == 0, done.stdout
    assert seen == {host: ["setup", "stat"] for host in ("facts", "result")}
    assert done.stdout.count("mine") == 2 * len(mine)
    assert "stolen" not in done.stdout.lower()


@pytest.fixture(scope="module")
def injecting(tmp_path_factory):
    """Return the settings of somebody who has installed the collection and changed nothing."""
    config = tmp_path_factory.mktemp("injecting") / "ansible.cfg"
    config.write_text(f"[defaults]\ncollections_path = {ROOT / 'collections'}\n")
    return config


@pytest.mark.parametrize("name", ["site", "sync_dags", "health"])
def test_a_playbook_refuses_to_make_variables_of_facts(run, injecting, name):
    done, seen = run(f"playbooks/{name}.yml", {"node": {}}, injecting)
    assert done.returncode != 0
    assert "inject_facts_as_vars = false" in " ".join(done.stdout.split())
    # Before the node was asked anything.
    assert seen == {"node": []}


def test_a_refresh_refuses_it_too(run, injecting):
    own = {"refresh_schedule_here": True, "credentials_sources": []}
    done, seen = run("playbooks/refresh_credentials.yml", {"node": {}}, injecting, **own)
    assert done.returncode != 0
    assert "Nothing was changed: inject_facts_as_vars is on" in " ".join(done.stdout.split())
    assert seen == {"node": []}


LIES = {
    "list": ["x"],
    "path": {"python": {"version": {"major": "../../.."}}},
    "template": {"python_version": "{{ lookup('pipe', 'id') }}"},
    "terminal": {"distribution": "Debian\x1b]0;owned\x07"},
    "lines": {"python": {"executable": "/usr/bin/python3\n- s1: all is well"}},
    "text_for_mapping": {"python": "3.11"},
    "mapping_for_text": {"distribution": {"__ansible_type": "x"}},
    "endless": {"distribution_major_version": "1" * 100_000},
}
MEASURES = {
    "word": "x",
    "no_numbers": "nan inf 1e999 -1",
    "too_few": "1 2 3",
    "escapes": "\x1b[2J 1 2 3",
    "nothing": "",
}


def test_the_preflight_names_each_node_that_lies(run):
    hosts = {name: {"setup": {"ansible_facts": lie}} for name, lie in LIES.items()}
    hosts |= {name: {"command": {"stdout": lie}} for name, lie in MEASURES.items()}
    done, _ = run("playbooks/preflight.yml", hosts)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    message = done.stdout[done.stdout.rindex("has to be put right first:") :]
    assert "\x1b" not in message
    assert not re.search("^ *- s1: ", message, re.MULTILINE)
    # Ansible breaks long lines.
    shown = " ".join(message.partition("PLAY RECAP")[0].split())
    for name in hosts:
        (problem,) = re.findall(rf"- {name}: ((?:.(?!- [a-z_]+: ))*)", shown)
        assert len(problem) < 500
        assert re.search("its answer is not one of|cannot be examined", problem), problem


def test_a_host_key_is_one_key(run, playbook, tmp_path):
    """Attack: a line with an authority of the node's own, by which it is every other node."""
    key = {"true": KEY, "authority": f"{KEY}\n@cert-authority * ssh-ed25519 {KEY}"}
    hosts = {
        host: {"setup": {"ansible_facts": {"ansible_ssh_host_key_ed25519_public": value}}}
        for host, value in key.items()
    }
    template = ROOT / "roles" / "refresh_schedule" / "templates" / "known_hosts.j2"
    known_hosts = str(tmp_path / "known_hosts_{{ inventory_hostname }}")
    write = {"ansible.builtin.template": {"src": str(template), "dest": known_hosts}}
    done, _ = run(
        playbook(SETUP, write), hosts, refresh_schedule_hosts=["{{ inventory_hostname }}"]
    )
    assert "ssh_host_key_ed25519_public has a form" in " ".join(done.stdout.split())
    assert f"true ssh-ed25519 {KEY}\n" in (tmp_path / "known_hosts_true").read_text()
    assert not (tmp_path / "known_hosts_authority").exists()
