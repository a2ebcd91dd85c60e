"""The plot of the line."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from sanic_dispatch.replay.evening_summary import EveningSummary
from sanic_dispatch.replay.line_plot import HEIGHT, MOST_POINTS, WIDTH, plot

SVG = "{http://www.w3.org/2000/svg}"


def summary(*line: tuple[float, int]) -> EveningSummary:
    return EveningSummary(0, [], 0, None, None, 0, list(line))


def curves(text: str) -> list[str]:
    """Return the paths of the two lines."""
    return [each.get("d", "") for each in ET.fromstring(text).iter(f"{SVG}path")][-2:]


def test_a_plot() -> None:
    """Two lines in steps, with a legend and axes, inside of the picture."""
    text = plot(summary((0.0, 1), (60.0, 3), (120.0, 0)), summary((30.0, 2), (90.0, 0)))
    words = [each.text for each in ET.fromstring(text).iter(f"{SVG}text")]
    assert {"Orders in line", "recorded", "replayed", "0", "3"} <= set(words)
    recorded, replayed = curves(text)
    assert recorded.count("V") == 3
    assert replayed.count("V") == 2
    for curve in (recorded, replayed):
        for axis, most in (("H", WIDTH), ("V", HEIGHT)):
            found = [float(number) for number in re.findall(rf"{axis}([-\d.]+)", curve)]
            assert all(0 <= number <= most for number in found)


def test_round_numbers() -> None:
    """The axis counts in ones, twos, fives, tens."""
    for longest, last in ((3, "3"), (9, "8"), (24, "20"), (277, "250"), (5000, "5000")):
        text = plot(summary((0.0, longest), (60.0, 0)), summary())
        numbers = [each.text for each in ET.fromstring(text).iter(f"{SVG}text") if each.text]
        assert [word for word in numbers if word.isdecimal()][-1] == last


def test_plots_of_nothing_and_of_much() -> None:
    """An evening without a line; and one whose peaks are kept where points are left out."""
    assert len(curves(plot(summary(), summary()))) == 2
    many = [(float(n), 50 if n == 7777 else n % 2) for n in range(20_000)]
    recorded, _ = curves(plot(summary(*many), summary()))
    assert recorded.count("V") <= MOST_POINTS
    heights = [float(number) for number in re.findall(r"V([-\d.]+)", recorded)]
    assert min(heights) < min(sorted(heights)[1:])
