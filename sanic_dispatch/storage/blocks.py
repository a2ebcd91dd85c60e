"""An immutable sorted map from keys to byte strings, stored as joined blocks (a B+ tree's leaves).

The mode JsonFile writes a whole file for each batch. With entries in blocks of some hundred, a
change joins one block again and reuses all others. Changes return a new map (copy-on-write), so a
write that fails can go back to the old one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, islice, pairwise
from typing import NamedTuple

BLOCK = 256
"""How many entries a new block has; a block of twice as many is split."""

SortKey = tuple[float, int, str]
"""Orders entries: place, ticket and id, as ``record_json.order_of`` returns them."""

Items = list[tuple[SortKey, bytes]]


class Block(NamedTuple):
    """Consecutive entries, joined with separators; ``ends`` are the entries' end offsets."""

    keys: list[SortKey]
    ends: array[int]
    joined: bytes

    def items(self) -> Iterator[tuple[SortKey, bytes]]:
        """Iterate over keys and entries."""
        spans = pairwise((-len(SEPARATOR), *self.ends))
        for key, (start, end) in zip(self.keys, spans, strict=True):
            yield key, self.joined[start + len(SEPARATOR) : end]


SEPARATOR = b",\n"


class Blocks:
    """Maps keys to entries, in the order of the keys; immutable."""

    def __init__(self, blocks: list[Block] | None = None) -> None:
        self._blocks = blocks or []

    @classmethod
    def of(cls, items: Iterable[tuple[SortKey, bytes]]) -> Blocks:
        """Return blocks of entries that are sorted by key."""
        left = iter(items)
        blocks = []
        while some := list(islice(left, BLOCK)):
            blocks.append(_join(some))
        return cls(blocks)

    def changed(self, edits: Mapping[SortKey, bytes | None]) -> Blocks:
        """Return a copy in which these keys have these entries; None removes an entry."""
        blocks = self._blocks.copy()
        by_block: defaultdict[int, dict[SortKey, bytes | None]] = defaultdict(dict)
        for key, entry in edits.items():
            by_block[self._block_of(key)][key] = entry
        for at in sorted(by_block, reverse=True):
            blocks[at : at + 1] = _split(_apply_edits(self._blocks[at : at + 1], by_block[at]))
        return Blocks(blocks)

    def joined(self) -> list[bytes]:
        """Return all entries in order, with separators between them, as pieces to concatenate."""
        pieces = [piece for block in self._blocks for piece in (SEPARATOR, block.joined)]
        return pieces[1:]

    def _block_of(self, key: SortKey) -> int:
        """Return the index of the last block that begins at or before this key."""
        return max(0, bisect_right(self._blocks, key, key=_first) - 1)


def _first(block: Block) -> SortKey:
    return block.keys[0]


def _apply_edits(blocks: list[Block], edits: Mapping[SortKey, bytes | None]) -> Items:
    entries: dict[SortKey, bytes | None] = {k: e for block in blocks for k, e in block.items()}
    entries.update(edits)
    return sorted((key, entry) for key, entry in entries.items() if entry is not None)


def _split(items: Items) -> list[Block]:
    """Return the blocks for these items: several if one would be too long, none if empty."""
    size = len(items) if len(items) < 2 * BLOCK else BLOCK
    return [_join(items[at : at + size]) for at in range(0, len(items), size or 1)]


def _join(items: Items) -> Block:
    entries = [entry for _, entry in items]
    widths = (len(SEPARATOR) + len(entry) for entry in entries)
    ends = array("Q", (end - len(SEPARATOR) for end in accumulate(widths)))
    return Block([key for key, _ in items], ends, SEPARATOR.join(entries))
