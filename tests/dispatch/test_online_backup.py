"""Online backups: one at a time, and called off with their caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.dispatch.online_backup import OnlineBackup
from sanic_dispatch.errors import BackupUnderWay, FolderRefused, ShuttingDown, StorageFailed
from sanic_dispatch.storage.backup import Backup
from sanic_dispatch.storage.event_log import is_good
from tests.storage.samples import FILES, both, settings_of
from tests.support.backup_gate import BackupGate
from tests.support.disk_faults import Disk
from tests.support.server import eventually
from tests.support.world import World, running_world


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> BackupGate:
    return BackupGate(monkeypatch)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A dispatcher with an order."""
    (tmp_path / "data").mkdir()
    settings = Settings.of(Mode.CACHED_JSON_FILE, data_dir=tmp_path / "data", fsync=False)
    async with running_world(settings) as world:
        await world.submit(1)
        yield world


async def begun(backup: OnlineBackup, gate: BackupGate, folder: Path) -> asyncio.Task[Backup]:
    """Begin a backup, and return once it is at the gate."""
    making = asyncio.create_task(backup.make(folder))
    await gate.reached()
    return making


async def is_over(backup: OnlineBackup) -> bool:
    return backup._making is None


def of(world: World) -> OnlineBackup:
    return OnlineBackup(world.dispatcher, world.store, world.bus.catch_up, ())


async def test_orders_go_on(world: World, gate: BackupGate, tmp_path: Path) -> None:
    """They are accepted meanwhile; the backup has those from before."""
    making = await begun(of(world), gate, tmp_path / "copy")
    await world.submit(2)
    gate.open()
    assert (await making)[:3] == (1, 0, 1)
    assert b'"data":1' in (tmp_path / "copy/jobs.json").read_bytes()
    assert b'"data":2' not in (tmp_path / "copy/jobs.json").read_bytes()


async def test_one_at_a_time(world: World, gate: BackupGate, tmp_path: Path) -> None:
    """A second one is refused until the first is whole."""
    backup = of(world)
    making = await begun(backup, gate, tmp_path / "copy")
    with pytest.raises(BackupUnderWay):
        await backup.make(tmp_path / "other")
    gate.open()
    await making
    await backup.make(tmp_path / "other")


async def test_a_caller_that_is_gone(world: World, gate: BackupGate, tmp_path: Path) -> None:
    """Nothing is left of the backup, and another one can be made."""
    backup = of(world)
    making = await begun(backup, gate, tmp_path / "copy")
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    with pytest.raises(BackupUnderWay):
        await backup.make(tmp_path / "copy")
    gate.open()
    await eventually(lambda: is_over(backup))
    assert not (tmp_path / "copy").exists()
    await backup.make(tmp_path / "copy")


async def test_a_stop(world: World, gate: BackupGate, tmp_path: Path) -> None:
    """The service does not wait for a backup, and leaves nothing of it."""
    backup = of(world)
    making = await begun(backup, gate, tmp_path / "copy")
    closing = asyncio.create_task(backup.close())
    await asyncio.sleep(0)
    gate.open()
    await closing
    with pytest.raises(ShuttingDown):
        await making
    assert not (tmp_path / "copy").exists()


async def test_failures(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused folder and a full disk say why; then a backup can be made."""
    backup = of(world)
    with pytest.raises(FolderRefused, match="parent"):
        await backup.make(tmp_path / "none/copy")
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path / "copy").fill()
        with pytest.raises(StorageFailed, match="could not be written: .* No space left"):
            await backup.make(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    await backup.make(tmp_path / "copy")


@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_pages_over_a_restored_backup(mode: Mode, tmp_path: Path) -> None:
    """Their cursors are not good any more, in any mode: they get the state."""
    copy = tmp_path / "copy"
    async with running_world(settings_of(mode, tmp_path / "data")) as world:
        await world.submit(1)
        await of(world).make(copy)
        seen = (world.bus.epoch, world.bus.number)
    served = mode if both(mode) in FILES else Mode.CACHED_JSON_FILE
    async with running_world(settings_of(served, copy)) as world:
        assert world.bus.number == seen[1]
        assert not is_good(world.dispatcher.snapshot().earlier.epochs, *seen)


async def test_before_the_start(world: World, tmp_path: Path) -> None:
    """Without the records there is nothing to back up."""
    await world.dispatcher.stand_by()
    with pytest.raises(ShuttingDown):
        await of(world).make(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
