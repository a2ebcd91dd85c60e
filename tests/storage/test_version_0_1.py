"""Data folders of version 0.1 are migrated: nothing is lost, and the order is kept."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.storage.check import inspect
from sanic_dispatch.storage.export_format import Content, Reader, lines_of, renumber_workers
from sanic_dispatch.storage.export_import import read_contents, write_contents
from sanic_dispatch.storage.record_json import order_of
from sanic_dispatch.storage.store import Stored
from tests.storage.samples import Topic, both, job, opened, worker

DATA = Path(__file__).parent / "data" / "0.1"
DURABLE = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE]
FOLDERS = sorted(path.name for path in DATA.iterdir() if path.is_dir())
PLACES = [
    (name, mode)
    for name in FOLDERS
    for mode in DURABLE
    if (mode is Mode.SQLITE) is name.startswith("Sqlite")
]


def expected(name: str) -> Content:
    """Return what version 0.1 exported from this folder."""
    reader = Reader()
    for line in (DATA / f"{name}.jsonl").read_bytes().splitlines(keepends=True):
        reader.take(line)
    return reader.content()


def content_of(stored: Stored) -> Content:
    """Return what was loaded, in the form of an export."""
    return Content(
        sorted(stored.facts, key=lambda fact: fact.id),
        renumber_workers(stored.workers),
        [job for job in stored.jobs if not job.state.is_final],
        sorted([job for job in stored.jobs if job.state.is_final], key=order_of),
    )


@pytest.fixture
def folder(tmp_path: Path, name: str) -> Path:
    """A copy of each folder."""
    return Path(shutil.copytree(DATA / name, tmp_path / name))


def test_there_is_something_of_everything() -> None:
    """The data has every kind of record."""
    content = expected("CachedJsonFile-killed")
    stages = {job.hold.stage.value if job.hold else "" for job in content.jobs}
    assert stages == {"", "under way", "confirmed", "in doubt"}
    assert {job.state.value for job in content.finished} == {"done", "cancelled"}
    causes = {worker.aside.cause.value if worker.aside else "" for worker in content.workers}
    assert causes == {"", "refused", "operator"}
    assert content.jobs[0].place != content.jobs[0].ticket
    assert {fact.id: fact.value for fact in content.facts}["paused"] is True


@pytest.mark.parametrize(("name", "mode"), PLACES)
async def test_a_start_finds_everything(name: str, mode: Mode, folder: Path) -> None:
    """Each start loads what the old version exported."""
    topic = Topic()
    async with opened(both(mode), folder) as store:
        stored = await store.load()
        assert content_of(stored).jobs == expected(name).jobs
        assert content_of(stored).finished == expected(name).finished
        assert content_of(stored).workers == expected(name).workers
        for record in (*stored.jobs, *stored.workers, *stored.facts):
            topic.apply(topic.put(record))
        topic.restarted()
        await store.commit(topic.apply(topic.put(job(99), worker(99))))
    async with opened(both(mode), folder) as store:
        again = await store.load()
    assert content_of(again).jobs == [*expected(name).jobs, job(99)]
    assert len(again.workers) == len(stored.workers) + 1


@pytest.mark.parametrize("target", DURABLE, ids=str)
@pytest.mark.parametrize("name", FOLDERS)
async def test_it_moves_to_every_mode(name: str, target: Mode, folder: Path) -> None:
    """By export and import, from any mode."""
    source = Mode.SQLITE if name.startswith("Sqlite") else Mode.CACHED_JSON_FILE
    content = await read_contents(Settings.of(source, data_dir=folder, fsync=False))
    assert content == expected(name)
    moved = folder / "moved"
    moved.mkdir()
    settings = Settings.of(target, data_dir=moved, fsync=False)
    await write_contents(settings, content)
    assert await read_contents(settings) == content


@pytest.mark.parametrize("name", FOLDERS)
async def test_an_export_is_what_the_old_one_was(name: str, folder: Path) -> None:
    """Line by line, so that the old version can import it; finished jobs by their end."""
    source = Mode.SQLITE if name.startswith("Sqlite") else Mode.CACHED_JSON_FILE
    content = await read_contents(Settings.of(source, data_dir=folder, fsync=False))
    old = (DATA / f"{name}.jsonl").read_bytes()
    assert without_versions(b"".join(lines_of(content))) == without_versions(old)


def without_versions(export: bytes) -> list[bytes]:
    """Return the lines without the checksum and the versions that records of 0.1 had."""
    lines = [re.sub(rb',"version":\d+', b"", line) for line in export.splitlines()[:-1]]
    return [line for line in lines if b"finished" not in line[:20]] + sorted(
        line for line in lines if line.startswith(b'{"finished"')
    )


@pytest.mark.parametrize("name", FOLDERS)
def test_check_finds_it_whole(name: str, folder: Path) -> None:
    """check finds no damage, and changes nothing."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert inspect(folder).is_whole
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
