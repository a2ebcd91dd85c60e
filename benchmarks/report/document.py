"""docs/performance.md: each table stands between two markers, and is written anew there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.report.tables import Report, Table


def about_the_machine(facts: Mapping[str, str]) -> Report:
    """What the numbers were measured on."""
    rows = [[name, fact] for name, fact in facts.items()]
    return Report("machine", "The machine", [Table(["what", "which"], rows)], dict(facts))


def write(page: Path, reports: Iterable[Report]) -> None:
    """Put each report between its markers; one without any is left out."""
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
