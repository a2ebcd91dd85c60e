"""The data folder disappears under a running dispatcher: nothing more is acknowledged."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore
from sanic_dispatch.storage.data_folder import LOCK, DataFolder
from sanic_dispatch.storage.open_store import claimed
from sanic_dispatch.storage.store import Store
from tests.storage.samples import Topic, both, job

MODES = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE]
DATABASE = "dispatch.sqlite3"


class Bench:
    """A store on a claimed folder, with a job in it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.topic = Topic()

    async def commit(self, number: int) -> None:
        """Store another job."""
        batch = self.topic.with_events(self.topic.put(job(number)))
        await self.store.commit(batch)
        self.topic.apply(batch)


@pytest.fixture
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """The store of each mode; closing it may fail, without losing anything."""
    folder = tmp_path / "data"
    folder.mkdir()
    with claimed(both(request.param).settings(folder)):
        bench = Bench(both(request.param).store(folder), folder)
        await bench.store.load()
        await bench.commit(1)
        yield bench
        with suppress(StorageFailed):
            await bench.store.close()


def renamed(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


def another(folder: Path) -> None:
    renamed(folder)
    folder.mkdir()


def another_dispatchers(folder: Path) -> None:
    another(folder)
    DataFolder(folder).claim()


def unlocked(folder: Path) -> None:
    (folder / LOCK).unlink()


def a_copy(folder: Path) -> None:
    renamed(folder)
    shutil.copytree(folder.with_name("elsewhere"), folder)


async def stores_nothing(bench: Bench) -> None:
    """Check that commits and ``try_writing`` are refused."""
    with pytest.raises(StorageFailed, match="taken away or replaced"):
        await bench.commit(2)
    with pytest.raises(StorageFailed, match="taken away or replaced"):
        await bench.store.try_writing()


@pytest.mark.parametrize("bench", MODES, indirect=True, ids=str)
@pytest.mark.parametrize(
    "happens", [renamed, removed, another, another_dispatchers, unlocked, a_copy]
)
async def test_the_folder_goes_away(bench: Bench, happens: Callable[[Path], None]) -> None:
    """Changes that a restart would not find are not acknowledged, and a new folder of that name is
    not written to, since it may be another dispatcher's; also at the stop."""
    happens(bench.folder)
    before = contents(bench.folder)
    await stores_nothing(bench)
    if happens is not unlocked:  # then its files are its own
        with suppress(StorageFailed):
            await bench.store.close()
    assert contents(bench.folder) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("bench", [Mode.SQLITE], indirect=True, ids=str)
@pytest.mark.parametrize("name", [DATABASE, f"{DATABASE}-wal"])
async def test_the_database_goes_away(bench: Bench, name: str) -> None:
    """A removed file still accepts writes, and loses them when it is closed."""
    (bench.folder / name).unlink()
    await stores_nothing(bench)


@pytest.mark.parametrize("bench", MODES, indirect=True, ids=str)
async def test_the_folder_comes_back(bench: Bench, request: pytest.FixtureRequest) -> None:
    """A folder that is back in its place is written to again."""
    renamed(bench.folder)
    await stores_nothing(bench)
    bench.folder.with_name("elsewhere").rename(bench.folder)
    await bench.commit(3)
    await bench.store.close()
    found = await both(request.node.callspec.params["bench"]).store(bench.folder).load()
    assert [job.ticket for job in found.jobs] == [1, 3]


@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_the_working_folder_is_renamed(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``.``, the default, means the folder that it was at the start."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(folder)
    bench = Bench(both(mode).store(Path()), folder)
    await bench.store.load()
    await bench.commit(1)
    another(folder)
    await stores_nothing(bench)
    assert contents(folder) == {}
    with suppress(StorageFailed):
        await bench.store.close()


@pytest.mark.parametrize("bench", [Mode.CACHED_JSON_FILE], indirect=True, ids=str)
async def test_the_journal_goes_away(bench: Bench) -> None:
    """A removed journal still accepts writes, and would lose them."""
    (bench.folder / "dispatch.journal-1").unlink()
    await stores_nothing(bench)


@pytest.mark.parametrize("bench", [Mode.CACHED_JSON_FILE], indirect=True, ids=str)
async def test_nothing_is_written_to_another_folder(bench: Bench) -> None:
    """Neither by a checkpoint nor by a clean stop."""
    another(bench.folder)
    assert isinstance(bench.store, CachedJsonFileStore)
    with pytest.raises(StorageFailed, match="taken away or replaced"):
        await bench.store.checkpoint()
    with pytest.raises(StorageFailed, match="taken away or replaced"):
        await bench.store.close()
    assert contents(bench.folder) == {}
