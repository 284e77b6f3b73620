"""Where the timer reads a file vault, what it is told of that, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/refresh_schedule"
HOME, ETC = "/var/lib/caspian-refresh", "/etc/caspian-refresh"
REPOSITORY = {"refresh_schedule_repository": "https://git.example.org/caspian.git"}
OF_CONTROLLER = {"path": "/home/ada/vault.kdbx", "password_file": "/home/ada/password", "url": "u"}

# What an inventory says → path that the lookup gets, copy, memory.
PLACES = {
    "server": ({}, None, "", ""),
    "copied": (
        {"refresh_schedule_vault_file": "/srv/vault.kdbx"},
        f"{ETC}/vault.kdbx", f"{ETC}/vault.kdbx", "",
    ),
    "copied-elsewhere": (
        {
            "refresh_schedule_vault_file": "/srv/vault.psafe3",
            "refresh_schedule_vault_path": f"{ETC}/vault.psafe3",
        },
        f"{ETC}/vault.psafe3", f"{ETC}/vault.psafe3", "",
    ),
    "shared": (
        {"refresh_schedule_vault_path": "/srv/share/vault.kdbx"},
        "/srv/share/vault.kdbx", "", f"{HOME}/vault.json",
    ),
    "followed": (
        REPOSITORY | {"refresh_schedule_vault_path": "vaults/production.kdbx"},
        f"{HOME}/checkout/vaults/production.kdbx", f"{HOME}/.checkout/last_success", "",
    ),
    "own-stamp": (
        {
            "refresh_schedule_vault_path": "/srv/mirror/vault.kdbx",
            "refresh_schedule_vault_copy": "/srv/mirror/last_pull",
        },
        "/srv/mirror/vault.kdbx", "/srv/mirror/last_pull", f"{HOME}/vault.json",
    ),
}  # fmt: skip
IN_REPOSITORY = "a path in refresh_schedule_repository: that has to be set"
UNSEEN = "which the refresh does not see"
REFUSED = {
    "no-repository": ({"refresh_schedule_vault_path": "vault.kdbx"}, IN_REPOSITORY),
    "and-a-copy": (
        REPOSITORY
        | {"refresh_schedule_vault_path": "v.kdbx", "refresh_schedule_vault_file": "/srv/v.kdbx"},
        IN_REPOSITORY,
    ),
    "out-of-it": (REPOSITORY | {"refresh_schedule_vault_path": "a/../../x"}, IN_REPOSITORY),
    **{
        path.replace("/", "-"): ({"refresh_schedule_vault_path": path}, UNSEEN)
        for path in ("/home/a/v", "/root/v", "/tmp/v", "/var/tmp/v", "/run/user/0")  # noqa: S108 - nothing is written
    },
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Return, of each control node, its inventory's settings or why its preflight refuses them."""
    folder = tmp_path_factory.mktemp("places")
    cases = {name: case[0] for name, case in (PLACES | REFUSED).items()}
    inventory = {
        "all": {"hosts": {"w1": {}}, "children": {"control": {"hosts": cases}}},
    }
    (folder / "hosts.json").write_text(json.dumps(inventory))
    tasks = yaml.safe_load((ROLE / "tasks/preflight.yml").read_text())
    (check,) = [task for task in tasks if "ansible.builtin.assert" in task]
    check |= {"register": "checked", "ignore_errors": True}
    shown = (
        "{{ {'inventory': lookup('ansible.builtin.template',"
        f" '{ROLE}/templates/inventory.json.j2'), 'refused': checked.msg | default('')"
        " if checked is failed else ''} }}"
    )
    # One copy of all that is told: a copy for each host takes most of the time.
    keep = {
        "content": "{{ ansible_play_hosts | map('extract', hostvars, 'told') | to_json }}",
        "dest": str(folder / "told.json"),
        "mode": "0600",
    }
    play = {
        "hosts": "control",
        "gather_facts": False,
        "connection": "local",
        "vars_files": [str(ROLE / "vars/main.yml")],
        "roles": [],
        "vars": {"refresh_schedule_hosts": ["w1"], "credentials_vault_options": OF_CONTROLLER},
        "tasks": [
            check,
            {"ansible.builtin.set_fact": {"told": shown}},
            {"ansible.builtin.copy": keep, "run_once": True},
        ],
    }
    # An inventory's variables win over a role's defaults, and not over a play's files of variables.
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    inventory["all"]["vars"] = defaults
    (folder / "hosts.json").write_text(json.dumps(inventory))
    (folder / "play.yml").write_text(json.dumps([play]))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            *("-i", folder / "hosts.json", folder / "play.yml"),
        ],
        cwd=ROOT, env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(zip(cases, json.loads((folder / "told.json").read_text()), strict=True))


@pytest.mark.parametrize("name", PLACES)
def test_what_the_timer_is_told(told, name):
    _given, path, copy, memory = PLACES[name]
    assert told[name]["refused"] == ""
    found = json.loads(told[name]["inventory"])["all"]["hosts"]["w1"]
    expected = {"path": path} if path else {key: OF_CONTROLLER[key] for key in ("path", "url")}
    assert found["credentials_vault_options"] == expected
    assert found["credentials_vault_copy"] == copy
    assert found["credentials_vault_memory"] == memory


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_preflight_refuses(told, name):
    assert REFUSED[name][1] in told[name]["refused"]
