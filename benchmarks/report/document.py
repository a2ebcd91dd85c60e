"""docs/performance.md: tables and charts are written between two markers each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.report import charts
from benchmarks.report.page import block_between, with_block
from benchmarks.report.tables import Report, Table


def about_the_machine(facts: Mapping[str, str]) -> Report:
    """Report the machine that the numbers were measured on."""
    rows = [[name, fact] for name, fact in facts.items()]
    return Report("machine", "The machine", [Table(["what", "which"], rows)], dict(facts))


def write(page: Path, reports: Iterable[Report]) -> None:
    """Replace each report between its markers, and redraw the charts from the page's tables.

    What has no markers on the page is skipped.
    """
    text = page.read_text()
    for report in reports:
        text = with_block(text, report.name, report.show())
    if block_between(text, charts.NAME) is not None:
        drawn = charts.of_page(text)
        text = with_block(text, charts.NAME, charts.show(drawn))
        for chart in drawn:
            path = page.parent / chart.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(chart.svg)
    page.write_text(text)
