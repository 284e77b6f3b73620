"""playbooks/refresh_credentials.yml from a vault to the files of several hosts."""

import json
import os
import re
import shutil
import sys
import time

import pytest
from credential_testing import GROUP, HERE, ROOT, Module, credential, environment, tree

from tests.forks import run_ansible

CANARY = "c4nary"
SOURCES = ["A", {"name": "B", "record": "path/to/b"}, {"name": "C", "hosts": ["worker"]}]


class Cluster:
    """Two hosts that are directories here, and one that can't be reached."""

    def __init__(self, place, home):
        self.place, self.home = place, home
        self.vault = place / "vault"
        self.temporary = home / "temporary"
        for name in ("vault", "scheduler1", "worker1"):
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

    def refresh(self, *arguments, limit="!worker2", **variables):
        """Run the playbook; return its return code and output."""
        done = run_ansible(
            "ansible-playbook",
            ROOT / "playbooks/refresh_credentials.yml",
            *("--inventory", self.place / "hosts.json", "--limit", limit),
            *("--extra-vars", json.dumps(variables)),
            *arguments,
            cwd=ROOT,
            env=environment()
            | {
                "HOME": str(self.home),
                "ANSIBLE_LOOKUP_PLUGINS": str(HERE / "lookup_plugins"),
                "ANSIBLE_LOCAL_TEMP": str(self.temporary),
                "ANSIBLE_REMOTE_TEMP": str(self.temporary),
            },
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


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home for all runs: those with the same settings are forks of one process."""
    home = tmp_path_factory.mktemp("home")
    (home / "temporary").mkdir()
    return home


@pytest.fixture
def cluster(place, home):
    return Cluster(place, home)


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
    after = tree(cluster.place / "worker1")
    # It says when the vault was last asked.
    del before["credentials.status.json"], after["credentials.status.json"]
    assert after == before


def test_a_node_that_never_answers(delivered):
    """It fails by itself; the others get what is new."""
    hostile = delivered.place / "hostile"
    hostile.mkdir()
    interpreter = shutil.copy(ROOT / "tests" / "fakes" / "hostile_python.py", hostile)
    (hostile / "answers.json").write_text(json.dumps({"*": {"__seconds__": 15}}))
    hosts = {"all": {"hosts": {"worker1": {"ansible_python_interpreter": interpreter}}}}
    (hostile / "hosts.json").write_text(json.dumps(hosts))
    delivered.store(A=record("new"), C=record("c"), **{"path/to/b": record("b")})
    status, output = delivered.refresh(
        "--inventory", hostile / "hosts.json", credentials_timeout_seconds=5
    )
    assert status == 2, output
    assert counts(output, "worker1") == (0, 0, 1)
    assert "imed out after 5 second" in output
    assert delivered.passwords("scheduler1") == {"A": "new", "B": "b"}


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
    assert "worker1: updated A; removed C" in output
    assert "B2: there is no such record; it has no file." in output
    assert tree(delivered.place / "worker1") == before
    assert delivered.asked() == [["A", "B2", "path/to/b"]]


def test_vault_down(delivered):
    """Nothing changes on any node, and the run says why."""
    (delivered.vault / "records.json").unlink()
    hosts = ("scheduler1", "worker1")
    before = [tree(delivered.place / host) for host in hosts]
    status, output = delivered.refresh("-vvv")
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


def test_one_rotated_secret(delivered):
    """It is fetched alone, and the other files stay as they are, with their inodes."""
    delivered.store(A=record("new"), C=record("new"), **{"path/to/b": record("new")})
    before = tree(delivered.place / "worker1" / "credentials")
    status, output = delivered.refresh(credentials_only="B")
    assert status == 0, output
    assert delivered.asked() == [["path/to/b"]]
    assert "worker1: updated B" in output
    assert delivered.passwords("worker1") == {"A": "a", "B": "new", "C": "c"}
    after = tree(delivered.place / "worker1" / "credentials")
    assert {name for name in before if before[name] == after[name]} == {"A.json", "C.json"}


def test_only_what_is_declared(delivered):
    status, output = delivered.refresh(credentials_only=["B", "b"])
    assert status == 2
    assert "credentials_only: 'b' is not declared in credentials_sources" in output
    assert delivered.asked() == []


def test_status_file(cluster):
    """It says when and from where, and of each source what became of it; never a value."""
    cluster.refresh()
    cluster.store(A=record("new"), C=record("c"))
    cluster.refresh()
    file = cluster.place / "worker1" / "credentials.status.json"
    status = json.loads(file.read_text())
    assert CANARY not in file.read_text()
    assert status["vault"] == "fake_vault"
    assert re.fullmatch(r"\S+@\S+", status["by"])
    assert {name: entry["state"] for name, entry in status["sources"].items()} == {
        "A": "current",
        "B": "kept",
        "C": "current",
    }
    assert status["sources"]["B"]["error"] == "there is no such record"
    assert status["sources"]["B"]["last_good_at"] <= status["sources"]["A"]["last_good_at"]


@pytest.mark.parametrize("outcome", ["good", "one_source_fails", "vault_down"])
def test_report(cluster, outcome):
    """The report says of every host what became of it, unreachable ones too."""
    cluster.refresh()
    if outcome == "one_source_fails":
        cluster.store(A=record("new"), C=record("c"))
    elif outcome == "vault_down":
        (cluster.vault / "records.json").unlink()
    path = cluster.place / "report.json"
    cluster.refresh(limit="all", credentials_report_path=str(path))
    report = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert CANARY not in path.read_text()
    states = {host: entry["state"] for host, entry in report["hosts"].items()}
    if outcome == "vault_down":
        assert "vault.example.org does not answer" in report["vault_error"]
        assert set(states.values()) == {"not_reached"}
        return
    assert report["vault_error"] is None
    assert states == {"scheduler1": "delivered", "worker1": "delivered", "worker2": "unreachable"}
    expected = {"B": "there is no such record"} if outcome == "one_source_fails" else {}
    assert report["problems"] == expected
    summary = report["hosts"]["worker1"]["summary"]
    assert (summary["current"], summary["kept"]) == ((2, 1) if expected else (3, 0))


def test_a_vault_that_is_not_there(cluster):
    status, output = cluster.refresh(credentials_vault="caspian.airflow.kdxb")
    assert status == 2
    assert "credentials_vault is caspian.airflow.kdxb, and there is no lookup plugin" in output


def test_a_copy_of_the_vault(delivered):
    """What is delivered from it was confirmed when it was made, in the status and in the report."""
    copied = time.time() - 3 * 86400
    os.utime(delivered.vault / "records.json", (copied, copied))
    report = delivered.place / "report.json"
    status, output = delivered.refresh(
        credentials_vault_copy=str(delivered.vault / "records.json"),
        credentials_report_path=str(report),
    )
    assert status == 0, output
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(copied))
    found = json.loads((delivered.place / "worker1" / "credentials.status.json").read_text())
    assert {entry["last_good_at"] for entry in found["sources"].values()} == {moment}
    assert all(entry["from_copy"] for entry in found["sources"].values())
    assert json.loads(report.read_text())["vault_copy_of"] == moment


def test_a_vault_on_a_share_that_goes_back_or_away_changes_nothing(delivered):
    share = delivered.vault / "records.json"
    settings = {
        "credentials_vault_options": {"path": str(share)},
        "credentials_vault_memory": str(delivered.place / "memory.json"),
        "credentials_report_path": str(delivered.place / "report.json"),
    }
    delivered.store(A=record("new"), C=record("c"), **{"path/to/b": record("b")})
    status, output = delivered.refresh(**settings)
    assert status == 0, output
    assert delivered.passwords("scheduler1") == {"A": "new", "B": "b"}
    before = tree(delivered.place / "worker1")
    # An old copy of the vault takes its place, as a restored backup does; then the share is away.
    delivered.store(A=record("a"), C=record("c"), **{"path/to/b": record("b")})
    os.utime(share, (1_000_000_000, 1_000_000_000))
    for reason in (
        f"{share} was changed at 2001-09-09T01:46:40Z, before",
        f"{share}: No such file",
    ):
        status, output = delivered.refresh(**settings)
        assert status == 2
        assert f"no credential was changed on any node. {reason}" in output
        report = json.loads((delivered.place / "report.json").read_text())
        assert reason in report["vault_error"]
        assert tree(delivered.place / "worker1") == before
        share.unlink(missing_ok=True)
