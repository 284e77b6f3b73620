# SPDX-License-Identifier: Apache-2.0
"""What a table or a file holds, beside what is expected of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rax.testing._judging import _lines, _values
from rax.testing._judging._csv import FormError, count_rows, read
from rax.testing._judging._rows import differing, has_doubled
from rax.testing._judging._texts import bounded
from rax.testing._model import Content, RunKind
from rax.testing._outputs import Captured

# What is larger is compared, and not told cell by cell.
_MAX_TOLD_BYTES = 50_000_000
_RECORD = "./rax flow record writes it"
_BY_HAND = "write it, since ./rax flow record has no data of a cluster"
_HINTS = {
    RunKind.AGAIN: "the second run has added again what the first had loaded: let the task replace "
    "its rows, by DELETE and INSERT in one transaction for example",
    RunKind.LOST: "the retry has added again what the try before it had loaded: let the task "
    "replace its rows, by DELETE and INSERT in one transaction for example",
}


_Compare = Callable[[bytes, bytes, RunKind], list[str]]


class Found(NamedTuple):
    """What a run left of a table or a file, and what to compare it with."""

    run: RunKind
    captured: Captured
    # What the first run left of the same, where the same golden is expected of it.
    first: Captured | None = None


def of_table(expected: Content, found: Found) -> list[str]:
    """Return what differs in a table: first in a line, then in detail; nothing where all is so."""
    content = found.captured.content
    if found.captured.error or content is None:
        return [found.captured.error or "there is no such table"]
    if expected.rows is not None:
        try:
            return _of_count(expected.rows, count_rows(content), "row", found.run)
        except FormError as error:
            return [f"is no table: {error}"]
    return _of_golden(expected, found, content, _of_tables)


def of_file(expected: Content, found: Found, name: str) -> list[str]:
    """Return what differs in a file: first in a line, then in detail; nothing where all is so."""
    content = found.captured.content
    if found.captured.error:
        return [found.captured.error]
    if expected.absent:
        return [] if content is None else [f"is there, with {len(content):,} bytes"]
    if content is None:
        return ["is not there"]
    if expected.rows is not None:
        lines = max(0, len(content.splitlines()) - 1)
        return _of_count(expected.rows, lines, "line", found.run, " below the first")
    if expected.text is not None:
        return _lines.differing(expected.text.encode(), content)
    compare = {".csv": _of_csv_files, ".json": _of_json_files}
    return _of_golden(expected, found, content, compare.get(Path(name).suffix.lower(), _of_texts))


def _of_count(expected: int, found: int, noun: str, run: RunKind, where: str = "") -> list[str]:
    if expected == found:
        return []
    told = [f"{expected:,} {noun}{'s' * (expected != 1)}{where} → {found:,}"]
    return [*told, *_hint(run, is_doubled=bool(expected) and found == 2 * expected)]


def _of_golden(expected: Content, found: Found, content: bytes, compare: _Compare) -> list[str]:
    if expected.golden is None:
        return []
    name = expected.golden.name
    try:
        wanted: bytes | None = expected.golden.read_bytes()
    except FileNotFoundError:
        wanted = None
    except OSError as error:
        return [f"{name} cannot be read: {error.strerror}"]
    first = found.first.content if found.first else None
    if first is not None and (wanted is None or _told(wanted, first, found.run, compare)):
        # Told of the first run already: what matters here is whether this one is like it.
        wanted, name = first, "the first run"
    if wanted is None:
        return [f"there is no {name} yet: {_RECORD if expected.is_recorded else _BY_HAND}"]
    if lines := _told(wanted, content, found.run, compare):
        return [f"beside {name}: {lines[0]}", *lines[1:]]
    return []


def _told(wanted: bytes, content: bytes, run: RunKind, compare: _Compare) -> list[str]:
    if wanted == content:
        return []
    if max(len(wanted), len(content)) > _MAX_TOLD_BYTES:
        return [f"{len(wanted):,} bytes → {len(content):,} bytes, and not the same"]
    return compare(wanted, content, run)


def _of_tables(wanted: bytes, content: bytes, run: RunKind) -> list[str]:
    try:
        expected = read(wanted)
    except FormError as error:
        return [f"it is no table: {error}"]
    try:
        found = read(content)
    except FormError as error:
        return [f"what was found is no table: {error}"]
    lines = differing(expected, found)
    return [*lines, *_hint(run, is_doubled=bool(lines) and has_doubled(expected, found))]


def _of_csv_files(wanted: bytes, content: bytes, run: RunKind) -> list[str]:
    """Tell of a file as of a table, where it is one: but each of its bytes counts."""
    try:
        lines = differing(read(wanted), read(content))
    except FormError:
        lines = []
    return lines or _of_texts(wanted, content, run)


def _of_json_files(wanted: bytes, content: bytes, run: RunKind) -> list[str]:
    """Tell of a file by its keys, where it is JSON: but each of its bytes counts."""
    try:
        lines = _values.differing(json.loads(wanted), json.loads(content), exact=True)
    except (ValueError, RecursionError):
        lines = []
    if not lines:
        return _of_texts(wanted, content, run)
    return lines if len(lines) == 1 else [f"{len(lines)} values differ", *bounded(lines)]


def _of_texts(wanted: bytes, content: bytes, _run: RunKind) -> list[str]:
    return _lines.differing(wanted, content)


def _hint(run: RunKind, *, is_doubled: bool) -> list[str]:
    return [_HINTS[run]] if is_doubled and run in _HINTS else []
