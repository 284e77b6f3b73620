"""token_leak: the token is in its file, and nowhere else."""

import json
import secrets

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)

# Looks at all processes for as long as a command runs; prints those that have the needle in their
# arguments or, but for root's, in their environment, and how often it has looked.
POLL = """
import os, subprocess, sys
needle = open("/run/needle", "rb").read().strip()
found, looks = set(), 0
process = subprocess.Popen(sys.argv[1:])
while process.poll() is None:
    looks += 1
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    content = file.read()
            except OSError:
                continue
            if needle in content:
                found.add(f"{name} {content[:200]}")
print(process.returncode, looks, sorted(found))
"""


def search(lab, name, canary):
    """Return the files of a node with the token, its journal among them."""
    lab.cluster.send(name, "/run/needle", canary)
    found = lab[name].run(
        "grep --recursive --files-with-matches --fixed-strings --file=/run/needle"
        " /home /etc /run /tmp /var/log /var/lib/airflow-dag-sync-metrics /usr/local 2>/dev/null"
    )
    journal = lab[name].check_output("journalctl --no-pager --output=cat")
    assert canary not in journal
    return set(found.stdout.splitlines()) - {"/run/needle"}


@pytest.mark.usefixtures("web_server")
def test_token_leak(lab, trial, tmp_path):
    canary = secrets.token_hex(20)
    # Ansible brings it, and says nothing of it, whatever it is asked to say.
    lab.allow_tokens(lab.token(), canary)
    given = tmp_path / "given.json"
    given.touch(0o600)
    given.write_text(json.dumps({"lab_token": canary, "dag_sync_token_user": "deploy-token1"}))
    ran = lab.converge("--limit", "worker1", "--extra-vars", f"@{given}", "-vvv", "--diff")
    try:
        assert "configure | Write the deploy key and the token" in ran.ended(0)
        assert canary not in ran.output
        assert search(lab, "worker1", canary) == {"/etc/airflow/dag_sync/token"}
        # The program uses it, from the first fetch to one that is refused.
        follower = trial("worker1")
        lab.cluster.send("worker1", "/run/poll.py", POLL)
        for code in (0, 3):
            polled = follower.host.check_output(f"python3 /run/poll.py {follower.command()}")
            ended, looks, found = polled.splitlines()[-1].split(maxsplit=2)
            assert (ended, found) == (str(code), "[]")
            assert int(looks) > 5
            lab.allow_tokens(lab.token())
        assert search(lab, "worker1", canary) == {"/etc/airflow/dag_sync/token"}
        assert canary not in follower.run("status").output
    finally:
        lab["worker1"].run("rm -f /run/needle /run/poll.py")
        lab.allow_tokens(lab.token())
        lab.converge("--limit", "worker1").ended(0)


def test_the_search_finds_what_is_there(lab):
    assert search(lab, "worker1", lab.token()) == {"/etc/airflow/dag_sync/token"}
    lab["worker1"].run("rm -f /run/needle")
