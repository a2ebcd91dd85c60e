"""Bar charts and line charts as SVG, in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, inf, log10

from sanic_dispatch.replay.line_plot import round_step

WIDTH = 820
NAMES_WIDTH = 170
"""The room for the names at the bars."""
VALUES_WIDTH = 80
"""The room for a value behind the longest bar."""
TOP, BOTTOM = 64, 52
"""The room for title and legend, and for the axis."""
BAR, GAP = 16, 12
LINES_HEIGHT, LEFT, RIGHT = 300, 84, 220
LINE_OF_TEXT = 17

_COLOURS = {
    "light": ("#fff", "#1f2328", "#59636e", "#d1d9e0", "#bc4c00", "#0969da", "#1a7f37", "#818b98"),
    "dark": (
        "#0d1117",
        "#f0f6fc",
        "#9198a1",
        "#3d444d",
        "#db6d28",
        "#4493f8",
        "#3fb950",
        "#757e8a",
    ),
}
_PARTS = (
    ".ground{{fill:{}}}",
    "text{{fill:{}}}",
    ".axis{{fill:{}}}",
    ".grid{{stroke:{}}}",
    *(f".{name}{{{{fill:{{0}};stroke:{{0}}}}}}" for name in ("c0", "c1", "c2", "other")),
)


def _css(theme: str) -> str:
    return "".join(
        part.format(colour) for part, colour in zip(_PARTS, _COLOURS[theme], strict=True)
    )


_STYLE = (
    f"<style>{_css('light')}text{{stroke:none}}.grid,.line{{fill:none}}.line{{stroke-width:2.5}}"
    f".ours{{font-weight:bold}}@media(prefers-color-scheme:dark){{{_css('dark')}"
    "text{stroke:none}.line{fill:none}}</style>"
)


@dataclass(frozen=True)
class Bar:
    """The values of a side, one for each series of its chart."""

    name: str
    values: Sequence[float]
    is_ours: bool
    total: float = 0.0
    """The value at the end of a bar whose series are stacked: not their sum, as all are medians."""


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars; the values of a side are beside each other, or with ``stacked`` add up."""

    title: str
    sides: str
    """What the names at the bars are: the title of that axis."""
    axis: str
    """What the values are, with their unit: the title of the other one."""
    unit: str
    bars: Sequence[Bar]
    series: Sequence[str] = ()
    """The names of the series; not needed for one."""
    stacked: bool = False
    digits: int = 0

    def say(self, value: float) -> str:
        """Format a value with its unit."""
        return f"{value:,.{self.digits}f} {self.unit}"

    def alt(self) -> str:
        """Return the chart in words."""
        return f"{self.title}. {'; '.join(map(self._words_of, self.bars))}."

    def _words_of(self, bar: Bar) -> str:
        if self.stacked or not self.series:
            return f"{bar.name} {self.say(self._longest_of(bar))}"
        values = zip(self.series, bar.values, strict=True)
        return f"{bar.name} {', '.join(f'{name} {self.say(value)}' for name, value in values)}"

    def svg(self) -> str:
        """Draw it."""
        thickness = BAR * (1 if self.stacked else max(len(self.series), 1))
        height = TOP + (thickness + GAP) * len(self.bars) + BOTTOM
        longest = max(map(self._longest_of, self.bars))
        per_unit = (WIDTH - NAMES_WIDTH - VALUES_WIDTH) / longest
        legend = [(f"c{at}", name) for at, name in enumerate(self.series)]
        drawing = [*_legend(NAMES_WIDTH, legend), *self._scale(longest, per_unit, height)]
        for at, bar in enumerate(self.bars):
            y = TOP + GAP / 2 + at * (thickness + GAP)
            drawing += self._bar(bar, y, thickness, per_unit)
        return _drawing(self.title, height, drawing)

    def _longest_of(self, bar: Bar) -> float:
        return bar.total if self.stacked else max(bar.values)

    def _scale(self, longest: float, per_unit: float, height: int) -> Iterator[str]:
        bottom = height - BOTTOM
        step = round_step(max(ceil(longest), 1))
        for value in range(0, int(longest) + 1, step):
            x = NAMES_WIDTH + value * per_unit
            yield f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>'
            yield _text(x, bottom + 18, f"{value:,}", "axis", "middle")
        yield _text(NAMES_WIDTH, bottom + 40, self.axis, "axis")
        yield _text(NAMES_WIDTH - 10, TOP - 6, self.sides, "axis", "end")

    def _bar(self, bar: Bar, y: float, thickness: int, per_unit: float) -> Iterator[str]:
        weight = "ours" if bar.is_ours else ""
        yield _text(NAMES_WIDTH - 10, y + thickness / 2 + 5, bar.name, weight, "end")
        x = float(NAMES_WIDTH)
        for at, value in enumerate(bar.values):
            colour = f"c{at}" if bar.is_ours or self.series else "other"
            top, high = (y, thickness) if self.stacked else (y + at * BAR, BAR - 1)
            long = value * per_unit
            yield _box(colour, x, top, long, high)
            if self.stacked:
                x += long
            else:
                yield _text(x + long + 6, top + 12.5, self.say(value), weight)
        if self.stacked:
            yield _text(x + 6, y + 12.5, self.say(bar.total), weight)


