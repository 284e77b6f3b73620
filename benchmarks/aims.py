# SPDX-License-Identifier: GPL-3.0-or-later
"""What each part of the benchmarks has to reach: the one home of the aims.

Reports, the summary at the end of `scripts/bench` and the tables of benchmarks/README.md read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# How many digits a value has behind the point.
DIGITS = {"×": 2, " pings": 1, " s": 0, " ms": 1, "": 0}


@dataclass(frozen=True)
class Aim:
    """A figure, and what it should be at most, or at least.

    `bound` says what it can't go beyond, however good the program, and why: of 0 that need not be
    said.
    """

    what: str
    limit: float
    bound: str = ""
    at_least: bool = False
    unit: str = "×"

    def text(self, value: float) -> str:
        """Return a value of the figure as people write it."""
        digits = 0 if self.at_least else DIGITS[self.unit]
        return f"{value:,.{digits}f}{self.unit}"

    @property
    def limit_text(self) -> str:
        """What it should be, as people write it."""
        return f"{'≥' if self.at_least else '≤'} {self.text(self.limit)}"


# What a figure in pings has in any case.
_ONE_PING = "1: it begins as a ping does, with Ansible's start and a way to each node"
_LOOKED_UP = "what a parse takes to an `os.stat` and a look into a dict, which a new file needs"

# The parts in the order in which they are measured; the figures of each by a short name.
AIMS: Mapping[str, Mapping[str, Aim]] = {
    "credentials": {
        "first": Aim("first refresh, 1,000 sources, 3 nodes, in pings", 1.4,
            f"{_ONE_PING}; the vault's 41 pages and 3,000 files come on top"),
        "unchanged": Aim("unchanged refresh, 1,000 sources, 3 nodes, in pings", 1.15,
            f"{_ONE_PING}; the vault's 41 pages come on top"),
        "first_30": Aim("first refresh, 1,000 sources, 30 nodes, in pings", 1.5,
            f"{_ONE_PING}; 30,000 files on one disk come on top"),
        "unchanged_30": Aim("unchanged refresh, 1,000 sources, 30 nodes, in pings", 1.2,
            f"{_ONE_PING}; each of them gets 1,000 credentials to compare"),
        "many_first": Aim("first refresh, 10,000 sources, to 1,000", 5.0,
            "1, if sources took no time; 10, if nothing else did"),
        "many_unchanged": Aim("unchanged refresh, 10,000 sources, to 1,000", 5.0,
            "1, if sources took no time; 10, if nothing else did"),
        "loop": Aim("refresh, faster than a copy loop, per source", 500.0,
            "the loop's time for a source to a thousandth of a ping", at_least=True),
        "requests": Aim("requests of the vault: pages and a token", 42.0,
            "42: 1,000 sources by 25, an empty page that ends them, a token", unit=""),
    },
    "dag_sync": {
        "tick": Aim("tick without news, to a bare ls-remote", 1.5,
            "1.04: the same connection of ssh, and Python's start"),
        "written": Aim("what such ticks write", 0.0, unit=""),
        "gate_off": Aim("publish 1 file of 1,500, to git by hand, gate off", 1.5,
            "1.2: the same connection and the same files, Python's start and imports, and a sync of"
            " the disk before the link flips; a second connection alone would be 0.7"),
        "gate_on": Aim("publish 1 file of 1,500, to git by hand, gate on", 1.5,
            "1.3: as with the gate off, and the gate is another start of Python"),
        "torn": Aim("torn of 100,000 pinned reads", 0.0, unit=""),
    },
    "library": {
        "warm": Aim("get_credentials warm, to os.stat + a dict look-up", 2.5,
            "1: it does both, so that the next call sees a new password"),
        "backend": Aim("get_credentials of 1,000, faster than Airflow's LocalFilesystemBackend",
            1000.0, _LOOKED_UP, at_least=True),
        "imports": Aim("import rax.credentials, rax.config, to import json, pathlib", 3.0,
            "1: it imports both"),
        "small_cold": Aim("get_config cold, a small file, to yaml.safe_load", 1.2,
            "0.2: PyYAML's own loader in C"),
        "small_warm": Aim("get_config warm, a small file, faster than yaml.safe_load", 100.0,
            _LOOKED_UP, at_least=True),
        "large_cold": Aim("get_config cold, a large file, to yaml.safe_load", 1.2,
            "0.15: PyYAML's own loader in C"),
        "large_warm": Aim("get_config warm, a large file, faster than yaml.safe_load", 100.0,
            _LOOKED_UP, at_least=True),
        "errors": Aim("errors in reads by 8 processes while 200 generations flip", 0.0,
            unit=""),
    },
    "wrapper": {
        "more": Aim("`./rax` once made, over `rax` itself", 20.0,
            "3: the start of a shell, of `cmp`, and of a process for the path of its folder",
            unit=" ms"),
    },
    "checking": {
        "fast": Aim("`rax check --fast` of the example, to ruff and one DagBag", 1.2,
            "1: it runs both"),
        "since": Aim("the same of 100 files, one of which differs, to the example alone", 1.5,
            "1: of the others, what they share is looked at"),
    },
    "flow": {
        "case": Aim("one more case of `rax flow`, cheaper than `airflow dags test`", 12.0,
            "what Airflow's imports and its first run take, to a run", at_least=True),
        "further": Aim("a further run of a case, to its first", 1.0,
            "1: the same tasks; but the first one loads the file, too"),
        "files": Aim("a case at 100 DAG files, to one at 1", 1.1, "1: one file makes its DAG"),
    },
    "first_run": {
        "seconds": Aim("from no nodes to the first run of a workflow, warm caches", 170.0,
            "what Debian's packages, PostgreSQL's first cluster, and linking and compiling the"
            " packages of Airflow on three nodes take", unit=" s"),
    },
    "converged": {
        "pings": Aim("converged `site.yml`, 4 nodes, in pings", 25.0,
            "0.1 for each thing that is looked at on a host, and 3 for a task on each worker, which"
            " proves that it works", unit=" pings"),
    },
    "fleet": {
        "whole": Aim("converged `site.yml` on 30 nodes, in their pings, to 4 in theirs", 1.3,
            "below 1, since the database and the like are looked at once; but each worker runs a"
            " task, and here all of them on the cores of one machine"),
        "limited": Aim("`--limit` to a worker and `control` of 30 nodes, in pings of the two, to 4",
            1.3, "1: the same two hosts"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """What an aim's figure was."""

    aim: Aim
    value: float

    @property
    def met(self) -> bool:
        """Whether it is what it should be."""
        return self.value >= self.aim.limit if self.aim.at_least else self.value <= self.aim.limit

    def row(self) -> tuple[str, str, str, str]:
        """Return it as a line of a table."""
        verdict = "met" if self.met else "**missed**"
        return self.aim.what, self.aim.text(self.value), self.aim.limit_text, verdict


def figures_of(part: str, values: Mapping[str, float]) -> dict[str, Figure]:
    """Return the figures of a part by name.

    Raises ValueError when a value lacks its aim, or an aim its value.
    """
    if odd := values.keys() ^ AIMS[part].keys():
        raise ValueError(f"{part}: a value or its aim is missing: {', '.join(sorted(odd))}")
    return {name: Figure(aim, values[name]) for name, aim in AIMS[part].items()}
