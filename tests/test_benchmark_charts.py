"""The charts of docs/performance.md are what the tool draws from its tables."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.report import charts, document
from benchmarks.report.page import block_between, number_in, tables_in
from benchmarks.report.svg_chart import WIDTH, Bar, BarChart, Line, LineChart
from tests.support.paths import DOCS

PAGE = DOCS / "performance.md"
SVG = "{http://www.w3.org/2000/svg}"


def words(svg: str) -> list[str]:
    """Return the texts of a chart."""
    return [each.text or "" for each in ET.fromstring(svg).iter(f"{SVG}text")]


def bars(svg: str) -> dict[str, float]:
    """Return the lengths of the bars of a chart without series, by the names beside them."""
    root = ET.fromstring(svg)
    places = {
        float(each.get("y", 0)): float(each.get("width", 0)) for each in root.iter(f"{SVG}rect")
    }
    names = [each for each in root.iter(f"{SVG}text") if each.get("text-anchor") == "end"]
    return {
        str(each.text): width
        for each in names
        for y, width in places.items()
        if 0 < float(each.get("y", 0)) - y < 16 and width < WIDTH
    }


def test_the_committed_charts_are_those_of_the_committed_tables() -> None:
    """``python -m benchmarks charts`` draws them."""
    text = PAGE.read_text()
    drawn = charts.of_page(text)
    assert block_between(text, charts.NAME) == charts.show(drawn), "run python -m benchmarks charts"
    for chart in drawn:
        assert (DOCS / chart.path).read_text() == chart.svg, "run python -m benchmarks charts"
    committed = {path.name for path in (DOCS / charts.FOLDER).iterdir()}
    assert committed == {chart.path.rpartition("/")[2] for chart in drawn}
    assert len(committed) == 4


def test_charts_are_written_with_their_tables(tmp_path: Path) -> None:
    """A page without their markers has none."""
    page = tmp_path / "page.md"
    table = (
        "<!-- cycles -->\n\n**A**\n\n| side | CPU each |\n| --- | --- |\n| Sqlite | 1,234 µs |\n\n"
    )
    page.write_text(f"{table}<!-- end of cycles -->\n<!-- charts -->\n<!-- end of charts -->\n")
    document.write(page, [])
    text = page.read_text()
    assert text.endswith(
        "Sqlite 1,234 µs.](img/performance/cycle-cpu.svg)\n\n<!-- end of charts -->\n"
    )
    assert "1,234 µs" in (tmp_path / "img/performance/cycle-cpu.svg").read_text()
    document.write(page, [])
    assert page.read_text() == text


def test_tables_are_found_by_the_line_above_them() -> None:
    """Of two tables under one line the first counts; a block that is not there has none."""
    block = "**A**\n\nOne:\n\n| h | |\n| --- | --- |\n| 1 | |\n\n| i |\n| --- |\n| 2 |"
    page = f"<!-- a -->\n{block}\n<!-- end of a -->"
    assert tables_in(page, "a") == {"One": [{"h": "1", "": ""}]}
    assert tables_in(page, "b") == {}


@pytest.mark.parametrize(
    ("cell", "number"),
    [("5,837 (5,699–9,397)", 5837), ("-0.78 ms", -0.78), ("2.1 (1.8–2.3) ms", 2.1)],
)
def test_the_number_of_a_cell(cell: str, number: float) -> None:
    """Is the median."""
    assert number_in(cell) == number


def test_a_cell_without_a_number() -> None:
    """Is an error, not a bar of nothing."""
    with pytest.raises(ValueError, match="has none"):
        number_in("has none")


def test_bars_are_as_long_as_their_values() -> None:
    """With axis, unit and labels; names are escaped."""
    chart = BarChart(
        "Cost", "side", "CPU, µs", "µs", [Bar("a <b>", [200.0], False), Bar("ours", [50.0], True)]
    )
    svg = chart.svg()
    assert {"Cost", "side", "CPU, µs", "200 µs", "50 µs", "0", "100", "200"} <= set(words(svg))
    long = bars(svg)
    assert long["a <b>"] == pytest.approx(4 * long["ours"], rel=0.01)
    assert chart.alt() == "Cost. a <b> 200 µs; ours 50 µs."


def test_bars_in_parts() -> None:
    """The label is the total as measured; series are named."""
    parts = [Bar("a", [1.0, 2.0], True, total=3.5)]
    chart = BarChart("Cost", "side", "CPU, ms", "ms", parts, ("x", "y"), stacked=True, digits=1)
    assert {"x", "y", "3.5 ms"} <= set(words(chart.svg()))
    assert chart.alt() == "Cost. a 3.5 ms."


def test_lines_on_a_logarithmic_scale() -> None:
    """Ten times as much is as far up everywhere; a value that was not measured has no point."""
    ours = Line("ours", [100.0, 100.0, 100.0], 0, True)
    theirs = Line("old", [1000.0, 100.0, None], 1, False)
    places = ["0", "10", "100"]
    chart = LineChart("Rate", "waiting", "orders/s", "/s", places, [ours, theirs])
    svg = chart.svg()
    paths = [each.get("d", "") for each in ET.fromstring(svg).iter(f"{SVG}path")]
    _, old = [[float(y) for y in re.findall(r" ([\d.]+)", path)] for path in paths if "L" in path]
    axis = [float(each.split("M84 ")[1].split("H")[0]) for each in paths if each.startswith("M84 ")]
    assert len(old) == 2
    assert old[1] - old[0] == pytest.approx(max(axis) - min(axis), abs=1)
    assert {"100", "1,000", "waiting", "orders/s", "ours: 100 /s"} <= set(words(svg))
    assert "old 1,000 at 0, 100 at 10" in chart.alt()


def test_charts_in_the_dark() -> None:
    """Each has a ground and colours of its own for both."""
    svg = BarChart("Cost", "side", "CPU", "µs", [Bar("a", [1.0], True)]).svg()
    assert "@media(prefers-color-scheme:dark)" in svg
    assert '<rect class="ground"' in svg
