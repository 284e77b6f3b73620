# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role, on the controller: what it refuses before anything is changed, and what it writes."""

import grp
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.caspian.airflow.plugins.plugin_utils.sync_settings import (
    sync_settings_problems,
)

ROOT = Path(__file__).resolve().parents[3]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIK6yDkCDdOEi8YtYjGWwhvZ9ahVzjNrDCwvHvLYQGZf"
SSH = {
    "dag_sync_repository": "git@host:dags.git",
    "dag_sync_private_key": "key",
    "dag_sync_known_hosts": [f"host {KEY}"],
}
HTTPS = {"dag_sync_repository": "https://host/dags.git"}
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def play(folder, hosts, tasks):
    """Run tasks on hosts with these variables; return host → its results."""
    hosts = {name: {"dag_sync_repository": "/srv/dags.git"} | hosts[name] for name in hosts}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    content = {"hosts": "all", "gather_facts": False, "connection": "local", "tasks": tasks}
    (folder / "play.json").write_text(json.dumps([content]))
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.json", "play.json"],
        cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    results = {name: [] for name in hosts}
    for task in json.loads(done.stdout)["plays"][0]["tasks"]:
        for host, result in task["hosts"].items():
            results[host].append(result)
    return results


# Host → its variables, and the lines that it fails with.
REFUSED = {
    "good": ({}, []),
    "good_ssh": (SSH, []),
    "good_https": (
        HTTPS | {"dag_sync_token": "t", "dag_sync_ca": PEM, "dag_sync_proxy": "http://p:1"},
        [],
    ),
    "good_folder": ({"dag_sync_dags_folder": "airflow/dags"}, []),
    "good_metrics": ({"dag_sync_metrics_directory": "/var/lib/metrics"}, []),
    # What an inventory or -e writes as text.
    "good_numbers": ({"dag_sync_depth": "1", "dag_sync_submodules": "no"}, []),
    "password": (
        {"dag_sync_repository": "https://me:CANARY@host/dags.git"},
        [
            "dag_sync_repository https://***@host/dags.git has a user name, password or token in"
            " it: use ssh with a deploy key, or dag_sync_token"
        ],
    ),
    "url": (
        {"dag_sync_repository": "http://host/dags.git"},
        [
            "dag_sync_repository http://host/dags.git is none of ssh://user@host/path,"
            " user@host:path, https://host/path, file:///path, /path",
            "a repository over ssh needs dag_sync_known_hosts (the server's host keys; ssh-keyscan"
            " prints them) and dag_sync_private_key (the deploy key)",
        ],
    ),
    "ssh": (
        {"dag_sync_repository": "git@host:dags.git", "dag_sync_known_hosts": [""]},
        [
            "a repository over ssh needs dag_sync_known_hosts (the server's host keys; ssh-keyscan"
            " prints them) and dag_sync_private_key (the deploy key)"
        ],
    ),
    "token": (
        {"dag_sync_token": "t", "dag_sync_ca": PEM, "dag_sync_proxy": "http://p:1"},
        [
            "dag_sync_token is for a repository over https",
            "dag_sync_ca is for a repository over https",
            "dag_sync_proxy is for a repository over https",
        ],
    ),
    "token_file": (
        HTTPS | {"dag_sync_token_file": "token", "dag_sync_token_user": "a b"},
        [
            "dag_sync_token_file needs dag_sync_token_user, without blanks or a colon",
            "dag_sync_token_file token is not an absolute path",
        ],
    ),
    "tokens": (
        HTTPS | {"dag_sync_token": "t", "dag_sync_token_file": "/t"},
        [
            "Both dag_sync_token and dag_sync_token_file are given: the first is written to a file"
            " by the role, the second is kept on the node by something else"
        ],
    ),
    "blanks": (
        HTTPS | {"dag_sync_token": "CANARY CANARY"},
        ["dag_sync_token has to be one line without blanks"],
    ),
    "ca": (
        HTTPS | {"dag_sync_ca": "-----BEGIN PRIVATE KEY-----"},
        [
            "dag_sync_ca has to be the certificates of authorities in PEM, -----BEGIN"
            " CERTIFICATE----- and so on, and no private key"
        ],
    ),
    "proxy": (
        HTTPS | {"dag_sync_proxy": "http://me:CANARY@p:1"},
        ["dag_sync_proxy http://***@p:1 is not http://host:port, without a user or password"],
    ),
    "ref": (
        {"dag_sync_ref": "a..b"},
        [
            "dag_sync_ref 'a..b' is not the name of a branch or tag, nor refs/tags/PATTERN, nor a"
            " commit"
        ],
    ),
    "folder": (
        {"dag_sync_dags_folder": "../dags"},
        [
            "dag_sync_dags_folder ../dags is not a folder inside the repository, such as dags or"
            " airflow/dags, or . for its root"
        ],
    ),
    "signers": (
        {"dag_sync_allowed_signers": ["me@example.org"]},
        [
            "An entry of dag_sync_allowed_signers is neither a line of ssh's allowed_signers"
            " (principal, key type, key) nor one armoured OpenPGP public key; it begins with"
            ' "me@example.org"'
        ],
    ),
    "gate": (
        {"dag_sync_gate_python": "python3", "dag_sync_gate_command": ["x", ""]},
        [
            "dag_sync_gate_python python3 is not an absolute path",
            "dag_sync_gate_command has an empty word",
        ],
    ),
    "two gates": (
        {"dag_sync_gate_check": True, "dag_sync_gate_command": ["x"]},
        [
            "Both dag_sync_gate_check and dag_sync_gate_command are given: one command is run, and"
            " yours may call /usr/local/bin/rax check --gate . itself"
        ],
    ),
    "numbers": (
        {"dag_sync_depth": -1, "dag_sync_keep_releases": 0},
        ["dag_sync_depth is less than 0", "dag_sync_keep_releases is less than 1"],
    ),
    "metrics": (
        {"dag_sync_metrics_directory": "/var/lib/metrics/"},
        ["dag_sync_metrics_directory is /var/lib/metrics/: leave out the / at its end"],
    ),
    "interval": (
        {"dag_sync_interval": "* *"},
        ["dag_sync_interval is * *: not a minute of cron, such as * or */5"],
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Run the role's preflight on all hosts at once; return host → its last result."""
    role = {"name": "caspian.airflow.dag_sync", "tasks_from": "preflight"}
    hosts = {name: variables for name, (variables, _) in REFUSED.items()}
    tasks = [{"ansible.builtin.include_role": role}]
    results = play(tmp_path_factory.mktemp("preflight"), hosts, tasks)
    return {host: found[-1] for host, found in results.items()}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_role_refuses(refused, case):
    result, problems = refused[case], REFUSED[case][1]
    assert result.get("failed", False) == bool(problems), result
    assert not problems or result["msg"].splitlines() == problems
    assert "CANARY" not in json.dumps(result)


def test_a_program_that_fails_is_no_approval(tmp_path):
    (tmp_path / "__main__.py").write_text("import sys\nsys.exit('no room')\n")
    with pytest.raises(AnsibleFilterError, match="ended with 1: no room"):
        sync_settings_problems({"ref": "main"}, str(tmp_path))


def test_only_the_keys_of_settings_get_other_words(tmp_path):
    """What a message quotes besides them stays."""
    (tmp_path / "__main__.py").write_text(
        "print(\"'ref' 'main' is no branch; 'token_file' or 'x'\"); raise SystemExit(2)\n"
    )
    problems = sync_settings_problems(
        {"ref": "main", "token_file": ""}, str(tmp_path), {"token_file": "the token"}
    )
    assert problems == ["dag_sync_ref 'main' is no branch; the token or 'x'"]


# How the lines of what is given end, and what follows the last one.
ENDS = {
    "lf": ("\n", "\n"),
    "crlf": ("\r\n", "\r\n"),
    "cr": ("\r", "\r"),
    "unended": ("\n", ""),
    "blank": ("\r\n", "\r\n \r\n"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Let the role write its files on hosts whose lines end in these ways; return their folder."""
    if os.geteuid() != 0:
        pytest.skip("the role writes as root")
    folder = tmp_path_factory.mktemp("written")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    hosts = {
        name: {
            "dag_sync_private_key": end.join(key.read_text().splitlines()) + last,
            "dag_sync_token": f"token{last}",
            "dag_sync_gate_check": not last,
            # An entry that is a whole file, and one that is a line of it.
            "dag_sync_known_hosts": [f"a {KEY}{end}b {KEY}{last}", f"c {KEY}"],
            "dag_sync_allowed_signers": [f"me@example.org {KEY}{last}"],
        }
        for name, (end, last) in ENDS.items()
    }
    role = {"name": "caspian.airflow.dag_sync", "tasks_from": "configure"}
    variables = {
        "__dag_sync_directory": f"{folder}/{{{{ inventory_hostname }}}}",
        "__dag_sync_settings_file": "{{ __dag_sync_directory }}/settings.json",
        "__dag_sync_program": "/usr/bin/true",
        "__dag_sync_cron_files": [],
        "dag_sync_group": grp.getgrgid(os.getegid()).gr_name,
    }
    tasks = [{"ansible.builtin.include_role": role, "vars": variables}]
    for found in play(folder, hosts, tasks).values():
        assert not any(result.get("failed") for result in found), found
    return folder


def test_the_check_of_the_gate(written):
    check = ["/usr/local/bin/rax", "check", "--gate", "."]
    for name, (_, last) in ENDS.items():
        settings = json.loads((written / name / "settings.json").read_text())
        assert settings["gate_command"] == ([] if last else check)


@pytest.mark.parametrize("name", ENDS)
def test_lines_that_end_otherwise(written, name):
    """As editors and vaults leave them: ssh reads the key, and a line is a line."""
    key = written / name / "id"
    key.chmod(0o400)  # ssh-keygen wants its own keys to be nobody else's.
    public = subprocess.run(["ssh-keygen", "-y", "-f", key], stdout=subprocess.PIPE, check=True)
    assert public.stdout.split()[:2] == (written / "key.pub").read_bytes().split()[:2]
    contents = {
        file: (written / name / file).read_bytes().decode()
        for file in ("token", "known_hosts", "allowed_signers")
    }
    assert contents == {
        "token": "token\n",
        "known_hosts": f"a {KEY}\nb {KEY}\nc {KEY}\n",
        "allowed_signers": f"me@example.org {KEY}\n",
    }
