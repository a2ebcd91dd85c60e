"""Inspect a data folder: count its records and report damage, without changing anything.

A database is read from a copy, since opening it checkpoints its write-ahead log.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.storage.atomic_file import is_gone
from sanic_dispatch.storage.cached_json_file import needs_recovery
from sanic_dispatch.storage.data_folder import INCOMPLETE_BACKUP, LOCK, refuse_missing_folder
from sanic_dispatch.storage.entries import QUEUED, WORKERS, Kind, R, read_array
from sanic_dispatch.storage.export_import import read_database
from sanic_dispatch.storage.journal import JournalName, journals_in, read_journal
from sanic_dispatch.storage.json_format import (
    DISPATCH_NAME,
    JOBS_NAME,
    WORKERS_NAME,
    read_ledger,
    read_synced,
)
from sanic_dispatch.storage.read_json_folder import read_folder
from sanic_dispatch.storage.sealed_json import unseal_json
from sanic_dispatch.storage.segment_files import check_segment
from sanic_dispatch.storage.segment_format import FOLDER, segments_in
from sanic_dispatch.storage.segment_log import DROPPED_NAME, EPOCHS_NAME
from sanic_dispatch.storage.sqlite import DATABASE_NAME

TOGETHER = "files and journals together"


@dataclass(slots=True)
class FileReport:
    """The number of records in a file by kind, or what is wrong with it."""

    file: str
    counts: dict[str, int] = field(default_factory=dict)
    damage: str | None = None


@dataclass(slots=True)
class Inspection:
    """The report on a folder.

    If it is ``in_use`` by a dispatcher, the files may have been read at different moments.
    ``set_aside`` are the files to which repairs moved damaged entries.
    """

    folder: Path
    in_use: bool
    files: list[FileReport] = field(default_factory=list)
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
    """Inspect all files in a folder, of every mode. Raises DataFolderUnusable."""
    refuse_missing_folder(folder)
    inspection = Inspection(folder, is_in_use(folder))
    inspection.set_aside = sorted(path.name for path in folder.glob("*.damaged-*"))
    if not is_gone(folder / INCOMPLETE_BACKUP):
        inspection.files.append(FileReport(INCOMPLETE_BACKUP, damage="the backup is incomplete"))
    for name, count in (
        (JOBS_NAME, _inspect_jobs),
        (WORKERS_NAME, _inspect_workers),
        (DISPATCH_NAME, _inspect_ledger),
    ):
        if not is_gone(folder / name):
            inspection.files.append(_report(folder / name, count))
    journals = _inspect_journals(folder, inspection.files, in_use=inspection.in_use)
    inspection.files += journals
    inspection.files += _inspect_segments(folder / FOLDER)
    if not all(is_gone(folder / name) for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal")):
        inspection.files.append(_inspect_database(folder, in_use=inspection.in_use))
    return inspection


def is_in_use(folder: Path) -> bool:
    """Return whether a running dispatcher has locked the folder."""
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


def _report(path: Path, count: Callable[[Path], dict[str, int]]) -> FileReport:
    """Return the counts of a file, or its damage."""
    try:
        return FileReport(path.name, count(path))
    except NotAQueue as error:
        where = "" if error.path.name == path.name else f"{error.path.name} "
        return FileReport(path.name, damage=f"{where}{error.reason}")


def _inspect_jobs(path: Path) -> dict[str, int]:
    return _count_queued(_read_records(path, QUEUED))


def _inspect_workers(path: Path) -> dict[str, int]:
    return _count_workers(_read_records(path, WORKERS))


def _read_records(path: Path, kind: Kind[R]) -> list[R]:
    content = read_synced(path, fsync=False) or b"[]"
    return [found.record for found in read_array(path, kind, content)]


def _inspect_ledger(path: Path) -> dict[str, int]:
    ledger = read_ledger(path, fsync=False)
    finished = [found.record for found in ledger.finished]
    queued: list[Job] = []
    with suppress(NotAQueue):  # which the report on that file says
        queued = _read_records(path.with_name(JOBS_NAME), QUEUED)
    return _count_facts(ledger.facts, [*queued, *finished]) | _count_finished(finished)


def _inspect_journals(folder: Path, others: list[FileReport], *, in_use: bool) -> list[FileReport]:
    """Report on each journal; if nothing is damaged, also on all records after a replay."""
    found = [
        _report(path, partial(_count_batches, number=number))
        for name in JournalName
        for number, path in journals_in(folder, name).items()
    ]
    is_whole = all(each.damage is None for each in (*others, *found))
    has_journals = needs_recovery(folder) or journals_in(folder, JournalName.HISTORY)
    if has_journals and is_whole and not in_use:
        together = _report(folder / TOGETHER, _count_replayed)
        found.append(together)
    return found


def _count_batches(path: Path, number: int) -> dict[str, int]:
    batches = read_journal(path, number).batches
    events = sum(len(each.read_events()) for each in batches)
    whole = [each for each in batches if each.changes or each.events]  # others are marks
    return {"batches": len(whole)} | ({"events": events} if events else {})


def _inspect_segments(folder: Path) -> list[FileReport]:
    """Report on all segments together, and on each damaged file."""
    segments = segments_in(folder)
    if not segments:
        return []
    found: list[FileReport] = []
    events = 0
    for path in segments.values():
        checked = check_segment(path)
        events += checked.events
        if checked.damage:
            at, why = checked.damage[0]
            found.append(FileReport(f"{FOLDER}/{path.name}", damage=f"at byte {at}: {why}"))
    for path in filter(Path.exists, (folder / EPOCHS_NAME, folder / DROPPED_NAME)):
        try:
            unseal_json(path.read_bytes())
        except (OSError, ValueError) as error:
            found.append(FileReport(f"{FOLDER}/{path.name}", damage=f"at byte 0: {error}"))
    return [FileReport(FOLDER, {"segments": len(segments), "events": events}), *found]


def _count_replayed(path: Path) -> dict[str, int]:
    stored = read_folder(path.parent).stored()
    return _count_all(stored.jobs, stored.workers, stored.facts)


def _inspect_database(folder: Path, *, in_use: bool) -> FileReport:
    """Report on a copy of the database; skip it while in use, since the copy would be torn."""
    if in_use:
        return FileReport(DATABASE_NAME)

    def count(path: Path) -> dict[str, int]:
        stored = read_database(path.parent)
        return _count_all(stored.jobs, stored.workers, stored.facts)

    return _report(folder / DATABASE_NAME, count)


def _count_all(
    jobs: Iterable[Job], workers: Iterable[Worker], facts: Iterable[Fact]
) -> dict[str, int]:
    jobs = list(jobs)
    return {
        **_count_queued([job for job in jobs if not job.state.is_final]),
        **_count_workers(list(workers)),
        **_count_facts(facts, jobs),
        **_count_finished([job for job in jobs if job.state.is_final]),
    }


def _count_queued(jobs: list[Job]) -> dict[str, int]:
    """Count jobs by state; ``in_doubt`` are those whose hand-over is not confirmed."""
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


def _count_facts(facts: Iterable[Fact], jobs: Iterable[Job]) -> dict[str, int]:
    """Return the last ticket, which the facts have only of jobs that are gone, and the pause."""
    values = {fact.id: fact.value for fact in facts}
    last_ticket = max([int(values.get("last_ticket", 0)), *(job.ticket for job in jobs)])
    return {"last_ticket": last_ticket, "paused": bool(values.get("paused"))}
