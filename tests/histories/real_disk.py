"""Histories on the real CachedJsonFile, with crashes between its writes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.storage.blocking import OneThread
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore, JournaledFiles
from sanic_dispatch.storage.checkpoint import CheckpointFiles
from sanic_dispatch.storage.data_folder import LOCK
from sanic_dispatch.storage.store import Store, Stored
from tests.histories.simulation import OpenStore, Simulation

CRASHES = 0.15
"""The chance of a crash before each file of a checkpoint is replaced."""


ERASES = 0.5
"""The chance that a start erases data at once."""


class RealStore(CachedJsonFileStore):
    """The journaled files as one life of the dispatcher sees them."""

    erases_at_start = False

    async def load(self) -> Stored:
        stored = await super().load()
        if self.erases_at_start:
            self._erasing = asyncio.create_task(self._erase_somebody())
        return stored

    async def _erase_somebody(self) -> None:
        """Erase as if a job was forgotten in an earlier life; none has this name."""
        with suppress(StorageFailed):
            await self.erase([JobRef(0, "somebody")])

    def crash(self) -> None:
        """The process dies: nothing more is written, and its files are closed."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for journal in (self._files._journal, self._files._spare):
            if journal is not None:
                journal.close()


def in_folder(folder: Path) -> OpenStore:
    """Open the files of a folder, without syncs, since only the process dies."""
    (folder / LOCK).touch()

    def open_store(run: Simulation) -> Store:
        run.loop.thread_s = lambda: run.dice.choice((0.0, 0.001, 0.01))
        store = RealStore(folder, fsync=False, quiet_s=run.dice.choice((0.01, 0.3)))
        store.erases_at_start = run.dice.random() < ERASES
        return store

    return open_store


@contextmanager
def crashes_between_writes(
    dice: random.Random, current: Callable[[], Simulation]
) -> Iterator[None]:
    """Run threads on virtual time, and let the process die between two files of a checkpoint."""
    replace = CheckpointFiles._replace

    async def run(_: OneThread, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, call, *args)

    def crash_or_replace(self: CheckpointFiles, *args: Any) -> None:
        simulation = current()
        if simulation.has_trouble and dice.random() < CRASHES:
            simulation.kill()
            raise OSError("the process has died")
        replace(self, *args)

    with (
        mock.patch.object(OneThread, "run", run),
        mock.patch.object(CheckpointFiles, "_replace", crash_or_replace),
        mock.patch("time.sleep"),
    ):
        yield


@contextmanager
def journal_unlinked_before_its_checkpoint() -> Iterator[None]:
    """Mutant: journals are removed before the files have their content."""
    write = JournaledFiles.write_checkpoint

    def unlink_and_write(self: JournaledFiles, snapshot: Any, journal: int, *rest: Any) -> None:
        self._remove_journals(journal)
        write(self, snapshot, journal, *rest)

    with mock.patch.object(JournaledFiles, "write_checkpoint", unlink_and_write):
        yield
