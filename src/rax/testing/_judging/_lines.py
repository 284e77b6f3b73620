# SPDX-License-Identifier: Apache-2.0
"""Two texts beside each other, line by line."""

import difflib
from collections.abc import Iterable, Iterator

from rax._printable import printable
from rax.testing._judging._texts import bounded, change, cut

# difflib takes time with the square of it.
_MAX_COMPARED = 2_000


def differing(expected: bytes, found: bytes) -> list[str]:
    """Return what differs: first in a line, then line by line; nothing where they are equal."""
    if expected == found:
        return []
    try:
        texts = expected.decode(), found.decode()
    except UnicodeDecodeError:
        at = next((at for at, pair in enumerate(zip(expected, found, strict=False))
                   if pair[0] != pair[1]), min(len(expected), len(found)))  # fmt: skip
        return [f"differs from byte {at:,} on; {len(expected):,} bytes → {len(found):,} bytes"]
    left, right = (text.split("\n") for text in texts)
    lines = list(_differing(left, right))
    if not any(lines):
        return ["differs"]
    return [f"{len(lines):,} line{'s' * (len(lines) != 1)} differ{'s' * (len(lines) == 1)}",
            *bounded(lines)]  # fmt: skip


def _differing(expected: list[str], found: list[str]) -> Iterator[str]:
    # What is equal at both ends needs no comparison.
    start = 0
    while expected[start : start + 1] == found[start : start + 1] != []:
        start += 1
    end = 0
    while end < min(len(expected), len(found)) - start and expected[-1 - end] == found[-1 - end]:
        end += 1
    left, right = expected[start : len(expected) - end], found[start : len(found) - end]
    blocks: Iterable[tuple[str, int, int, int, int]]
    blocks = [("replace", 0, len(left), 0, len(right))]
    if max(len(left), len(right)) <= _MAX_COMPARED:
        blocks = difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    for kind, begin, stop, first, last in blocks:
        if kind == "equal":
            continue
        for offset in range(max(stop - begin, last - first)):
            number = start + begin + offset + 1
            old = left[begin + offset] if begin + offset < stop else None
            new = right[first + offset] if first + offset < last else None
            if old is None:
                yield f"not expected after line {start + stop}: {_line(new)}"
            elif new is None:
                yield f"line {number} is missing: {_line(old)}"
            else:
                yield f"line {number}: {change(_line(old, whole=True), _line(new, whole=True))}"


def _line(text: str | None, *, whole: bool = False) -> str:
    shown = f"'{printable(text or '')}'"
    return shown if whole else cut(shown)
