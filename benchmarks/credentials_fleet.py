# SPDX-License-Identifier: GPL-3.0-or-later
"""The vault and the nodes of the benchmark of credentials."""

import contextlib
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import LAB, ROOT, BenchError, Run
from benchmarks.memory import PeakMemory

CLUSTER = "bench-credentials"
MACHINE = "node1"
REFRESH = "playbooks/refresh_credentials.yml"
FEW, ALL = 3, 30
SOURCES, MANY, COPIED = 1_000, 10_000, 50
PAGE = 25
FIRST_PORT = 2201
VAULT_SECONDS = 30
# What a node gets stays below /srv/nodes/NUMBER/etc.
START_NODES = r"""
set -e
mkdir -p /run/sshd
groupadd --force --system airflow
for number in $(seq 1 COUNT); do
  place=/srv/nodes/$number
  mkdir -p $place/etc
  ssh-keygen -q -t ed25519 -N '' -f $place/host_key
  printf '%s\n' "Port $((FIRST_PORT - 1 + number))" "HostKey $place/host_key" 'PidFile none' \
    'UsePAM yes' 'PasswordAuthentication no' >$place/sshd_config
  systemd-run --quiet --unit "sshd-$number" /usr/sbin/sshd -D -f $place/sshd_config
  cut -d ' ' -f 1,2 $place/host_key.pub
done
"""
# The next run must not pay for what is still on its way to the disk.
EMPTY_NODES = "set -e; for etc in /srv/nodes/*/etc; do rm -rf $etc; mkdir $etc; done; sync"


@dataclass(frozen=True)
class Step:
    """A run of a playbook that is timed, and what it has to do on each node to count."""

    name: str
    sources: int
    nodes: int
    playbook: str = REFRESH
    empty: bool = False  # Whether the nodes have nothing before, so that the run changes them.

    @property
    def refreshes(self) -> bool:
        """Whether each node has a file for each source afterwards."""
        return self.playbook == REFRESH


def name_of(number: int) -> str:
    """Return the name of a source."""
    return f"EBI-ETL-{number:05}"


def vault_data(password: str) -> dict[str, Any]:
    """Return the data of the stand-in: a project for each number of sources."""
    return {
        "users": {"bench": password},
        "page_size": PAGE,
        "projects": [
            {"id": count, "name": f"bench {count}", "description": ""} for count in (SOURCES, MANY)
        ],
        "credentials": [
            {
                "id": 100_000 * (1 + (count == MANY)) + number,
                "project_id": count,
                "description": f"{name_of(number)} env=prod team=ebi the nightly load",
                "hostname": f"db{number}.example.org:1433",
                "username": f"etl_{number}",
                "password": secrets.token_urlsafe(24),
                "url": "",
            }
            for count in (SOURCES, MANY)
            for number in range(count)
        ],
    }


def copied() -> dict[str, dict[str, Any]]:
    """Return credentials for the copy loop, as large as those of the vault."""
    return {
        name_of(number): {
            "user": f"etl_{number}",
            "pass": secrets.token_urlsafe(24),
            "host": f"db{number}.example.org",
            "url": "",
            "description": "the nightly load",
            "metadata": {"env": "prod", "team": "ebi", "port": 1433},
        }
        for number in range(COPIED)
    }


class Vault:
    """The stand-in for PasswordSafe, over TLS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests = folder / "requests.jsonl"

    @contextlib.contextmanager
    def running(self) -> Iterator[dict[str, Any]]:
        """Start it, and return the variables of the lookup."""
        password = secrets.token_urlsafe(24)
        (self.folder / "vault.json").write_text(json.dumps(vault_data(password)))
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        process = subprocess.Popen(
            [sys.executable, "tests/fakes/passwordsafe.py", "--directory", str(self.folder)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            url = self._url(process)
            yield {
                "credentials_vault": "caspian.airflow.passwordsafe",
                "caspian_passwordsafe_url": url,
                "caspian_passwordsafe_identity_url": url,
                "caspian_passwordsafe_user": "bench",
                "caspian_vault_password_file": str(secret),
                "caspian_vault_ca_path": str(self.folder / "ca.pem"),
            }
        finally:
            process.kill()
            process.wait()

    def _url(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + VAULT_SECONDS
        while not (self.folder / "url").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError("The stand-in for the vault does not start: tests/fakes")
            time.sleep(0.05)
        return (self.folder / "url").read_text().strip()

    def asked(self) -> dict[str, int]:
        """Return how many tokens and pages were asked for since the last time."""
        counts = count_requests(self.requests.read_text().splitlines())
        self.requests.write_text("")
        return counts


def count_requests(lines: Sequence[str]) -> dict[str, int]:
    """Count the requests of the stand-in's log by what they ask for."""
    counts = {"tokens": 0, "pages": 0}
    for line in lines:
        counts["tokens" if json.loads(line)["path"].endswith("/tokens") else "pages"] += 1
    return counts


