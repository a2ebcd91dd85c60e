"""JsonFile notices edits of its files between two batches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import ujson

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.store import Batch, EditedMeanwhile, Store
from tests.storage.samples import (
    AT,
    Backend,
    Topic,
    both,
    done,
    held,
    job,
    load_once,
    opened,
    worker,
)
from tests.support.disk_faults import Disk

MODES = [
    both(Mode.JSON_FILE),
    Backend(Mode.JSON_FILE, Mode.SQLITE),
    Backend(Mode.SQLITE, Mode.JSON_FILE),
    Backend(Mode.CACHED_JSON_FILE, Mode.JSON_FILE),
    Backend(Mode.JSON_FILE, Mode.CACHED_JSON_FILE),
]


class Bench:
    """A store with three jobs and two workers, and its files."""

    def __init__(self, backend: Backend, store: Store, folder: Path) -> None:
        self.backend = backend
        self.store = store
        self.folder = folder
        self.topic = Topic()
        self.name = "jobs.json" if backend.jobs is Mode.JSON_FILE else "workers.json"
        """The file whose edits are noticed."""

    async def commit(self, batch: Batch) -> None:
        await self.store.commit(batch)
        self.topic.apply(batch)

    def read(self, name: str = "") -> list[Any]:
        entries: list[Any] = ujson.loads((self.folder / (name or self.name)).read_bytes())
        return entries

    def write(self, entries: list[Any], name: str = "") -> None:
        (self.folder / (name or self.name)).write_text(ujson.dumps(entries))

    def entry(self, name: str) -> dict[str, Any]:
        """Return an entry to add by hand."""
        if self.name == "workers.json":
            return {"callback_url": name, "registered_at": AT}
        return {"id": name, "data": {"from": "outside"}, "submitted_at": AT}

    def read_ids(self) -> list[str]:
        return [each.get("id") or each["callback_url"] for each in self.read()]

    async def edit_ids(self) -> list[str] | None:
        """Return the ids of the edit that ``refresh`` finds, in order."""
        edit = await self.store.refresh()
        if edit is None:
            return None
        records = edit.jobs if self.name == "jobs.json" else edit.workers
        assert records is not None
        return [record.id for record in records]


@pytest.fixture(params=MODES, ids=lambda backend: backend.name)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Every mode that notices edits."""
    async with opened(request.param, tmp_path) as store:
        await store.load()
        bench = Bench(request.param, store, tmp_path)
        records = [*map(job, (1, 2, 3)), *map(worker, (1, 2))]
        await bench.commit(bench.topic.put(*records))
        yield bench


async def test_no_edit(bench: Bench) -> None:
    """Our own writes, and a rewrite with the same content, are not edits."""
    assert await bench.store.refresh() is None
    path = bench.folder / bench.name
    path.write_bytes(path.read_bytes())
    assert await bench.store.refresh() is None
    await bench.commit(bench.topic.put(job(4), worker(3)))
    assert await bench.store.refresh() is None


async def test_an_edit_is_read_in_its_order(bench: Bench) -> None:
    """Entries that were added, moved and removed are in the order of the file."""
    first, *others = bench.read()
    bench.write([*others[::-1], bench.entry("x")])
    expected = [*bench.read_ids()]
    assert expected[-1] == "x"
    assert await bench.edit_ids() == expected
    assert first


async def test_an_edit_is_returned_until_it_is_committed(bench: Bench) -> None:
    """If the batch after an edit fails the edit is read again; after an empty batch it is over,
    and the file has what is committed."""
    ids = bench.read_ids()
    bench.write([*bench.read(), bench.entry("x")])
    for _ in range(2):
        assert await bench.edit_ids() == [*ids, "x"]
    await bench.commit(bench.topic.put())
    assert await bench.store.refresh() is None
    assert bench.read_ids() == ids


