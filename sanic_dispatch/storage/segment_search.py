"""Search an event log whose older events are in segments, and whose newest are in memory.

Each function gets the events in memory as they were before it lists the segments. So an event that
is moved to a segment meanwhile is found twice rather than never; the second one is left out. A
segment that is dropped meanwhile is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import ujson

from sanic_dispatch.storage.atomic_file import is_gone
from sanic_dispatch.storage.event_log import (
    Damage,
    EventWithPayload,
    Hole,
    Question,
    Unreadable,
    is_in_span,
)
from sanic_dispatch.storage.event_record import LoggedEvent, Payload, Recorded
from sanic_dispatch.storage.segment_files import OpenSegment, SegmentFiles
from sanic_dispatch.storage.segment_format import decode_event_lines

# ---- events


def events_matching(
    files: SegmentFiles, newest: Sequence[Recorded], question: Question
) -> Iterator[LoggedEvent | Damage]:
    """Yield the events that match, in order, and damage where it is met.

    An event that two segments have counts once: those of a segment that could not be read may have
    been moved to the next one again.
    """
    paths = files.paths()
    for at, (_, path) in enumerate(paths):
        if at + 1 < len(paths) and paths[at + 1][0] <= question.after:
            continue
        try:
            index = files.index(path)
            if index.damage or index.candidates(question):
                with files.opened(path) as segment:
                    index = segment.index
                    yield from _matching_in(segment, question)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield _unreadable(path, error)
        else:
            question = question._replace(after=max(question.after, index.last_n))
    likely = [event.line for event in newest if _may_match(event, question)]
    yield from filter(question.matches, decode_event_lines(likely))


def _matching_in(segment: OpenSegment, question: Question) -> Iterator[LoggedEvent | Damage]:
    yield from _known_damage(segment)
    wanted = _bytes_in_answers(question)
    for each in segment.index.candidates(question):
        try:
            events = segment.events(each.block, *wanted)
        except ValueError as error:
            yield Damage(segment.path, each.block.at, str(error))
        else:
            yield from filter(question.matches, events)


def _bytes_in_answers(question: Question) -> list[bytes]:
    """Return what the line of each answer contains, the rarest first.

    Only lines with all of it are decoded, since to decode every line takes longer.
    """
    wanted = []
    if question.job is not None:
        wanted.append(_as_written(question.job))
    if question.ticket is not None:
        wanted.append(b",%d," % question.ticket)
    if question.worker is not None:
        wanted.append(_as_written(question.worker))
    if question.kind is not None:
        wanted.append(_as_written(question.kind))
    return wanted


def _as_written(text: str) -> bytes:
    return ujson.dumps(text, escape_forward_slashes=False).encode()


def _may_match(event: Recorded, question: Question) -> bool:
    """Return whether an event in memory may match, without decoding its line."""
    return (
        event.n > question.after
        and question.ticket in (None, event.ticket)
        and question.kind in (None, event.event)
        and question.worker in (None, event.worker, event.callback)
        and is_in_span(event.at_s, question.from_s, question.to_s)
    )


# ---- payloads


def payloads_in_span(
    files: SegmentFiles, newest: Sequence[Recorded], span: Question
) -> Iterator[Payload | Damage]:
    """Yield data and results of jobs, in the order of the events that brought them.

    A block that is partly in the span counts as a whole.
    """
    seen_n = 0
    for _, path in files.paths():
        try:
            with files.opened(path) as segment:
                seen_n = max(seen_n, segment.index.last_n)
                yield from _payloads_in(segment, span)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield _unreadable(path, error)
    for event in newest:
        if event.payload and event.n > seen_n and is_in_span(event.at_s, span.from_s, span.to_s):
            yield event.payload


def _payloads_in(segment: OpenSegment, span: Question) -> Iterator[Payload | Damage]:
    yield from _known_damage(segment)
    blocks = segment.index.candidates(span)
    for each in segment.index.payloads:
        if any(b.first_n <= each.last_n and each.first_n <= b.last_n for b in blocks):
            try:
                yield from segment.payloads(each.block)
            except ValueError as error:
                yield Damage(segment.path, each.block.at, str(error))


def events_after(
    files: SegmentFiles, newest: Sequence[Recorded], after: int
) -> Iterator[EventWithPayload]:
    """Yield the events after a number with their payloads, in order. Raises OSError.

    What is damaged, or dropped meanwhile, is a gap in the numbers.
    """
    seen_n, paths = after, files.paths()
    for at, (_, path) in enumerate(paths):
        if at + 1 < len(paths) and paths[at + 1][0] <= after + 1:
            continue
        with suppress(FileNotFoundError), files.opened(path) as segment:
            for entry in _events_with_payloads_in(segment, seen_n):
                seen_n = entry.event.n
                yield entry
    for event in newest:
        if event.n > seen_n:
            (logged,) = decode_event_lines([event.line])
            yield EventWithPayload(logged, event.payload)


def _events_with_payloads_in(segment: OpenSegment, after: int) -> Iterator[EventWithPayload]:
    """Yield the events of a segment after a number; damaged blocks are left out."""
    blocks = segment.index.payloads
    for each in segment.index.blocks:
        if each.last_n <= after:
            continue
        payloads: dict[int, Payload] = {}
        for block in blocks:
            if block.first_n <= each.last_n and each.first_n <= block.last_n:
                with suppress(ValueError):
                    payloads |= {found.n: found for found in segment.payloads(block.block)}
        with suppress(ValueError):
            for event in segment.events(each.block):
                if event.n > after:
                    yield EventWithPayload(event, payloads.get(event.n))


# ---- damage and holes


def _known_damage(segment: OpenSegment) -> Iterator[Damage]:
    return (Damage(segment.path, at, why) for at, why in segment.index.damage)


def _unreadable(path: Path, error: OSError) -> Unreadable:
    return Unreadable(path, 0, f"cannot be read: {error.strerror}")


class EventRange(NamedTuple):
    """Consecutive events: their numbers and times."""

    first_n: int
    last_n: int
    from_s: float
    to_s: float


def ranges_of(files: SegmentFiles, newest: Sequence[Recorded]) -> Iterator[EventRange]:
    """Yield the parts of the log without gaps, in order; those that cannot be read are left out."""
    for _, path in files.paths():
        if is_gone(path):
            continue  # its index may still be in memory
        try:
            index = files.index(path)
        except OSError:
            continue  # dropped meanwhile, or reported as damage
        if index.last_n - index.first_n + 1 == index.events:
            yield EventRange(index.first_n, index.last_n, index.from_s, index.to_s)
        else:
            for block in index.blocks:
                yield EventRange(block.first_n, block.last_n, block.from_s, block.to_s)
    if newest:
        yield EventRange(newest[0].n, newest[-1].n, newest[0].at_s, newest[-1].at_s)


def holes_between(ranges: Iterable[EventRange]) -> Iterator[Hole]:
    """Yield the gaps in the numbers between one range and the next."""
    for before, following in pairwise(ranges):
        if following.first_n > before.last_n + 1:
            yield Hole(before.last_n + 1, following.first_n - 1, before.to_s, following.from_s)
