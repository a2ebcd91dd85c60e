"""Entries joined by blocks are in the order of a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sanic_dispatch.storage.blocks import BLOCK, SEPARATOR, Blocks, SortKey


def key(place: float) -> SortKey:
    return place, 0, ""


PLACES = st.integers(0, 1200).map(key)
EDITS = st.dictionaries(PLACES, st.none() | st.binary(max_size=3), max_size=300)


def joined(entries: dict[SortKey, bytes]) -> bytes:
    return SEPARATOR.join(entry for _, entry in sorted(entries.items()))


@given(start=st.integers(0, 1200), steps=st.lists(EDITS, max_size=6))
def test_like_a_sorted_list(start: int, steps: list[dict[SortKey, bytes | None]]) -> None:
    """After any edits the entries are joined in the order of their keys."""
    model = {key(place): b"%d" % place for place in range(start)}
    blocks = Blocks.of(sorted(model.items()))
    for edits in steps:
        blocks = blocks.changed(edits)
        model = {p: e for p, e in (model | edits).items() if e is not None}
        assert b"".join(blocks.joined()) == joined(model)


def test_blocks_are_immutable() -> None:
    """A change makes new blocks, and leaves the old ones as they were."""
    blocks = Blocks.of((key(place), b"x") for place in range(10))
    before = blocks.joined()
    blocks.changed({key(3): None, key(4): b"y", key(40): b"z"})
    assert blocks.joined() == before


def test_a_change_joins_one_block() -> None:
    """All other blocks are the same objects, so that nothing is copied."""
    blocks = Blocks.of((key(place), b"%d" % place) for place in range(BLOCK * 10))
    changed = blocks.changed({key(BLOCK * 3 + 1): b"new"})
    pairs = zip(blocks.joined(), changed.joined(), strict=True)
    assert sum(old is not new for old, new in pairs) == 1


def test_blocks_stay_small() -> None:
    """However many entries are appended, no block grows past twice its size."""
    blocks = Blocks()
    for place in range(0, BLOCK * 8, 32):
        blocks = blocks.changed({key(place + n): b"x" for n in range(32)})
    sizes = [piece.count(b"x") for piece in blocks.joined()]
    assert max(sizes) < 2 * BLOCK
    assert sum(sizes) == BLOCK * 8
