"""No secret is where it does not belong: after success, failure and a kill, on all machines.

All secrets of the lab are random. What is searched: arguments and environments of all processes
while something runs; then all files of the nodes and of control1, memory file systems and journals
included; and on the controller what was written there meanwhile, the output at -vvvvv --diff with
the log, the fact cache, the retry files and the reports of several callbacks among it.
"""

import contextlib
import json
import re
import secrets
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

# Machines that do more than this are slow.
pytestmark = pytest.mark.timeout(400)

PROGRAM = Path(__file__).resolve().parents[1] / "files/canaries.py"
# The memory file systems of a node are others than that of its root.
TMP, MEMORY = "/tmp", "/dev/shm"  # noqa: S108 - they are searched
ROOTS = f"/ /run {TMP} {MEMORY} /var/log/journal"
# Where a secret belongs.
ALLOWED = {
    "controller": r"/.*/\.lab/[^/]+/(secrets/\w+|(passwordsafe|beyondtrust|kdbx|pagerduty)\.json)",
    "control1": r"/srv/fakes/\w+/vault\.json"
    r"|/var/lib/caspian-refresh/\.credentials/[0-9a-f]{16}/PAGERDUTY\.json",
    "node1": r"/etc/airflow/\.credentials/[0-9a-f]{16}/(SHARED-01|SCHEDULER-01)\.json",
    "node2": r"/etc/airflow/\.credentials/[0-9a-f]{16}/(SHARED-01|WORKER-01)\.json",
}
# What writes to standard output, one a run, and what writes elsewhere, all of them in each.
LOUD = ["default", "minimal", "ansible.posix.json"]
CALLBACKS = "ansible.builtin.tree,ansible.builtin.junit,community.general.log_plays"


