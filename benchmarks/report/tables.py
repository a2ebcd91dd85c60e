"""Results of measurements: tables for people, and the same numbers as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A table with a title, shown as Markdown."""

    heads: Sequence[str]
    rows: Rows
    title: str = ""

    def show(self) -> str:
        """Format as Markdown."""
        lines = [self.heads, ["---"] * len(self.heads), *self.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"{self.title}\n\n{table}" if self.title else table


@dataclass(frozen=True)
class Report:
    """The result of a measurement: its name, its tables, and its numbers for programs."""

    name: str
    title: str
    tables: Sequence[Table]
    data: Any = field(default_factory=dict)

    def show(self) -> str:
        """Format as Markdown."""
        return "\n\n".join([f"**{self.title}**", *(table.show() for table in self.tables)])
