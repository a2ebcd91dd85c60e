"""A look into a data folder without starting on it: what is there, and what is damaged.

Nothing is changed. A database is looked at in a copy, since reading it works its log in.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sanic_dispatch.errors import DataFolderUnusable, NotAQueue
from sanic_dispatch.job import Job, Stage, State
from sanic_dispatch.queues.folder import LOCK
from sanic_dispatch.queues.json_store import jobs_store, workers_store
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.sqlite import SqliteStore
from sanic_dispatch.queues.store import Shelf, Store
from sanic_dispatch.worker import Worker

DATABASE = "dispatch.sqlite3"


@dataclass(slots=True)
class Found:
    """One file: how many records of which kind, and what is wrong with it."""

    file: str
    counts: dict[str, int] = field(default_factory=dict)
    damage: str | None = None


@dataclass(slots=True)
class Inspection:
    """What is in a folder."""

    folder: Path
    in_use: bool
    """A dispatcher runs: what is said here can be of different moments."""
    files: list[Found] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    """Files with damaged entries that a repair has put there."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        return all(found.damage is None for found in self.files)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "folder": str(self.folder),
            "in_use": self.in_use,
            "whole": self.is_whole,
            "files": [
                {"file": found.file, **found.counts, "damage": found.damage} for found in self.files
            ],
            "set_aside": self.set_aside,
        }


def inspect(folder: Path) -> Inspection:
    """Look at every file that is there, whatever the mode. Raises DataFolderUnusable."""
    if not folder.is_dir():
        raise DataFolderUnusable(folder, "is no folder" if folder.exists() else "does not exist")
    inspection = Inspection(folder, is_in_use(folder))
    inspection.set_aside = sorted(path.name for path in folder.glob("*.json.damaged-*"))
    jobs = jobs_store(folder, rereads=False, fsync=False)
    workers = workers_store(folder, rereads=False, fsync=False)
    for name, store, shelves in (
        ("jobs.json", jobs, (Shelf.JOBS,)),
        ("workers.json", workers, (Shelf.WORKERS,)),
        ("dispatch.json", jobs, (Shelf.FACTS, Shelf.FINISHED)),
    ):
        if os.path.lexists(folder / name):
            inspection.files.append(_look(name, store, shelves))
    if os.path.lexists(folder / DATABASE):
        inspection.files.append(_look_at_database(folder, in_use=inspection.in_use))
    return inspection


def is_in_use(folder: Path) -> bool:
    """Whether a dispatcher owns the folder now."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _look(name: str, store: Store, shelves: Iterable[Shelf]) -> Found:
    found = Found(name)
    try:
        for shelf in shelves:
            found.counts |= _COUNT[shelf](store.load(shelf))
    except NotAQueue as error:
        found.damage = error.reason
    return found


def _look_at_database(folder: Path, *, in_use: bool) -> Found:
    """In a copy; while a dispatcher writes to it a copy would be torn."""
    if in_use:
        return Found(DATABASE)
    if not (folder / DATABASE).is_file():
        return Found(DATABASE, damage="is no regular file")
    with TemporaryDirectory(prefix="sanic-dispatch-") as copy:
        for path in folder.glob(f"{DATABASE}*"):
            shutil.copy(path, copy)
        store = SqliteStore(Path(copy) / DATABASE, fsync=False)
        try:
            return _look(DATABASE, store, Shelf)
        finally:
            store.close()


def _count_jobs(rows: list[Row]) -> dict[str, int]:
    """Those in doubt are assigned, and at the next start nobody knows who has them."""
    jobs: list[Job] = [row.record for row in rows]
    states = Counter(job.state for job in jobs)
    unsure = sum(bool(job.hold and job.hold.stage is not Stage.CONFIRMED) for job in jobs)
    return {
        "waiting": states[State.WAITING],
        "assigned": states[State.ASSIGNED],
        "in_doubt": unsure,
    }


def _count_workers(rows: list[Row]) -> dict[str, int]:
    workers: list[Worker] = [row.record for row in rows]
    aside = sum(worker.aside is not None for worker in workers)
    return {"workers": len(workers), "set_aside": aside}


def _count_finished(rows: list[Row]) -> dict[str, int]:
    states = Counter(row.record.state.value for row in rows)
    return {"finished": len(rows), **dict(sorted(states.items()))}


def _read_facts(rows: list[Row]) -> dict[str, int]:
    facts = {row.record.id: row.record.value for row in rows}
    return {"last_ticket": int(facts.get("last_ticket", 0)), "paused": facts.get("paused", False)}


_COUNT: dict[Shelf, Callable[[list[Row]], dict[str, int]]] = {
    Shelf.JOBS: _count_jobs,
    Shelf.WORKERS: _count_workers,
    Shelf.FINISHED: _count_finished,
    Shelf.FACTS: _read_facts,
}
