"""JsonFile knows after a start whether its files were edited meanwhile."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
import ujson

from sanic_dispatch.storage.file_checksums import CHECKSUMS_NAME, FileChecksums
from sanic_dispatch.storage.json_file import JsonFiles
from sanic_dispatch.storage.json_file_journal import JsonFileJournal
from sanic_dispatch.storage.segment_format import FOLDER
from tests.storage.samples import Topic, done, held, job, one_of_each, worker
from tests.support.disk_faults import Disk, Killed

NAMES = ("dispatch.json", "jobs.json", "workers.json")


def started(folder: Path) -> JsonFiles:
    """Return the blocking store after a start."""
    files = JsonFiles(folder, jobs=True, workers=True, rereads=True, fsync=False)
    files.load()
    return files


def lived(folder: Path) -> tuple[JsonFiles, Topic]:
    """Return a store with records of every kind in an epoch."""
    folder.mkdir()
    files, topic = started(folder), Topic()
    files.history.begin_epoch("a", 5.0)
    files.commit(topic.apply(topic.with_events(one_of_each(topic))))
    return files, topic


def finish(files: JsonFiles, topic: Topic) -> None:
    """Commit a batch that concerns all three files."""
    records = done(held(job(2), worker(8)), 11.0), worker(10)
    files.commit(topic.apply(topic.with_events(topic.put(*records))))


def test_a_start_without_them(tmp_path: Path) -> None:
    """Files of whoever wrote them may be edited."""
    assert not started(tmp_path).is_as_committed


def test_a_clean_stop(tmp_path: Path) -> None:
    """They are known over stops, also if nothing happens in between."""
    files, topic = lived(tmp_path / "data")
    finish(files, topic)
    for _ in range(2):
        files.close()
        files = started(tmp_path / "data")
        assert files.is_as_committed


@pytest.mark.parametrize("name", NAMES)
def test_an_edit(name: str, tmp_path: Path) -> None:
    """One byte of any file is found, and until there is a batch by later starts, too."""
    files, _ = lived(tmp_path / "data")
    files.close()
    with (tmp_path / "data" / name).open("ab") as file:
        file.write(b" ")
    for _ in range(2):
        assert not started(tmp_path / "data").is_as_committed


def test_the_last_batch_undone_by_hand(tmp_path: Path) -> None:
    """To take out of a file what came last is an edit."""
    files, topic = lived(tmp_path / "data")
    path = tmp_path / "data" / "jobs.json"
    before = path.read_bytes()
    files.commit(topic.with_events(topic.put(job(9))))
    path.write_bytes(before)
    assert not started(tmp_path / "data").is_as_committed


def test_a_kill_at_every_call(tmp_path: Path) -> None:
    """What a kill leaves is not an edit, before and after the start that finishes the batch."""
    for number in range(100):
        folder = tmp_path / f"{number}"
        files, topic = lived(folder)
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, folder).kill_at(number)
            try:
                finish(files, topic)
            except Killed:
                is_over = False
            else:
                is_over = True
        assert [started(folder).is_as_committed for _ in range(2)] == [True, True]
        if is_over:
            assert number > 10
            return
    raise AssertionError("the batch never ended")


def test_an_unfinished_batch_undone_by_hand(tmp_path: Path) -> None:
    """Once a start has finished it, the files may not be as before any more."""
    files, topic = lived(tmp_path / "data")
    path = tmp_path / "data" / "jobs.json"
    before = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileChecksums, "end_batch", lambda checksums, after: None)
        patch.setattr(JsonFileJournal, "mark", lambda journal: None)
        files.commit(topic.with_events(topic.put(job(9))))
    assert started(tmp_path / "data").is_as_committed
    path.write_bytes(before)
    assert not started(tmp_path / "data").is_as_committed


def test_an_edit_of_an_unfinished_batch(tmp_path: Path) -> None:
    """The start that finishes a batch does not take an edit for its work."""
    files, topic = lived(tmp_path / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JsonFileJournal, "mark", lambda journal: None)
        finish(files, topic)
    path = tmp_path / "data" / "workers.json"
    path.write_text(ujson.dumps(ujson.loads(path.read_bytes())[1:]))
    assert [started(tmp_path / "data").is_as_committed for _ in range(2)] == [False, False]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"jobs.json":5}', b"\0" * 40])
def test_checksums_that_are_damaged(content: bytes, tmp_path: Path) -> None:
    """Then the files count as edited."""
    files, _ = lived(tmp_path / "data")
    files.close()
    (tmp_path / "data" / FOLDER / CHECKSUMS_NAME).write_bytes(content)
    assert not started(tmp_path / "data").is_as_committed


def test_a_disk_that_takes_none(tmp_path: Path) -> None:
    """Nothing fails, and the files count as edited."""
    files, topic = lived(tmp_path / "data")
    path = tmp_path / "data" / FOLDER / CHECKSUMS_NAME
    path.unlink()
    path.mkdir()
    finish(files, topic)
    assert not started(tmp_path / "data").is_as_committed


def test_two_while_a_batch_is_written(tmp_path: Path) -> None:
    """The file may be as before or as after, and then only as after."""
    (tmp_path / FOLDER).mkdir()
    path, after = tmp_path / "jobs.json", {"jobs.json": zlib.crc32(b"new")}
    path.write_bytes(b"old")
    checksums = FileChecksums(tmp_path, ["jobs.json"])
    checksums.renew()
    found = []
    for act in (checksums.begin_batch, checksums.end_batch):
        act(after)
        for content in (b"old", b"new", b"other"):
            path.write_bytes(content)
            found.append(FileChecksums(tmp_path, ["jobs.json"]).match())
    assert found == [True, True, False, False, True, False]
