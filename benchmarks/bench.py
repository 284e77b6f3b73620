# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what a deployment costs, and write the figures to benchmarks/results/.

credentials from a vault to locked files, in pings: a play with one ping on the same nodes
dag_sync    a repository that is followed: to git by hand, and reads while it changes
library     what rax costs those who import it: credentials, configs, reads while they change
first_run   from no nodes to the first successful run of a workflow, by phase
converged   a site.yml that has nothing to do, in pings

Without a name, all. They make the clusters `bench`, `bench-credentials` and `bench-dag-sync`, and
remove them at the end, whatever happens; `library` needs none.
"""

import argparse
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks import credentials, credentials_fleet, dag_sync, figures, library, measure
from benchmarks.deployment import Cluster, converged_report, first_run_report
from benchmarks.measure import BenchError

BENCHMARKS = ("credentials", "dag_sync", "library", "first_run", "converged")
OWN_CLUSTER = "bench"


def stop(*_: object) -> None:
    """End as Ctrl-C does."""
    raise KeyboardInterrupt


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=" or ".join(BENCHMARKS))
    parser.add_argument(
        "--cluster",
        default=OWN_CLUSTER,
        help="have `converged` use this cluster, which must be up, such as demo",
    )
    parser.add_argument(
        "--results", type=Path, default=measure.HERE / "results", help="another folder to write to"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="have `dag_sync` and `library` take few rounds: no measure, a try",
    )
    parser.add_argument("--package-cache", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.names = options.names or BENCHMARKS
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    return options


def measure_all(options: argparse.Namespace) -> None:
    """Run the benchmarks that are named, and write a report of each as soon as it is there."""
    machine = measure.look_at_machine()

    def write(name: str, report: tuple[dict[str, Any], str]) -> None:
        figures.write(options.results, name, machine, report)

    if "credentials" in options.names:
        with measure.removed_at_the_end(credentials_fleet.CLUSTER):
            report, drawing = credentials.measured()
            write("credentials", report)
            (options.results / "credentials.svg").write_text(drawing)
    if "dag_sync" in options.names:
        with measure.removed_at_the_end(dag_sync.CLUSTER):
            write("dag_sync", dag_sync.measured(quick=options.quick))
    if "library" in options.names:
        write("library", library.measured(quick=options.quick))
    with contextlib.ExitStack() as stack:
        own, cluster = Cluster(OWN_CLUSTER), Cluster(options.cluster)
        ours = "converged" in options.names and cluster.name == OWN_CLUSTER
        if "first_run" in options.names or ours:
            stack.enter_context(measure.removed_at_the_end(own.name))
            first = own.deploy(options.package_cache)
            if "first_run" in options.names:
                write("first_run", first_run_report(first))
        if "converged" in options.names:
            if not ours:
                cluster.playbook("site", "site.yml")  # Others may have changed something.
            write("converged", converged_report(*cluster.converged()))


def main() -> int:
    """Run the benchmarks that the command line names."""
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        measure_all(options)
    except BenchError as error:
        print(f"\nscripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nscripts/bench: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