async def test_an_edit_that_was_not_read_is_not_overwritten(bench: Bench) -> None:
    """Neither that file nor the other one is written."""
    bench.write([*bench.read(), bench.entry("x")])
    before = {path: path.read_bytes() for path in bench.folder.glob("*.json")}
    batch = bench.topic.put(done(job(1)), job(9), worker(9))
    with pytest.raises(EditedMeanwhile):
        await bench.store.commit(batch)
    assert {path: path.read_bytes() for path in bench.folder.glob("*.json")} == before
    assert (await bench.edit_ids() or [])[-1] == "x"
    await bench.commit(batch)
    await bench.store.close()
    assert bench.read_ids() == [r for r in bench.read_ids() if r != "x"]


async def test_an_edit_is_applied(bench: Bench) -> None:
    """After its batch the file has what the state machine made of the edit."""
    bench.write([bench.entry("http://x/"), *bench.read()])
    edit = await bench.store.refresh()
    assert edit is not None
    added = (edit.jobs or edit.workers or [None])[0]
    assert added is not None
    if edit.jobs is not None:
        added = job(4)._replace(id=added.id, data=edit.jobs[0].data, place=0.5)
    else:
        added = added._replace(place=0.5)
    await bench.commit(bench.topic.put(added))
    assert bench.read_ids()[0] == "http://x/"
    assert await bench.store.refresh() is None


async def test_kept_entries_are_written_again(bench: Bench) -> None:
    """An entry that was removed from the file, and kept by us, is there after the next batch."""
    await bench.commit(bench.topic.put(held(job(1), worker(1)), worker(1).refused("503", 1.0, "")))
    content = (bench.folder / bench.name).read_bytes()
    bench.write([])
    assert await bench.edit_ids() == []
    await bench.commit(bench.topic.put())
    assert (bench.folder / bench.name).read_bytes() == content


async def test_a_deleted_file_is_an_empty_one(bench: Bench) -> None:
    """Deleting the file empties the queue."""
    (bench.folder / bench.name).unlink()
    assert await bench.edit_ids() == []


async def test_an_edit_that_cannot_be_read(bench: Bench) -> None:
    """While the file is damaged nothing is committed and it stays; once repaired, it is applied."""
    path = bench.folder / bench.name
    good = path.read_bytes()
    path.write_bytes(good[:-3])
    for _ in range(2):
        with pytest.raises(StorageFailed, match=rf"{bench.name}.* at byte "):
            await bench.store.refresh()
        with pytest.raises(EditedMeanwhile):
            await bench.store.commit(bench.topic.put(job(9), worker(9)))
    assert path.read_bytes() == good[:-3]
    path.write_bytes(good)
    assert await bench.store.refresh() is None
    await bench.commit(bench.topic.put(job(10), worker(10)))


async def test_a_folder_in_place_of_the_file(bench: Bench) -> None:
    """Each batch is refused."""
    (bench.folder / bench.name).unlink()
    (bench.folder / bench.name).mkdir()
    with pytest.raises(StorageFailed, match="no regular file"):
        await bench.store.refresh()
    with pytest.raises(StorageFailed, match="no regular file"):
        await bench.store.commit(bench.topic.put(job(9)))


async def test_a_failed_write_keeps_an_edit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit whose batch could not be written is still in the file."""
    bench.write([*bench.read(), bench.entry("x")])
    edited = (bench.folder / bench.name).read_bytes()
    assert (await bench.edit_ids() or [])[-1] == "x"
    with monkeypatch.context() as patch:
        Disk(patch, bench.folder).fill()
        with pytest.raises((StorageFailed, OutcomeUnknown)):
            await bench.store.commit(bench.topic.put(job(9), worker(9)))
    assert (bench.folder / bench.name).read_bytes() == edited
    if bench.backend.jobs is Mode.JSON_FILE:
        assert (await bench.edit_ids() or [])[-1] == "x"


async def test_cached_json_file_ignores_edits(tmp_path: Path) -> None:
    """In CachedJsonFile an edit is overwritten, and no record is lost by that."""
    topic = Topic()
    async with opened(both(Mode.CACHED_JSON_FILE), tmp_path) as store:
        await store.load()
        await store.commit(topic.apply(topic.put(job(1), worker(1))))
        (tmp_path / "jobs.json").write_text("null")
        assert await store.refresh() is None
        await store.commit(topic.apply(topic.put(job(2))))
    assert await load_once(both(Mode.CACHED_JSON_FILE), tmp_path) == topic.stored()
