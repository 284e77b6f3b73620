# SPDX-License-Identifier: GPL-3.0-or-later
import xml.etree.ElementTree as ET

import pytest

from benchmarks import chart

SVG = "{http://www.w3.org/2000/svg}"
SHARES = [chart.Share("half <of> it", "1.0× (≤ 2.0×)", 0.5), chart.Share("beyond", "9×", 3.0)]
STACKS = [
    chart.Stack("ping", {"start": 1.0, "ping": 0.5}, [1.4, 1.6]),
    chart.Stack("x", {"a": 3.0}),
]


def drawn(shares=SHARES, stacks=STACKS):
    return ET.fromstring(chart.draw("A & B", shares, stacks, "s"))  # noqa: S314 - our own text


def bars(root, panel):
    """Return (width, colour) of the bars of a panel, without the squares of the legend."""
    group = root.findall(f"{SVG}g")[panel]
    height = str(chart.BAR)
    return [
        (float(rect.get("width")), rect.get("fill"))
        for rect in group.findall(f"{SVG}rect")
        if rect.get("height") == height
    ]


def test_all_labels_are_there():
    texts = [element.text for element in drawn().iter(f"{SVG}text")]
    for text in ("A & B", "half <of> it", "1.0× (≤ 2.0×)", "the aim", "ping", "start", "1.5 s"):
        assert text in texts


def test_a_bar_ends_where_its_share_of_the_aim_does():
    root = drawn()
    (line,) = root.findall(f"{SVG}g")[0].findall(f"{SVG}line")
    to_the_aim = float(line.get("x1")) - chart.LABELS
    (half, within), (beyond, colour) = bars(root, 0)
    assert half == pytest.approx(to_the_aim / 2, abs=0.1)
    assert within == chart.WITHIN
    # What is far beyond is cut, so that it leaves the others room.
    assert to_the_aim < beyond <= chart.WIDTH - chart.LABELS - chart.NOTES
    assert colour == chart.BEYOND


def test_parts_lie_side_by_side_on_one_scale():
    (start, _), (ping, _), (other, _) = bars(drawn(), 1)
    assert start == pytest.approx(2 * ping, abs=0.1)
    assert other == pytest.approx(3 * start, abs=0.2)


def test_each_single_value_is_a_dot():
    assert len(list(drawn().iter(f"{SVG}circle"))) == 2


def test_nothing_leaves_the_picture():
    root = drawn()
    for rect in root.iter(f"{SVG}rect"):
        assert float(rect.get("x", 0)) + float(rect.get("width")) <= chart.WIDTH
    bottom = int(root.get("height"))
    last = root.findall(f"{SVG}g")[1]
    top = int(last.get("transform").split()[1].rstrip(")"))
    assert all(top + float(e.get("y")) <= bottom for e in last.iter(f"{SVG}text"))


@pytest.mark.parametrize(
    ("value", "rounded"), [(0, 1), (0.03, 0.05), (1, 1), (1.1, 2), (4.9, 5), (5.1, 10), (63, 100)]
)
def test_the_axis_ends_at_a_round_number(value, rounded):
    assert chart.round_up(value) == pytest.approx(rounded)
