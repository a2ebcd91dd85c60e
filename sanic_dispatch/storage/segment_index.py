"""The index of a segment: which of its blocks may have the answer to a question.

An index is derived from its segment and lies beside it. One that is missing, damaged, or of another
content of the segment is rebuilt. It is a JSON line (blocks, kinds of events, damage), the keys
of each event block in order (tickets; hashes of names), and a CRC-32.

The keys are not merged: there are few blocks to look through, and none is changed after it was
added.
"""

from __future__ import annotations

import os
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from sys import byteorder
from typing import Any, NamedTuple

import ujson

from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent, Payload, Recorded
from sanic_dispatch.storage.segment_format import (
    EVENTS,
    PAYLOADS,
    BlockLocation,
    DamagedPart,
    decode_event_lines,
    decode_payload,
    lines_by_block,
)

VERSION = f"2 {byteorder}"
"""The version of the format, which has the machine's order of bytes."""

_TAIL_BYTES = 64
"""How many bytes at the end of a segment, which has each block's checksum before it, are compared
to see whether an index belongs to it."""


class IndexedBlock(NamedTuple):
    """An event block: the numbers and times that it has, and a bit for each kind of event."""

    block: BlockLocation
    first_n: int
    last_n: int
    from_s: float
    to_s: float
    kinds: int


class PayloadBlock(NamedTuple):
    """A payload block, and the events that its payloads came with."""

    block: BlockLocation
    first_n: int
    last_n: int


class Keys(NamedTuple):
    """The keys by which an event block is found, each kind in order."""

    tickets: array[int]
    names: array[int]


def _with(key: int, by_block: Iterable[array[int]]) -> set[int]:
    """Return the numbers of the blocks that have a key."""
    return {
        number
        for number, keys in enumerate(by_block)
        if (at := bisect_left(keys, key)) < len(keys) and keys[at] == key
    }


class SegmentIndex:
    """The blocks of a segment in order, and how to find them; ``damage`` cannot be read."""

    __slots__ = (
        "size", "blocks", "payloads", "kinds", "keys", "damage",
        "first_n", "last_n", "from_s", "to_s", "events",
    )  # fmt: skip

    def __init__(
        self,
        size: int,
        blocks: Sequence[IndexedBlock],
        payloads: Sequence[PayloadBlock],
        kinds: Sequence[str],
        keys: Sequence[Keys],
        damage: Sequence[DamagedPart] = (),
    ) -> None:
        self.size = size
        self.blocks = blocks
        self.payloads = payloads
        self.kinds = kinds
        self.keys = keys
        """Those of each event block."""
        self.damage = damage
        self.first_n = blocks[0].first_n if blocks else 0
        self.last_n = blocks[-1].last_n if blocks else 0
        self.from_s = min((block.from_s for block in blocks), default=0.0)
        self.to_s = max((block.to_s for block in blocks), default=0.0)
        self.events = sum(block.last_n - block.first_n + 1 for block in blocks)
        """How many events can be read."""

    def candidates(self, question: Question) -> list[IndexedBlock]:
        """Return the blocks that may have answers, in order."""
        from_s, to_s, after = question.from_s, question.to_s, question.after
        if after >= self.last_n or not _overlaps(self.from_s, self.to_s, from_s, to_s):
            return []
        numbers: set[int] | None = None
        if question.ticket is not None:
            numbers = _with(question.ticket & _UINT, [keys.tickets for keys in self.keys])
        if question.worker is not None and numbers != set():
            named = self._named(key_of(question.worker))
            if question.kind is not None and named:
                # Only labels are indexed with a kind; a callback has few events of any.
                both = self._named(key_of(question.worker, question.kind))
                named = both if self._is_label(question.worker, named) else named
            numbers = named if numbers is None else numbers & named
        found = self.blocks if numbers is None else [self.blocks[at] for at in sorted(numbers)]
        bit = self._bit_of(question.kind)
        return [
            each
            for each in found
            if each.last_n > after
            and each.kinds & bit
            and _overlaps(each.from_s, each.to_s, from_s, to_s)
        ]

    def _named(self, key: int) -> set[int]:
        """Return the numbers of the blocks that have the key of a name."""
        return _with(key, [keys.names for keys in self.keys])

    def _bit_of(self, kind: str | None) -> int:
        if kind is None:
            return -1
        return 1 << self.kinds.index(kind) if kind in self.kinds else 0

    def _is_label(self, name: str, named: set[int]) -> bool:
        """Return whether a name that these blocks have is a label."""
        return any(self._named(key_of(name, kind)) & named for kind in self.kinds)


def _overlaps(first_s: float, last_s: float, from_s: float | None, to_s: float | None) -> bool:
    return (from_s is None or last_s >= from_s) and (to_s is None or first_s < to_s)


_UINT = 0xFFFFFFFF


def key_of(name: str, kind: str = "") -> int:
    """Return the key of a callback or a label, or of a label together with a kind of event."""
    return zlib.crc32(f"{kind}\0{name}".encode(errors="replace"))


# ---- making


