"""Byte strings in the order of their keys, joined block by block.

A file of the mode JsonFile is written whole, again and again. Kept as blocks of some hundred
entries, a change costs the joining of one block, and all other blocks are written as they are.
Blocks are never altered: a change makes new ones, so a write that fails leaves the old ones.
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

Key = tuple[float, int, str]
"""What orders entries: place, ticket, id."""

Items = list[tuple[Key, bytes]]


class Block(NamedTuple):
    """Some entries, one after the other in one byte string."""

    keys: list[Key]
    ends: array[int]
    joined: bytes

    def items(self) -> Iterator[tuple[Key, bytes]]:
        """Iterate over the keys and their entries."""
        spans = pairwise((-len(SEPARATOR), *self.ends))
        for key, (start, end) in zip(self.keys, spans, strict=True):
            yield key, self.joined[start + len(SEPARATOR) : end]


SEPARATOR = b",\n"


class Blocks:
    """Entries by key. It is never altered: ``changed`` makes the next one."""

    def __init__(self, blocks: list[Block] | None = None) -> None:
        self._blocks = blocks or []

    @classmethod
    def of(cls, items: Iterable[tuple[Key, bytes]]) -> Blocks:
        """Make blocks of entries that come in the order of their keys."""
        left = iter(items)
        return cls([_joined(some) for some in iter(lambda: list(islice(left, BLOCK)), [])])

    def changed(self, edits: Mapping[Key, bytes | None]) -> Blocks:
        """Return blocks with these entries at these keys, and without those that are None."""
        blocks = self._blocks.copy()
        by_block: defaultdict[int, dict[Key, bytes | None]] = defaultdict(dict)
        for key, entry in edits.items():
            by_block[self._block_of(key)][key] = entry
        for at in sorted(by_block, reverse=True):
            blocks[at : at + 1] = _divided(_edited(self._blocks[at : at + 1], by_block[at]))
        return Blocks(blocks)

    def joined(self) -> list[bytes]:
        """Return the entries in order, with separators, in pieces."""
        pieces = [piece for block in self._blocks for piece in (SEPARATOR, block.joined)]
        return pieces[1:]

    def _block_of(self, key: Key) -> int:
        """Find the last block that begins at or before this key."""
        return max(0, bisect_right(self._blocks, key, key=_first) - 1)


def _first(block: Block) -> Key:
    return block.keys[0]


def _edited(blocks: list[Block], edits: Mapping[Key, bytes | None]) -> Items:
    entries: dict[Key, bytes | None] = {k: e for block in blocks for k, e in block.items()}
    entries.update(edits)
    return sorted((key, entry) for key, entry in entries.items() if entry is not None)


def _divided(items: Items) -> list[Block]:
    """Make one block, several where it would be too long, none where there is nothing."""
    size = len(items) if len(items) < 2 * BLOCK else BLOCK
    return [_joined(items[at : at + size]) for at in range(0, len(items), size or 1)]


def _joined(items: Items) -> Block:
    entries = [entry for _, entry in items]
    widths = (len(SEPARATOR) + len(entry) for entry in entries)
    ends = array("Q", (end - len(SEPARATOR) for end in accumulate(widths)))
    return Block([key for key, _ in items], ends, SEPARATOR.join(entries))
