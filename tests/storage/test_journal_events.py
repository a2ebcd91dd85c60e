"""CachedJsonFile's event log: journals are its newest part, and become segments."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage import cached_json_file, segment_log, segment_writer
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore, JournaledFiles
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from sanic_dispatch.storage.journal import encode_batch, journals_in
from sanic_dispatch.storage.segment_format import FOLDER, segments_in
from tests.storage.samples import Topic, done, held, job, one_of_each, worker
from tests.support.disk_faults import Disk, Killed


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small blocks and segments, so that a few batches fill them."""
    monkeypatch.setattr(segment_writer, "BLOCK_EVENTS", 4)
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", 12)


def opened(folder: Path) -> JournaledFiles:
    """The blocking store, loaded."""
    files = JournaledFiles(folder)
    files.load()
    return files


def kept(files: JournaledFiles) -> list[LoggedEvent]:
    """All events, of which none is missing."""
    page = files.history.find(Question(limit=1000))
    assert (list(page.damage), list(page.holes), page.next) == ([], [], None)
    return list(page.events)


def happened(topic: Topic) -> list[LoggedEvent]:
    return [logged(event) for event in topic.events]


def checkpoint(files: JournaledFiles) -> None:
    files.create_spare()
    turned = files.rotate()
    files.write_checkpoint(*turned)


def commit(files: JournaledFiles, topic: Topic, *put: Any, gone: tuple[Any, ...] = ()) -> None:
    """Commit a batch; what it says has happened if that was acknowledged."""
    before, records = list(topic.events), dict(topic.records)
    batch = topic.with_events(topic.together(put, gone))
    topic.apply(batch)
    try:
        files.commit(batch)
    except BaseException:
        topic.events, topic.records = before, records
        raise


def live(files: JournaledFiles, topic: Topic) -> None:
    """A run of the service: batches, checkpoints, a clean stop."""
    commit(files, topic, *(change.after for change in one_of_each(topic).changes))
    checkpoint(files)
    commit(files, topic, job(10), worker(10))
    files.create_spare()
    turned = files.rotate()
    commit(files, topic, held(job(10), worker(10)))
    files.write_checkpoint(*turned)
    commit(files, topic, done(held(job(10), worker(10)), result=b"[1]"), gone=(worker(10),))
    files.history.flush()
    commit(files, topic, job(11))
    files.close()


def test_a_line_has_its_events(tmp_path: Path) -> None:
    """A batch's events are in its line, as its last part."""
    files, topic = opened(tmp_path), Topic()
    commit(files, topic, job(1))
    line = (tmp_path / "dispatch.journal-1").read_bytes().splitlines()[1]
    assert line.endswith(
        b',{"events":[[1,1795489201.5,"job.submitted",1,"%b","","","","r1",0,null,null]]}]'
        % job(1).id.encode()
    )


def test_a_life(tmp_path: Path) -> None:
    """Events are in segments after a clean stop, and nothing else is left in the folder."""
    files, topic = opened(tmp_path), Topic()
    live(files, topic)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["dispatch.json", FOLDER, "jobs.json", "workers.json"]
    assert kept(opened(tmp_path)) == happened(topic)
    assert len(segments_in(tmp_path / FOLDER)) == 3
    data = [(each.ticket, each.is_result) for each in opened(tmp_path).history.payloads()]
    assert data == [(1, False), (2, False), (3, False), (4, False), (5, False), (6, False),
                    (7, False), (8, False), (10, False), (10, True), (11, False)]  # fmt: skip


def killed_at_every_call(folder: Path) -> int:
    """Kill lives at one call after the other; return how many there are."""
    for number in range(1000):
        data = folder / f"{number}"
        data.mkdir()
        files, topic = opened(data), Topic()
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, data).kill_at(number)
            try:
                live(files, topic)
            except Killed:
                pass
            else:
                return number
        acknowledged = happened(topic)
        files = opened(data)
        found = kept(files)
        assert found[: len(acknowledged)] == acknowledged
        assert [event.n for event in found] == list(range(1, len(found) + 1))
        records = {job.id for job in files.load().jobs}
        assert {event.job for event in found if event.event == "job.submitted"} == records
        files.close()
        assert kept(opened(data)) == found
    raise AssertionError


