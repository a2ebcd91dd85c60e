"""Answers from segments and memory, and what damage and holes do to them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.storage.event_log import Damage, Hole, Page, Question, page_of
from sanic_dispatch.storage.event_record import LoggedEvent
from sanic_dispatch.storage.segment_index import index_path
from sanic_dispatch.storage.segment_log import SegmentLog
from tests.storage.events import event, events, payloads, records
from tests.storage.small_segments import everything, filled, opened, segments

pytestmark = pytest.mark.usefixtures("small_segments")

QUESTIONS: list[dict[str, Any]] = [
    {}, {"ticket": 3}, {"ticket": 99}, {"worker": "Robot 3"}, {"worker": "nobody"},
    {"worker": "http://engine/callbacks/17/"}, {"kind": "job.done"}, {"kind": "job.praised"},
    {"worker": "Robot 3", "kind": "job.done"}, {"worker": "Robot 3", "kind": "job.submitted"},
    {"worker": "http://engine/callbacks/17/", "kind": "job.done"}, {"from_s": 1050.0},
    {"to_s": 1050.0}, {"from_s": 1040.0, "to_s": 1061.0}, {"text": "ICE 1"}, {"after": 77},
    {"ticket": 3, "worker": "Robot 2"}, {"ticket": 3, "worker": "Robot 3"},
    {"kind": "job.done", "after": 50, "to_s": 1100.0},
]  # fmt: skip


@pytest.mark.parametrize("wanted", QUESTIONS, ids=str)
@pytest.mark.parametrize("flushed", [0, 3, 40, 133, 150])
def test_answers(flushed: int, wanted: dict[str, Any], tmp_path: Path) -> None:
    """Whatever is in segments or in memory, the answers are those of a search through all."""
    log = filled(tmp_path, flushed)
    log.add(records(flushed + 1, 150))
    for limit in (3, 1000):
        question = Question(**wanted, limit=limit)
        assert log.find(question) == page_of(events(1, 150), question)._replace(damage=[], holes=[])


def test_payloads_of_a_span(tmp_path: Path) -> None:
    """Payloads are found by time, block by block, from segments and from memory."""
    log = filled(tmp_path, 133)
    log.add(records(134, 150))
    assert list(log.payloads()) == payloads(1, 150)
    found = list(log.payloads(1061.0, 1071.0))
    assert set(payloads(61, 70)) <= set(found)
    assert set(found) < set(payloads(1, 150))


@pytest.mark.parametrize("read", [SegmentLog.scan, SegmentLog.payloads], ids=["scan", "payloads"])
def test_events_that_are_moved_meanwhile(
    read: Callable[[SegmentLog], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader gets them once, although they are in memory and then in a segment."""
    log = filled(tmp_path, 15)
    log.add(records(16, 18))
    paths = log.files.paths

    def move() -> list[tuple[int, Path]]:
        with monkeypatch.context() as patch:
            patch.setattr(log.files, "paths", paths)
            log.flush()
        return paths()

    monkeypatch.setattr(log.files, "paths", move)
    wanted = {SegmentLog.scan: events, SegmentLog.payloads: payloads}[read]
    assert list(read(log)) == wanted(1, 18)


def test_a_segment_grows_under_a_reader(tmp_path: Path) -> None:
    """A reader keeps reading the old file of a segment that is rewritten."""
    log = filled(tmp_path, 15)
    found = log.scan()
    assert next(found) == event(1)
    log.add(records(16, 18))
    log.flush()
    assert list(found) == events(2, 15)
    other = opened(tmp_path)
    log.add(records(19, 22))
    log.flush()
    assert everything(other) == events(1, 22)


# ---- damage


def test_every_byte_that_rots(tmp_path: Path) -> None:
    """A flipped bit is reported with the file, or changes nothing that is answered."""
    filled(tmp_path, 100)
    path = segments(tmp_path)[1]
    content, index = path.read_bytes(), index_path(path).read_bytes()
    wanted = Page(events(1, 100), None, [], [])
    dice = random.Random(1)
    for at in dice.sample(range(len(content)), 250):
        path.write_bytes(
            content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]
        )
        for fresh in (False, True):
            index_path(path).unlink() if fresh else index_path(path).write_bytes(index)
            log = opened(tmp_path)
            page = log.find(Question(limit=1000))
            scanned = {each for each in everything(log) if not isinstance(each, LoggedEvent)}
            assert scanned == {*page.damage, *page.holes}
            found = list(log.payloads())
            if found != payloads(1, 100):
                assert {each.path for each in found if isinstance(each, Damage)} == {path}
            if page == wanted:
                continue
            assert page.damage, at
            assert {each.path for each in page.damage} == {path}
            assert [each for each in page.events if not 41 <= each.n <= 80] == [
                *events(1, 40),
                *events(81, 100),
            ]
            assert len(page.events) >= 90 or fresh
            assert set(page.events) <= set(events(1, 100))


