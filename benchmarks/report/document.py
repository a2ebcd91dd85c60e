"""docs/performance.md: each table is written between two markers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.report.tables import Report, Table


def about_the_machine(facts: Mapping[str, str]) -> Report:
    """Report the machine that the numbers were measured on."""
    rows = [[name, fact] for name, fact in facts.items()]
    return Report("machine", "The machine", [Table(["what", "which"], rows)], dict(facts))


def write(page: Path, reports: Iterable[Report]) -> None:
    """Replace each report between its markers; a report without markers is skipped."""
    text = page.read_text()
    for report in reports:
        text = _placed(text, report)
    page.write_text(text)


def _placed(text: str, report: Report) -> str:
    begin, end = f"<!-- {report.name} -->\n", f"<!-- end of {report.name} -->"
    if begin not in text or end not in text:
        return text
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{report.show()}\n\n{end}{tail}"
