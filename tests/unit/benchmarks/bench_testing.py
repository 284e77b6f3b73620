"""Runs and reports to make figures of."""

from benchmarks import figures, measure
from benchmarks.aims import AIMS, figures_of

CLEAN = {"ok": 5, "changed": 0, "failures": 0, "unreachable": 0, "skipped": 1}
MACHINE = {
    "date": "2026-01-02", "commit": "abcdef0", "dirty": False, "cores": 2, "memory_gib": 8,
    "load": 0.1, "engine": "podman 4", "ansible_core": "2.19.0",
}  # fmt: skip


def make_run(seconds=10.0, spans=(), recap=None):
    """A run of the spans (play, role, task, seconds), each with two results."""
    return measure.Run(
        seconds,
        [measure.Span(*span, results=2, changed=0) for span in spans],
        {"a": CLEAN, "b": CLEAN} if recap is None else recap,
    )


def make_report(part, *, quick=False, **values):
    """A report of a part with these values; its other figures are just what they should be."""
    values = {name: aim.limit for name, aim in AIMS[part].items()} | values
    raw, text = {"spans": [1.5]}, "The **text**.\n"
    return figures.Report(part, figures_of(part, values), raw, text, quick)
