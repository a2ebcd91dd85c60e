"""The data folder has to exist, be writable, and belong to one dispatcher only."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import DataFolderInUse, DataFolderUnusable, NotAQueue
from sanic_dispatch.storage.data_folder import DataFolder, make_topic_folder
from sanic_dispatch.storage.open_store import open_store
from sanic_dispatch.storage.store import Stored
from tests.support.redis import redis_values


def test_a_missing_folder(tmp_path: Path) -> None:
    """It is not created: a mistyped path would be an empty queue."""
    with pytest.raises(DataFolderUnusable, match="does not exist"):
        DataFolder(tmp_path / "data").claim()
    assert not (tmp_path / "data").exists()


def test_not_a_folder(tmp_path: Path) -> None:
    """A file in its place is refused."""
    (tmp_path / "data").touch()
    with pytest.raises(DataFolderUnusable, match="data: is no folder"):
        DataFolder(tmp_path / "data").claim()
    with pytest.raises(DataFolderUnusable, match="data: is no folder"):
        make_topic_folder(tmp_path / "data/topics/roof")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    """A folder without write permission is refused."""
    tmp_path.chmod(0o500)
    with pytest.raises(DataFolderUnusable, match="is not writable: Permission denied"):
        DataFolder(tmp_path).claim()
    tmp_path.chmod(0o700)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that is mounted read-only."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_read_only_disk(read_only: Path) -> None:
    """Permissions do not show it, so writing is tried, also as root."""
    with pytest.raises(DataFolderUnusable, match="is not writable: Read-only file system"):
        DataFolder(read_only).claim()


def test_only_new_files_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An existing lock file does not mean that files can be created."""

    def fails(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("sanic_dispatch.storage.data_folder.NamedTemporaryFile", fails)
    folder = DataFolder(tmp_path)
    with pytest.raises(DataFolderUnusable, match="Read-only"):
        folder.claim()
    monkeypatch.undo()
    DataFolder(tmp_path).claim()


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "left by a killed start"])
def test_a_topics_folder_is_synced(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is durable before anything in it is acknowledged."""
    folder = tmp_path / "topics" / "roof"
    if is_there:
        folder.mkdir(parents=True)
    synced: list[Path] = []
    monkeypatch.setattr("sanic_dispatch.storage.data_folder.fsync_folder", synced.append)
    make_topic_folder(folder)
    assert synced == [tmp_path, tmp_path / "topics"]
    assert folder.is_dir()


async def test_two_dispatchers(tmp_path: Path) -> None:
    """The second one is refused; once the first has ended it can start."""
    settings = Settings(data_dir=tmp_path)
    async with open_store(settings):
        with pytest.raises(DataFolderInUse, match="is used by another dispatcher"):
            async with open_store(settings):
                pass
    async with open_store(settings) as store:
        assert await store.load() == Stored([], [], [])


async def test_a_failed_start_releases_the_folder(tmp_path: Path) -> None:
    """The next start can use the folder."""
    settings = Settings(data_dir=tmp_path)
    (tmp_path / "jobs.json").write_text("null")
    for _ in range(2):
        with pytest.raises(NotAQueue, match=r"jobs\.json: is no JSON array"):
            async with open_store(settings) as store:
                await store.load()


async def test_nothing_durable_needs_no_folder(tmp_path: Path) -> None:
    """In memory only, the folder is neither checked nor written to."""
    settings = Settings.of(Mode.IN_MEMORY, data_dir=tmp_path / "missing")
    async with open_store(settings) as store:
        assert await store.load() == Stored()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode.is_durable], ids=str)
async def test_what_writes_only_the_history_needs_a_folder_too(mode: Mode, tmp_path: Path) -> None:
    """In Redis the events would find it missing hours after the start."""
    folder = tmp_path / "missing"
    settings = Settings.of(mode, data_dir=folder, **redis_values(mode, tmp_path))
    with pytest.raises(DataFolderUnusable, match="missing: does not exist"):
        async with open_store(settings):
            pass
    assert not folder.exists()


async def test_the_collector_goes_on(tmp_path: Path) -> None:
    """Garbage collection is on again after loading, also after a refused start."""
    settings = Settings(data_dir=tmp_path)
    async with open_store(settings) as store:
        await store.load()
        assert gc.isenabled()
    (tmp_path / "workers.json").write_text("null")
    with pytest.raises(NotAQueue):
        async with open_store(settings) as store:
            await store.load()
    assert gc.isenabled()
