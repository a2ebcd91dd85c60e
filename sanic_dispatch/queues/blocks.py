"""Byte strings in the order of their places, joined block by block.

A queue's file is written whole, again and again. Kept as blocks of some hundred entries, a change
costs the joining of one block, and all other blocks are written as they are. Blocks are never
altered: a change makes new ones, so a write that fails leaves the old ones as they were.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, islice, pairwise
from typing import NamedTuple

BLOCK = 256
"""How many entries a block has when it is made; at twice that it is divided."""

Items = list[tuple[float, bytes]]


class Block(NamedTuple):
    """Some entries, one after the other in one byte string."""

    places: array[float]
    ends: array[int]
    joined: bytes

    def items(self) -> Iterator[tuple[float, bytes]]:
        """Each place and its entry."""
        spans = pairwise((-len(SEPARATOR), *self.ends))
        for place, (start, end) in zip(self.places, spans, strict=True):
            yield place, self.joined[start + len(SEPARATOR) : end]


SEPARATOR = b",\n"


class Blocks:
    """Entries by place, which never changes; ``changed`` makes the next one."""

    def __init__(self, blocks: list[Block] | None = None) -> None:
        self._blocks = blocks or []

    @classmethod
    def of(cls, items: Iterable[tuple[float, bytes]]) -> Blocks:
        """Entries that come in the order of their places."""
        left = iter(items)
        return cls([_joined(some) for some in iter(lambda: list(islice(left, BLOCK)), [])])

    def changed(self, edits: Mapping[float, bytes | None]) -> Blocks:
        """The same with these entries at these places; None: with none at that place."""
        blocks = self._blocks.copy()
        by_block: defaultdict[int, dict[float, bytes | None]] = defaultdict(dict)
        for place, entry in edits.items():
            by_block[self._block_of(place)][place] = entry
        for at in sorted(by_block, reverse=True):
            blocks[at : at + 1] = _divided(_edited(self._blocks[at : at + 1], by_block[at]))
        return Blocks(blocks)

    def joined(self) -> list[bytes]:
        """The entries in order, with separators, in pieces."""
        pieces = [piece for block in self._blocks for piece in (SEPARATOR, block.joined)]
        return pieces[1:]

    def _block_of(self, place: float) -> int:
        """The last block that begins at or before this place."""
        return max(0, bisect_right(self._blocks, place, key=_first) - 1)


def _first(block: Block) -> float:
    return block.places[0]


def _edited(blocks: list[Block], edits: Mapping[float, bytes | None]) -> Items:
    entries: dict[float, bytes | None] = {p: e for block in blocks for p, e in block.items()}
    entries.update(edits)
    return sorted((place, entry) for place, entry in entries.items() if entry is not None)


def _divided(items: Items) -> list[Block]:
    """One block, or several where it would be too long; none where there is nothing."""
    size = len(items) if len(items) < 2 * BLOCK else BLOCK
    return [_joined(items[at : at + size]) for at in range(0, len(items), size or 1)]


def _joined(items: Items) -> Block:
    entries = [entry for _, entry in items]
    widths = (len(SEPARATOR) + len(entry) for entry in entries)
    ends = array("Q", (end - len(SEPARATOR) for end in accumulate(widths)))
    return Block(array("d", (place for place, _ in items)), ends, SEPARATOR.join(entries))