class Fleet:
    """Servers of SSH that stand for nodes, and the inventories that name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sockets = folder / "cp"
        self.ssh_config = LAB / CLUSTER / "ssh_config"

    @contextlib.contextmanager
    def running(self, vault: Mapping[str, Any]) -> Iterator[None]:
        """Start the nodes and write the inventories; close the connections at the end."""
        measure.run("nodes", "scripts/nodes", "create", "--cluster", CLUSTER, MACHINE)
        self.sockets.mkdir(mode=0o700)
        script = START_NODES.replace("COUNT", str(ALL)).replace("FIRST_PORT", str(FIRST_PORT))
        keys = self.on_the_machine(script).splitlines()
        address = next(
            line.split()[1]
            for line in self.ssh_config.read_text().splitlines()
            if "HostName" in line
        )
        (self.folder / "known_hosts").write_text(
            "".join(f"[{address}]:{FIRST_PORT + n} {key}\n" for n, key in enumerate(keys))
        )
        for sources in (COPIED, SOURCES, MANY):
            for nodes in (FEW, ALL):
                write_inventory(self.inventory(sources, nodes), address, nodes, {
                    "ansible_ssh_private_key_file": str(LAB / CLUSTER / "id_ed25519"),
                    "ansible_ssh_common_args": "-o IdentitiesOnly=yes -o StrictHostKeyChecking=yes"
                    f" -o UserKnownHostsFile={self.folder / 'known_hosts'}",
                    "ansible_control_path_dir": str(self.sockets),
                    **vault,
                    "caspian_passwordsafe_projects": [sources],
                    "bench_credentials": copied() if sources == COPIED else {},
                    "credentials_sources": [name_of(number) for number in range(sources)],
                })  # fmt: skip
        try:
            yield
        finally:
            for socket in self.sockets.iterdir():
                measure.capture("ssh", "-O", "exit", "-o", f"ControlPath={socket}", "node")

    def inventory(self, sources: int, nodes: int) -> Path:
        """Return the folder of an inventory."""
        return self.folder / f"{sources}_sources_{nodes}_nodes"

    def on_the_machine(self, script: str) -> str:
        """Run a script as root where all nodes are."""
        ssh = ("ssh", "-F", str(self.ssh_config), MACHINE, "sudo", "bash", "-s")
        return measure.output_of("A script where all nodes are", *ssh, stdin=script)

    def take(self, step: Step, memory: PeakMemory | None = None) -> Run:
        """Take one run, and refuse one that did not do what is measured."""
        if step.empty:
            self.on_the_machine(EMPTY_NODES)
        taken = measure.playbook(
            step.name.replace(",", "").replace(" ", "-"), step.playbook,
            "--inventory", str(self.inventory(step.sources, step.nodes)), watch=memory,
        )  # fmt: skip
        hosts = {node_name(number) for number in range(1, step.nodes + 1)}
        measure.refuse_bad_recap(taken, hosts, changed=step.empty)
        return taken

    def refuse_unless_delivered(self, step: Step) -> None:
        """Raise BenchError unless each node has a file for each source."""
        counted = self.on_the_machine(
            "cd /srv/nodes; for n in *; do"
            ' printf "%s %s\\n" $n "$(ls $n/etc/credentials/ 2>/dev/null | wc -l)"; done'
        )
        found = {int(node): int(files) for node, files in map(str.split, counted.splitlines())}
        if bad := {n: found[n] for n in range(1, step.nodes + 1) if found[n] != step.sources}:
            raise BenchError(f"Not every node has {step.sources} files; files by node: {bad}")


def node_name(number: int) -> str:
    """Return the name of a node in the inventory."""
    return f"node{number}"


def write_inventory(
    folder: Path, address: str, nodes: int, variables: Mapping[str, object]
) -> None:
    """Write an inventory as a team has it: hosts, and group_vars with the list of sources."""
    (folder / "group_vars").mkdir(parents=True)
    hosts = {
        node_name(number): {
            "ansible_port": FIRST_PORT - 1 + number,
            "bench_place": f"/srv/nodes/{number}/etc",
        }
        for number in range(1, nodes + 1)
    }
    (folder / "hosts.json").write_text(json.dumps({"airflow": {"hosts": hosts}}))
    common = {
        "ansible_host": address,
        "ansible_user": "deploy",
        "ansible_become": True,
        "credentials_directory": "{{ bench_place }}/credentials",
        "bench_copies": "{{ bench_place }}/copies",
    }
    # JSON is YAML; one variable, and one source, on a line.
    lines = ["---"]
    for name, value in (common | dict(variables)).items():
        if isinstance(value, list):
            lines += [f"{name}:", *(f"  - {json.dumps(item)}" for item in value)]
        else:
            lines.append(f"{name}: {json.dumps(value)}")
    (folder / "group_vars" / "all.yml").write_text("\n".join(lines) + "\n")
