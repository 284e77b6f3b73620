# SPDX-License-Identifier: GPL-3.0-or-later
"""Bars as SVG, without a library that would have to be installed for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 960
LABELS = 320
NOTES = 150
ROW = 26
BAR = 16
BETWEEN = 46
# Told apart also by those who see few colours, and in print.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#999999")
WITHIN, BEYOND = "#009e73", "#d55e00"


@dataclass(frozen=True)
class Share:
    """How much of what an aim allows was used: 1.0 is all of it."""

    label: str
    note: str
    share: float


@dataclass(frozen=True)
class Stack:
    """A bar of named parts, and the single values it is the middle of."""

    label: str
    parts: dict[str, float]
    values: Sequence[float] = ()


def draw(title: str, shares: Sequence[Share], stacks: Sequence[Stack], unit: str) -> str:
    """Return the SVG of both panels, one below the other."""
    body, height = [], 0
    for part, rows in ((_shares(shares), len(shares)), (_stacks(stacks, unit), len(stacks) + 1)):
        body.append(f'<g transform="translate(0 {BETWEEN + height})">{part}</g>')
        height += BETWEEN + rows * ROW + 24
    height += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" font-family="sans-serif" font-size="12" role="img">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        f'<text x="12" y="20" font-size="15" font-weight="bold">{escape(title)}</text>'
        f"{''.join(body)}</svg>\n"
    )


def round_up(value: float) -> float:
    """Return the next number above that is easy to read: 1, 2 or 5 with zeros."""
    power: float = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _shares(shares: Sequence[Share]) -> str:
    """Return a bar for each aim, with one line for all at what it allows."""
    room = WIDTH - LABELS - NOTES
    most = max(1.25, *(min(item.share, 2.0) for item in shares))
    limit = LABELS + room / most
    rows = []
    for number, item in enumerate(shares):
        top = number * ROW
        width = room * min(item.share, most) / most
        colour = WITHIN if item.share <= 1 else BEYOND
        rows.append(
            _label(item.label, top)
            + f'<rect x="{LABELS}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
            + f'<text x="{WIDTH - NOTES + 8}" y="{top + 12}">{escape(item.note)}</text>'
        )
    bottom = len(shares) * ROW
    return (
        "".join(rows)
        + f'<line x1="{limit:.1f}" x2="{limit:.1f}" y1="-6" y2="{bottom}" stroke="#000000"'
        ' stroke-dasharray="4 3"/>'
        + f'<text x="{limit:.1f}" y="{bottom + 12}" text-anchor="middle">the aim</text>'
    )


def _stacks(stacks: Sequence[Stack], unit: str) -> str:
    """Return a bar for each run, its parts side by side, and a dot for each single value."""
    room = WIDTH - LABELS - NOTES
    most = round_up(max(max((sum(s.parts.values()), *s.values)) for s in stacks))
    names = list(dict.fromkeys(name for stack in stacks for name in stack.parts))
    colours = {name: COLOURS[min(n, len(COLOURS) - 1)] for n, name in enumerate(names)}
    rows = []
    for number, stack in enumerate(stacks):
        top, left = number * ROW, float(LABELS)
        rows.append(_label(stack.label, top))
        for name, value in stack.parts.items():
            width = room * value / most
            rows.append(
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{BAR}"'
                f' fill="{colours[name]}"><title>{escape(name)}: {value:.2f} {unit}</title></rect>'
            )
            left += width
        rows += [
            f'<circle cx="{LABELS + room * value / most:.1f}" cy="{top + BAR / 2}" r="2.5"'
            ' fill="none" stroke="#000000"/>'
            for value in stack.values
        ]
        rows.append(
            f'<text x="{WIDTH - NOTES + 8}" y="{top + 12}">'
            f"{sum(stack.parts.values()):.1f} {escape(unit)}</text>"
        )
    bottom = len(stacks) * ROW
    axis = [
        f'<text x="{LABELS + room * share:.1f}" y="{bottom + 8}" text-anchor="middle">'
        f"{most * share:g}</text>"
        for share in (0, 0.5, 1)
    ]
    legend, left = [], float(LABELS)
    for name in names:
        legend.append(
            f'<rect x="{left:.1f}" y="{bottom + 18}" width="10" height="10"'
            f' fill="{colours[name]}"/>'
            f'<text x="{left + 14:.1f}" y="{bottom + 27}">{escape(name)}</text>'
        )
        left += 30 + 6.6 * len(name)
    return "".join(rows + axis + legend)


def _label(text: str, top: int) -> str:
    return f'<text x="{LABELS - 8}" y="{top + 12}" text-anchor="end">{escape(text)}</text>'
