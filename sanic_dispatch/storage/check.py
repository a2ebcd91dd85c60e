"""A look into a data folder without starting on it: what is there, and what is damaged.

Nothing is changed. A database is looked at in a copy, since reading it works its log in.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import DataFolderUnusable, NotAQueue
from sanic_dispatch.storage.data_folder import LOCK
from sanic_dispatch.storage.entries import QUEUED, WORKERS, Kind, R, read_array
from sanic_dispatch.storage.journal import journals_in, read_journal
from sanic_dispatch.storage.json_folder import needs_settling, read_folder
from sanic_dispatch.storage.sqlite import DATABASE_NAME
from sanic_dispatch.storage.transfer import read_database
from sanic_dispatch.storage.whole_files import (
    DISPATCH_NAME,
    JOBS_NAME,
    WORKERS_NAME,
    read_found,
    read_ledger,
)

TOGETHER = "files and journals together"


@dataclass(slots=True)
class Found:
    """One file: how many records of which kind, and what is wrong with it."""

    file: str
    counts: dict[str, int] = field(default_factory=dict)
    damage: str | None = None


@dataclass(slots=True)
class Inspection:
    """What is in a folder.

    ``in_use``: a dispatcher runs, so what is said here can be of different moments. ``set_aside``
    are files with damaged entries that a repair has put there.
    """

    folder: Path
    in_use: bool
    files: list[Found] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        return all(found.damage is None for found in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
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
    inspection.set_aside = sorted(path.name for path in folder.glob("*.damaged-*"))
    for name, count in (
        (JOBS_NAME, _look_at_jobs),
        (WORKERS_NAME, _look_at_workers),
        (DISPATCH_NAME, _look_at_ledger),
    ):
        if os.path.lexists(folder / name):
            inspection.files.append(_looked(folder / name, count))
    journals = _look_at_journals(folder, inspection.files, in_use=inspection.in_use)
    inspection.files += journals
    if os.path.lexists(folder / DATABASE_NAME):
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


def _looked(path: Path, count: Callable[[Path], dict[str, int]]) -> Found:
    """Count what is in a file, or say what is wrong with it."""
    try:
        return Found(path.name, count(path))
    except NotAQueue as error:
        where = "" if error.path.name == path.name else f"{error.path.name} "
        return Found(path.name, damage=f"{where}{error.reason}")


def _look_at_jobs(path: Path) -> dict[str, int]:
    return _count_queued(_records(path, QUEUED))


def _look_at_workers(path: Path) -> dict[str, int]:
    return _count_workers(_records(path, WORKERS))


def _records(path: Path, kind: Kind[R]) -> list[R]:
    content = read_found(path, fsync=False) or b"[]"
    return [found.record for found in read_array(path, kind, content)]


def _look_at_ledger(path: Path) -> dict[str, int]:
    ledger = read_ledger(path, fsync=False)
    finished = [found.record for found in ledger.finished]
    return _count_facts(ledger.facts) | _count_finished(finished)


def _look_at_journals(folder: Path, others: list[Found], *, in_use: bool) -> list[Found]:
    """Count each journal's batches; then, where all is whole, everything with them replayed."""
    found = [
        _looked(path, partial(_count_batches, number=number))
        for number, path in journals_in(folder).items()
    ]
    is_whole = all(each.damage is None for each in (*others, *found))
    if needs_settling(folder) and is_whole and not in_use:
        together = _looked(folder / TOGETHER, _count_replayed)
        found.append(together)
    return found


def _count_batches(path: Path, number: int) -> dict[str, int]:
    return {"batches": len(read_journal(path, number).batches)}


def _count_replayed(path: Path) -> dict[str, int]:
    stored = read_folder(path.parent).stored()
    return _count_all(stored.jobs, stored.workers, stored.facts)


def _look_at_database(folder: Path, *, in_use: bool) -> Found:
    """Look at a copy; while a dispatcher writes to it a copy would be torn."""
    if in_use:
        return Found(DATABASE_NAME)

    def count(path: Path) -> dict[str, int]:
        stored = read_database(path.parent)
        return _count_all(stored.jobs, stored.workers, stored.facts)

    return _looked(folder / DATABASE_NAME, count)


def _count_all(
    jobs: Iterable[Job], workers: Iterable[Worker], facts: Iterable[Fact]
) -> dict[str, int]:
    jobs = list(jobs)
    return {
        **_count_queued([job for job in jobs if not job.state.is_final]),
        **_count_workers(list(workers)),
        **_count_facts(facts),
        **_count_finished([job for job in jobs if job.state.is_final]),
    }


def _count_queued(jobs: list[Job]) -> dict[str, int]:
    """Count jobs by state; of those in doubt the next start does not know who has them."""
    states = Counter(job.state for job in jobs)
    unsure = sum(bool(job.hold and job.hold.stage is not Stage.CONFIRMED) for job in jobs)
    return {
        "waiting": states[State.WAITING],
        "assigned": states[State.ASSIGNED],
        "in_doubt": unsure,
    }


def _count_workers(workers: list[Worker]) -> dict[str, int]:
    aside = sum(worker.aside is not None for worker in workers)
    return {"workers": len(workers), "set_aside": aside}


def _count_finished(jobs: list[Job]) -> dict[str, int]:
    states = Counter(job.state.value for job in jobs)
    return {"finished": len(jobs), **dict(sorted(states.items()))}


def _count_facts(facts: Iterable[Fact]) -> dict[str, int]:
    values = {fact.id: fact.value for fact in facts}
    return {"last_ticket": int(values.get("last_ticket", 0)), "paused": bool(values.get("paused"))}