def test_a_kill_at_every_call(tmp_path: Path) -> None:
    """Wherever a run is killed, what was acknowledged has its events, once, and so has the rest."""
    assert killed_at_every_call(tmp_path) > 50


def flushes_late(patch: pytest.MonkeyPatch) -> None:
    """The mutant: segments are written after the journals are gone."""
    real = JournaledFiles.write_checkpoint

    def write(self: JournaledFiles, *args: Any) -> None:
        flush, self.history.try_flush = self.history.try_flush, lambda *_: True  # type: ignore
        real(self, *args)
        self.history.try_flush = flush  # type: ignore[method-assign]
        flush()

    patch.setattr(JournaledFiles, "write_checkpoint", write)


def adds_twice(patch: pytest.MonkeyPatch) -> None:
    """The mutant: events of journals are added although they are in segments."""
    real, next_writer = segment_log.SegmentLog.load, segment_log.SegmentLog._next_writer

    def load(self: segment_log.SegmentLog, last_number: int = 0) -> None:
        real(self, last_number)
        self._flushed_n = 0

    def keep_all(self: segment_log.SegmentLog, *args: Any) -> Any:
        events = self._events[:]
        writer = next_writer(self, *args)
        self._events = events
        return writer

    patch.setattr(segment_log.SegmentLog, "load", load)
    patch.setattr(segment_log.SegmentLog, "_next_writer", keep_all)


@pytest.mark.parametrize("mutant", [flushes_late, adds_twice], ids=lambda each: each.__name__)
def test_kills_find_mutants(
    mutant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments that are written too late, or events that come twice, are found."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        killed_at_every_call(tmp_path)


@pytest.mark.parametrize("call", ["open", "write", "writev", "fsync", "rename"])
def test_a_checkpoint_that_fails(call: str, tmp_path: Path) -> None:
    """Whatever call fails, no event is missing, and none is there twice."""
    for after in range(12):
        folder = tmp_path / f"{after}"
        folder.mkdir()
        files, topic = opened(folder), Topic()
        commit(files, topic, *(change.after for change in one_of_each(topic).changes))
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, folder).fail(call, after=after)
            try:
                checkpoint(files)
            except OSError:
                assert kept(opened(folder)) == happened(topic)
        assert kept(files) == happened(topic)
        commit(files, topic, job(20))
        files.close()
        assert kept(opened(folder)) == happened(topic)


def test_an_undone_batch_leaves_nothing(tmp_path: Path) -> None:
    """A batch that failed has no events, and the next one has its numbers."""
    files, topic = opened(tmp_path), Topic()
    commit(files, topic, job(1))
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, tmp_path).fail("write")
        with pytest.raises(StorageFailed):
            commit(files, topic, job(2), worker(2))
    commit(files, topic, job(3))
    assert kept(files) == happened(topic)
    assert kept(opened(tmp_path)) == happened(topic)


def test_a_batch_of_unknown_fate(tmp_path: Path) -> None:
    """After a failed sync its events are there once, in the journal that follows."""
    files, topic = opened(tmp_path), Topic()
    commit(files, topic, job(1))
    batch = topic.with_events(topic.put(job(2)))
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, tmp_path).fail("fdatasync")
        with pytest.raises(OutcomeUnknown):
            files.commit(batch)
    files.commit(topic.apply(batch))
    assert kept(files) == happened(topic)
    assert kept(opened(tmp_path)) == happened(topic)


# ---- a disk without room for segments