def test_a_segment_that_is_cut_off(tmp_path: Path) -> None:
    """A segment without its end is damaged, also between two blocks; numbers go on."""
    log = filled(tmp_path, 35)
    path = segments(tmp_path)[0]
    content, blocks = path.read_bytes(), log.files.index(path).blocks
    for length in [*(block.block.at for block in blocks[1:]), len(content) - 1, 0]:
        path.write_bytes(content[:length])
        log = SegmentLog(tmp_path)
        log.load(last_number=35)
        page = log.find(Question(limit=1000))
        assert [damage.path for damage in page.damage][:1] == [path]
        assert list(page.events) == events(1, len(page.events))
        log.add(records(36, 40))
        log.flush()
        assert log.find(Question(after=35)).events == events(36, 40)
        segments(tmp_path)[-1].unlink()


def test_the_last_segment_cannot_be_read(tmp_path: Path) -> None:
    """Numbers go on after the last one that the store knows; answers report the hole."""
    filled(tmp_path, 150)
    last = segments(tmp_path)[-1]
    last.unlink()
    last.mkdir()  # so reading it fails
    log = SegmentLog(tmp_path, now_s=lambda: 1160.0)
    log.load(150)
    log.add(records(151, 152))
    assert log.try_flush()
    page = log.find(Question(limit=1000))
    assert page.events == [*events(1, 120), *events(151, 152)]
    assert [each.path for each in page.damage] == [last]
    assert [hole[:2] for hole in page.holes] == [(121, 150)]


def test_the_last_segment_can_be_read_again(tmp_path: Path) -> None:
    """Events that were moved to the next segment meanwhile, from the store, count once."""
    filled(tmp_path, 150)
    last = segments(tmp_path)[-1]
    last.rename(tmp_path / "aside")
    last.mkdir()  # so reading it fails
    log = SegmentLog(tmp_path, now_s=lambda: 1160.0)
    log.load(150)
    log.add(records(130, 152))
    assert log.try_flush()
    last.rmdir()
    (tmp_path / "aside").rename(last)
    for reader in (log, opened(tmp_path)):
        assert everything(reader) == events(1, 152)
        for after in (119, 125, 140, 151):
            assert reader.find(Question(after=after, limit=1000)).events == events(after + 1, 152)


# ---- holes


def test_holes(tmp_path: Path) -> None:
    """Numbers that are missing are reported with the times around them, where asked for."""
    log = filled(tmp_path, 33)
    log.add(records(39, 41))
    log.flush()
    log.add(records(50, 51))
    holes = [Hole(34, 38, 1033.0, 1039.0), Hole(42, 49, 1041.0, 1050.0)]
    for each in (log, opened(tmp_path)):
        assert each.find(Question()).holes == (holes if each is log else holes[:1])
    assert log.find(Question(limit=36)).holes == holes[:1]
    assert log.find(Question(after=38)).holes == holes[1:]
    assert log.find(Question(to_s=1040.0)).holes == holes[:1]
    assert log.find(Question(from_s=1040.0)).holes == holes[1:]


def test_a_hole_at_the_end(tmp_path: Path) -> None:
    """Events that the store has seen and that are nowhere are a hole; numbers go on after it."""
    filled(tmp_path, 33)
    log = SegmentLog(tmp_path, now_s=lambda: 1100.0)
    log.load(last_number=40)
    assert log.last_number == 40
    (hole,) = log.find(Question()).holes
    assert hole == Hole(34, 40, 1033.0, 1100.0)


def test_a_segment_that_is_gone(tmp_path: Path) -> None:
    """It leaves a hole, also at the beginning: it was not dropped as too old."""
    filled(tmp_path, 150)
    segments(tmp_path)[1].unlink()
    assert [hole[:2] for hole in opened(tmp_path).find(Question()).holes] == [(41, 80)]
    segments(tmp_path)[0].unlink()
    assert [hole[:2] for hole in opened(tmp_path).find(Question()).holes] == [(1, 80)]
