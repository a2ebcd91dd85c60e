"""The data folder goes away under a running dispatcher: nothing more is acknowledged."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.queues.folder import LOCK, DataFolder
from sanic_dispatch.settings import Mode
from tests.queues.kit import Bench, both, ids, job

MODES = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE]
DATABASE = "dispatch.sqlite3"


@pytest.fixture
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A folder that is claimed, as by a dispatcher that runs, with a job in it."""
    folder = tmp_path / "data"
    folder.mkdir()
    claimed = DataFolder(folder)
    claimed.claim()
    bench = Bench(both(request.param), folder)
    await bench.open()
    await bench.pairs.jobs.enqueue(job(1))
    yield bench
    await bench.close()
    claimed.release()


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
    """A change is refused, and the trial that readiness makes too."""
    with pytest.raises(StorageFailed, match="taken away or replaced"):
        await bench.pairs.jobs.enqueue(job(2))
    with pytest.raises(StorageFailed, match="taken away or replaced"):
        await bench.pairs.try_writing()


@pytest.mark.parametrize("bench", MODES, indirect=True, ids=str)
@pytest.mark.parametrize(
    "happens", [renamed, removed, another, another_dispatchers, unlocked, a_copy]
)
async def test_the_folder_goes_away(bench: Bench, happens: Callable[[Path], None]) -> None:
    """What would not be there after a restart is not acknowledged, and no other folder of that
    name is written to: it may be another dispatcher's."""
    happens(bench.folder)
    before = contents(bench.folder)
    await stores_nothing(bench)
    assert contents(bench.folder) == before


def contents(folder: Path) -> dict[str, bytes]:
    paths = folder.iterdir() if folder.exists() else ()
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.parametrize("bench", [Mode.SQLITE], indirect=True, ids=str)
@pytest.mark.parametrize("name", [DATABASE, f"{DATABASE}-wal"])
async def test_the_database_goes_away(bench: Bench, name: str) -> None:
    """A removed file still takes what is written to it, and loses it when it is closed."""
    (bench.folder / name).unlink()
    await stores_nothing(bench)


@pytest.mark.parametrize("bench", MODES, indirect=True, ids=str)
async def test_the_folder_comes_back(bench: Bench) -> None:
    """A folder that is back in its place is written to again."""
    renamed(bench.folder)
    await stores_nothing(bench)
    bench.folder.with_name("elsewhere").rename(bench.folder)
    await bench.pairs.jobs.enqueue(job(3))
    assert await ids(bench.pairs.jobs) == [job(1).id, job(3).id]


@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_the_working_folder_is_renamed(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``.``, the default, means the folder that it was at the start."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(folder)
    bench = Bench(both(mode), Path())
    await bench.open()
    await bench.pairs.jobs.enqueue(job(1))
    another(folder)
    await stores_nothing(bench)
    assert contents(folder) == {}
    await bench.close()