class Searchers:
    """The search program on all machines."""

    def __init__(self, lab, place):
        self.lab = lab
        self.place = place
        self.stamp = place / "stamp"
        self.stamp.touch()
        self.machines = ["controller", *lab.places]
        for name in lab.places:
            lab.cluster.send(name, "/run/canaries.py", PROGRAM.read_text())

    def command(self, name, *arguments):
        """Return the command that runs the program on a machine."""
        if name == "controller":
            return [sys.executable, str(PROGRAM), *arguments]
        words = ["/usr/bin/python3", "/run/canaries.py", *arguments]
        return self.lab.cluster.ssh_command(name, " ".join(words))

    def search(self, needles):
        """Return where the needles are: {machine: [path]}."""
        given = "".join(f"{needle}\n" for needle in needles) + "\n"
        home = Path("~/.ansible").expanduser()
        here = [*map(str, (home, self.lab.cluster.root)), TMP, f"/var{TMP}"]

        def one(name):
            arguments = ["--newer", str(self.stamp), *here] if name == "controller" else [ROOTS]
            done = subprocess.run(
                self.command(name, "search", *arguments),
                input=given, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{name}: {done.stderr}"
            result = json.loads(done.stdout)
            # All of a node, and what the runs have written here.
            assert result["files"] > (0 if name == "controller" else 5000), result
            assert name == "controller" or result["journal"] > 100, result
            return result["found"]

        with ThreadPoolExecutor() as pool:
            return dict(zip(self.machines, pool.map(one, self.machines), strict=True))

    @contextlib.contextmanager
    def watching(self, needles, found):
        """Watch all processes of all machines meanwhile, and add to `found` where needles were."""
        given = "".join(f"{needle}\n" for needle in needles) + "\n"
        watchers = {
            name: subprocess.Popen(
                self.command(name, "watch"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in self.machines
        }
        for watcher in watchers.values():
            watcher.stdin.write(given)
            watcher.stdin.flush()
        for name, watcher in watchers.items():
            assert watcher.stdout.readline() == "watching\n", name
        try:
            yield
        finally:
            for name, watcher in watchers.items():
                result = json.loads(watcher.communicate(timeout=60)[0])
                assert result["rounds"] > 1, (name, result)
                found.update(f"{name}: {place}" for place in result["found"])

    def misplaced(self, found):
        """Return what was found where it does not belong."""
        return {
            name: paths
            for name, all_paths in found.items()
            if (paths := [path for path in all_paths if not re.fullmatch(ALLOWED[name], path)])
        }


@pytest.fixture
def searchers(good, tmp_path):
    return Searchers(good, tmp_path)


@contextlib.contextmanager
def nothing_leaks(searchers):
    """Fail when a secret is, or was, where it does not belong."""
    seen = set()
    with searchers.watching(searchers.lab.secrets(), seen):
        yield
    assert seen == set()
    found = searchers.search(searchers.lab.secrets())
    assert searchers.misplaced(found) == {}
    # The search would have found them: it found those that are in their places.
    assert all(found[name] for name in searchers.lab.places), found


def test_searchers_find_what_is_planted(good, searchers):
    canary = secrets.token_hex(20)
    script = """
        cd /tmp
        printf %s CANARY > /dev/shm/plain
        printf 'some of it: CANARY' | base64 -w 0 > base64
        printf CANARY | od -A n -t x1 | tr -d ' \\n' > hexadecimal
        echo > in-its-name-CANARY
        mkdir -p /home/deploy/.ansible/tmp && echo CANARY > /home/deploy/.ansible/tmp/module.py
        echo CANARY | systemd-cat
        journalctl --sync
        sh -c 'sleep 0.5; : CANARY'
        IT=CANARY sleep 0.5
    """.replace("CANARY", canary)
    seen = set()
    place = searchers.place / "local"
    try:
        with searchers.watching([canary], seen):
            good.ssh("node1", "sh", script)
            place.write_text(canary)
            subprocess.run(["sleep", "0.5"], env={"IT": canary}, check=True)
        found = searchers.search([canary])
    finally:
        good["node1"].check_output(
            "cd /tmp && rm -r base64 hexadecimal in-its-name-* /dev/shm/plain"
            " /home/deploy/.ansible/tmp"
        )
    # This machine may see the processes of its containers.
    assert {"node1: argv of sh", "node1: environ of sleep", "controller: environ of sleep"} <= seen
    # The journal's files are found where it keeps them in plain.
    assert {
        name: [path for path in paths if not path.endswith(".journal")]
        for name, paths in found.items()
    } == {
        "controller": [str(place)],
        "control1": [],
        "node1": [
            f"{MEMORY}/plain",
            "/home/deploy/.ansible/tmp/module.py",
            f"{TMP}/base64",
            f"{TMP}/hexadecimal",
            f"{TMP}/in-its-name-{canary}",
            "the journal",
        ],
        "node2": [],
    }


@pytest.fixture
def told(tmp_path):
    """Return the environment in which Ansible writes down as much as it can."""

    def environment(callback):
        folders = {name: tmp_path / name for name in ("facts", "retry", "tree", "junit", "log")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        return {
            "TMPDIR": str(tmp_path),
            "ANSIBLE_STDOUT_CALLBACK": callback,
            "ANSIBLE_CALLBACKS_ENABLED": CALLBACKS,
            "ANSIBLE_CALLBACK_TREE_DIR": str(folders["tree"]),
            "JUNIT_OUTPUT_DIR": str(folders["junit"]),
            "ANSIBLE_LOG_FOLDER": str(folders["log"]),
            "ANSIBLE_LOG_PATH": str(tmp_path / "ansible.log"),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folders["facts"]),
            "ANSIBLE_RETRY_FILES_ENABLED": "true",
            "ANSIBLE_RETRY_FILES_SAVE_PATH": str(folders["retry"]),
            "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "true",
            "ANSIBLE_LOG_VERBOSITY": "5",
        }

    return environment


def play(lab, told, callback, tmp_path, *arguments, **settings):
    """Run a playbook as loudly as it can; its output is searched too."""
    report = tmp_path / "report.json"
    loud = ["-vvvvv", "--diff", "--extra-vars", f"credentials_report_path={report}"]
    played = lab.play(*loud, *arguments, env=told(callback), **settings)
    with (tmp_path / "output").open("a") as file:
        file.write(played.output)
    assert len(played.output) > 2000, played.output
    return played


def rotate_all(lab):
    """Let all secrets be new that can be, the vault's password too."""
    lab.rotate("SHARED-01", "SCHEDULER-01", "WORKER-01")
    data, file = lab.data(), lab.path / "secrets" / "passwordsafe"
    lab.former.append(file.read_text())
    file.write_text(secrets.token_hex(20))
    data["users"]["caspian"] = file.read_text()
    lab.store(data)


def test_after_success(good, searchers, told, tmp_path):
    rotate_all(good)
    with nothing_leaks(searchers):
        # What installs the timer handles the vault's password, gathers facts, and starts it.
        play(good, told, "default", tmp_path, book="molecule/credentials/converge.yml").good()
        good.delivered()
        good.rotate("SHARED-01")
        output = play(good, told, "default", tmp_path).good()
        assert "node1: updated SHARED-01" in output
    # Where it was searched: these are there.
    searched = "facts/* tree/node1 junit/*.xml log/node1 ansible.log report.json output"
    for written in searched.split():
        assert list(tmp_path.glob(written)), written
    good.delivered()


def test_after_a_failure(good, searchers, told, tmp_path):
    # A record without a password, another that is new, and a node whose unit can't follow.
    before = good.data()
    spoilt = good.data()
    good.former.append(spoilt["credentials"][2]["password"])
    spoilt["credentials"][2]["password"] = ""
    good.store(spoilt)
    good["node1"].check_output("touch /run/reader.fails")
    try:
        good.rotate("SHARED-01", "SCHEDULER-01")
        with nothing_leaks(searchers):
            for callback in LOUD:
                played = play(good, told, callback, tmp_path)
                assert played.code != 0, callback
                assert "reader.service" in played.output, callback
                assert "WORKER-01" in played.output, callback
            assert not good.refresh()
    finally:
        good["node1"].check_output("rm /run/reader.fails")
        good.former += [record["password"] for record in good.data()["credentials"]]
        good.store(before)
    good.good()


def test_after_a_vault_that_quotes_all_it_gets(good, searchers, told, tmp_path):
    with nothing_leaks(searchers):
        for fault in (
            {"kind": "status", "status": 401},
            {"kind": "status", "status": 500, "match": "^/projects"},
            {"kind": "truncated", "match": "credentials.json"},
        ):
            good.faults(fault)
            assert play(good, told, "default", tmp_path).code != 0
        good.faults({"kind": "truncated", "match": "tokens"})
        assert not good.refresh()


@contextlib.contextmanager
def waiting_module(lab, told, tmp_path, name):
    """Begin a playbook; give it and a module that has read its arguments and can't go on."""
    with lab.held("node1") as waiting, (tmp_path / name).open("w") as output:
        process = lab.begin("-vvvvv", env=told("default"), cwd=tmp_path, stdout=output)
        try:
            yield process, waiting()
        finally:
            lab.end(process)


def test_after_a_kill(good, searchers, told, tmp_path):
    good.rotate("SHARED-01")
    before, control1 = good.files("node1"), good["control1"]
    with nothing_leaks(searchers):
        # An abort is what makes a core dump. Those of the playbook are its machine's business.
        for number in ("KILL", "ABRT"):
            with waiting_module(good, told, tmp_path, f"output-{number}") as (process, module):
                good["node1"].check_output(f"kill -{number} {module}")
                assert process.wait(timeout=60) != 0
            assert number != "KILL" or good.files("node1") == before
            with good.held("node1") as waiting:
                control1.check_output("systemctl start --no-block caspian-refresh")
                waiting()
                control1.check_output(f"systemctl kill --signal={number} caspian-refresh")
                assert good.ended() == "failed"
        with waiting_module(good, told, tmp_path, "output") as (process, _):
            good.end(process)
    good.good()
    good.delivered()


def test_what_the_switch_shows_is_found(good, searchers, told, tmp_path):
    # The counterpart of all of the above. The timer is not told to show anything.
    good.rotate("SHARED-01")
    show = ["--limit", "airflow", "--extra-vars", "credentials_secure_logging=false"]
    play(good, told, "default", tmp_path, *show).good()
    found = searchers.misplaced(searchers.search([good.password("SHARED-01")]))
    assert found.keys() == {"controller"}
    assert {str(tmp_path / "output"), str(tmp_path / "ansible.log")} <= set(found["controller"])
    shutil.rmtree(tmp_path)
