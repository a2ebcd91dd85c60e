"""Segments without the data of forgotten jobs."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.storage.event_log import Question, Rest
from sanic_dispatch.storage.segment_format import (
    PAYLOADS,
    DamagedPart,
    blocks_of,
    decode_payload,
    seal_block,
    seal_end,
    unseal,
)
from sanic_dispatch.storage.segment_index import SegmentIndex


class Remainder(NamedTuple):
    """The blocks that are left of a segment, and the parts that were left out as unreadable."""

    blocks: list[bytes]
    left_out: list[DamagedPart]
    has_end: bool
    """False if the segment was cut off: that is still to be seen."""

    def pieces(self) -> list[bytes]:
        """Return the content of the new segment."""
        return [*self.blocks, seal_end(len(self.blocks))] if self.has_end else self.blocks


def may_have(index: SegmentIndex, jobs: Collection[JobRef]) -> bool:
    """Return whether a segment may have data of these jobs; in a damaged one that is not known."""
    return bool(index.damage) or any(index.candidates(Question(ticket=job.ticket)) for job in jobs)


def without_payloads(content: bytes, jobs: Collection[JobRef], rest: Rest) -> Remainder | None:
    """Return what is left of a segment without the payloads of these jobs; None if that is all.

    What cannot be read may be such a payload, and is left out too, except blocks of events.
    """
    blocks: list[bytes] = []
    left_out: list[DamagedPart] = []
    has_changed, has_end = False, True
    for part in blocks_of(content):
        rest()
        if isinstance(part, DamagedPart):
            if part.at < len(content):
                left_out.append(part)
            else:
                has_end = False
            continue
        block = content[part.at : part.at + part.length]
        if part.kind == PAYLOADS:
            try:
                cleared = _cleared(block, jobs)
            except ValueError as error:
                left_out.append(DamagedPart(part.at, str(error)))
                continue
            has_changed |= cleared is not block
            block = cleared
        if block:
            blocks.append(block)
    return Remainder(blocks, left_out, has_end) if has_changed or left_out else None


def _cleared(block: bytes, jobs: Collection[JobRef]) -> bytes:
    """Return a block without these payloads, empty if it has no others. Raises ValueError."""
    lines = unseal(block)
    kept = [line for line in lines if not decode_payload(line).is_of(jobs)]
    if len(kept) == len(lines):
        return block
    return seal_block(PAYLOADS, kept) if kept else b""
