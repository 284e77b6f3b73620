"""The vaults, the timer and the nodes, as the tests of the scenario use them."""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
NODES = ("node1", "node2")
# Where each machine has its files.
PLACES = {
    "node1": "/etc/airflow/credentials",
    "node2": "/etc/airflow/credentials",
    "control1": "/var/lib/caspian-refresh/credentials",
}
METRICS = "/var/lib/caspian-refresh-metrics/caspian_credentials.prom"
# Name in the vault of what a node calls otherwise.
RECORDS = {"WORKER-01": "OF-THE-WORKER"}
SECONDS = 60


@dataclass
class Played:
    """How a playbook ended."""

    code: int
    output: str

    @property
    def changed(self):
        """The hosts on which something changed."""
        found = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", self.output, re.MULTILINE)
        return {host for host, count in found if count != "0"}

    def good(self):
        """Fail unless it ended well; return its output."""
        assert self.code == 0, self.output[-4000:]
        return self.output


@dataclass
class Lab:
    """The machines, and what is done to them."""

    cluster: object
    nodes = NODES
    places = PLACES
    # Secrets there were, beside those of the lab's files.
    former: list = field(default_factory=list)
    # Servers that fail.
    faulty: set = field(default_factory=set)

    def __getitem__(self, name):
        """Return a machine."""
        return self.cluster.node(name)

    @property
    def path(self):
        """The folder of the lab."""
        return self.cluster.lab

    # The controller

    def environment(self, **more):
        """Return the environment of a playbook."""
        return os.environ | {"ANSIBLE_CONFIG": str(self.cluster.root / "ansible.cfg")} | more

    def begin(self, *arguments, book="playbooks/refresh_credentials.yml", env=None, **settings):
        """Start a playbook on this machine."""
        playbook = ["ansible-playbook", "-i", HERE / "inventory", self.cluster.root / book]
        return subprocess.Popen(
            [*playbook, *arguments],
            cwd=settings.pop("cwd", self.cluster.root), env=self.environment(**(env or {})),
            stdin=subprocess.DEVNULL, stdout=settings.pop("stdout", subprocess.PIPE),
            stderr=subprocess.STDOUT, text=True, start_new_session=True, **settings,
        )  # fmt: skip

    def play(self, *arguments, **settings):
        """Run a playbook on this machine."""
        with self.begin(*arguments, **settings) as process:
            output, _ = process.communicate(timeout=4 * SECONDS)
        return Played(process.returncode, output)

    def ssh(self, name, command, content=""):
        """Run a command as root, with a standard input that may be secret."""
        return self.cluster.ssh(name, command, content)

    # The vaults

    def data(self, vault="passwordsafe"):
        """Return what a vault holds."""
        return json.loads((self.path / f"{vault}.json").read_text())

    def store(self, data, vault="passwordsafe"):
        """Let a vault hold something else."""
        content = json.dumps(data)
        place = f"/srv/fakes/{vault}"
        self.ssh(
            "control1",
            f"sh -c 'install -o fakes -m 600 /dev/stdin {place}/new"
            f" && mv {place}/new {place}/vault.json'",
            content,
        )
        (self.path / f"{vault}.json").write_text(content)

    def password(self, name):
        """Return a source's password of the vault that the timer asks."""
        return self._credential(self.data(), name)["password"]

    def rotate(self, *names):
        """Change passwords in the vault."""
        data = self.data()
        for name in names:
            credential = self._credential(data, name)
            self.former.append(credential["password"])
            credential["password"] = secrets.token_hex(20)
        self.store(data)

    @staticmethod
    def _credential(data, name):
        wanted = RECORDS.get(name, name)
        return next(
            credential
            for credential in data["credentials"]
            if credential["description"].split()[0] == wanted
        )

    def faults(self, *faults, server="passwordsafe"):
        """Let a server fail in these ways, and in no others."""
        if not faults and server not in self.faulty:
            return
        self.faulty.add(server)
        self.ssh(
            "control1",
            f"install -o fakes -m 600 /dev/stdin /srv/fakes/{server}/faults.json",
            json.dumps(faults),
        )
        if not faults:
            self.faulty.remove(server)

    def asked(self, server="passwordsafe"):
        """Return how many requests a server got."""
        return len(self.lines(f"/srv/fakes/{server}/requests.jsonl"))

    def events(self):
        """Return what PagerDuty was sent: a list of actions and summaries."""
        events = map(json.loads, self.lines("/srv/fakes/pagerduty/events.jsonl"))
        return [
            (event["event_action"], event.get("payload", {}).get("summary", "")) for event in events
        ]

    def lines(self, path):
        """Return the lines of control1's file, which may not be there yet."""
        return self["control1"].run(f"cat {path}").stdout.splitlines()

    # The timer

    def refresh(self):
        """Run the timer's service; return whether systemd calls it a success."""
        return self["control1"].run("systemctl start caspian-refresh").rc == 0

    def good(self):
        """Run the timer's service, which has to succeed; return what it said."""
        assert self.refresh(), self.journal()
        return self.journal()

    def journal(self):
        """Return what the last run of the service said."""
        control1 = self["control1"]
        run = self.property("InvocationID")
        return control1.check_output(
            f"journalctl --output=cat --no-pager _SYSTEMD_INVOCATION_ID={run} + INVOCATION_ID={run}"
        )

    def property(self, name):
        """Return what systemd says of the service."""
        return self["control1"].check_output(
            f"systemctl show --property={name} --value caspian-refresh"
        )

    def metrics(self):
        """Return the metrics, by name with labels."""
        found = re.findall(
            r"^caspian_credentials_(\S+) (\d+)$",
            self["control1"].check_output(f"cat {METRICS}"),
            re.MULTILINE,
        )
        return {name: int(value) for name, value in found}

    # The files

    def files(self, name):
        """Return what tells one state of a machine's files from any other."""
        return self[name].check_output(
            f"cd -P {PLACES[name]} && pwd && stat --format='%n %i %a %U:%G %h' . * && sha256sum *"
        )

    def everywhere(self, ask):
        """Ask all machines at once; return their answers by name."""
        with ThreadPoolExecutor() as pool:
            return dict(zip(PLACES, pool.map(ask, PLACES), strict=True))

    def all_files(self):
        """Return the same of all machines."""
        return self.everywhere(self.files)

    def credentials(self, name):
        """Return the credentials of a machine, by name."""
        read = f"cd {PLACES[name]} && for f in *.json; do echo $f; cat $f; printf '\\001'; done"
        parts = self[name].check_output(read).split("\1")[:-1]
        pairs = (part.strip().split("\n", 1) for part in parts)
        return {file.removesuffix(".json"): json.loads(content) for file, content in pairs}

    def names(self, name):
        """Return the names of a machine's credentials."""
        return set(self.credentials(name))

    def credential(self, name, source):
        """Return a credential of a machine."""
        return self.credentials(name)[source]

    def status(self, name):
        """Return a machine's status file."""
        return json.loads(self[name].file(f"{PLACES[name]}.status.json").content)

    def delivered(self):
        """Assert that every machine has what the vault has, and nothing else."""
        expected = {
            "node1": ["SHARED-01", "SCHEDULER-01"],
            "node2": ["SHARED-01", "WORKER-01"],
            "control1": ["PAGERDUTY"],
        }
        found = {
            name: {source: credential["pass"] for source, credential in credentials.items()}
            for name, credentials in self.everywhere(self.credentials).items()
        }
        assert found == {
            name: {source: self.password(source) for source in sources}
            for name, sources in expected.items()
        }

    @contextlib.contextmanager
    def held(self, name):
        """Keep the module from writing on a node, as another run of it would.

        What it gives waits for such a module, and returns its process.
        """
        lock = f"/etc/airflow/.{Path(PLACES[name]).name}/.lock"
        holder = subprocess.Popen(
            self.cluster.ssh_command(name, f"flock {lock} sh -c 'echo held; cat'"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout.readline() == "held\n"

        def modules():
            return (
                self[name]
                .check_output(
                    f"find /proc/[0-9]*/fd -lname '*{lock}*' 2>/dev/null | cut -d/ -f3 | sort -u |"
                    " while read -r p; do"
                    ' [ "$(cat /proc/$p/comm 2>/dev/null)" != python3 ] || echo $p; done'
                )
                .split()
            )

        def waiting():
            (process,) = self.wait(modules, f"a module on {name} that waits for {lock}")
            return process

        try:
            yield waiting
        finally:
            holder.communicate("", timeout=SECONDS)
            # What lives on goes on now.
            self.wait(lambda: not modules(), f"an end of the modules on {name}")

    def secrets(self):
        """Return all secrets that there are, and were."""
        known = [path.read_text().strip() for path in (self.path / "secrets").iterdir()]
        known += [credential["password"] for credential in self.data()["credentials"]]
        known += [secret["Password"] for secret in self.data("beyondtrust")["secrets"]]
        known += self.data("pagerduty")["routing_keys"]
        known += json.loads((self.path / "kdbx.json").read_text()).values()
        return sorted({*known, *self.former} - {""})

    @staticmethod
    def wait(condition, what, seconds=SECONDS):
        """Return what a condition gives as soon as that is something."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"there was not {what} in {seconds} s"
            time.sleep(0.2)
        return found

    def ended(self):
        """Wait until the service has ended; return its state."""

        def end():
            state = self.property("ActiveState")
            return state if state in ("failed", "inactive") else None

        return self.wait(end, "an end of the service")

    @staticmethod
    def end(process):
        """Kill a playbook with its workers, if it lives."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=SECONDS)


@pytest.fixture(scope="session")
def lab(cluster):
    return Lab(cluster)


@pytest.fixture
def good(lab):
    """Begin and end with servers that answer, a timer that is good and no alert."""
    lab.faults()
    found = lab.metrics()
    if not found["last_run_success"] or found["alert_open"]:
        lab.good()
    yield lab
    lab.faults()
