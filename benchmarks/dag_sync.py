# SPDX-License-Identifier: GPL-3.0-or-later
"""What following a repository costs: a tick without news, a publication, and reads meanwhile.

One container is both: the server that git asks over ssh, and the node that follows it. What is
timed runs there (dag_sync_node.py), so that no figure has the way into the node in it.
"""

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ansible_collections.caspian.airflow.plugins.plugin_utils.program_files import program_files

from benchmarks import dag_sync_node, figures, measure
from benchmarks.aims import figures_of
from benchmarks.dag_sync_repository import READ
from benchmarks.dag_sync_steps import median_steps
from benchmarks.figures import Report, ratio, ways_table
from benchmarks.measure import HERE, LAB, ROOT, BenchError

CLUSTER = "bench-dag-sync"
MACHINE = "node1"
PROGRAM = ROOT / "roles/dag_sync/files/airflow_dag_sync"
LIBRARY = "/usr/local/lib/airflow-dag-sync"
INTERPRETER = "/usr/bin/python3 -IS"
# What takes the times in the node, and where it is copied to.
ON_THE_NODE = [HERE / "turns.py", *sorted(HERE.glob("dag_sync_*.py"))]
PLACE = Path("/usr/local/lib/bench")
MIB = 2**20
MILLI = 1e3
MAX_IMPORTS = 8
SMALL_SHARE = 0.01  # Steps below it are not named.

PREPARE = r"""
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends git openssh-client python3-yaml
useradd --create-home airflow
useradd --create-home --home-dir /srv/git --shell /usr/bin/git-shell git
mkdir /etc/airflow /srv/git/.ssh
ssh-keygen -q -t ed25519 -N '' -f /etc/airflow/id
chown airflow /etc/airflow/id
printf 'restrict %s\n' "$(cat /etc/airflow/id.pub)" >/srv/git/.ssh/authorized_keys
chown -R git: /srv/git
printf '127.0.0.1 %s\n' "$(cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub)" \
  >/etc/airflow/known_hosts
"""


@dataclass(frozen=True)
class Figures:
    """What the stages found."""

    ticks: Mapping[str, Any]
    publish: Mapping[str, Any]
    large: Mapping[str, Any]
    reads: Mapping[str, Any]

    def values(self) -> dict[str, float]:
        """Return the figures that have an aim."""
        tick, publish = self.ticks["seconds"], self.publish["seconds"]
        by_hand = publish["by hand"]
        return {
            "tick": ratio(tick["tick"], tick["ls-remote"]),
            "written": len(self.ticks["written"]),
            "gate_off": ratio(publish["gate off"], by_hand),
            "gate_on": ratio(publish["gate on"], by_hand),
            "torn": self.reads["pinned_torn"],
        }


def refuse_blunt_reads(reads: Mapping[str, int]) -> None:
    """Raise BenchError when no read met a publication: then none could have been torn."""
    if not reads["unpinned_torn"]:
        raise BenchError(
            f"Of {reads['unpinned']:,} reads through the link itself none was torn, so the pinned"
            " ones prove nothing: were there publications meanwhile?"
            f" ({reads['publications']} in {reads['seconds']:.0f} s)"
        )


def steps_table(title: str, runs: Sequence[Mapping[str, float]]) -> str:
    """Return a table of the steps of a run, the median of each; what is small is one row."""
    steps = median_steps(runs)
    whole = sum(steps.values())
    large = {name: seconds for name, seconds in steps.items() if seconds >= whole * SMALL_SHARE}
    if small := len(steps) - len(large):
        large[f"{small} smaller ones"] = whole - sum(large.values())
    rows = [
        (name, seconds * MILLI, f"{seconds / whole:.0%}")
        for name, seconds in [*large.items(), ("all", whole)]
    ]
    return figures.table((title, "ms", "share"), rows)


def tick_parts(ticks: Mapping[str, Any]) -> dict[str, float]:
    """Return the steps of a tick, its begin divided into python and the program's imports."""
    steps = median_steps(ticks["steps"])
    first, seconds = next(iter(steps.items()))
    python = statistics.median(ticks["seconds"]["python"])
    begin = {"python's start and end": python, "imports, settings": max(0.0, seconds - python)}
    return begin | {name: value for name, value in steps.items() if name != first}