@dataclass(frozen=True)
class Line:
    """A side's value at each place of the axis, None where it was not measured."""

    name: str
    values: Sequence[float | None]
    colour: int
    is_ours: bool


@dataclass(frozen=True)
class LineChart:
    """Lines over places that are named, on a logarithmic scale; others than ours are dashed."""

    title: str
    x_axis: str
    y_axis: str
    unit: str
    places: Sequence[str]
    lines: Sequence[Line]

    def alt(self) -> str:
        """Return the chart in words."""
        return f"{self.title}. {'; '.join(map(self._words_of, self.lines))}."

    def _words_of(self, line: Line) -> str:
        known = zip(self.places, line.values, strict=True)
        values = ", ".join(f"{value:,.0f} at {place}" for place, value in known if value)
        return f"{line.name} {values}"

    def svg(self) -> str:
        """Draw it."""
        values = [value for line in self.lines for value in line.values if value]
        scale = _LogScale(floor(log10(min(values))), ceil(log10(max(values))))
        right = WIDTH - RIGHT
        xs = _spread(LEFT + 24, right - 24, len(self.places))
        drawing = [*scale.draw(right), *self._places(xs)]
        drawing.append(_text((LEFT + right) / 2, scale.bottom + 42, self.x_axis, "axis", "middle"))
        drawing.append(_text(12, TOP - 20, self.y_axis, "axis"))
        for line in self.lines:
            points = zip(xs, line.values, strict=True)
            drawing += _curve(line, [(x, scale.y(value)) for x, value in points if value])
        for at, x in enumerate(xs[:-1]):
            drawing += self._values_at(at, x, scale)
        drawing += self._names_at(right, scale)
        return _drawing(self.title, TOP + LINES_HEIGHT + BOTTOM, drawing)

    def _places(self, xs: Sequence[float]) -> Iterator[str]:
        bottom = TOP + LINES_HEIGHT
        for x, place in zip(xs, self.places, strict=True):
            yield f'<path class="grid" d="M{x:.1f} {bottom}v5"/>'
            yield _text(x, bottom + 20, place, "axis", "middle")

    def _values_at(self, at: int, x: float, scale: _LogScale) -> Iterator[str]:
        """Yield the values at a place: above or below their points, where there is room."""
        values = [value for line in self.lines if (value := line.values[at])]
        ys = sorted((scale.y(value), value) for value in values)
        for number, (y, value) in enumerate(ys):
            above = ys[number - 1][0] if number else TOP - LINE_OF_TEXT
            below = ys[number + 1][0] if number + 1 < len(ys) else inf
            if y - above > LINE_OF_TEXT:
                yield _text(x, y - 8, f"{value:,.0f}", "", "middle")
            elif below - y > 3 * LINE_OF_TEXT:
                yield _text(x, y + 19, f"{value:,.0f}", "", "middle")

    def _names_at(self, x: float, scale: _LogScale) -> Iterator[str]:
        """Yield the names with their last values, pushed apart where lines end close together."""
        ends = [(line.values[-1] or 0.0, line) for line in self.lines if line.values[-1]]
        last_y = -inf
        for value, line in sorted(ends, key=lambda end: -end[0]):
            last_y = max(scale.y(value) + 4, last_y + LINE_OF_TEXT)
            weight = "ours" if line.is_ours else ""
            yield _text(x - 10, last_y, f"{line.name}: {value:,.0f} {self.unit}", weight)


class _LogScale:
    """From values to pixels, between two powers of ten."""

    bottom = TOP + LINES_HEIGHT

    def __init__(self, least: int, most: int) -> None:
        self._powers = range(least, max(most, least + 1) + 1)
        self._per_decade = LINES_HEIGHT / (len(self._powers) - 1)

    def y(self, value: float) -> float:
        return self.bottom - (log10(value) - self._powers[0]) * self._per_decade

    def draw(self, right: float) -> Iterator[str]:
        """Yield a line and a label for each power of ten."""
        for power in self._powers:
            y = self.y(10.0**power)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>'
            yield _text(LEFT - 8, y + 4, f"{10**power:,}", "axis", "end")


def _spread(first: float, last: float, count: int) -> list[float]:
    return [first + (last - first) * at / max(count - 1, 1) for at in range(count)]


def _curve(line: Line, points: Sequence[tuple[float, float]]) -> Iterator[str]:
    way = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashes = "" if line.is_ours else ' stroke-dasharray="6 4"'
    yield f'<path class="c{line.colour} line" d="M{way}"{dashes}/>'
    for x, y in points:
        yield f'<circle class="c{line.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def _legend(x: float, names: Iterable[tuple[str, str]]) -> Iterator[str]:
    for colour, name in names:
        yield _box(colour, x, 39, 12, 12)
        yield _text(x + 18, 50, name)
        x += 40 + 8 * len(name)


def _box(colour: str, x: float, y: float, wide: float, high: float) -> str:
    return (
        f'<rect class="{colour}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    styled = f' class="{kind}"' if kind else ""
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{styled}{placed}>{escape(text, quote=False)}</text>'


def _drawing(title: str, height: int, parts: Iterable[str]) -> str:
    said = escape(title, quote=False)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
        f"<title>{said}</title>",
        _STYLE,
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text x="12" y="26" font-size="16" font-weight="bold">{said}</text>',
        *parts,
        "</svg>",
        "",
    ]
    return "\n".join(lines)
