"""Runs to make figures of."""

from benchmarks import measure

CLEAN = {"ok": 5, "changed": 0, "failures": 0, "unreachable": 0, "skipped": 1}


def make_run(seconds=10.0, spans=(), recap=None):
    """A run of the spans (play, role, task, seconds), each with two results."""
    return measure.Run(
        seconds,
        [measure.Span(*span, results=2, changed=0) for span in spans],
        {"a": CLEAN, "b": CLEAN} if recap is None else recap,
    )
