"""Build a segment in memory: its blocks of events and payloads, its end, and its index.

How long blocks and segments become is decided here. What is built is written by the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from sanic_dispatch.storage.event_log import Rest, no_rest
from sanic_dispatch.storage.event_record import Payload, Recorded
from sanic_dispatch.storage.segment_files import OpenSegment
from sanic_dispatch.storage.segment_format import (
    BLOCK_EVENTS,
    BLOCK_PAYLOAD_BYTES,
    EVENTS,
    PAYLOADS,
    BlockLocation,
    encode_payload,
    seal_block,
    seal_end,
)
from sanic_dispatch.storage.segment_index import IndexBuilder, SegmentIndex

SEGMENT_EVENTS = 20 * BLOCK_EVENTS
"""The most events of a segment: 340 KB without payloads. A growing one is rewritten."""

SEGMENT_BYTES = 2**20
"""The length from which a segment does not grow any more."""


class SegmentWriter:
    """Collects the blocks of one segment, and its index."""

    def __init__(self, rest: Rest = no_rest, *, keeps_payloads: bool = True) -> None:
        """Call ``rest`` after each block. Unless ``keeps_payloads``, leave payloads out."""
        self.events = 0
        """How many events the segment has."""
        self._rest = rest
        self._keeps_payloads = keeps_payloads
        self._pieces: list[bytes] = []
        self._size = 0
        """The length of the pieces."""
        self._builder = IndexBuilder()
        self._waiting: list[Recorded] = []
        """Events that are counted and in no block yet: ``add`` puts them before its own."""

    @property
    def room(self) -> int:
        """How many more events the segment may have."""
        return SEGMENT_EVENTS - self.events

    @classmethod
    def continuing(
        cls, segment: OpenSegment, rest: Rest = no_rest, *, keeps_payloads: bool = True
    ) -> SegmentWriter | None:
        """Return a writer that has what a segment has; None if that is full or damaged.

        Full blocks are copied; the events of a last one that is not full wait for ``add``. Raises
        OSError.
        """
        index = segment.index
        if index.damage or index.events >= SEGMENT_EVENTS or index.size >= SEGMENT_BYTES:
            return None
        writer = cls(rest, keeps_payloads=keeps_payloads)
        last = index.blocks[-1]
        full = len(index.blocks) - (last.last_n - last.first_n + 1 < BLOCK_EVENTS)
        try:
            if full < len(index.blocks):
                blocks = [each.block for each in index.payloads if each.last_n >= last.first_n]
                payloads = {each.n: each for block in blocks for each in segment.payloads(block)}
                writer._waiting = segment.records(last.block, payloads)
        except ValueError:
            return None
        writer._builder = IndexBuilder.of(index, full)
        writer._size = writer._builder.end
        writer._pieces = [segment.read(writer._size)]
        writer.events = index.events
        return writer

    def add(self, events: Sequence[Recorded]) -> None:
        """Add events in order, with their payloads."""
        self.events += len(events)
        events, self._waiting = [*self._waiting, *events], []
        for run in _runs(events):
            block = self._append(EVENTS, [event.line for event in run])
            self._builder.add_events(block, run)
            self._rest()
            payloads = [event.payload for event in run if event.payload]
            for part in _parts(payloads if self._keeps_payloads else []):
                lines = [encode_payload(payload) for payload in part]
                self._builder.add_payloads(self._append(PAYLOADS, lines), part)
                self._rest()

    def add_from(self, segment: OpenSegment, last_n: int) -> None:
        """Add the events of a segment up to ``last_n``, but for damaged blocks. Raises OSError."""
        payloads: dict[int, Payload] = {}
        for each in segment.index.payloads:
            with suppress(ValueError):
                payloads |= {found.n: found for found in segment.payloads(each.block)}
        for block in segment.index.blocks:
            with suppress(ValueError):
                events = segment.records(block.block, payloads)
                self.add([event for event in events if event.n <= last_n])

    def finish(self) -> tuple[list[bytes], SegmentIndex]:
        """Return the pieces of the segment, of which the last is its end, and its index."""
        end = seal_end(self._builder.blocks)
        return [*self._pieces, end], self._builder.made(self._size + len(end))

    def _append(self, kind: bytes, lines: Sequence[bytes]) -> BlockLocation:
        sealed = seal_block(kind, lines)
        block = BlockLocation(kind, self._size, len(sealed))
        self._pieces.append(sealed)
        self._size += len(sealed)
        return block


def _runs(events: Sequence[Recorded]) -> Iterator[Sequence[Recorded]]:
    """Yield the events of each block: no more than BLOCK_EVENTS, and without gaps."""
    first = 0
    while first < len(events):
        run = events[first : first + BLOCK_EVENTS]
        if run[-1].n != run[0].n + len(run) - 1:
            gap = next(at for at, event in enumerate(run) if event.n != run[0].n + at)
            run = run[:gap]
        yield run
        first += len(run)


def _parts(payloads: Sequence[Payload]) -> Iterator[Sequence[Payload]]:
    """Yield the payloads of each block: it ends with the one that fills BLOCK_PAYLOAD_BYTES."""
    first, length = 0, 0
    for at, payload in enumerate(payloads, 1):
        length += len(payload.json)
        if length >= BLOCK_PAYLOAD_BYTES or at == len(payloads):
            yield payloads[first:at]
            first, length = at, 0
