"""The index of a segment: which of its blocks may have the answer to a question.

An index is derived from its segment and lies beside it. One that is missing, damaged, or of another
content of the segment is made anew. It is a JSON line (blocks, kinds of events, damage), two
posting lists, and a CRC-32. A posting list maps keys (tickets; hashes of names) to the blocks that
have them: keys in order, and the number of a block for each.
"""

from __future__ import annotations

import os
import zlib
from array import array
from bisect import bisect_left, bisect_right
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

VERSION = f"1 {byteorder}"
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
    """The keys by which an event block is found."""

    tickets: Sequence[int]
    names: Sequence[int]


class Postings(NamedTuple):
    """Keys in order, and for each the number of a block that has it."""

    keys: array[int]
    blocks: array[int]

    @classmethod
    def of(cls, keys_by_block: Iterable[Sequence[int]]) -> Postings:
        """Return the posting list of blocks in order."""
        pairs = sorted([key << 16 | at for at, keys in enumerate(keys_by_block) for key in keys])
        return cls(
            array("I", [pair >> 16 for pair in pairs]), array("H", [p & 0xFFFF for p in pairs])
        )

    def find(self, key: int) -> set[int]:
        """Return the numbers of the blocks that have a key."""
        first = bisect_left(self.keys, key)
        return set(self.blocks[first : bisect_right(self.keys, key, first)])

    def by_block(self, count: int) -> list[list[int]]:
        """Return the keys of each block."""
        found: list[list[int]] = [[] for _ in range(count)]
        for key, at in zip(self.keys, self.blocks, strict=True):
            found[at].append(key)
        return found


class SegmentIndex:
    """The blocks of a segment in order, and how to find them; ``damage`` cannot be read."""

    __slots__ = (
        "size", "blocks", "payloads", "kinds", "tickets", "names", "damage",
        "first_n", "last_n", "from_s", "to_s", "events",
    )  # fmt: skip

    def __init__(
        self,
        size: int,
        blocks: Sequence[IndexedBlock],
        payloads: Sequence[PayloadBlock],
        kinds: Sequence[str],
        tickets: Postings,
        names: Postings,
        damage: Sequence[DamagedPart] = (),
    ) -> None:
        self.size = size
        self.blocks = blocks
        self.payloads = payloads
        self.kinds = kinds
        self.tickets = tickets
        self.names = names
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
            numbers = self.tickets.find(question.ticket & _UINT)
        if question.worker is not None and numbers != set():
            named = self.names.find(key_of(question.worker))
            if question.kind is not None and named:
                # Only labels are indexed with a kind; a callback has few events of any.
                both = self.names.find(key_of(question.worker, question.kind))
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

    def keys_by_block(self) -> list[Keys]:
        """Return the keys of each event block."""
        count = len(self.blocks)
        pairs = zip(self.tickets.by_block(count), self.names.by_block(count), strict=True)
        return [Keys(tickets, names) for tickets, names in pairs]

    def _bit_of(self, kind: str | None) -> int:
        if kind is None:
            return -1
        return 1 << self.kinds.index(kind) if kind in self.kinds else 0

    def _is_label(self, name: str, named: set[int]) -> bool:
        """Return whether a name that these blocks have is a label."""
        return any(self.names.find(key_of(name, kind)) & named for kind in self.kinds)


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
        builder._keys = index.keys_by_block()[:blocks]
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
            Postings.of(keys.tickets for keys in self._keys),
            Postings.of(keys.names for keys in self._keys),
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
    return Keys(sorted(tickets), sorted(names))


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
        "tickets": len(index.tickets.keys),
        "names": len(index.names.keys),
    }
    arrays = [array_ for each in (index.tickets, index.names) for array_ in each]
    body = b"%b\n%b" % (ujson.dumps(head).encode(), b"".join(each.tobytes() for each in arrays))
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
    tickets, names = head["tickets"], head["names"]
    lists, at = [], 0
    for code, count in (("I", tickets), ("H", tickets), ("I", names), ("H", names)):
        lists.append(array(code, arrays[at : at + array(code).itemsize * count]))
        at += array(code).itemsize * count
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
        Postings(lists[0], lists[1]),
        Postings(lists[2], lists[3]),
        [DamagedPart(at, why) for at, why in head["damage"]],
    )


def read_end(descriptor: int, size: int) -> bytes:
    """Return the last bytes of an open segment. Raises OSError."""
    return os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
