"""The blocks of docs/performance.md that the tool writes, and the tables in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

Row = Mapping[str, str]
"""The cells of a row, by the heads of the table."""

_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?")


def block_between(text: str, name: str) -> str | None:
    """Return what stands between the markers of a block; None if the page has none."""
    begin, end = _markers(name)
    if begin not in text or end not in text:
        return None
    return text.partition(begin)[2].partition(end)[0].strip("\n")


def with_block(text: str, name: str, block: str) -> str:
    """Return the page with another block between these markers; the same page if it has none."""
    if block_between(text, name) is None:
        return text
    begin, end = _markers(name)
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{block}\n\n{end}{tail}"


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->\n", f"<!-- end of {name} -->"


def tables_in(text: str, name: str) -> dict[str, list[Row]]:
    """Return the tables of a block by the lines above them, in order.

    Two tables under one line are one entry: the first of them.
    """
    tables: dict[str, list[Row]] = {}
    title = ""
    for paragraph in (block_between(text, name) or "").split("\n\n"):
        if paragraph.startswith("|"):
            heads, _, *rows = map(_cells_of, paragraph.splitlines())
            tables.setdefault(title, [dict(zip(heads, row, strict=True)) for row in rows])
        else:
            title = paragraph.strip("*:")
    return tables


def _cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line[1:-1].split("|")]


def number_in(cell: str) -> float:
    """Return the first number of a cell: the median. Raises ValueError if it has none."""
    found = _NUMBER.match(cell)
    if found is None:
        raise ValueError(f"no number in the cell {cell!r}")
    return float(found[0].replace(",", ""))
