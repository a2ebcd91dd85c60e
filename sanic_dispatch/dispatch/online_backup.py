"""Online backups: copies of a topic that goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextvars import copy_context
from pathlib import Path

import structlog

from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import BackupUnderWay, ShuttingDown, StorageFailed
from sanic_dispatch.storage.backup import (
    Backup,
    BackupStopped,
    StoppablePace,
    incomplete,
    write_backup,
)
from sanic_dispatch.storage.checkpoint import Snapshot
from sanic_dispatch.storage.store import Store

_log = structlog.get_logger("sanic_dispatch.storage")


class OnlineBackup:
    """Makes backups, one at a time."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        store: Store,
        catch_up: Callable[[], None],
        data_dirs: Collection[Path],
    ) -> None:
        """``catch_up`` passes the events of this turn of the event loop to the event log.

        Nothing is written to the data folders ``data_dirs``.
        """
        self._dispatcher = dispatcher
        self._store = store
        self._catch_up = catch_up
        self._data_dirs = data_dirs
        self._context = copy_context()
        self._pace = StoppablePace()
        self._making: asyncio.Task[Backup] | None = None

    async def make(self, folder: Path) -> Backup:
        """Write a backup to a new or empty folder; return once it is whole and synced.

        It has everything that was acknowledged before this call. If the caller is cancelled, so is
        the backup. Raises BackupUnderWay, FolderRefused, StorageFailed, ShuttingDown or StandingBy.
        """
        self._dispatcher.check_started()
        if self._making is not None:
            raise BackupUnderWay
        self._pace = pace = StoppablePace()
        making = self._make(folder, pace)
        self._making = asyncio.create_task(making, context=self._context)
        self._making.add_done_callback(self._forget)
        try:
            return await asyncio.shield(self._making)
        except asyncio.CancelledError:
            pace.stop()
            raise

    async def close(self) -> None:
        """Call off a backup that is being made, and wait until nothing is written any more."""
        if self._making is not None:
            self._pace.stop()
            await asyncio.wait([self._making])

    async def _make(self, folder: Path, pace: StoppablePace) -> Backup:
        began_s = asyncio.get_running_loop().time()
        snapshot = await self._dispatcher.queries.everything()
        self._catch_up()
        try:
            made = await asyncio.to_thread(self._write, folder, snapshot, pace)
        except BackupStopped:
            raise ShuttingDown from None
        except (OSError, StorageFailed) as error:
            _log.warning("backup.failed", folder=str(folder), reason=str(error))
            raise StorageFailed(f"the backup could not be written: {error}") from error
        took_s = round(asyncio.get_running_loop().time() - began_s, 3)
        _log.info("backup.made", folder=str(folder), took_s=took_s, **made._asdict())
        return made

    def _write(self, folder: Path, snapshot: Snapshot, pace: StoppablePace) -> Backup:
        with incomplete(folder, self._data_dirs) as created:
            return write_backup(self._store, snapshot, created, pace)

    def _forget(self, _: asyncio.Task[Backup]) -> None:
        self._making = None