class Full(Disk):
    """A disk on which segments have no room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        super().__init__(monkeypatch, folder)

        def before(_: int, name: str, path: Path | None) -> None:
            if path is not None and path.parent.name == FOLDER and name in ("open", "writev"):
                raise OSError(errno.ENOSPC, "No space left on device")

        self.before = before


def test_no_room_for_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches and checkpoints go on; events are answered from memory, and written later."""
    files, topic = opened(tmp_path), Topic()
    with monkeypatch.context() as patch:
        Full(patch, tmp_path)
        for number in range(1, 4):
            commit(files, topic, job(number))
            checkpoint(files)
        assert list(journals_in(tmp_path)) == [4]
        assert kept(files) == happened(topic)
    commit(files, topic, job(4))
    files.close()
    assert kept(opened(tmp_path)) == happened(topic)


def test_a_kill_without_room_for_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was only in memory is a hole, and numbers go on after it."""
    files, topic = opened(tmp_path), Topic()
    commit(files, topic, job(1))
    checkpoint(files)
    with monkeypatch.context() as patch:
        Full(patch, tmp_path)
        commit(files, topic, job(2), job(3))
        checkpoint(files)
    files = opened(tmp_path)
    assert files.history.last_number == 3
    topic.restarted()
    commit(files, topic, job(4))
    page = files.history.find(Question())
    assert [event.n for event in page.events] == [1, 4]
    assert [hole[:2] for hole in page.holes] == [(2, 3)]


def test_long_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: the oldest events are forgotten, and a hole."""
    monkeypatch.setattr(cached_json_file, "MAX_UNFLUSHED", 5)
    files, topic = opened(tmp_path), Topic()
    with monkeypatch.context() as patch:
        Full(patch, tmp_path)
        for number in range(1, 9):
            commit(files, topic, job(number))
        checkpoint(files)
    files.close()
    page = opened(tmp_path).history.find(Question())
    assert [event.n for event in page.events] == [4, 5, 6, 7, 8]


async def test_many_events_without_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files are long and no checkpoint is due, events are moved to segments all the same."""
    monkeypatch.setattr(segment_log, "FLUSH_EVENTS", 5)
    store, topic = CachedJsonFileStore(tmp_path, fsync=False, quiet_s=1000.0), Topic()
    await store.load()
    for number in range(1, 9):
        await store.commit(topic.apply(topic.with_events(topic.put(job(number)))))
    await store._flushes.finish()
    assert segments_in(tmp_path / FOLDER)
    assert not (tmp_path / "jobs.json").exists()
    await store.close()
    assert kept(opened(tmp_path)) == happened(topic)


# ---- what else may be there


def test_a_journal_without_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of an older version is replayed, and numbers begin with 1."""
    with monkeypatch.context() as patch:
        patch.setattr(cached_json_file, "encode_batch", lambda batch, events: encode_batch(batch))
        files, topic = opened(tmp_path), Topic()
        commit(files, topic, job(1))
    files = opened(tmp_path)
    assert [each.id for each in files.load().jobs] == [job(1).id]
    assert (kept(files), files.history.last_number) == ([], 0)


def test_a_history_that_is_no_folder(tmp_path: Path) -> None:
    """A file of that name is not touched, and orders go on."""
    (tmp_path / FOLDER).write_text("mine")
    files, topic = opened(tmp_path), Topic()
    commit(files, topic, job(1))
    checkpoint(files)
    files.close()
    assert (tmp_path / FOLDER).read_text() == "mine"
    assert [each.id for each in opened(tmp_path).load().jobs] == [job(1).id]


@pytest.mark.parametrize("events", [b"[7]", b"[[1]]", b'{"a":1}', b"x", b'[[1,2,3,"x"]]'])
def test_events_that_are_none(events: bytes, tmp_path: Path) -> None:
    """Events that cannot be read keep no job from being found, and are a hole."""
    files, topic = opened(tmp_path), Topic()
    commit(files, topic, job(1))
    assert files._journal is not None
    files._journal.append(b'[{"batch":2},{"events":%b}]' % events)
    assert kept(opened(tmp_path)) == happened(topic)
