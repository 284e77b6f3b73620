# SPDX-License-Identifier: GPL-3.0-or-later
"""What the library rax costs those who import it: credentials, configs, and reads meanwhile.

All of it is timed by library_driver.py in processes of the environment `.venv-airflow`, which has
the packages that the nodes have. The module that publishes credentials needs Ansible, which these
have not: it runs in `.venv`.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from benchmarks import figures, measure
from benchmarks.aims import figures_of
from benchmarks.figures import Report, ratio, ways_table
from benchmarks.library_flips import FLIPPED
from benchmarks.measure import ROOT, BenchError

PYTHON = ROOT / ".venv-airflow/bin/python"
MILLI, MICRO = 1e3, 1e6
# A reader of the flips that has seen fewer of the generations has met too few.
SEEN_SHARE = 0.2


@dataclass(frozen=True)
class Figures:
    """What the stages found."""

    look_up: Mapping[str, Any]
    backend: Mapping[str, Any]
    imports: Mapping[str, Any]
    small_config: Mapping[str, Any]
    large_config: Mapping[str, Any]
    flips: Mapping[str, Any]

    def values(self) -> dict[str, float]:
        """Return the figures that have an aim."""
        look_up, backend = self.look_up["seconds"], self.backend["seconds"]
        imports = self.imports["seconds"]
        small, large = self.small_config["seconds"], self.large_config["seconds"]
        return {
            "warm": ratio(look_up["get_credentials, warm"], look_up["os.stat + dict"]),
            "backend": ratio(backend["LocalFilesystemBackend"], backend["get_credentials"]),
            "imports": ratio(imports["rax"], imports["json, pathlib"]),
            "small_cold": ratio(small["cold"], small["yaml.safe_load"]),
            "small_warm": ratio(small["yaml.safe_load"], small["warm"]),
            "large_cold": ratio(large["cold"], large["yaml.safe_load"]),
            "large_warm": ratio(large["yaml.safe_load"], large["warm"]),
            "errors": self.flips["errors"],
        }


def refuse_blunt_flips(flips: Mapping[str, Any]) -> None:
    """Raise BenchError when the readers met too few publications for their errors to count."""
    if not flips["naive_errors"]:
        raise BenchError(
            f"Of {flips['naive']:,} careless reads none failed, so the others prove nothing"
        )
    if flips["generations"] < flips["published"] * SEEN_SHARE:
        raise BenchError(
            f"A reader has seen {flips['generations']} of {flips['published']} generations only"
        )


def report(found: Figures, *, quick: bool = False) -> Report:
    """Return what was found."""
    flips, backend = found.flips, found.backend
    kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(flips["kinds"].items()))
    configs = [
        ways_table(f"{config['lines']} lines, µs", MICRO, config["seconds"], "yaml.safe_load")
        for config in (found.small_config, found.large_config)
    ]
    text = "\n".join([
        "One credential, again and again; the least that notices a new file is `os.stat` of it and"
        " a look into a dict:\n",
        ways_table("µs per call", MICRO, found.look_up["seconds"], "os.stat + dict"),
        f"One of {backend['sources']:,} at random. Airflow's backend has them in one JSON file, rax"
        " each in its own. To read each of these for the first time took"
        f" {backend['first'] * MICRO:,.0f} µs; in that, Airflow's masker is told of each password,"
        " and it compiles the pattern of all that it knows anew.\n",
        ways_table("µs per look-up", MICRO, backend["seconds"], "LocalFilesystemBackend"),
        "Imports, each in a new interpreter, whose start is not in them:\n",
        ways_table("ms", MILLI, found.imports["seconds"], "json, pathlib"),
        "A config that the process has never read (cold) and one that it has (warm)."
        " `yaml.safe_load` parses in Python, as it always does; rax takes the loader in C where"
        " there is one, so its own share shows against the same loader:\n",
        *configs,
        f"{flips['published']} generations of {FLIPPED} credentials, published by"
        f" the module `credential_files` in {flips['seconds']:.0f} s, and {flips['readers']}"
        " processes that read all the while. A read fails when it raises, or is not of one"
        " generation. The careless ones resolve the link and read two files, without looking"
        " again:\n",
        figures.table(
            ("reads", "all", "failed"),
            [("get_credentials", flips["reads"], flips["errors"]),
             ("careless", flips["naive"], flips["naive_errors"])],
        ),
        *([f"What failed: {kinds}.\n"] if kinds else []),
    ])  # fmt: skip
    return Report("library", figures_of("library", found.values()), asdict(found), text, quick)


def stage(name: str, *, quick: bool) -> dict[str, Any]:
    """Run a stage with the nodes' packages, and return what it found."""
    options = ("--publisher", sys.executable, *(("--quick",) * quick))
    label = f"library-{name.replace('_', '-')}"
    ended = measure.run(
        label, str(PYTHON), "-m", "benchmarks.library_driver", name, *options,
        PYTHONPATH=str(ROOT / "src"),
    )  # fmt: skip
    found: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
    return found


def measured(*, quick: bool = False) -> Report:
    """Take all figures, and return the report."""
    found = {field.name: stage(field.name, quick=quick) for field in fields(Figures)}
    if not quick:
        refuse_blunt_flips(found["flips"])
    return report(Figures(**found), quick=quick)
