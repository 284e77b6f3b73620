# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what a deployment costs, and say which aims it misses.

credentials from a vault to locked files, in pings: a play with one ping on the same nodes
dag_sync    a repository that is followed: to git by hand, and reads while it changes
library     what rax costs those who import it: credentials, configs, reads while they change
wrapper     what ./rax of a DAG repository costs beside the command that it starts
checking    `rax check --fast`, to ruff and Airflow by hand
flow        one more case of `rax flow`, to `airflow dags test`
first_run   from no nodes to the first successful run of a workflow, by phase
converged   a site.yml that has nothing to do, in pings
fleet       the same on 30 nodes, to 4

Without a name, all. They make the clusters `bench`, `bench-credentials`, `bench-dag-sync` and
`bench-fleet`, and remove them at the end, whatever happens; `library`, `wrapper`, `checking` and
`flow` need none. Reports are written to .lab/bench, and what a clean checkout has measured to the
table of benchmarks/README.md.
"""

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import (
    checking,
    credentials,
    credentials_fleet,
    dag_sync,
    figures,
    fleet,
    flow,
    history,
    library,
    measure,
    wrapper,
)
from benchmarks.aims import AIMS
from benchmarks.deployment import ROUNDS, SITE, Cluster, converged_report, first_run_report
from benchmarks.figures import Report
from benchmarks.measure import BenchError

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
    parser.add_argument("names", nargs="*", metavar="NAME", help=" or ".join(AIMS))
    parser.add_argument(
        "--cluster",
        default=OWN_CLUSTER,
        help="have `converged` use this cluster, which must be up, such as demo",
    )
    parser.add_argument(
        "--reports", type=Path, default=measure.LAB / "bench", help="another folder to write to"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="take few rounds, but for `credentials` and whole clusters: no measure, a try",
    )
    parser.add_argument("--package-cache", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.names = options.names or [*AIMS]
    if unknown := set(options.names) - AIMS.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    return options


def measure_all(options: argparse.Namespace) -> Iterator[Report]:
    """Run the benchmarks that are named, and give the report of each as soon as it is there."""
    if "credentials" in options.names:
        with measure.removed_at_the_end(credentials_fleet.CLUSTER):
            yield credentials.measured()
    if "dag_sync" in options.names:
        with measure.removed_at_the_end(dag_sync.CLUSTER):
            yield dag_sync.measured(quick=options.quick)
    if "library" in options.names:
        yield library.measured(quick=options.quick)
    if "wrapper" in options.names:
        yield wrapper.measured(quick=options.quick)
    if "checking" in options.names:
        yield checking.measured(quick=options.quick)
    if "flow" in options.names:
        yield flow.measured(quick=options.quick)
    with contextlib.ExitStack() as stack:
        own, cluster = Cluster(OWN_CLUSTER), Cluster(options.cluster)
        ours = "converged" in options.names and cluster.name == OWN_CLUSTER
        if "first_run" in options.names or ours:
            stack.enter_context(measure.removed_at_the_end(own.name))
            first = own.deploy(options.package_cache)
            if "first_run" in options.names:
                yield first_run_report(first)
        if "converged" in options.names:
            if not ours:
                cluster.playbook("site", SITE)  # Others may have changed something.
            yield converged_report(cluster.converged(ROUNDS))
    if "fleet" in options.names:
        with measure.removed_at_the_end(fleet.CLUSTER):
            yield fleet.measured(options.package_cache, quick=options.quick)


def no_entry(options: argparse.Namespace, machine: dict[str, Any]) -> str:
    """Return why the values of this run are not for the table of benchmarks/README.md, if so."""
    if machine["dirty"]:
        return "this checkout has changes that no commit has"
    if options.quick:
        return "few rounds are no measure"
    if options.cluster != OWN_CLUSTER:
        return f"nobody knows what else the cluster {options.cluster} does"
    return ""


def end(options: argparse.Namespace, machine: dict[str, Any], reports: list[Report]) -> None:
    """Say which aims are missed, and enter the values into the table of benchmarks/README.md."""
    if not reports:
        return
    print(f"\n{figures.summary(reports)}")
    if not no_entry(options, machine):
        history.enter(history.README, machine, reports)
        print(f"The values are in {history.README.relative_to(measure.ROOT)}.")


def main() -> int:
    """Run the benchmarks that the command line names."""
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    machine = measure.look_at_machine()
    reports: list[Report] = []
    try:
        # What can't be entered at the end is said before hours are spent.
        history.read(history.README.read_text(), history.README.name)
        if reason := no_entry(options, machine):
            print(f"bench: no value will be entered into benchmarks/README.md: {reason}")
        try:
            for report in measure_all(options):
                figures.write(options.reports, machine, report)
                reports.append(report)
        finally:
            end(options, machine, reports)  # What was measured before a failure counts.
    except BenchError as error:
        print(f"\nscripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nscripts/bench: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
