"""The line's length over an evening, as it was and as it would have been, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from math import ceil

from sanic_dispatch.replay.evening_summary import EveningSummary

WIDTH, HEIGHT = 900, 320
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 40, 32
MOST_POINTS = 2000
STYLES = {"recorded": "#777", "replayed": "#c2410c"}
TICKS = 6

Points = Sequence[tuple[float, int]]


def plot(recorded: EveningSummary, replayed: EveningSummary) -> str:
    """Return the plot; times are in this machine's time zone."""
    lines = {"recorded": _thinned(recorded.line), "replayed": _thinned(replayed.line)}
    points = [point for line in lines.values() for point in line]
    begin_s = min((at_s for at_s, _ in points), default=0.0)
    end_s = max((at_s for at_s, _ in points), default=1.0)
    longest = max((length for _, length in points), default=0)
    scale = _Scale(begin_s, max(end_s, begin_s + 1.0), max(longest, 1))
    return "\n".join([*_head(), *_axes(scale), *_curves(scale, lines), "</svg>", ""])


class _Scale:
    """From times and lengths to pixels."""

    def __init__(self, begin_s: float, end_s: float, longest: int) -> None:
        self.begin_s, self.end_s, self.longest = begin_s, end_s, longest

    def x(self, at_s: float) -> float:
        share = (at_s - self.begin_s) / (self.end_s - self.begin_s)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, length: float) -> float:
        return HEIGHT - BOTTOM - length / self.longest * (HEIGHT - TOP - BOTTOM)


def _head() -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">'
    )
    yield "<title>Orders in line</title>"
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    yield f'<text x="{LEFT}" y="22">Orders in line</text>'
    for number, (name, colour) in enumerate(STYLES.items()):
        x = WIDTH - RIGHT - 180 + 95 * number
        yield f'<path d="M{x} 18h16" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{x + 21}" y="22">{name}</text>'


def _axes(scale: _Scale) -> Iterator[str]:
    step = round_step(scale.longest)
    for length in range(0, scale.longest + 1, step):
        y = scale.y(length)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{length}</text>'
    for number in range(TICKS + 1):
        at_s = scale.begin_s + number / TICKS * (scale.end_s - scale.begin_s)
        time = datetime.fromtimestamp(at_s).strftime("%H:%M")
        anchor = "end" if number == TICKS else "middle"
        yield (
            f'<text x="{scale.x(at_s):.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{time}</text>'
        )


def round_step(longest: int) -> int:
    """Return 1, 2 or 5 times a power of ten, for so many ticks at most."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step * TICKS >= longest:
                return step
        power *= 10


def _curves(scale: _Scale, lines: dict[str, Points]) -> Iterator[str]:
    for name, line in lines.items():
        steps, before = [f"M{scale.x(scale.begin_s):.1f} {scale.y(0):.1f}"], None
        for at_s, length in line:
            if length != before:
                steps.append(f"H{scale.x(at_s):.1f}V{scale.y(length):.1f}")
            before = length
        steps.append(f"H{scale.x(scale.end_s):.1f}")
        style = f'stroke="{STYLES[name]}" stroke-width="1.5"'
        yield f'<path d="{"".join(steps)}" fill="none" {style}/>'


def _thinned(line: Points) -> Points:
    """Return the longest line of each of so many parts, where there are more points."""
    size = ceil(len(line) / MOST_POINTS) if line else 1
    parts = (line[at : at + size] for at in range(0, len(line), size))
    return [(part[0][0], max(length for _, length in part)) for part in parts]
