"""The charts at the beginning of docs/performance.md, drawn from the tables below them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from benchmarks.report.page import Row, number_in, tables_in
from benchmarks.report.svg_chart import Bar, BarChart, Line, LineChart

NAME = "charts"
"""The name of their block on the page."""

FOLDER = "img/performance"
OURS = ("InMemory", "CachedJsonFile", "Sqlite", "Redis")
_DEPTH = re.compile(r"Submissions, .*?([\d,]+) deep")
_LINES = (
    ("original, InMemory", 0),
    ("InMemory", 0),
    ("CachedJsonFile", 1),
    ("Sqlite", 2),
    ("original, CachedJsonFile", 1),
)
"""The sides in the chart by depth; a mode has the same colour on both sides."""


class DrawnChart(NamedTuple):
    """A chart as SVG, where it is from the page on, and what it says in words."""

    path: str
    svg: str
    alt: str


def of_page(text: str) -> list[DrawnChart]:
    """Draw the charts whose tables are on the page."""
    return list(_charts_of(text))


def _charts_of(text: str) -> Iterator[DrawnChart]:
    if rows := _first_table(text, "cycles"):
        yield _drawn("cycle-cpu", _cycle_cpu(rows))
    if rows := tables_in(text, "peers").get("Synced", []):
        yield _drawn("peers-cpu", _peers_cpu(rows))
    by_depth = dict(_by_depth(tables_in(text, "depth")))
    if by_depth:
        yield _drawn("rate-by-depth", _rate_by_depth(by_depth))
    if rows := _first_table(text, "latency"):
        yield _drawn("order-to-callback", _order_to_callback(rows))


def show(charts: Iterable[DrawnChart]) -> str:
    """Return the pictures in Markdown."""
    return "\n\n".join(f"![{chart.alt}]({chart.path})" for chart in charts)


def _drawn(name: str, chart: BarChart | LineChart) -> DrawnChart:
    return DrawnChart(f"{FOLDER}/{name}.svg", chart.svg(), chart.alt())


def _first_table(text: str, name: str) -> list[Row]:
    return next(iter(tables_in(text, name).values()), [])


def _bar(row: Row, *columns: str) -> Bar:
    side = row["side"]
    return Bar(side, [number_in(row[column]) for column in columns], side in OURS)


def _cycle_cpu(rows: Sequence[Row]) -> BarChart:
    return BarChart(
        "CPU of a whole cycle: an order, its PUT to the robot, the next registration",
        "server",
        "CPU time of the server for a cycle, µs; bare Sanic is the floor, which keeps nothing",
        "µs",
        [_bar(row, "CPU each") for row in rows],
    )


def _peers_cpu(rows: Sequence[Row]) -> BarChart:
    series = ("servers", "worker", "what submits")
    return BarChart(
        "CPU of a job in ours and in other queues, synced to disk",
        "queue",
        "CPU time of all processes for a job, µs",
        "µs",
        [replace(_bar(row, *series), total=number_in(row["CPU of all processes"])) for row in rows],
        series,
        stacked=True,
    )


def _by_depth(tables: Mapping[str, Sequence[Row]]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield a depth, and the submissions per second of each side at that depth."""
    for title, rows in tables.items():
        if found := _DEPTH.fullmatch(title):
            yield found[1], {row["side"]: number_in(row["per second"]) for row in rows}


def _rate_by_depth(by_depth: Mapping[str, Mapping[str, float]]) -> LineChart:
    lines = [
        Line(side, [rates.get(side) for rates in by_depth.values()], colour, side in OURS)
        for side, colour in _LINES
    ]
    return LineChart(
        "Orders taken while others wait, beside the original",
        "orders that wait already",
        "orders per second, each division ten times the one below",
        "/s",
        list(by_depth),
        [line for line in lines if any(line.values)],
    )


def _order_to_callback(rows: Sequence[Row]) -> BarChart:
    series = ("p50", "p99")
    return BarChart(
        "From an order to its robot's callback, at 100 orders a second",
        "server",
        "time from the order to the callback, ms; bare Sanic is the floor, which keeps nothing",
        "ms",
        [_bar(row, *series) for row in rows],
        series,
        digits=1,
    )
