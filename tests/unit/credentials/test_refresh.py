"""playbooks/refresh_credentials.yml from a vault to the files of several hosts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from credential_testing import GROUP, HERE, ROOT, Module, credential, environment, tree

CANARY = "c4nary"
SOURCES = ["A", {"name": "B", "record": "path/to/b"}, {"name": "C", "hosts": ["worker"]}]


class Cluster:
    """Two hosts that are directories here, and one that can't be reached."""

    def __init__(self, place):
        self.place = place
        self.vault = place / "vault"
        self.temporary = place / "temporary"
        for name in ("vault", "temporary", "scheduler1", "worker1"):
            (place / name).mkdir()
        self.store(A=record("a"), C=record("c"), **{"path/to/b": record("b")})
        inventory = {
            "airflow": {
                "children": {
                    "scheduler": {"hosts": {"scheduler1": {}}},
                    "worker": {"hosts": {"worker1": {}, "worker2": {}}},
                },
                "vars": {
                    "ansible_connection": "local",
                    "ansible_become": False,
                    "ansible_python_interpreter": sys.executable,
                    "credentials_directory": f"{place}/{{{{ inventory_hostname }}}}/credentials",
                    "credentials_group": str(GROUP),
                    "credentials_vault": "fake_vault",
                    "credentials_vault_options": {"folder": str(self.vault)},
                    "credentials_sources": SOURCES,
                },
            },
        }
        worker2 = inventory["airflow"]["children"]["worker"]["hosts"]["worker2"]
        worker2 |= {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
        (place / "hosts.json").write_text(json.dumps(inventory))

    def store(self, **records):
        (self.vault / "records.json").write_text(json.dumps(records))

    def asked(self):
        """Return what the vault was asked since the last time."""
        log = self.vault / "asked"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [sorted(json.loads(line)) for line in lines]

    def refresh(self, *arguments, limit="!worker2", env=None, **variables):
        """Run the playbook; return its return code and output."""
        command = [
            Path(sys.executable).with_name("ansible-playbook"),
            ROOT / "playbooks/refresh_credentials.yml",
            *("--inventory", self.place / "hosts.json", "--limit", limit),
            *("--extra-vars", json.dumps(variables)),
            *arguments,
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=environment()
            | {
                "HOME": str(self.place),
                "ANSIBLE_LOOKUP_PLUGINS": str(HERE / "lookup_plugins"),
                "ANSIBLE_LOCAL_TEMP": str(self.temporary),
                "ANSIBLE_REMOTE_TEMP": str(self.temporary),
            }
            | (env or {}),
        )
        output = done.stdout + done.stderr
        assert CANARY not in output
        assert [path for path in self.temporary.rglob("*") if path.is_file()] == []
        return done.returncode, " ".join(output.split())

    def passwords(self, host):
        return {
            file.stem: json.loads(file.read_text())["pass"].removeprefix(f"{CANARY}-")
            for file in (self.place / host / "credentials").glob("*.json")
        }


def record(password, **changes):
    return credential(f"{CANARY}-{password}", **changes)


@pytest.fixture
def cluster(place):
    return Cluster(place)


@pytest.fixture
def delivered(cluster):
    """What test_deliver gets, without its playbook."""
    sets = {"scheduler1": ["a", "b"], "worker1": ["a", "b", "c"]}
    for host, names in sets.items():
        Module("credential_files")(
            path=str(cluster.place / host / "credentials"),
            group=str(GROUP),
            credentials={name.upper(): record(name) for name in names},
        )
    return cluster


def counts(output, host):
    """Return the numbers of the recap that count."""
    found = re.search(rf"{host} : ok=\d+ changed=(\d+) unreachable=(\d+) failed=(\d+)", output)
    return tuple(map(int, found.groups()))


def test_deliver(cluster):
    """The union is fetched once; each host gets its own; an unreachable one stops no other."""
    status, output = cluster.refresh("-vvvvv", "--diff", limit="all")
    assert status == 4, output
    assert counts(output, "worker2") == (0, 1, 0)
    assert cluster.asked() == [["A", "C", "path/to/b"]]
    assert cluster.passwords("scheduler1") == {"A": "a", "B": "b"}
    assert cluster.passwords("worker1") == {"A": "a", "B": "b", "C": "c"}
    before = tree(cluster.place / "worker1")
    status, output = cluster.refresh()
    assert status == 0, output
    assert counts(output, "worker1") == (0, 0, 0)
    assert tree(cluster.place / "worker1") == before


def test_check_mode(delivered):
    """Names and kinds of change only, and nothing written; the limit's hosts only."""
    delivered.store(A=record("new"), **{"path/to/b": record("b")})
    before = tree(delivered.place / "worker1")
    sources = [
        "A",
        "B2",
        {"name": "C", "hosts": ["scheduler1"]},
        {"name": "B", "record": "path/to/b"},
    ]
    status, output = delivered.refresh(
        "--check", "--diff", limit="worker1", credentials_sources=sources
    )
    assert status == 2, output
    assert "updated: - A removed: - C" in output or "removed: - C updated: - A" in output
    assert "B2: there is no such record; it has no file." in output
    assert tree(delivered.place / "worker1") == before
    assert delivered.asked() == [["A", "B2", "path/to/b"]]


def test_vault_down(delivered):
    """Nothing changes on any node, and the run says why."""
    (delivered.vault / "records.json").unlink()
    hosts = ("scheduler1", "worker1")
    before = [tree(delivered.place / host) for host in hosts]
    status, output = delivered.refresh()
    assert status == 2
    assert "no credential was changed on any node" in output
    assert "vault.example.org does not answer" in output
    assert [tree(delivered.place / host) for host in hosts] == before


def test_one_source_fails(delivered):
    """Missing and incomplete records keep their last good files; the run fails at its end."""
    delivered.store(A=record("new"), C=record("c", user=""))
    status, output = delivered.refresh()
    assert status == 2
    assert "B: there is no such record; its last good file stays." in output
    assert "C: user missing or empty; its last good file stays." in output
    assert delivered.passwords("scheduler1") == {"A": "new", "B": "b"}
    assert delivered.passwords("worker1") == {"A": "new", "B": "b", "C": "c"}


def test_emptied_list_needs_consent(delivered):
    status, output = delivered.refresh(credentials_sources=[])
    assert status == 2
    assert "credentials_allow_empty" in output
    assert delivered.passwords("scheduler1") == {"A": "a", "B": "b"}
    status, output = delivered.refresh(credentials_sources=[], credentials_allow_empty=True)
    assert status == 0, output
    assert delivered.passwords("scheduler1") == {}
    assert delivered.asked() == []


def test_bad_sources_are_all_named_and_the_vault_is_not_asked(cluster):
    sources = ["A", "A", "../x", {"name": "C", "hosts": ["wroker"]}]
    status, output = cluster.refresh(credentials_sources=sources)
    assert status == 2
    assert "A: declared more than once" in output
    assert "entry 3: the name '../x' is not a safe file name" in output
    assert "C: hosts: 'wroker' is no host or group of the inventory" in output
    assert cluster.asked() == []


def test_refuses_without_pipelining(cluster):
    status, output = cluster.refresh(ansible_pipelining=False)
    assert status == 2
    assert "Pipelining is off for this connection" in output
    assert "Turn it on with `pipelining = true`" in output
    assert list((cluster.place / "worker1").iterdir()) == []
