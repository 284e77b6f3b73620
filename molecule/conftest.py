"""The nodes of the scenario's cluster, over ssh."""

import importlib.util
import json
import os
import subprocess
import tempfile
import time
from functools import cached_property
from pathlib import Path

import pytest
import testinfra
import yaml

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / ".lab" / os.environ["CASPIAN_LAB"]
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
# A scenario's own inventory, or that of the demo.
_OWN = ROOT / LAB.name.replace("-", "/", 1) / "inventory"
INVENTORY = _OWN if _OWN.exists() else ROOT / "inventories/lab"
_GROUPS = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]
WORKERS = tuple(_GROUPS["airflow"]["children"]["worker"]["hosts"])
NODES = (*WORKERS, "scheduler1")  # Workers first, as the playbook has it.
# One connection to each node serves all commands: a new one costs nine times what most of them do.
_CONNECTIONS = tempfile.mkdtemp(prefix="lab-")


class Cluster:
    """What the tests ask of the whole cluster."""

    lab = LAB
    root = ROOT
    inventory = str(INVENTORY)
    # Their names.
    workers = WORKERS
    nodes = NODES

    def node(self, name):
        """Return the node as testinfra's host, on which commands run as root."""
        return testinfra.get_host(
            f"ssh://{name}", ssh_config=str(LAB / "ssh_config"), sudo=True,
            controlpersist=60, controlpath=f"{_CONNECTIONS}/{name}",
        )  # fmt: skip

    def ssh_command(self, name, command):
        """Return what runs a command on a node as root, over the connection that tests share."""
        return [
            "ssh", "-F", str(LAB / "ssh_config"), "-oControlMaster=auto", "-oControlPersist=60",
            f"-oControlPath={_CONNECTIONS}/{name}", name, f"sudo {command}",
        ]  # fmt: skip

    def ssh(self, name, command, content=""):
        """Run a command on a node as root, with a standard input that may be secret."""
        return self.local(*self.ssh_command(name, command), input=content)

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
            f"http://{self.url_host('scheduler1')}:8080", self.secret("airflow_admin_password")
        )

    @cached_property
    def control(self):
        """Return the name of the node with the refresh: one of its own, or the scheduler."""
        return "control1" if self.address("control1") else "scheduler1"

    # The DAG repository, as its authors use it

    def push(self, files, message):
        """Commit files {path: text} of the DAG repository, push, and return the sha."""
        clone = self.lab / "dag-repo"

        def git(*arguments):
            done = subprocess.run(
                ["git", *arguments], cwd=clone, check=True, capture_output=True, text=True
            )
            return done.stdout.strip()

        for path, content in files.items():
            (clone / path).parent.mkdir(parents=True, exist_ok=True)
            (clone / path).write_text(content)
        git("add", "--all")
        # What a run that was broken off has pushed need not differ.
        git("commit", "--quiet", "--allow-empty", "--message", message)
        git("push", "--quiet")
        return git("rev-parse", "HEAD")

    def published(self, name):
        """Return the sha that a node publishes."""
        path = self.node(name).check_output("readlink /home/airflow/airflow-git-dir")
        return path.rpartition("/")[2]

    def sync(self, sha, *names):
        """Publish the newest commit now, unless cron is just about to, and wait for it."""
        for name in names or NODES:

            def is_published(name=name):
                self.node(name).check_output("airflow-dag-sync")
                return self.published(name) == sha

            self.wait(is_published, 60, f"{name} publishes {sha}")

    def wait_until_parsed(self, sha, *dags, seconds=60):
        """Wait until new runs of these DAGs are of the release."""

        def is_parsed():
            found = (self.api.call("GET", f"/api/v2/dags?dag_id_pattern={dag}") for dag in dags)
            versions = {
                dag["dag_id"]: dag["bundle_version"] for page in found for dag in page["dags"]
            }
            if any(versions.get(dag) != sha for dag in dags):
                return False
            # A DAG is of a release a moment before the tasks are that its runs are made of.
            made = self.api.call("GET", f"/api/v2/dags/~/dagVersions?bundle_version={sha}")
            return {version["dag_id"] for version in made["dag_versions"]} >= set(dags)

        self.wait(is_parsed, seconds, f"{', '.join(dags)} of {sha} are parsed")

    # Runs, each by its path in the API

    def begin(self, dag, run_id):
        """Trigger a run and return its path."""
        path = f"/api/v2/dags/{dag}/dagRuns"
        self.api.call("POST", path, {"dag_run_id": run_id, "logical_date": None})
        return f"{path}/{run_id}"

    def tasks(self, run):
        """Return the state of each task of a run."""
        found = self.api.call("GET", f"{run}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in found}

    def end(self, run, seconds=90):
        """Wait for the end of a run and return it."""

        def ended():
            found = self.api.call("GET", run)
            return found if found["state"] in ("success", "failed") else None

        return self.wait(ended, seconds, f"{run} has ended")

    def returned(self, run, task):
        """Return what a task returned."""
        return self.api.call("GET", f"{run}/taskInstances/{task}/xcomEntries/return_value")["value"]

    def log(self, run, task):
        """Return the log of a task's first try."""
        return json.dumps(self.api.call("GET", f"{run}/taskInstances/{task}/logs/1")["content"])

    def wait(self, look, seconds, what):
        """Look until there is something, and return it; fail with what was waited for."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
            time.sleep(1)
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
        self.ssh(name, f"sh -c 'umask 077; cat > {path}'", content)

    def secret(self, name):
        """Return a secret that the controller generated."""
        return (LAB / "secrets" / name).read_text().strip()

    def address(self, name):
        """Return a node's address, "" where there is no such node."""
        lines = (LAB / "known_hosts").read_text().splitlines()
        names = dict(line.split()[0].split(",") for line in lines)
        return names.get(name, "")

    def url_host(self, name):
        """Return a node's address as URLs have it."""
        address = self.address(name)
        return f"[{address}]" if ":" in address else address

    def name_at(self, host):
        """Return the name of the node that Airflow files under this host, a name or an address."""
        (name,) = (name for name in NODES if host in (name, self.url_host(name)))
        return name


@pytest.fixture(scope="session")
def cluster():
    return Cluster()


@pytest.fixture(scope="session")
def control1(cluster):
    return cluster.node("control1")


@pytest.fixture(scope="session")
def control(cluster):
    return cluster.node(cluster.control)


@pytest.fixture(scope="session")
def scheduler1(cluster):
    return cluster.node("scheduler1")


@pytest.fixture(scope="session", params=WORKERS)
def worker(request, cluster):
    return cluster.node(request.param)


@pytest.fixture(scope="session", params=["scheduler1", *WORKERS])
def airflow_node(request, cluster):
    return cluster.node(request.param)
