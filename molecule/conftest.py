"""The nodes of the scenario's cluster, over ssh."""

import importlib.util
import json
import os
import subprocess
import time
from functools import cached_property
from pathlib import Path

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / ".lab" / os.environ["CASPIAN_LAB"]
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
WORKERS = ("worker1", "worker2")


class Cluster:
    """What the tests ask of the whole cluster."""

    lab = LAB
    root = ROOT

    def node(self, name):
        """Return the node as testinfra's host, on which commands run as root."""
        return testinfra.get_host(
            f"ssh://{name}?ssh_config={LAB / 'ssh_config'}&sudo=true&controlpersist=60"
        )

    def run_workflow(self, dag="ebi_flights_daily"):
        """Run a workflow and return what scripts/lab/run_workflow.py says of it."""
        return json.loads(
            self.local("scripts/lab/run_workflow.py", "--json", "--cluster", LAB.name, "--dag", dag)
        )

    @cached_property
    def api(self):
        """Return Airflow's API, as the admin: ``call(method, path, body)``."""
        source = ROOT / "scripts" / "lab" / "run_workflow.py"
        specification = importlib.util.spec_from_file_location("run_workflow", source)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module.Api(
            f"http://{self.address('scheduler1')}:8080", self.secret("airflow_admin_password")
        )

    def wait(self, look, seconds, what):
        """Look until there is something, and return it; fail with what was waited for."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
            time.sleep(0.5)
        return found

    def local(self, *argv, **settings):
        """Run a command of this checkout and return its standard output."""
        done = subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, check=False, **settings
        )
        assert done.returncode == 0, f"{argv}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def send(self, name, path, content):
        """Write a file on a node that root alone reads; sudo would log a content in a command."""
        self.local(
            "ssh", "-F", str(LAB / "ssh_config"), name,
            f"sudo sh -c 'umask 077; cat > {path}'", input=content,
        )  # fmt: skip

    def secret(self, name):
        """Return a secret that the controller generated."""
        return (LAB / "secrets" / name).read_text().strip()

    def address(self, name):
        """Return a node's address."""
        line = next(
            line
            for line in (LAB / "known_hosts").read_text().splitlines()
            if line.startswith(f"{name},")
        )
        return line.split()[0].split(",")[1]


@pytest.fixture(scope="session")
def cluster():
    return Cluster()


@pytest.fixture(scope="session")
def control1(cluster):
    return cluster.node("control1")


@pytest.fixture(scope="session")
def scheduler1(cluster):
    return cluster.node("scheduler1")


@pytest.fixture(scope="session", params=WORKERS)
def worker(request, cluster):
    return cluster.node(request.param)


@pytest.fixture(scope="session", params=["scheduler1", *WORKERS])
def airflow_node(request, cluster):
    return cluster.node(request.param)
