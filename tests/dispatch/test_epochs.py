"""Numbers of events and epochs over restarts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore
from sanic_dispatch.storage.event_log import Question, is_good
from sanic_dispatch.storage.segment_format import FOLDER
from tests.storage.samples import FILES, Backend, both, opened
from tests.support.clock import FakeClock
from tests.support.network import FakeNetwork
from tests.support.world import running_world


async def lived(backend: Backend, folder: Path, orders: int) -> tuple[str, int]:
    """Run a dispatcher for some orders; return its epoch, and its last number."""
    bus, clock = EventBus(), FakeClock()
    async with opened(backend, folder) as store:
        dispatcher = Dispatcher(store, FakeNetwork(), bus, clock)
        await dispatcher.load()
        await dispatcher.start()
        for number in range(orders):
            await dispatcher.submit(b"%d" % number)
        await dispatcher.stop(0.0)
    return bus.epoch, bus.number


@pytest.mark.parametrize("backend", [*FILES, both(Mode.REDIS)], ids=lambda each: each.name)
async def test_numbers_go_on(backend: Backend, tmp_path: Path) -> None:
    """Each run has an epoch of its own, and its events follow those of the run before."""
    ends = [await lived(backend, tmp_path, orders) for orders in (2, 0, 3)]
    assert [number for _, number in ends] == [2, 2, 5]
    async with opened(backend, tmp_path) as store:
        await store.load()
        epochs = list(store.history.epochs)
        assert [epoch.name for epoch in epochs] == [name for name, _ in ends]
        assert [epoch.first_n for epoch in epochs] == [1, 3, 3]
        assert [event.n for event in store.history.find(Question()).events] == [1, 2, 3, 4, 5]
    assert is_good(epochs, ends[0][0], 2)
    assert not is_good(epochs, ends[0][0], 3)


async def test_an_epoch_that_cannot_be_written(tmp_path: Path) -> None:
    """A start whose epoch is not durable is refused: its cursors would be taken for others."""
    (tmp_path / FOLDER).write_text("mine")
    with pytest.raises(StorageFailed, match="nothing can be written"):
        await lived(both(Mode.CACHED_JSON_FILE), tmp_path, 1)


@pytest.mark.parametrize("name", ["jobs.json", "workers.json"])
async def test_files_edited_meanwhile(tmp_path: Path, name: str) -> None:
    """After an edit that no event tells of, no older cursor is good."""
    for edits in (False, True):
        await lived(both(Mode.CACHED_JSON_FILE), tmp_path, 1)
        if edits:
            edited_ns = (tmp_path / "dispatch.json").stat().st_mtime_ns + 1
            if not (tmp_path / name).exists():
                (tmp_path / name).write_text("[]")
            os.utime(tmp_path / name, ns=(edited_ns, edited_ns))
        store = CachedJsonFileStore(tmp_path, fsync=False)
        dispatcher = Dispatcher(store, FakeNetwork(), EventBus(), FakeClock())
        await dispatcher.load()
        assert bool(dispatcher.snapshot().earlier.epochs) is not edits
        await dispatcher.stop(0.0)
        await store.close()


async def test_a_log_in_memory() -> None:
    """It does not know what other processes did, so no older cursor is good."""
    async with running_world() as world:
        await world.dispatcher.stand_by()
        await world.dispatcher.load()
        assert not world.dispatcher.snapshot().earlier.epochs
