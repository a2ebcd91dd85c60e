"""Where a recording comes from: the event log of a folder, or of a running service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.errors import UnusableReplay
from sanic_dispatch.history.recording_page import recorded_in
from sanic_dispatch.history.statistics import LOOK_BACK_S
from sanic_dispatch.replay.evening_summary import EveningSummary, SummaryFold
from sanic_dispatch.replay.read_recording import RecordingReader
from sanic_dispatch.replay.recording import Recording
from sanic_dispatch.storage.event_log import Damage, EventLog, Hole, Missing
from sanic_dispatch.storage.event_record import LoggedEvent, Payload

_KNOWN = frozenset(EventKind)


class Evening(NamedTuple):
    """A recorded evening: what came from outside, and what was."""

    recording: Recording
    summary: EveningSummary


class EventWithData(NamedTuple):
    """An event, and the data of the order that it brought, if it did and that is kept."""

    event: LoggedEvent
    data: bytes | None = None


class EveningSpan(NamedTuple):
    """Which orders count: from ``begin_s`` on, until before ``end_s``; None for open ends."""

    begin_s: float | None = None
    end_s: float | None = None

    @property
    def read_from_s(self) -> float | None:
        """From when on events are needed: to know who was there, and what was waiting."""
        return None if self.begin_s is None else self.begin_s - LOOK_BACK_S


def evening_in(found: Iterable[EventWithData | Missing], span: EveningSpan) -> Evening:
    """Read an evening; events are read until all its orders are over.

    Raises UnusableReplay where there are no orders in the span, or events are missing.
    """
    reader = RecordingReader(*span)
    fold: SummaryFold | None = None
    first, last = None, None
    for each in found:
        if isinstance(each, Damage):
            raise UnusableReplay(f"{each.path}: damaged at byte {each.byte}: {each.why}")
        if isinstance(each, Hole):
            break  # the events around it have told of it
        event = each.event
        if last is not None and event.n != last.n + 1:
            if span.begin_s is not None and event.at_s < span.begin_s:
                reader, first = RecordingReader(*span), None
            else:
                raise UnusableReplay(
                    f"events {last.n + 1} to {event.n - 1} are missing, from "
                    f"{to_rfc3339(last.at_s)} to {to_rfc3339(event.at_s)}"
                )
        if event.event not in _KNOWN:
            raise UnusableReplay(f"the log is of a later version: it has {event.event!r}")
        if first is None:
            first = event.at_s
            begin_s = first if span.begin_s is None else span.begin_s
            end_s = float("inf") if span.end_s is None else span.end_s
            fold = SummaryFold(begin_s, end_s)
        assert fold is not None
        last = event
        reader.add(event, each.data)
        fold.add(event)
        if reader.is_complete:
            break
    recording = reader.recording()
    if recording is None or fold is None or next(recording.counted(), None) is None:
        raise UnusableReplay(f"there are no orders in the log {_named(span)}".rstrip())
    return Evening(recording, fold.summary())


def events_of(log: EventLog, span: EveningSpan) -> Iterator[EventWithData | Missing]:
    """Yield the events of a log that are needed for a span, with the data of orders."""
    payloads = (each for each in log.payloads(span.read_from_s) if isinstance(each, Payload))
    payload = next(payloads, None)
    for each in log.scan(span.read_from_s):
        if isinstance(each, Damage):
            yield each._replace(path=each.path.resolve())  # segments may be links to those meant
            continue
        if isinstance(each, Hole):
            yield each
            continue
        data = None
        if each.event == EventKind.JOB_SUBMITTED:
            while payload is not None and payload.n < each.n:
                payload = next(payloads, None)
            if payload is not None and payload.n == each.n:
                data = payload.json
        yield EventWithData(each, data)


def events_in_page(said: Mapping[str, Any]) -> Iterator[EventWithData | Missing]:
    """Yield the events of a page that a service has sent. Raises UnusableReplay."""
    for gap in said.get("damage", ()):
        yield Damage(Path(gap["file"]), gap["byte"], gap["why"])
    try:
        for event, data in recorded_in(said):
            yield EventWithData(event, data)
    except ValueError as error:
        raise UnusableReplay(f"the dispatcher's log cannot be read: {error}") from error


def _named(span: EveningSpan) -> str:
    begin = "" if span.begin_s is None else f"from {to_rfc3339(span.begin_s)} "
    return begin + ("" if span.end_s is None else f"to {to_rfc3339(span.end_s)}")
