"""Events as CSV (RFC 4180), safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

from sanic_dispatch.history.event_fields import NAMES, Fields

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A text that begins with one of these is a formula to some spreadsheet."""


class CsvWriter:
    """Writes a line with the names of all fields, and one for each event.

    What an event does not have is empty. A text that a spreadsheet could take for a formula gets an
    apostrophe in front.
    """

    def __init__(self) -> None:
        self._buffer = StringIO()
        self._writer = csv.DictWriter(self._buffer, NAMES, restval="")

    def begin(self) -> str:
        """Return the line with the names."""
        self._writer.writeheader()
        return self._taken()

    def add(self, event: Fields) -> str:
        """Return the line of an event."""
        self._writer.writerow({name: _cell(value) for name, value in event.items()})
        return self._taken()

    def end(self) -> str:
        """Return nothing: the last line is the last event."""
        return ""

    def _taken(self) -> str:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text


def _cell(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(FORMULA_STARTS)
    return f"'{value}" if is_formula else value
