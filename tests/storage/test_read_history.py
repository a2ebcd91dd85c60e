"""The event log of a folder, read without a trace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sanic_dispatch.errors import DataFolderInUse, DataFolderUnusable, NoHistory, NotAQueue
from sanic_dispatch.storage.data_folder import INCOMPLETE_BACKUP, LOCK, DataFolder
from sanic_dispatch.storage.read_history import history_left_alone
from sanic_dispatch.storage.segment_format import FOLDER
from sanic_dispatch.storage.snapshots import SnapshotFiles, SnapshotRef
from sanic_dispatch.storage.sqlite import DATABASE_NAME, SqliteFile
from tests.storage.samples import Topic, done, job
from tests.support.bar_evening import Bar, BarEvening


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    BarEvening(Bar(orders=5)).write(tmp_path)
    return tmp_path


def test_it_is_read_without_a_trace(folder: Path) -> None:
    """Neither a lock nor an index is written."""
    for index in folder.rglob("*.index"):
        index.unlink()
    before = sorted(folder.rglob("*"))
    with history_left_alone(folder) as log:
        assert log.last_number > 20
        assert len(list(log.scan())) == log.last_number
    assert sorted(folder.rglob("*")) == before


def test_snapshots_are_not_copied(folder: Path) -> None:
    """They may be as long as all segments, which are not copied either."""
    SnapshotFiles(folder / FOLDER).put(SnapshotRef(7, 7), b"the monitor")
    with history_left_alone(folder) as log:
        assert log.last_number > 20
        assert log.snapshots.refs() == []


def test_the_newest_events_of_a_database_have_their_data(tmp_path: Path) -> None:
    """They are in its table only, as after a kill and in a backup."""
    file, topic = SqliteFile(tmp_path / DATABASE_NAME, fsync=False), Topic()
    file.load()
    file.commit(topic.with_events(topic.apply(topic.put(job(1, b'"mojito"')))))
    file.commit(topic.with_events(topic.apply(topic.put(done(job(1, b'"mojito"'), result=b"7")))))
    shutil.copytree(tmp_path, tmp_path / "copy")
    file.close()
    with history_left_alone(tmp_path / "copy") as log:
        assert [each.json for each in log.payloads()] == [b'"mojito"', b"7"]
        assert [each.n for each in log.scan()] == [1, 2]


def test_no_dispatcher_starts_meanwhile(folder: Path) -> None:
    """It would change what is read; and while one runs nothing is read."""
    (folder / LOCK).touch()
    with history_left_alone(folder), pytest.raises(DataFolderInUse):
        DataFolder(folder).claim()
    owner = DataFolder(folder)
    owner.claim()
    with pytest.raises(DataFolderInUse, match=str(folder)), history_left_alone(folder):
        pass
    owner.release()


def test_errors_name_the_folder_itself(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And not the copy that is read."""
    (folder / "dispatch.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(NotAQueue, match=f"^{folder}/"), history_left_alone(folder):
        pass
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(NoHistory, match=f"{empty} holds no history"), history_left_alone(empty):
        pass
    (empty / INCOMPLETE_BACKUP).touch()
    with pytest.raises(DataFolderUnusable, match=f"{empty}: the backup"), history_left_alone(empty):
        pass
    with pytest.raises(DataFolderUnusable, match="none"), history_left_alone(empty / "none"):
        pass
