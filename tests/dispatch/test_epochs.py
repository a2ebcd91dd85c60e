"""Numbers of events and epochs over restarts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.storage.event_log import Epoch, Question, is_good
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


@pytest.mark.parametrize("backend", FILES, ids=lambda each: each.name)
async def test_numbers_go_on_without_a_segment(backend: Backend, tmp_path: Path) -> None:
    """None is given again where the segment that had the last ones is lost."""
    await lived(backend, tmp_path, 3)
    for path in (tmp_path / FOLDER).glob("segment-*"):
        path.unlink()
    _, number = await lived(backend, tmp_path, 2)
    assert number == 5


async def test_an_epoch_that_cannot_be_written(tmp_path: Path) -> None:
    """A start whose epoch is not durable is refused: its cursors would be taken for others."""
    (tmp_path / FOLDER).write_text("mine")
    with pytest.raises(StorageFailed, match="nothing can be written"):
        await lived(both(Mode.CACHED_JSON_FILE), tmp_path, 1)


@pytest.mark.parametrize("name", ["jobs.json", "workers.json"])
@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
async def test_files_edited_meanwhile(mode: Mode, name: str, tmp_path: Path) -> None:
    """After an edit that no event tells of, no older cursor is good, also in later runs."""
    ends = [await lived(both(mode), tmp_path, 1) for _ in range(2)]
    assert is_good(await epochs_at_start(both(mode), tmp_path), *ends[0])
    edit(tmp_path, name)
    ends.append(await lived(both(mode), tmp_path, 1))
    epochs = await epochs_at_start(both(mode), tmp_path)
    assert [is_good(epochs, *end) for end in ends] == [False, False, True]


def edit(folder: Path, name: str) -> None:
    """Edit a file after all others were written."""
    path = folder / name
    path.write_text(path.read_text() + " " if path.exists() else "[]")
    edited_ns = (folder / "dispatch.json").stat().st_mtime_ns + 1
    os.utime(path, ns=(edited_ns, edited_ns))


async def epochs_at_start(backend: Backend, folder: Path) -> Sequence[Epoch]:
    """Return the epochs by which a start would check the cursors of pages."""
    async with opened(backend, folder) as store:
        dispatcher = Dispatcher(store, FakeNetwork(), EventBus(), FakeClock())
        await dispatcher.load()
        epochs = dispatcher.snapshot().earlier.epochs
        await dispatcher.stop(0.0)
    return epochs


async def test_a_log_in_memory() -> None:
    """It does not know what other processes did, so no older cursor is good."""
    async with running_world() as world:
        await world.dispatcher.stand_by()
        await world.dispatcher.load()
        assert not world.dispatcher.snapshot().earlier.epochs
