"""The index of a segment: it can be lost, and is rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.segment_files import rebuild_indexes
from sanic_dispatch.storage.segment_format import FOLDER
from sanic_dispatch.storage.segment_index import index_path
from tests.storage.events import events
from tests.storage.small_segments import everything, filled, opened, segments

pytestmark = pytest.mark.usefixtures("small_segments")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]),
    ],
)
def test_a_lost_index(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    """A missing or damaged index is rebuilt, and is the same again."""
    filled(tmp_path, 100)
    path = index_path(segments(tmp_path)[0])
    before = path.read_bytes()
    spoil(path)
    assert opened(tmp_path).find(Question(ticket=3)).events == events(11, 15)[1:]
    assert path.read_bytes() == before


def test_an_index_of_an_older_segment(tmp_path: Path) -> None:
    """After a kill between a segment and its index, the index of before is not believed."""
    filled(tmp_path, 23)
    path = index_path(segments(tmp_path)[0])
    old = path.read_bytes()
    filled(tmp_path, 31)
    path.write_bytes(old)
    assert opened(tmp_path).last_number == 31
    assert everything(opened(tmp_path)) == events(1, 31)


def test_rebuilding(tmp_path: Path) -> None:
    """All indexes can be rebuilt, and are the same again."""
    filled(tmp_path, 100)
    before = [index_path(path).read_bytes() for path in segments(tmp_path)]
    for path in segments(tmp_path):
        index_path(path).write_bytes(b"?")
    rebuild_indexes(tmp_path / FOLDER)
    assert [index_path(path).read_bytes() for path in segments(tmp_path)] == before