def report(found: Figures, *, quick: bool = False) -> Report:
    """Return what was found."""
    ticks, publish = found.ticks, found.publish
    large, reads, disk = found.large, found.reads, found.publish["disk"]
    written = ", ".join(f"`{path}`" for path in ticks["written"]) or "nothing"
    imports = [(name, float(value)) for name, value in ticks["imports_ms"][:MAX_IMPORTS]]
    text = "\n".join([
        ways_table("milliseconds", MILLI, ticks["seconds"], "ls-remote"),
        f"Written by the ticks: {written}, of {ticks['inodes']:,} inodes below the home, their"
        f" times included. Excepted is the time of `{ticks['excepted']}`, which says when a run"
        " last succeeded.\n",
        "Where the time of a tick goes; its commands are wrapped here, which costs some ms:\n",
        figures.table(
            ("tick", "ms"), [(name, seconds * MILLI) for name, seconds in tick_parts(ticks).items()]
        ),
        "The dearest modules that the program imports, by `-X importtime` (which takes time):\n",
        figures.table(("module", "ms"), imports),
        "One changed file in 1,500; by hand: `git fetch` and `git worktree add`, which leave what"
        " they write to reach the disk some time later:\n",
        ways_table("milliseconds", MILLI, publish["seconds"], "by hand"),
        steps_table("step, gate on", publish["steps"]),
        "A repository of 20,000 files, gate on. The first time it checks all files, then those that"
        " changed:\n",
        steps_table("step of the first publication", large["first"]),
        steps_table("step, one changed file", large["changed"]),
        ways_table("milliseconds", MILLI, large["seconds"], "ls-remote"),
        f"{reads['publications']} publications in {reads['seconds']:.0f} s, each of them the next"
        f" commit, with old releases removed meanwhile. A read is {READ} files; it is"
        " torn when they are not of one commit, or one is missing.\n",
        figures.table(
            ("reads", "all", "torn"),
            [("pinned: the link resolved once", reads["pinned"], reads["pinned_torn"]),
             ("through the link itself", reads["unpinned"], reads["unpinned_torn"])],
        ),
        f"One more release of {disk['files']:,} files takes {disk['real'] / MIB:.1f} MiB on the"
        f" disk ({disk['apparent'] / MIB:.1f} MiB are in its files);"
        f" {disk['releases']} releases and the repository {disk['all'] / MIB:.1f} MiB.\n",
    ])  # fmt: skip
    return Report("dag_sync", figures_of("dag_sync", found.values()), asdict(found), text, quick)


class Machine:
    """The container that is server and node."""

    def __init__(self) -> None:
        self.ssh = ("ssh", "-F", str(LAB / CLUSTER / "ssh_config"), MACHINE)

    def prepare(self) -> None:
        """Make it, with both accounts, the program and the driver."""
        measure.run("nodes", "scripts/nodes", "create", "--cluster", CLUSTER, MACHINE)
        measure.run("prepare", *self.ssh, "sudo", "bash", "-c", shlex.quote(PREPARE))
        for entry in program_files(PROGRAM, LIBRARY, str(dag_sync_node.PROGRAM), INTERPRETER):
            if "content" in entry:
                self.copy(entry["content"], entry["path"])
        # As in the role, root runs the program once after it is installed. That leaves Python's
        # bytecode beside the modules, which the account of cron could not write.
        words = ("sudo", str(dag_sync_node.PROGRAM), "--version")
        measure.output_of("Running the program", *self.ssh, *words, stdin="")
        for file in ON_THE_NODE:
            self.copy(file.read_text(), str(PLACE / HERE.name / file.name))

    def copy(self, content: str, path: str) -> None:
        """Write a file that everybody may read and run."""
        install = ("sudo", "install", "-D", "-m", "0755", "/dev/stdin", path)
        measure.output_of(f"Copying {path}", *self.ssh, *install, stdin=content)

    def stage(self, name: str, *, quick: bool) -> dict[str, Any]:
        """Run a stage in the node, and return what it found."""
        options = ("--quick",) * quick
        label = name.replace("_", "-")
        python = ("sudo", "env", f"PYTHONPATH={PLACE}", "python3")
        command = (*python, "-m", dag_sync_node.__name__, name, *options)
        ended = measure.run(label, *self.ssh, *command)
        found: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
        return found


def measured(*, quick: bool = False) -> Report:
    """Make the node, take all figures there, and return the report."""
    machine = Machine()
    machine.prepare()
    found = {name: machine.stage(name, quick=quick) for name in dag_sync_node.STAGES}
    if not quick:
        refuse_blunt_reads(found["reads"])
    return report(
        Figures(**{field.name: found[field.name] for field in fields(Figures)}), quick=quick
    )
