# SPDX-License-Identifier: Apache-2.0
"""What is expected of a case on a staging cluster, which has data and services of its own."""

from collections.abc import Mapping
from dataclasses import replace

from rax.testing._model import Expectation, Given, RunKind
from rax.testing._specs._document import Value
from rax.testing._specs._expectations import ExpectationReader

# What stands in for something is the cluster's own there. What a case brings about is not.
_BROUGHT_ABOUT = ("down", "meanwhile")


def target_of(
    value: Value,
    runs: Mapping[RunKind, Expectation],
    named: Value | None,
    given: Given,
    reader: ExpectationReader,
) -> Mapping[RunKind, Expectation]:
    """Return what is expected of each run on a cluster, after noting what cannot be.

    There the data are real, and many: the case runs once, and again where it names that.

    :param value: the case's ``target``
    :param runs: what is expected of its runs on a laptop
    :param named: the case's ``runs``, if it has any
    """
    if value.content is False:
        return {}
    for section in _BROUGHT_ABOUT:
        if getattr(given, section):
            value.refuse(
                f"the case has given.{section}, which is brought about on no cluster: leave out one"
            )
    if RunKind.ONCE not in runs:
        value.refuse("a run that loses results is made on no cluster: add once to runs")
        return {}
    again = [RunKind.AGAIN] if named is not None and RunKind.AGAIN in named.content else []
    kinds = [RunKind.ONCE, *again]
    if value.content is True:
        return {kind: runs[kind] for kind in kinds}
    for name in given.sqlite:
        if inner := value.get(name):
            inner.refuse(f"{name} is a file on a worker of the cluster, which answers no query")
    expected = reader.expectation(value)
    tables = {
        query: replace(content, is_recorded=False) for query, content in expected.tables.items()
    }
    return dict.fromkeys(kinds, replace(expected, tables=tables))
