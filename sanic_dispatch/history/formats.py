"""The formats in which events are exported: a writer for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from sanic_dispatch.history.csv_format import CsvWriter
from sanic_dispatch.history.event_fields import Fields, json_line
from sanic_dispatch.history.xes import XesWriter


class EventWriter(Protocol):
    """Turns events, oldest first, into text, piece by piece."""

    def begin(self) -> str:
        """Return what comes before all events."""

    def add(self, event: Fields) -> str:
        """Take in an event, and return what can be written by now."""

    def end(self) -> str:
        """Return what comes after all events."""


class JsonLinesWriter:
    """Writes each event as a line of JSON."""

    def begin(self) -> str:
        return ""

    def add(self, event: Fields) -> str:
        return json_line(event)

    def end(self) -> str:
        return ""


FORMATS: dict[str, type[EventWriter]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "xes": XesWriter,
}


def written(writer: EventWriter, events: Iterable[Fields]) -> Iterator[str]:
    """Yield all of a text, piece by piece."""
    yield writer.begin()
    yield from map(writer.add, events)
    yield writer.end()
