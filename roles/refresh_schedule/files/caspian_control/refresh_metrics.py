# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state as metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator

from caspian_control.pagerduty import NONE
from caspian_control.refresh_state import State

# What they mean, in the order of the file, without the prefix caspian_credentials_. All are gauges.
METRICS = {
    "last_run_timestamp_seconds": "When the refresh last ended.",
    "last_run_success": "1 if that run brought everything everywhere, else 0.",
    "last_success_timestamp_seconds": "When a run last was successful; 0 for never.",
    "consecutive_failures": "Runs that have failed since.",
    "last_report_timestamp_seconds": "When a run last said what it did, for the metrics below.",
    "last_report_duration_seconds": "How long that run took.",
    "vault_up": "1 if the vault answered, else 0.",
    "vault_copy_timestamp_seconds": "When the copy that was asked was last the same as the vault.",
    "unfetched_sources": "Sources that the vault could not give.",
    "host_delivered": "1 if the host got what it receives, else 0.",
    "host_last_delivered_timestamp_seconds": "When the host last did; 0 for never.",
    "sources": "Sources of a host by state: current, kept (their last good file) or missing.",
    "oldest_last_good_timestamp_seconds": "When the vault last gave the host's stalest source.",
    "alert_open": "1 if an alert is open or may be, else 0.",
    "alert_unsent": "1 if PagerDuty has yet to be told of the last alert or its end, else 0.",
}


def samples(state: State) -> Iterator[tuple[str, dict[str, str], int]]:
    """Yield name, labels and value; what is not known is left out."""
    yield "last_run_timestamp_seconds", {}, state.last_run
    yield "last_run_success", {}, int(state.last_run_success)
    yield "last_success_timestamp_seconds", {}, state.last_success
    yield "consecutive_failures", {}, state.failures
    if state.last_report:
        yield "last_report_timestamp_seconds", {}, state.last_report
        if state.duration >= 0:
            yield "last_report_duration_seconds", {}, state.duration
        yield "vault_up", {}, int(state.vault_up)
        if state.vault_copy_of:
            yield "vault_copy_timestamp_seconds", {}, state.vault_copy_of
        # Without the vault nobody knows how many it could not give.
        if state.vault_up:
            yield "unfetched_sources", {}, state.problems
    for host, known in sorted(state.hosts.items()):
        yield "host_delivered", {"host": host}, known["delivered"]
        yield "host_last_delivered_timestamp_seconds", {"host": host}, known["delivered_at"]
        for name, number in sorted(known["counts"].items()):
            yield "sources", {"host": host, "state": name}, number
        if known["oldest"] is not None:
            yield "oldest_last_good_timestamp_seconds", {"host": host}, known["oldest"]
    yield "alert_open", {}, int(state.alert != NONE)
    yield "alert_unsent", {}, int(state.unsent)


def render_metrics(state: State) -> str:
    """Return the text of a file for node_exporter's textfile collector."""
    lines: dict[str, list[str]] = {name: [] for name in METRICS}
    for name, labels, value in samples(state):
        pairs = ",".join(f'{label}="{escape(text)}"' for label, text in labels.items())
        lines[name].append(f"caspian_credentials_{name}{f'{{{pairs}}}' if pairs else ''} {value}")
    return "".join(
        f"# HELP caspian_credentials_{name} {METRICS[name]}\n"
        f"# TYPE caspian_credentials_{name} gauge\n" + "".join(f"{line}\n" for line in found)
        for name, found in lines.items()
        if found
    )


def escape(label: str) -> str:
    """Return a label's value as the format has it."""
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
