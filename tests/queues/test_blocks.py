"""Entries joined block by block are always what a plain sorted list would be."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.queues.blocks import BLOCK, SEPARATOR, Blocks

PLACES = st.integers(0, 1200).map(float)
EDITS = st.dictionaries(PLACES, st.none() | st.binary(max_size=3), max_size=300)


def joined(entries: dict[float, bytes]) -> bytes:
    return SEPARATOR.join(entry for _, entry in sorted(entries.items()))


@settings(deadline=None)
@given(start=st.integers(0, 1200), steps=st.lists(EDITS, max_size=6))
def test_like_a_sorted_list(start: int, steps: list[dict[float, bytes | None]]) -> None:
    """After any edits the entries stand joined in the order of their places."""
    model = {float(place): b"%d" % place for place in range(start)}
    blocks = Blocks.of(sorted(model.items()))
    for edits in steps:
        blocks = blocks.changed(edits)
        model = {p: e for p, e in (model | edits).items() if e is not None}
        assert b"".join(blocks.joined()) == joined(model)


def test_a_change_leaves_the_old_ones() -> None:
    """A draft that is not kept costs nothing: what it was made from is as it was."""
    blocks = Blocks.of((float(place), b"x") for place in range(10))
    before = blocks.joined()
    blocks.changed({3.0: None, 4.0: b"y", 40.0: b"z"})
    assert blocks.joined() == before


def test_a_change_joins_one_block() -> None:
    """All other blocks are the very same bytes, so a write copies nothing."""
    blocks = Blocks.of((float(place), b"%d" % place) for place in range(BLOCK * 10))
    changed = blocks.changed({float(BLOCK * 3 + 1): b"new"})
    pairs = zip(blocks.joined(), changed.joined(), strict=True)
    assert sum(old is not new for old, new in pairs) == 1


def test_blocks_stay_small() -> None:
    """However many entries come in at the end, no block grows past twice its size."""
    blocks = Blocks()
    for place in range(0, BLOCK * 8, 32):
        blocks = blocks.changed({float(place + n): b"x" for n in range(32)})
    sizes = [piece.count(b"x") for piece in blocks.joined()]
    assert max(sizes) < 2 * BLOCK
    assert sum(sizes) == BLOCK * 8