class IndexBuilder:
    """Makes the index of blocks that are added in order."""

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}
        self._blocks: list[IndexedBlock] = []
        self._payloads: list[PayloadBlock] = []
        self._keys: list[Keys] = []

    @classmethod
    def of(cls, index: SegmentIndex, blocks: int) -> IndexBuilder:
        """Return a builder that has the first ``blocks`` event blocks of an index."""
        builder = cls()
        builder._kinds = {kind: 1 << at for at, kind in enumerate(index.kinds)}
        builder._blocks = list(index.blocks[:blocks])
        last_n = builder._blocks[-1].last_n if blocks else 0
        builder._payloads = [each for each in index.payloads if each.last_n <= last_n]
        builder._keys = list(index.keys[:blocks])
        return builder

    @property
    def blocks(self) -> int:
        """How many blocks there are, of both kinds."""
        return len(self._blocks) + len(self._payloads)

    @property
    def end(self) -> int:
        """The offset behind the last block."""
        blocks = [each.block for each in self._blocks] + [each.block for each in self._payloads]
        return max((block.at + block.length for block in blocks), default=0)

    def add_events(
        self, block: BlockLocation, events: Sequence[LoggedEvent] | Sequence[Recorded]
    ) -> None:
        """Add an event block."""
        times = [event.at_s for event in events]
        bits = 0
        for kind in dict.fromkeys([event.event for event in events]):
            bits |= self._kinds.setdefault(kind, 1 << len(self._kinds))
        self._blocks.append(
            IndexedBlock(block, events[0].n, events[-1].n, min(times), max(times), bits)
        )
        self._keys.append(_keys_of(events))

    def add_payloads(self, block: BlockLocation, payloads: Sequence[Payload]) -> None:
        """Add a payload block."""
        self._payloads.append(PayloadBlock(block, payloads[0].n, payloads[-1].n))

    def made(self, size: int, damage: Sequence[DamagedPart] = ()) -> SegmentIndex:
        """Return the index of a segment of that size."""
        return SegmentIndex(
            size,
            self._blocks,
            self._payloads,
            list(self._kinds),
            self._keys,
            damage,
        )


def index_of(content: bytes) -> SegmentIndex:
    """Make the index of a segment by reading all of it."""
    builder, damage = IndexBuilder(), list[DamagedPart]()
    for part in lines_by_block(content):
        if isinstance(part, DamagedPart):
            damage.append(part)
            continue
        block, lines = part
        try:
            if block.kind == EVENTS:
                builder.add_events(block, decode_event_lines(lines))
            else:
                builder.add_payloads(block, [decode_payload(line) for line in lines])
        except ValueError as error:
            damage.append(DamagedPart(block.at, str(error)))
    return builder.made(len(content), damage)


def _keys_of(events: Sequence[LoggedEvent] | Sequence[Recorded]) -> Keys:
    tickets = {ticket & _UINT for ticket in {event.ticket for event in events} if ticket}
    callbacks = {event.callback for event in events if event.callback}
    labels = {(event.worker, event.event) for event in events if event.worker}
    names = {key_of(callback) for callback in callbacks}
    names |= {key_of(label) for label in {label for label, _ in labels}}
    names |= {key_of(label, kind) for label, kind in labels}
    return Keys(array("I", sorted(tickets)), array("I", sorted(names)))


# ---- the file


def index_path(segment: Path) -> Path:
    """Return the path of a segment's index."""
    return segment.with_suffix(".index")


def encode_index(index: SegmentIndex, segment_end: bytes) -> bytes:
    """Encode an index; ``segment_end`` are the last bytes of its segment, at least 64."""
    head = {
        "version": VERSION,
        "size": index.size,
        "end": segment_end[-_TAIL_BYTES:].hex(),
        "kinds": index.kinds,
        "blocks": [[e.block.at, e.block.length, *e[1:]] for e in index.blocks],
        "payloads": [[e.block.at, e.block.length, *e[1:]] for e in index.payloads],
        "damage": [list(each) for each in index.damage],
        "keys": [list(map(len, keys)) for keys in index.keys],
    }
    keys = b"".join([each.tobytes() for both in index.keys for each in both])
    body = b"%b\n%b" % (ujson.dumps(head).encode(), keys)
    return body + zlib.crc32(body).to_bytes(4, "little")


def decode_index(encoded: bytes, size: int, segment_end: bytes) -> SegmentIndex | None:
    """Return an index; None if it is damaged, or belongs to another content of the segment."""
    body = encoded[:-4]
    if zlib.crc32(body).to_bytes(4, "little") != encoded[-4:]:
        return None
    line, _, arrays = body.partition(b"\n")
    head: dict[str, Any] = ujson.loads(line)
    if (head["version"], head["size"]) != (VERSION, size):
        return None
    if head["end"] != segment_end[-_TAIL_BYTES:].hex():
        return None
    values = array("I", arrays)
    keys, at = list[Keys](), 0
    for tickets, names in head["keys"]:
        names_at, end = at + tickets, at + tickets + names
        keys.append(Keys(values[at:names_at], values[names_at:end]))
        at = end
    return SegmentIndex(
        size,
        [
            IndexedBlock(BlockLocation(EVENTS, at, length), *rest)
            for at, length, *rest in head["blocks"]
        ],
        [
            PayloadBlock(BlockLocation(PAYLOADS, at, length), *rest)
            for at, length, *rest in head["payloads"]
        ],
        head["kinds"],
        keys,
        [DamagedPart(at, why) for at, why in head["damage"]],
    )


def read_end(descriptor: int, size: int) -> bytes:
    """Return the last bytes of an open segment. Raises OSError."""
    return os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
